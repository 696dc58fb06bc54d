"""Judging through a real server that fails, lies and repeats itself: everything is settled, nothing is asked twice."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stub_server import MODEL, Reply, StubServer

from harness.errors import ModelError
from harness.models import load_model
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from judges.ask import NO_REPLY, judge_tasks
from judges.pairwise import PairwiseJudging
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judging, Judgment, Task

GOOD = json.dumps({"reason": "It is right.", "rating": 7})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with StubServer(Reply(content=GOOD)) as stub:
        yield stub


def judge_all(
    server: StubServer,
    cache: Cache,
    count: int = 60,
    judging: Judging | None = None,
    budget: Budget | None = None,
    **options: str,
) -> list[list[Judgment]]:
    """Every judgment of `count` answers; the server is named so that its port is no part of the cache's keys."""
    tasks = [Task(f"p{i}", 0, ("How many?",), (f"There are {i}.",), (f"I count {i}.",)) for i in range(count)]
    given = {"base_url": server.url, "backoff": "0.001", "concurrency": "16", "checkpoint": "stub", **options}
    judge = load_model(f"openai:{MODEL}", given)

    async def run() -> list[list[Judgment]]:
        try:
            return await judge_tasks(judge, judging or RubricJudging(load_rubric("rating_10")), tasks, cache, budget)
        finally:
            await judge.close()

    return asyncio.run(run())


def test_a_server_that_fails_now_and_then_loses_nothing(server: StubServer, tmp_path: Path) -> None:
    rng = random.Random(3)

    def choose(index: int, body: dict[str, Any]) -> Reply:
        fate = rng.random()
        bad = (
            Reply(status=500),
            Reply(raw=b"{"),
            Reply(content="Hard to say."),
            Reply(content="", finish_reason="length"),
        )
        return bad[int(fate * 16)] if fate < 0.25 else Reply(content=GOOD, latency=0.001)

    server.choose, server.hold_until = choose, 16
    path = tmp_path / "cache"
    with Cache(path) as cache:
        judgments = judge_all(server, cache, 300)
    assert [row[0].problem_id for row in judgments] == [f"p{i}" for i in range(300)]
    outcomes = Counter((row[0].verdict is not None, row[0].tries) for row in judgments)
    assert outcomes[True, 1] > 200 and outcomes[True, 2] > 10 and outcomes[False, 1] == 0
    reasons = [row[0].why for row in judgments if row[0].verdict is None]
    assert all(why and not why.startswith(NO_REPLY) for why in reasons)
    assert server.max_active == 16
    before = server.count
    with Cache(path) as cache:
        again = judge_all(server, cache, 300)
    assert [row[0].verdict for row in again] == [row[0].verdict for row in judgments]
    assert server.count == before and all(row[0].cached for row in again)


def test_what_is_refused_for_good_is_no_score_and_is_asked_again_next_time(server: StubServer) -> None:
    server.choose = lambda index, body: (
        Reply(status=400) if "There are 7." in str(body) else Reply(content=GOOD)
    )  # fmt: skip
    cache = Cache(None)
    judgments = judge_all(server, cache)
    [failed] = [row[0] for row in judgments if row[0].verdict is None]
    assert failed.problem_id == "p7" and failed.why == f"{NO_REPLY}HTTP 400: stub says 400" and failed.raw == ""
    server.choose = None
    assert all(row[0].verdict is not None for row in judge_all(server, cache))
    assert server.count == 61


def test_a_judge_that_refuses_everything_is_one_error_and_what_came_before_is_kept(server: StubServer) -> None:
    server.choose = lambda index, body: Reply(content=GOOD) if index < 20 else Reply(status=401)
    cache = Cache(None)
    with pytest.raises(ModelError, match="401"):
        judge_all(server, cache)
    assert cache.count() == 20
    server.choose = None
    judge_all(server, cache)
    assert cache.count() == 60


def test_a_preference_is_read_from_the_alternatives_of_the_first_token(server: StubServer) -> None:
    top = [{"token": "A", "logprob": -0.105}, {"token": "B", "logprob": -2.303}]
    logprobs = {"content": [{"token": "A", "logprob": -0.105, "top_logprobs": top}]}
    choice = {"message": {"content": "A"}, "finish_reason": "length", "logprobs": logprobs}
    server.default = Reply(fields={"choices": [choice]})
    cache = Cache(None)
    judging = PairwiseJudging(load_rubric("pairwise_2"))
    for _ in range(2):  # the second time from the cache
        [[first, second]] = judge_all(server, cache, 1, judging=judging)
        assert (first.order, second.order) == ("candidate_first", "opponent_first")
        assert first.verdict is not None and second.verdict is not None and first.verdict.soft
        assert first.verdict.value == pytest.approx(0.9, abs=1e-3)
        assert second.verdict.value == pytest.approx(0.1, abs=1e-3)
    assert server.count == 2
