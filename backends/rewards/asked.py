"""The models that rewards ask: one thread with an event loop owns them, their replies and what may be spent.

Rewards run in many threads and an engine's connections belong to one loop; so all asking happens in a loop of its own,
and callers wait. Every reply is in the file of replies before anything is made of it, under a hash of all that can
change it: nothing is asked twice, not after a kill either. Two who ask the same at once share one request.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import BudgetReached, DataError, ModelError
from harness.hashing import canonical_json
from harness.models import load_model
from harness.models.base import refuse_unfit
from harness.models.budget import Budget, Meter
from harness.models.replies import Asked, Replies
from harness.models.reply_cache import Cache, request_key
from harness.options import options_of
from harness.types import Completion, Json, Message, Model, Request, Sampling, TokenScores
from judges.ask import judge_tasks
from judges.types import Judging, Judgment, Task

T = TypeVar("T")
DEADLINE = 1800.0
"""Seconds after which a request counts as failed: well below the hour that processes wait for each other."""


class AskedModels:
    """Owns the models; every method may be called from any thread but its own loop's."""

    def __init__(
        self,
        replies: Path | None,
        results_dir: Path,
        arguments: Mapping[str, str],
        budget: Budget | None,
        deadline: float = DEADLINE,
    ) -> None:
        """`replies`: the file of replies, None: in memory; `arguments`: as in `open_scorers`.

        `budget` is that of all models together. Raises `StoreError` for a file that cannot be used.
        """
        self.spent = Asked()
        self._results_dir, self._arguments = results_dir, arguments
        self._budget, self._deadline = budget, deadline
        self._models: dict[str, _Shared] = {}
        self._scorings: dict[tuple[str, tuple[str, ...]], _Shared] = {}
        """Of the same engines: closed with them."""
        self._waiting: set[Future[Any]] = set()
        self._closed = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="reward models", daemon=True)
        self._thread.start()
        try:
            self._cache = self._run(_open(replies))
        except BaseException:
            self._stop()
            raise

    def open(self, specs: Sequence[str]) -> None:
        """Make these models, so that one that cannot be asked fails now. Raises what `load_model` raises."""

        async def make() -> None:
            for spec in specs:
                self._model(spec)

        self._run(make())

    def ask(self, spec: str, requests: Sequence[Request]) -> list[Completion]:
        """The replies in order, whatever the requests' ids; a failed one has `finish="error"`.

        Raises `BudgetReached` once the budget is spent, `ModelError` if the model cannot answer at all, `StoreError`.
        """
        return self._asked(lambda: self._model(spec), requests)

    def likelihoods(self, spec: str, requests: Sequence[Request], words: tuple[str, ...]) -> list[Completion]:
        """How likely each of these words would begin the reply to each request: its `alternatives`, by word, in nats.

        By `Model.score`, so words need not be among the likeliest; kept, counted and limited as replies are. A request
        that does not fit the context, or a model that cannot score, has `finish="error"`. Raises as `ask`.
        """
        return self._asked(lambda: self._scoring(spec, words), requests)

    def _asked(self, choose: Callable[[], _Shared], requests: Sequence[Request]) -> list[Completion]:
        async def asking() -> list[Completion]:
            return await ask_once(choose(), self._cache, requests)

        return self._run(asking())

    def judge(self, spec: str, judging: Judging, tasks: Sequence[Task]) -> list[list[Judgment]]:
        """The judgments of each task, as `judges.ask.judge_tasks` makes them, with its second try. Raises as `ask`."""

        async def judging_them() -> list[list[Judgment]]:
            return await judge_tasks(self._model(spec), judging, tasks, self._cache)

        return self._run(judging_them())

    def close(self) -> None:
        """Drop what is under way, close models and file; once is enough."""
        if self._closed:
            return
        self._closed = True
        for future in list(self._waiting):
            future.cancel()
        try:
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        finally:
            self._stop()

    async def _close(self) -> None:
        for model in self._models.values():
            await model.close()
        self._cache.close()

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _model(self, spec: str) -> _Shared:
        if spec not in self._models:
            engine = load_model(spec, options_of(spec, self._arguments), self._results_dir)
            refuse_unfit(engine, {""}, Sampling())  # rewards ask greedily, and about no problem
            meter = Meter(self._budget, engine) if self._budget is not None else None
            self._models[spec] = _Shared(engine, meter, self._deadline, self.spent)
        return self._models[spec]

    def _scoring(self, spec: str, words: tuple[str, ...]) -> _Shared:
        if (spec, words) not in self._scorings:
            self._scorings[spec, words] = self._model(spec).likelihoods(words)
        return self._scorings[spec, words]

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        self._waiting.add(future)
        try:
            return future.result()
        except BudgetReached:
            raise BudgetReached(
                f"stopped at the budget of reward models, spent {self._budget}; raise --judge-budget and run the same "
                "command again (what they said is stored and costs nothing)"
            ) from None
        except BaseException:
            future.cancel()  # Ctrl-C in the caller: what it waited for is of no use to anybody
            raise
        finally:
            self._waiting.discard(future)


async def ask_once(
    model: Model, cache: Cache, requests: Sequence[Request], budget: Budget | None = None, option: str = "--judge-arg"
) -> list[Completion]:
    """The replies in order, kept under hashes of all that can change them; what is kept already is not asked.

    Raises as `Replies`, for whose budget's message `option` is, and as `Replies.ask_all`.
    """
    identity = canonical_json(model.describe())
    keyed = [replace(request, id=request_key(identity, request)) for request in requests]
    found = cache.get_many(request.id for request in keyed)
    missing = {request.id: request for request in keyed if request.id not in found}
    replies = Replies(model, cache, budget, option)

    async def one(request: Request) -> None:
        found[request.id] = await replies.ask(request)

    await replies.ask_all(missing.values(), one, lambda: f"{len(found):,} of {len(keyed):,} replies heard")
    return [found[request.id] for request in keyed]


async def _open(path: Path | None) -> Cache:
    """In the loop's thread, to which sqlite's connection belongs."""
    return Cache(path, what="file of reward replies", elsewhere="train into another --results-dir")


class _Shared:
    """A model whose equal requests at one time are one request, within budget and deadline."""

    def __init__(self, model: Model, meter: Meter | None, deadline: float, spent: Asked) -> None:
        self._model, self._meter, self._deadline, self._spent = model, meter, deadline, spent
        self._open: dict[str, asyncio.Task[Completion]] = {}
        self.name = model.name
        self.describe, self.environment = model.describe, model.environment

    @property
    def continues(self) -> bool:
        return self._model.continues

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        return await self._model.score(prompt, continuation, top)

    def likelihoods(self, words: tuple[str, ...]) -> _Shared:
        """The same model, whose replies are how likely these words begin them."""
        return _Shared(Likelihoods(self._model, words), self._meter, self._deadline, self._spent)

    async def answer(self, request: Request) -> Completion:
        """The reply; who asks what is being asked waits for the same one."""
        task = self._open.get(request.id)
        if task is None:
            task = self._open[request.id] = asyncio.create_task(self._answer(request))
            task.add_done_callback(lambda _: self._open.pop(request.id, None))
        return await asyncio.shield(task)

    async def _answer(self, request: Request) -> Completion:
        answer = self._counted
        return await (answer(request) if self._meter is None else self._meter.spend(request, answer))

    async def _counted(self, request: Request) -> Completion:
        try:
            completion = await asyncio.wait_for(self._model.answer(request), self._deadline)
        except TimeoutError:
            completion = Completion("", "error", error=f"no reply within {self._deadline:g} s")
        self._spent.count(completion)
        return completion

    async def close(self) -> None:
        tasks = list(self._open.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._model.close()


class Likelihoods:
    """A model that writes nothing: its reply is how likely each of some words begins one."""

    def __init__(self, model: Model, words: tuple[str, ...]) -> None:
        self._model, self._words = model, words
        self.name, self.continues = model.name, model.continues
        self.environment, self.score, self.close = model.environment, model.score, model.close

    def describe(self) -> Mapping[str, Json]:
        """The model's, and what is asked of it."""
        return {**self._model.describe(), "likelihoods": list(self._words)}

    async def answer(self, request: Request) -> Completion:
        """The words' log-probabilities as `alternatives`."""
        try:
            found = [await self._model.score(request.messages, word) for word in self._words]
        except (DataError, ModelError) as error:  # too long for the context; an engine that cannot score
            return Completion("", "error", error=str(error))
        if len({one.ids[0] for one in found}) < len(found):
            return Completion("", "error", error=f"{', '.join(self._words)} begin with the same token")
        told = {word: one.logprobs[0] for word, one in zip(self._words, found, strict=True)}
        read = [one.read for one in found]
        known = [count for count in read if count is not None]
        tokens_in, tokens_out = (sum(known), 0) if len(known) == len(read) else (None, None)
        return Completion("", "stop", alternatives=told, tokens_in=tokens_in, tokens_out=tokens_out)
