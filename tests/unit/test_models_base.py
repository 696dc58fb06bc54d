"""Slots and bounded concurrency: memory, order, errors, Ctrl-C, callers that go away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest

from harness.errors import ModelError
from harness.models.base import NotBegun, Slots, Stopped, bounded
from harness.types import Completion, Message, Request

DONE = Completion("", "stop")


def request(name: str, max_tokens: int = 10) -> Request:
    return Request(name, (Message("user", name),), 0.6, 0.95, max_tokens, (), 7)


def run(main: Coroutine[Any, Any, None]) -> None:
    """In a loop of its own; what hangs is named by the stack of the time-out."""

    async def alone() -> None:
        await asyncio.wait_for(main, 20)
        assert len(asyncio.all_tasks()) == 1, "something is left running"

    asyncio.run(alone())


# --- bounded --------------------------------------------------------------------------------------------------------


def test_no_more_tasks_than_asked_for_and_items_are_taken_when_their_turn_comes() -> None:
    taken = finished = most = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    async def work(number: int) -> None:
        nonlocal finished, most
        await asyncio.sleep(0)
        finished += 1
        most = max(most, len(asyncio.all_tasks()))
        assert taken - finished <= 8

    run(bounded(items(), work, 8))
    assert (taken, finished) == (1000, 1000) and most <= 8 + 2


def test_no_more_tasks_than_items() -> None:
    most = 0

    async def work(number: int) -> None:
        nonlocal most
        await asyncio.sleep(0.001)
        most = max(most, len(asyncio.all_tasks()))

    run(bounded(range(3), work, 4096))
    assert most <= 3 + 2 + 1
    run(bounded([], work, 8))


def test_what_takes_no_time_is_handled_in_order() -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        seen.append(number)

    run(bounded(range(500), work, 64))
    assert seen == list(range(500))


@pytest.mark.parametrize("finished", [0, 1, 7, 40])
def test_cancelling_handles_what_had_finished_and_counts_what_had_not(finished: int) -> None:
    begun = 0
    seen: list[int] = []

    async def work(number: int) -> None:
        nonlocal begun
        begun += 1
        if number >= finished:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        seen.append(number)

    async def interrupt() -> None:
        task = asyncio.create_task(bounded(range(99), work, 8))
        while begun < finished + 8:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(Stopped) as stop:
            await task
        assert stop.value.unfinished == 8

    run(interrupt())
    assert seen == list(range(finished))


def test_a_reply_that_came_together_with_the_interrupt_is_handled() -> None:
    seen: list[str] = []

    async def interrupt() -> None:
        reply = asyncio.get_running_loop().create_future()

        async def work(number: int) -> None:
            seen.append(await reply)

        task = asyncio.create_task(bounded([0], work, 8))
        await asyncio.sleep(0.001)
        reply.set_result("paid for")
        task.cancel()
        with pytest.raises(Stopped) as stop:
            await task
        assert stop.value.unfinished == 0

    run(interrupt())
    assert seen == ["paid for"]


def test_an_error_comes_after_what_finished_before_it() -> None:
    seen: list[int] = []

    async def work(number: int) -> None:
        if number == 5:
            raise RuntimeError("boom")
        seen.append(number)

    with pytest.raises(RuntimeError, match="boom"):
        run(bounded(range(9), work, 1))
    assert seen == [0, 1, 2, 3, 4]


def test_an_engine_that_is_cancelled_from_within_is_no_silent_end() -> None:
    async def work(number: int) -> None:
        if number == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(bounded(range(9), work, 2))


# --- slots ----------------------------------------------------------------------------------------------------------


def gate(slots: Slots, begun: list[str], opened: asyncio.Event) -> Callable[[Request], Awaitable[Completion]]:
    async def reply(asked: Request) -> Completion:
        begun.append(asked.id)
        await opened.wait()
        return DONE

    return lambda asked: slots.use(asked, reply)


def test_of_those_that_wait_the_longest_goes_first_and_then_the_first_to_come() -> None:
    async def main() -> None:
        begun: list[str] = []
        opened = asyncio.Event()
        answer = gate(Slots(1), begun, opened)
        lengths = {"a": 5, "b": 5, "c": 50, "d": 5, "e": 20, "f": 50}
        tasks = [asyncio.create_task(answer(request(name, tokens))) for name, tokens in lengths.items()]
        await asyncio.sleep(0)
        opened.set()
        await asyncio.gather(*tasks)
        assert begun == ["a", "c", "f", "e", "b", "d"]

    run(main())


def test_a_second_caller_with_an_open_id_is_refused_and_a_later_one_is_not() -> None:
    async def main() -> None:
        begun: list[str] = []
        opened = asyncio.Event()
        answer = gate(Slots(1), begun, opened)
        first, waits = (asyncio.create_task(answer(request(name))) for name in "ab")
        await asyncio.sleep(0)
        for name in "ab":
            with pytest.raises(ModelError, match=rf"a request '{name}' is open already"):
                await answer(request(name))
        opened.set()
        assert await first == await waits == await answer(request("a")) == DONE

    run(main())


def test_a_caller_that_goes_away_frees_its_slot_or_its_place_in_the_queue() -> None:
    async def main() -> None:
        begun: list[str] = []
        opened = asyncio.Event()
        answer = gate(Slots(2), begun, opened)
        tasks = {name: asyncio.create_task(answer(request(name))) for name in "abcd"}
        await asyncio.sleep(0)
        assert begun == ["a", "b"]
        tasks["c"].cancel()
        with pytest.raises(NotBegun):
            await tasks["c"]
        tasks["a"].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks["a"]
        await asyncio.sleep(0)
        assert begun == ["a", "b", "d"]
        opened.set()
        assert await tasks["b"] == await tasks["d"] == await answer(request("a")) == DONE

    run(main())


def test_a_caller_that_goes_away_just_when_its_turn_has_come_passes_it_on() -> None:
    async def main() -> None:
        begun: list[str] = []
        opened = asyncio.Event()
        answer = gate(Slots(1), begun, opened)

        async def leave() -> None:
            await answer(request("a"))
            second.cancel()

        first = asyncio.create_task(leave())
        second, third = (asyncio.create_task(answer(request(name))) for name in "bc")
        await asyncio.sleep(0)
        opened.set()
        await first
        assert await third == DONE
        assert second.cancelled() and begun == ["a", "c"]

    run(main())


def test_an_engine_that_dies_while_256_wait_gives_one_error_and_every_finished_answer() -> None:
    seen: list[str] = []

    async def main() -> None:
        slots, unhandled = Slots(64), list[dict[str, Any]]()
        asyncio.get_running_loop().set_exception_handler(lambda _, what: unhandled.append(what))
        dead = asyncio.Event()

        async def reply(asked: Request) -> Completion:
            if int(asked.id) < 100:
                await asyncio.sleep(0)
                return DONE
            if int(asked.id) == 150:
                dead.set()
            await dead.wait()
            raise ModelError("the engine is gone")

        async def work(number: int) -> None:
            await slots.use(request(str(number)), reply)
            seen.append(str(number))

        with pytest.raises(ModelError, match="the engine is gone"):
            await bounded(range(5000), work, 256)
        assert unhandled == []

    run(main())
    assert seen == [str(number) for number in range(100)]
