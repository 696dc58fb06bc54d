"""A scripted judge with a known error model: the laboratory has to find every one of its faults again."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import pytest

from harness.errors import BudgetReached, DataError, UsageError
from harness.models import load_model
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.types import Estimate
from judges.lab.arm import JudgeArm
from judges.lab.bias import longer, preference, pulls, sides_with
from judges.lab.label_agreement import kappa, share
from judges.lab.labelled_pair import LabelledPair
from judges.lab.measure import ArmReport, pair_values
from judges.lab.session import LabReport, lab
from judges.lab.sets import PairSet
from judges.prompts.rubric import load_rubric
from judges.types import Judgment
from tests.scripted_judge import ErrorModel, ScriptedJudge, synthetic_pairs
from tests.stub_server import StubServer

ERRORS = ErrorModel(skill=2.5, length=0.4, lists=0.5, first=0.6, shared=0.5, tie=0.04, malformed=0.05, broken=0.01)


def as_set(pairs: list[LabelledPair]) -> PairSet:
    return PairSet("synthetic", tuple(pairs), "hash", "made up")


def near(estimate: Estimate | float | None, truth: float) -> None:
    assert isinstance(estimate, Estimate)
    assert abs(estimate.value - truth) <= 3 * estimate.se, f"{estimate} is not {truth}"


def check(found: ArmReport, judge: ScriptedJudge, pairs: list[LabelledPair]) -> None:
    """Every measure within three standard errors of the truth."""
    truth = judge.expected(pairs)
    for name in ("accuracy", "strict", "flips", "first", "ties"):
        near(found.values[name], truth[name])
    chance = (1 - truth["ties"]) / 2  # no label is a tie here, and both orders were judged
    right = truth["accuracy"] - truth["ties"] / 2
    near(found.values["kappa"], (right - chance) / (1 - chance))
    errors = judge.errors
    for one, true in (
        (found.values["pull_label"], errors.skill),
        (found.values["pull_length"], errors.length),
        (found.values["pull_lists"], errors.lists),
        (found.values["pull_first"], errors.first),
    ):
        assert isinstance(one, Estimate)
        if errors.tie == 0:
            assert abs(one.value - true) < 3 * one.se, f"{one} is not {true}"
        else:  # a coin's tie is half a vote for each side and pulls every coefficient to 0
            assert 0.7 * true - 3 * one.se < one.value < true + 3 * one.se
    near(found.replies.malformed, 1 - (1 - errors.malformed) * (1 - errors.broken))


def run(pairs: list[LabelledPair], *arms: JudgeArm, cache: Cache | None = None) -> LabReport:
    with Cache(None) if cache is None else cache as opened:
        return lab(as_set(pairs), arms, opened)


@pytest.mark.parametrize("tie", [0.0, 0.04])
def test_in_process(tie: float) -> None:
    pairs = synthetic_pairs(700, seed=3)
    judge = ScriptedJudge(pairs, dataclasses.replace(ERRORS, tie=tie))
    report = run(pairs, JudgeArm.of(judge.model(), load_rubric("pairwise_5")))
    check(report.arms[0], judge, pairs)
    found = report.arms[0]
    assert found.replies.judgments == 1400
    assert found.pairs - found.scored == sum(one.verdict is None for one in report.arms[0].outcomes) > 0
    assert found.replies.tokens_in is not None and found.replies.tokens_in > 100  # second tries cost tokens


@pytest.mark.slow
def test_through_an_openai_compatible_server(tmp_path: Path) -> None:
    pairs = synthetic_pairs(1000, seed=4)
    judge = ScriptedJudge(pairs, dataclasses.replace(ERRORS, tie=0.0))
    rubric = load_rubric("pairwise_5")
    with StubServer(keep=False) as server:
        server.choose = judge.choose
        options = {"base_url": server.url, "price_in": "2", "price_out": "8", "concurrency": "32"}
        model = load_model("openai:stub-model", options)
        first = run(pairs, JudgeArm.of(model, rubric), cache=Cache(tmp_path / "cache.sqlite"))
        asked = server.count
        again = run(pairs, JudgeArm.of(model, rubric), cache=Cache(tmp_path / "cache.sqlite"))
        assert server.count == asked, "the second run makes no request"
    check(first.arms[0], judge, pairs)
    replies = first.arms[0].replies
    assert replies.judgments == 2000 and replies.cost_per_1000 is not None
    assert replies.cost_per_1000 * 2 == pytest.approx(asked * (11 * 2 + 5 * 8) / 1e6)  # the stub's own usage
    assert again.arms[0].replies.requested == 0
    assert again.arms[0].values == first.arms[0].values


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Other pairs of the same kind each time: 95 % intervals must hold the truth in about 95 % of 300 sessions."""
    errors = dataclasses.replace(ERRORS, tie=0.0, malformed=0.0, broken=0.0)
    everything = synthetic_pairs(30_000, seed=5)
    judge = ScriptedJudge([], errors)
    truth = judge.expected(everything)
    truth["kappa"] = 2 * truth["accuracy"] - 1
    rng = random.Random(6)
    prefers = [judge.sample(pair, rng) for pair in everything]
    excess = preference(prefers, longer)
    assert excess is not None
    truth["longer"] = excess[0].value
    held: dict[str, int] = {}
    sessions, values = 300, pair_values([])
    for _ in range(sessions):
        outcomes = [judge.sample(pair, rng) for pair in rng.sample(everything, 150)]
        found: dict[str, tuple[float, float]] = {}
        for name in ("accuracy", "strict", "flips", "first"):
            one = share(outcomes, values[name])
            assert one is not None
            found[name] = (one.low, one.high)
        apart = [one for one in outcomes if longer(one.pair)]
        beyond, long = kappa(outcomes), share(apart, sides_with(longer))
        assert beyond is not None and long is not None
        found |= {"kappa": (beyond.low, beyond.high), "longer": (long.low, long.high)}
        pulled = pulls(outcomes)
        for name, true in (("label", errors.skill), ("length", errors.length), ("first", errors.first)):
            found[f"pull_{name}"], truth[f"pull_{name}"] = (pulled[name].low, pulled[name].high), true
        for name, (low, high) in found.items():
            held[name] = held.get(name, 0) + (low <= truth[name] <= high)
    rates = {name: count / sessions for name, count in held.items()}
    assert all(rate > 0.91 for rate in rates.values()), rates  # 0.95 less three standard errors


def test_dimensions_are_recovered() -> None:
    pairs = synthetic_pairs(150, seed=7)
    levels = {"better": (0.0, 0.1, 0.2, 0.4, 0.3), "worse": (0.2, 0.4, 0.2, 0.1, 0.1)}
    judge = ScriptedJudge(pairs, ErrorModel(levels=levels))
    report = run(pairs, JudgeArm.of(judge.model(), load_rubric("cot_quality"), repeats=3, temperature=1.0))
    means = {side: sum(p * level for level, p in enumerate(chances, 1)) for side, chances in levels.items()}
    within = [
        sum(p * (level - means[side]) ** 2 for level, p in enumerate(chances, 1)) for side, chances in levels.items()
    ]
    between = ((means["better"] - means["worse"]) / 2) ** 2
    dimensions = [one for one in report.arms[0].dimensions if one.key != "total"]
    assert len(dimensions) == 5
    for one in dimensions:
        near(one.gap, means["better"] - means["worse"])
        near(one.reliability, between / (between + sum(within) / 2))
        assert one.auc is not None and one.auc.value > 0.85


def test_two_prompts_on_the_same_pairs() -> None:
    pairs = synthetic_pairs(300, seed=8)
    worse, better = (
        ScriptedJudge(pairs, ErrorModel(skill=skill, shared=0.8, variant=f"of skill {skill}")) for skill in (1.5, 4.0)
    )
    rubric = load_rubric("pairwise_5")
    arms = [JudgeArm.of(judge.model(name), rubric) for judge, name in ((worse, "s:weak"), (better, "s:strong"))]
    report = run(pairs, *arms)
    assert [arm.name for arm in report.arms] == ["s:weak", "s:strong"]
    (comparison,) = report.comparisons
    result = comparison
    truth = {name: better.expected(pairs)[name] - worse.expected(pairs)[name] for name in ("accuracy", "strict")}
    for name, gain in truth.items():
        assert abs(result.differences[name].diff - gain) < 3 * result.differences[name].se
    assert result.differences["strict"].test == "mcnemar" and result.differences["accuracy"].p < 1e-6
    assert comparison.diff == "", "one prompt, two judges"
    told = {change.id: change for change in result.changes}
    for one, other in zip(report.arms[0].outcomes, report.arms[1].outcomes, strict=True):
        assert (one.verdict != other.verdict) == (one.pair.id in told)
    assert len(result.better) > len(result.worse) > 0
    assert result.better[0].gain >= result.better[-1].gain and result.worse[0].gain <= result.worse[-1].gain
    gained = sum(change.gain for change in result.changes) / result.compared
    assert gained == pytest.approx(result.differences["accuracy"].diff)


def test_a_budget_stops_and_the_same_session_goes_on(tmp_path: Path) -> None:
    pairs = synthetic_pairs(60, seed=9)
    arm = JudgeArm.of(ScriptedJudge(pairs, ErrorModel()).model(), load_rubric("pairwise_5"))
    with Cache(tmp_path / "c.sqlite") as cache:
        with pytest.raises(BudgetReached):
            lab(as_set(pairs), [arm], cache, budget=Budget.parse("3ktok"))
        seen: list[Judgment] = []
        report = lab(as_set(pairs), [arm], cache, progress=_Count(seen))
    replies = report.arms[0].replies
    assert 0 < replies.requested < replies.judgments == len(seen) == 120


class _Count:
    def __init__(self, seen: list[Judgment]) -> None:
        self.seen = seen
        self.told: dict[str, int] = {}

    def start(self, what: str, total: int, found: int = 0, note: object = str) -> None:
        self.told[what] = total

    def advance(self, one: Judgment) -> None:
        self.seen.append(one)

    def beat(self, open_now: object) -> None: ...

    def finish(self) -> None:
        assert list(self.told.values()) == [len(self.seen)]


def test_rubrics_that_prefer_nothing_and_pairs_that_cannot_be_asked_are_refused_before_anything_is_spent() -> None:
    pairs = synthetic_pairs(3)
    model = ScriptedJudge(pairs, ErrorModel()).model()
    with pytest.raises(UsageError, match="structure_match"):
        JudgeArm.of(model, load_rubric("structure_match"))
    broken = [*pairs, LabelledPair("x", ("one", "two"), ("a",), ("b", "c"), "a")]
    silent = _Silent()
    with pytest.raises(DataError, match="'x'"), Cache(None) as cache:
        lab(as_set(broken), [JudgeArm.of(model, load_rubric("pairwise_5"))], cache, progress=silent)
    assert silent.told == {}


class _Silent(_Count):
    def __init__(self) -> None:
        super().__init__([])
        self.told: dict[str, int] = {}


def test_the_scripted_judge_does_what_it_says() -> None:
    """The yardstick itself: its expectation against its own simulation."""
    pairs = synthetic_pairs(400, seed=10)
    judge = ScriptedJudge(pairs, ERRORS)
    rng = random.Random(11)
    outcomes = [judge.sample(pair, rng) for pair in pairs for _ in range(20)]
    values = pair_values([])
    for name, truth in judge.expected(pairs).items():
        got = [value for one in outcomes if (value := values[name](one)) is not None]
        assert sum(got) / len(got) == pytest.approx(truth, abs=0.02)
