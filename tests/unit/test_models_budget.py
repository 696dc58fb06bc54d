"""A budget is read strictly, is never passed by more than what was in flight, and leaves everything resumable."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import pytest
from judging_fakes import DigitJudging, ScriptedJudge, make_tasks, reply
from test_judges_ask import BOTH, StreamingJudge

from harness.errors import BudgetReached, ConfigError
from harness.models.budget import Budget, Meter, Prices
from harness.models.reply_cache import Cache
from harness.types import Completion, Request
from judges.ask import judge_tasks
from judges.types import Judgment

PRICES = {"price_in": 1.0, "price_out": 4.0}


@pytest.mark.parametrize(
    ("text", "limit", "unit"),
    [
        ("200ktok", 200_000, "tok"),
        ("2Mtok", 2_000_000, "tok"),
        ("50000tok", 50_000, "tok"),
        (" 1.5 Mtokens ", 1_500_000, "tok"),
        ("1_000_000 tok", 1_000_000, "tok"),
        ("1,000tok", 1000, "tok"),
        ("0.1gtok", 1e8, "tok"),
        ("1token", 1, "tok"),
        ("5usd", 5, "usd"),
        ("0.5eur", 0.5, "eur"),
        (".25EUR", 0.25, "eur"),
        ("20 cny", 20, "cny"),
    ],
)
def test_amounts(text: str, limit: float, unit: str) -> None:
    budget = Budget.parse(text)
    assert (budget.limit, budget.unit, budget.spent) == (pytest.approx(limit), unit, 0)


@pytest.mark.parametrize(
    "text",
    (
        *("", "5", "usd", "-5usd", "0usd", "0tok", "5 dollars", "5kusd", "1e6tok", "nan tok", "infusd", "5tko"),
        *("5.5.5usd", "1" * 400 + "tok", "٣usd", "5usd5usd", "tok5", "5usd\nx"),
    ),
)
def test_no_amount(text: str) -> None:
    with pytest.raises(ConfigError, match=r"budget .*(is no amount: write tokens as 200ktok|more than nothing)"):
        Budget.parse(text)


def test_money_needs_prices() -> None:
    for environment in ({}, {"price_in": 1.0}, {"price_in": 1.0, "price_out": None}):
        with pytest.raises(ConfigError, match="--judge-arg price_in="):
            Meter(Budget.parse("5usd"), ScriptedJudge(prices=environment))
    assert Prices(1.0, 4.0).cost(1_000_000, 500_000) == pytest.approx(3.0)
    assert str(Budget(5.0, "usd", 0.01234)) == "0.01234 of 5.00 usd"
    assert str(Budget(200_000, "tok", 198_400.6)) == "198,401 of 200,000 tok"


def judge_all(
    judge: ScriptedJudge,
    count: int,
    cache: Cache,
    budget: Budget | None,
    on_judgment: Callable[[Judgment], None] | None = None,
) -> list[list[Judgment]]:
    return asyncio.run(judge_tasks(judge, DigitJudging(max_tokens=40), make_tasks(count), cache, budget, on_judgment))


@BOTH
@pytest.mark.parametrize(("limit", "prices"), [("900tok", {}), ("0.0015usd", PRICES), ("60tok", {}), ("1tok", PRICES)])
def test_it_stops_there_and_goes_on_from_there(kind: type[ScriptedJudge], limit: str, prices: dict[str, float]) -> None:
    """Replies take 20 tokens in and 10 out: 30 tokens, or 60 millionths of a dollar."""
    cache, judge = Cache(None), kind(lambda request: Completion("7", "stop", tokens_in=20, tokens_out=10), prices)
    budget, settled = Budget.parse(limit), list[Judgment]()
    with pytest.raises(BudgetReached) as caught:
        judge_all(judge, 100, cache, budget, settled.append)
    made, each = len(judge.seen), 30 if budget.unit == "tok" else 6e-5
    assert made == len(settled) == cache.count()
    assert made in (max(1, round(budget.limit / each) - 1), max(1, round(budget.limit / each)))
    assert budget.spent == pytest.approx(made * each) and budget.reserved == 0
    assert budget.spent <= budget.limit or made == 1, "one request is made to learn what one takes"
    assert f"{made:,} of 100 judgments by fake:judge done, spent {budget}; raise --budget" in str(caught.value)
    assert caught.value.exit_code == 5
    rest = kind(prices=prices)
    judgments = judge_all(rest, 100, cache, Budget.parse("1Mtok"))
    assert len(rest.seen) == 100 - made and all(row[0].verdict is not None for row in judgments)
    free = kind(prices=prices)
    judge_all(free, 100, cache, Budget.parse("1tok"))
    assert not free.seen, "what is cached costs nothing"


def test_replies_of_unequal_length_pass_the_limit_by_less_than_what_is_in_flight() -> None:
    rng = random.Random(0)

    def answer(request: Request) -> Completion:
        return Completion("7", "stop", tokens_in=rng.randint(5, 50), tokens_out=rng.randint(1, 40))

    for limit in (500, 1000, 3000):
        budget = Budget(limit, "tok")
        with pytest.raises(BudgetReached):
            judge_all(StreamingJudge(answer), 1000, Cache(None), budget)
        assert limit - 90 <= budget.spent <= limit + 4 * 90  # four at once, 90 tokens each at most


def test_second_tries_are_paid_and_tokens_that_nobody_counts_are_estimated() -> None:
    budget, judge = Budget(1e6, "tok"), StreamingJudge(lambda request: reply("none"))
    judge_all(judge, 10, Cache(None), budget)
    assert budget.spent == 10 * 2 * 20
    budget = Budget(1e6, "tok")
    silent = StreamingJudge(lambda request: Completion("x" * 400, "stop"))
    judge_all(silent, 1, Cache(None), budget)
    assert 200 < budget.spent < 1000
    budget = Budget(100, "tok")
    judge_all(StreamingJudge(lambda request: Completion("", "error", error="HTTP 500")), 10, Cache(None), budget)
    assert budget.spent == 0
