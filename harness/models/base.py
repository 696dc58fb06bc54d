"""What engines and their callers share: slots, bounded concurrency, and optional imports with one clear error."""

from __future__ import annotations

import asyncio
import heapq
import importlib
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from types import ModuleType
from typing import TypeVar

from harness.errors import MissingExtra, ModelError
from harness.models.under_way import UnderWay
from harness.types import Completion, Json, Message, Model, Request, Sampling

T = TypeVar("T")
AHEAD = 2048
"""Callers of an engine at once: more than engines answer at once, few enough for memory."""


def refuse_unfit(model: Model, graders: Collection[str], sampling: Sampling) -> None:
    """Refuse what a model could not answer as it is asked, before anything is; a system of models says what that is.

    `graders`: of the problems, "" for prompts of none (a judge's). Raises `ConfigError`.
    """
    check = getattr(model, "check", None)
    if check is not None:
        check(graders, sampling)


def gives_logprob(model: Model) -> bool:
    """False for a model whose replies come without their log-probability, as far as it can know."""
    return bool(getattr(model, "gives_logprob", True))


class Stopped(asyncio.CancelledError):
    """Asking was cancelled, after everything that had finished was handled; says how much was under way."""

    def __init__(self, unfinished: int) -> None:
        super().__init__(f"{unfinished} unfinished replies dropped")
        self.unfinished = unfinished
        """Replies that were begun and not finished."""


class NotBegun(asyncio.CancelledError):
    """A caller of `Model.answer` was cancelled while its request waited behind the door: no reply was under way."""


class Slots:
    """Room for so many requests at once.

    Of those that wait, one that goes on with a conversation goes first, so that what was begun ends; then the one that
    may take longest, so that one long reply does not idle the engine at the end; of equals the first to come.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[int, int, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._open: set[str] = set()
        self._begun: dict[str, tuple[float, int]] = {}

    def under_way(self) -> list[UnderWay]:
        """The requests that have room, and for how long."""
        now = time.monotonic()
        return [UnderWay(id, now - begun, most=most) for id, (begun, most) in self._begun.items()]

    async def use(self, request: Request, answer: Callable[[Request], Awaitable[Completion]]) -> Completion:
        """Answer the request once there is room.

        Raises `ModelError` if a request of that id is open, `NotBegun` if the caller is cancelled while it waits, and
        what `answer` raises.
        """
        if request.id in self._open:
            raise ModelError(f"a request {request.id!r} is open already: await its reply, or give this one another id")
        self._open.add(request.id)

        async def begin() -> Completion:
            self._begun[request.id] = time.monotonic(), request.max_tokens
            return await answer(request)

        try:
            replies = sum(message.role == "assistant" for message in request.messages)
            return await self.hold(begin, replies, request.max_tokens)
        finally:
            self._open.discard(request.id)
            self._begun.pop(request.id, None)

    async def hold(self, work: Callable[[], Awaitable[T]], replies: int = 0, max_tokens: int = 0) -> T:
        """Await work that is no request (a text to score) once there is room; of those that wait it goes last.

        Raises `NotBegun` if the caller is cancelled while it waits, and what the work raises.
        """
        await self._enter(replies, max_tokens)
        try:
            return await work()
        finally:
            self._leave()

    async def _enter(self, replies: int, max_tokens: int) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (-replies, -max_tokens, next(self._numbers), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # its turn had come just then
                self._leave()
            raise NotBegun from None

    def _leave(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # else its caller went away
                turn.set_result(None)
                return
        self._free += 1


async def bounded(items: Iterable[T], work: Callable[[T], Awaitable[None]], concurrency: int | None = None) -> None:
    """Await `work` for every item, begun in order, at most `concurrency` (`AHEAD`) at once.

    Memory holds that many tasks and never one for each item; an item is taken when its turn comes. The first error is
    raised once the others are cancelled, and `Stopped` if this is cancelled; whatever had finished by then goes on to
    the end of its `work` first, unless it awaits something else there.
    """
    waiting, workers = iter(items), set[asyncio.Task[None]]()
    ended = asyncio.get_running_loop().create_future()
    unfinished, stopping, cancelled = 0, False, False

    async def serve(first: T) -> None:
        nonlocal unfinished, stopping
        for item in itertools.chain([first], waiting):
            if stopping:
                return
            try:
                await work(item)
            except BaseException as error:
                stopping = True
                unfinished += isinstance(error, asyncio.CancelledError) and not isinstance(error, NotBegun)
                raise

    def leave(worker: asyncio.Task[None]) -> None:
        workers.discard(worker)
        error = None if worker.cancelled() else worker.exception()
        if ended.done():
            return
        if worker.cancelled():
            ended.cancel()
        elif error is not None:
            ended.set_exception(error)
        elif not workers:
            ended.set_result(None)

    try:
        for item in itertools.islice(waiting, concurrency or AHEAD):
            worker = asyncio.create_task(serve(item))
            workers.add(worker)
            worker.add_done_callback(leave)
        if workers:
            await ended
    except asyncio.CancelledError:
        cancelled = True
    finally:
        stopping = True
        await _stop(workers)
    if cancelled:
        raise Stopped(unfinished)


async def _stop(workers: set[asyncio.Task[None]]) -> None:
    """Let what has finished be handled, then cancel the others and wait for their end."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for worker in workers:
        worker.cancel()
    # A second cancellation must not leave them running behind the back of whoever closes the model next.
    await asyncio.shield(asyncio.gather(*workers, return_exceptions=True))


NO_ROOM = "fit the context"
"""Part of every message about a request that a server's context is too short for: the same command fails again."""
SYSTEM_FOLDED = "no system role there: its text stands at the head of the first user turn"
"""What the environment of a run says of `fold_system`."""


def fold_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages without a system role: its text, if any, is put at the head of the first user turn."""
    system = "\n\n".join(message.content for message in messages if message.role == "system")
    rest = [message for message in messages if message.role != "system"]
    if not system:
        return tuple(rest)
    place = next((number for number, message in enumerate(rest) if message.role == "user"), None)
    if place is None:
        return (Message("user", system), *rest)
    rest[place] = Message("user", f"{system}\n\n{rest[place].content}")
    return tuple(rest)


def markup_identity(markup: str) -> dict[str, Json]:
    """The part of `Model.describe` that names a model's own reasoning markup: absent where there is none."""
    return {"think_markup": markup} if markup else {}


def named_markup(identity: Mapping[str, Json]) -> str:
    """The inverse of `markup_identity`, of the whole of what a model describes."""
    markup = identity.get("think_markup", "")
    return markup if isinstance(markup, str) else ""


def import_extra(module: str, feature: str, extra: str) -> ModuleType:
    """Import an optional dependency; raises `MissingExtra` naming the command that installs it."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] != module.split(".")[0]:
            raise  # it is installed, and something it needs is not: its own message says more
        raise MissingExtra(feature, extra) from error
