"""Asking through a cache and within a budget: kept before anything else, one error, nothing hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from judging_fakes import ScriptedJudge, reply

from harness.errors import BudgetReached, ModelError
from harness.models.base import Stopped
from harness.models.budget import Budget
from harness.models.replies import Replies
from harness.models.reply_cache import Cache
from harness.types import Completion, Message, Request


def request(number: int) -> Request:
    return Request(str(number), (Message("user", f"question {number}"),), 0.0, 1.0, 10, (), 7)


class Held(ScriptedJudge):
    """Answers the first `free` requests and keeps the others waiting, until it dies of `death`."""

    def __init__(self, free: int, concurrency: int) -> None:
        super().__init__(concurrency=concurrency)
        self.free, self.death = free, asyncio.Event()

    async def _answer(self, asked: Request) -> Completion:
        self.seen.append(asked)
        if int(asked.id) < self.free:
            await asyncio.sleep(0)
            return reply("7")
        await self.death.wait()
        raise ModelError("the engine died: its own messages are above")


def ask_all(judge: ScriptedJudge, cache: Cache, count: int, during: Callable[[Any], Any], **more: Any) -> list[int]:
    """What was heard; `during` may look at the task while the judge holds requests."""
    heard: list[int] = []

    async def run() -> None:
        replies = Replies(judge, cache, **more)

        async def ask(number: int) -> None:
            completion = await replies.ask(request(number))
            assert completion.finish == "error" or cache.get(str(number)) is not None, "kept before anything else"
            heard.append(number)

        task = asyncio.create_task(replies.ask_all(range(count), ask, lambda: f"{len(heard)} of {count}"))
        await during(task)
        await asyncio.wait_for(task, 20)
        assert len(asyncio.all_tasks()) == 1, "nothing is left running"

    asyncio.run(run())
    return heard


async def nothing(task: object) -> None:
    """Lets it go on."""


def test_an_engine_that_dies_while_256_callers_await_gives_one_error_and_loses_no_answer(tmp_path: Path) -> None:
    judge = Held(free=100, concurrency=256)

    async def dies(task: object) -> None:
        while len(judge.seen) < 100 + 256:
            await asyncio.sleep(0)
        judge.death.set()

    with Cache(tmp_path / "c") as cache:
        with pytest.raises(ModelError, match="the engine died"):
            ask_all(judge, cache, 5000, dies)
        assert cache.count() == 100 and len(cache.get_many(map(str, range(100)))) == 100


def test_an_interrupt_drops_what_is_in_flight_and_says_how_much() -> None:
    judge = Held(free=50, concurrency=16)

    async def interrupt(task: asyncio.Task[None]) -> None:
        while len(judge.seen) < 50 + 16:
            await asyncio.sleep(0)
        task.cancel()

    with Cache(None) as cache:
        with pytest.raises(Stopped, match="16 unfinished replies dropped"):
            ask_all(judge, cache, 1000, interrupt)
        assert cache.count() == 50


def test_failed_requests_are_heard_and_not_kept() -> None:
    judge = ScriptedJudge(lambda asked: Completion("", "error", error="HTTP 500") if asked.id == "3" else reply("7"))
    with Cache(None) as cache:
        assert sorted(ask_all(judge, cache, 9, nothing)) == list(range(9))
        assert cache.count() == 8 and cache.get("3") is None


def test_secrets_and_half_characters_are_taken_out_before_anybody_reads_them() -> None:
    judge = ScriptedJudge(lambda asked: reply("sk-abcdefghijklmnopqrstuvwxyz0123456789ABCD \ud83d"))

    async def run() -> Completion:
        return await Replies(judge, cache).ask(request(0))

    with Cache(None) as cache:
        heard = asyncio.run(run())
        assert "sk-abc" not in heard.text and heard.text.endswith("?")
        assert cache.get("0") is not None and cache.get("0").text == heard.text  # type: ignore[union-attr]


def test_what_waits_for_the_budget_goes_in_order_and_ends_without_hanging() -> None:
    judge = ScriptedJudge(concurrency=8)
    budget = Budget.parse("2000tok")  # 20 for each request
    with Cache(None) as cache:
        with pytest.raises(BudgetReached, match=r"^stopped at the budget: \d+ of 500, spent [\d,]+ of 2,000 tok"):
            ask_all(judge, cache, 500, nothing, budget=budget)
        assert [int(asked.id) for asked in judge.seen] == list(range(len(judge.seen)))
        assert cache.count() == len(judge.seen) and budget.reserved == 0
        assert 1980 <= budget.spent == 20 * cache.count()


def test_a_model_that_dies_within_a_budget_gives_back_what_was_set_aside() -> None:
    judge, budget = Held(free=20, concurrency=4), Budget.parse("100ktok")

    async def dies(task: object) -> None:
        while len(judge.seen) < 24:
            await asyncio.sleep(0)
        judge.death.set()

    with Cache(None) as cache:
        with pytest.raises(ModelError, match="died"):
            ask_all(judge, cache, 500, dies, budget=budget)
        assert (cache.count(), budget.reserved) == (20, 0) and budget.spent == 20 * 20


def test_nothing_smaller_is_begun_behind_a_request_that_the_budget_cannot_hold() -> None:
    judge, asked = ScriptedJudge(concurrency=8), [40, 40_000, 4, 4, 4]

    async def run(cache: Cache) -> None:
        replies = Replies(judge, cache, Budget.parse("200tok"))

        async def ask(number: int) -> None:
            one = Request(str(number), (Message("user", "x" * asked[number]),), 0.0, 1.0, 10, (), 7)
            await replies.ask(one)

        await replies.ask_all(range(len(asked)), ask, lambda: "")

    with Cache(None) as cache, pytest.raises(BudgetReached):
        asyncio.run(run(cache))
    assert [one.id for one in judge.seen] == ["0"]
