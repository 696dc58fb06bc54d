"""What engines and their callers share: slots, bounded concurrency, and optional imports with one clear error."""

from __future__ import annotations

import asyncio
import heapq
import importlib
import itertools
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import TypeVar, overload

from harness.errors import MissingExtra, ModelError
from harness.types import Completion, Json, Message, Request

T = TypeVar("T")
AHEAD = 2048
"""Callers of an engine at once: more than engines answer at once, few enough for memory."""


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

    async def use(self, request: Request, answer: Callable[[Request], Awaitable[Completion]]) -> Completion:
        """Answer the request once there is room.

        Raises `ModelError` if a request of that id is open, `NotBegun` if the caller is cancelled while it waits, and
        what `answer` raises.
        """
        if request.id in self._open:
            raise ModelError(f"a request {request.id!r} is open already: await its reply, or give this one another id")
        self._open.add(request.id)
        try:
            await self._enter(request)
            try:
                return await answer(request)
            finally:
                self._leave()
        finally:
            self._open.discard(request.id)

    async def _enter(self, request: Request) -> None:
        if self._free > 0:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        replies = sum(message.role == "assistant" for message in request.messages)
        heapq.heappush(self._waiting, (-replies, -request.max_tokens, next(self._numbers), turn))
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
    await asyncio.gather(*workers, return_exceptions=True)


class Inflow(Sequence[Request]):
    """Requests to which more can be added while they are answered.

    As a sequence it is what it was made with, so that any engine can take it. Engines built on `answer_concurrently`
    also take what is added later. What was not taken is left for `take_all`; other engines take nothing in this sense.
    """

    def __init__(self, requests: Iterable[Request]) -> None:
        self._first = tuple(requests)
        self._waiting = deque(self._first)

    def __len__(self) -> int:
        return len(self._first)

    @overload
    def __getitem__(self, index: int) -> Request: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Request, ...]: ...
    def __getitem__(self, index: int | slice) -> Request | tuple[Request, ...]:
        return self._first[index]

    def add(self, request: Request, *, next_one: bool = False) -> None:
        """Queue one more request; `next_one` puts it before those that wait."""
        if next_one:
            self._waiting.appendleft(request)
        else:
            self._waiting.append(request)

    def take(self) -> Request | None:
        """The request whose turn it is, or None if none waits."""
        return self._waiting.popleft() if self._waiting else None

    def take_all(self) -> list[Request]:
        """Everything not taken yet, in order."""
        rest, self._waiting = list(self._waiting), deque()
        return rest

    @property
    def waiting(self) -> int:
        """Number of requests not taken yet."""
        return len(self._waiting)


async def answer_concurrently(
    requests: Sequence[Request], answer: Callable[[Request], Awaitable[Completion]], concurrency: int
) -> AsyncGenerator[tuple[Request, Completion], None]:
    """Answer every request with at most `concurrency` at once; yield each with its completion as it finishes.

    Requests are started in the order given; what the consumer adds to an `Inflow` is answered too. Memory holds
    `concurrency` tasks, not one for each request, and a consumer that is slow to take results holds the workers back.
    An exception of `answer` is raised here after everything that had finished before it was yielded; so is `Stopped`
    when the consumer's task is cancelled. Closing the iterator cancels what is in flight and waits for it to end.
    """
    inflow = requests if isinstance(requests, Inflow) else Inflow(requests)
    done: asyncio.Queue[tuple[Request, Completion] | BaseException] = asyncio.Queue(maxsize=2 * concurrency)
    workers: set[asyncio.Task[None]] = set()
    open_requests = 0  # taken by a worker and not yet yielded
    stopping = False

    async def work() -> None:
        nonlocal open_requests
        while not stopping and (request := inflow.take()) is not None:
            open_requests += 1
            try:
                await done.put((request, await answer(request)))
            except NotBegun:
                open_requests -= 1
                raise
            except Exception as error:  # handed to the consumer, who raises it
                await done.put(error)
                return

    try:
        while inflow.waiting or open_requests:
            for _ in range(min(inflow.waiting, concurrency - len(workers))):
                worker = asyncio.create_task(work())
                workers.add(worker)
                worker.add_done_callback(workers.discard)
            item = await done.get()
            open_requests -= 1
            if isinstance(item, BaseException):
                raise item
            yield item
    except asyncio.CancelledError:
        stopping = True
        while not done.empty():  # finished, and not taken yet: a reply that was paid for is not thrown away
            item = done.get_nowait()
            open_requests -= 1
            if not isinstance(item, BaseException):
                yield item
            await asyncio.sleep(0)  # lets a worker that waited for room put its own
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise Stopped(open_requests) from None
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


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
