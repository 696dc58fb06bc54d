"""Ask a model through a file of replies and within a budget, so that nothing is asked or paid for twice.

    replies = Replies(model, cache, budget)
    await replies.ask_all(items, ask, done)      # `ask` awaits `replies.ask(request)`, once or in turn

What judges are asked (`judges.ask`) and what teachers write (`backends.makers.asking`) go this way. Each reply is in
the cache before anything is made of it: whatever stops the asking, the same call goes on from there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from harness.errors import BudgetReached
from harness.models import base
from harness.models.budget import Budget, Meter
from harness.models.reply_cache import Cache, storable
from harness.models.under_way import UnderWay
from harness.types import Completion, Model, Request

T = TypeVar("T")
One = TypeVar("One", contravariant=True)


class Progress(Protocol[One]):
    """Who is told how the asking goes: completions come in, or what is made of them."""

    def start(self, what: str, total: int, found: int = 0, note: Callable[[], str] = str) -> None:
        """So many to come, beside those that were found; `note` gives what else is worth saying at any moment."""

    def advance(self, one: One) -> None:
        """Called with each as it is settled."""

    def beat(self, open_now: Sequence[UnderWay]) -> None:
        """Called every second with what is being written (`harness.models.under_way`)."""

    def finish(self) -> None:
        """Called when this is done, however it ends."""


class NoProgress:
    """Nobody is told."""

    def start(self, what: str, total: int, found: int = 0, note: Callable[[], str] = str) -> None:
        """See `Progress`."""

    def advance(self, one: object) -> None:
        """See `Progress`."""

    def beat(self, open_now: Sequence[UnderWay]) -> None:
        """See `Progress`."""

    def finish(self) -> None:
        """See `Progress`."""


@dataclass
class Asked:
    """What was asked of models, of the requests that were made now."""

    requests: int = 0
    cached: int = 0
    """Replies that were found instead."""
    failed: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    """Where the engine says."""
    why: str = ""
    """Of the first failure."""

    def count(self, completion: Completion) -> None:
        """Take in the reply to a request."""
        self.requests += 1
        self.tokens_in += completion.tokens_in or 0
        self.tokens_out += completion.tokens_out or 0
        if completion.finish == "error":
            self.failed += 1
            self.why = self.why or completion.error or "no reason given"


class Replies:
    """One model, whose replies are kept."""

    def __init__(self, model: Model, cache: Cache, budget: Budget | None = None, option: str = "--judge-arg") -> None:
        """`option` is how prices are given. Raises `ConfigError` for a budget in money and a model without prices."""
        self._model, self._cache = model, cache
        self._meter = Meter(budget, model, option) if budget is not None else None

    async def ask(self, request: Request) -> Completion:
        """The reply to a request, whose id is its key in the cache; kept unless it failed.

        Raises what `Model.answer`, `Meter.spend` and `Cache.put` raise.
        """
        return await (self._answer(request) if self._meter is None else self._meter.spend(request, self._answer))

    async def _answer(self, request: Request) -> Completion:
        completion = await self._model.answer(request)
        if completion.finish == "error":
            return storable(completion)
        return self._cache.put(request.id, self._model.name, completion)

    async def ask_all(self, items: Iterable[T], ask: Callable[[T], Awaitable[None]], done: Callable[[], str]) -> None:
        """Await `ask` for every item, many at once.

        `done` says how far it came, for the `BudgetReached` that is raised once the budget is spent and what was in
        flight is kept. The first error of any other kind, and `Stopped`, as in `harness.models.base.bounded`.
        """
        try:
            await base.bounded(items, ask)
        except BudgetReached as spent:
            raise BudgetReached(
                f"stopped at the budget: {done()}, spent {spent}; raise --budget and run the same command again "
                "(what is done is stored and costs nothing)"
            ) from None
