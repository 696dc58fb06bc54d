"""The models that rewards ask: asked once, in one thread, within budget and deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.rewards import asked as asked_module
from backends.rewards.asked import AskedModels
from backends.rewards.scorers import REPLIES, open_scorers
from harness.errors import BudgetReached, ConfigError, StoreError, UnknownName, UsageError
from harness.models.budget import Budget
from harness.types import Completion, Message, Request
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Task
from tests.scripted_model import ScriptedModel


def request(text: str, name: str = "x", seed: int = 0, tokens: int = 50) -> Request:
    return Request(name, (Message("user", text),), 0.0, 1.0, tokens, (), seed)


class Slow(ScriptedModel):
    """Answers after a moment, or never; remembers its thread and how many it had at once."""

    def __init__(self, wait: float = 0.02) -> None:
        super().__init__(lambda one: f"re: {one.messages[0].content}")
        self.wait, self.threads, self.now, self.most, self.closed = wait, set[int](), 0, 0, False

    async def answer(self, request: Request) -> Completion:
        self.threads.add(threading.get_ident())
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await asyncio.sleep(self.wait)
            return await super().answer(request)
        finally:
            self.now -= 1

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Slow:
    made = Slow()

    def load(spec: str, options: Mapping[str, str], results_dir: Path) -> Slow:
        made.loaded = (spec, dict(options), results_dir)  # type: ignore[attr-defined]
        return made

    monkeypatch.setattr(asked_module, "load_model", load)
    return made


def texts(replies: list[Completion]) -> list[str]:
    return [reply.text for reply in replies]


def test_many_threads_ask_one_loop_and_the_same_question_is_one_request(model: Slow, tmp_path: Path) -> None:
    with open_scorers(
        tmp_path / REPLIES, tmp_path, models=["a"], arguments={"url": "u", "a:key": "k", "b:key": "z"}
    ) as one:
        assert model.loaded == ("a", {"url": "u", "key": "k"}, tmp_path)  # type: ignore[attr-defined]
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(one.ask, "a", [request("q", f"n{n}"), request(f"{n % 2}")]) for n in range(8)]
            found = [texts(each.result()) for each in asked]
        assert found == [["re: q", f"re: {n % 2}"] for n in range(8)]
        assert len(model.asked) == 3 == one.spent.requests and model.most > 1 and len(model.threads) == 1
        assert (one.spent.tokens_in, one.spent.tokens_out, one.spent.failed) == (300, 60, 0)
        assert threading.get_ident() not in model.threads
    assert model.closed


def test_a_second_training_in_the_folder_asks_nothing_twice(model: Slow, tmp_path: Path) -> None:
    judging = RubricJudging(load_rubric("rating_10"))
    tasks = [Task("p", n, ("q",), (f"answer {n}",)) for n in range(3)]
    model._reply = lambda one: '{"reason": "r", "rating": 7}' if one.schema else "re"
    for round_ in range(2):
        with open_scorers(tmp_path / REPLIES, tmp_path) as one:
            assert texts(one.ask("a", [request("q")])) == ["re"]
            (found, *_) = one.judge("a", judging, tasks)
            assert found[0].verdict is not None and one.spent.requests == (4 if round_ == 0 else 0)
    assert len(model.asked) == 4
    with open_scorers(tmp_path / REPLIES, tmp_path) as one:
        one.ask("a", [request("q", seed=1), request("q", tokens=51)])
        assert one.spent.requests == 2, "another draw is another reply"


def test_a_failed_request_is_told_counted_and_asked_again(model: Slow, tmp_path: Path) -> None:
    model._reply = lambda one: Completion("", "error", error="busy")
    for _ in range(2):
        with open_scorers(tmp_path / REPLIES, tmp_path) as one:
            (reply,) = one.ask("a", [request("q")])
            assert (reply.finish, reply.error, one.spent.failed) == ("error", "busy", 1)


def test_a_request_has_a_deadline(model: Slow, tmp_path: Path) -> None:
    model.wait = 60.0
    models = AskedModels(None, tmp_path, {}, None, deadline=0.02)
    (reply,) = models.ask("a", [request("q")])
    assert reply.error == "no reply within 0.02 s" and models.spent.failed == 1
    models.close()
    models.close()


def test_the_budget_is_one_for_all_that_is_asked_at_once(model: Slow, tmp_path: Path) -> None:
    budget = Budget.parse("1200tok")
    with open_scorers(None, tmp_path, budget=budget) as one:
        with ThreadPoolExecutor(8) as threads:
            asked = [threads.submit(one.ask, "a", [request(f"q{n}")]) for n in range(24)]
            errors = [each.exception() for each in asked]
        done = sum(error is None for error in errors)
        assert done == one.spent.requests and 6 <= done < 20 and budget.spent == 120 * done
        spent = next(error for error in errors if error is not None)
        assert isinstance(spent, BudgetReached) and "run the same command again" in str(spent)
    with (
        pytest.raises(ConfigError, match="needs the prices"),
        open_scorers(None, tmp_path, models=["a"], budget=Budget(5, "usd")),
    ):
        pass


def test_what_cannot_be_asked_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="mock"), open_scorers(None, tmp_path, models=["mok:gold"]):
        pass
    (tmp_path / REPLIES).write_text("no database")
    with pytest.raises(StoreError, match="file of reward replies"), open_scorers(tmp_path / REPLIES, tmp_path):
        pass


def test_leaving_drops_what_is_under_way(model: Slow, tmp_path: Path) -> None:
    model.wait = 60.0
    with ThreadPoolExecutor(1) as threads:
        with open_scorers(None, tmp_path) as one:
            waiting = threads.submit(one.ask, "a", [request("q")])
            while not model.now:
                pass
        assert waiting.exception() is not None or waiting.cancelled()
    assert model.closed and model.now == 0
    with pytest.raises(UsageError, match="open the scorers"):
        type(one)(one.pool, one.ask, tmp_path).judge("a", RubricJudging(load_rubric("rating_10")), [])
