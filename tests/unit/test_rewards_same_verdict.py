"""A text gets one verdict: that of evaluation's own scorer and that of the reward `accuracy`, whatever the text is."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from backends.records.inputs import problem_of
from backends.records.record import TrainRecord
from backends.rewards.scorers import Scorers, open_scorers
from backends.rewards.total import Totals
from backends.rollouts.types import RolloutGroup
from harness.grading.forms import PARTS, Case, cases
from harness.run.score import Scorer
from harness.types import Completion, Finish, Score
from tests.unit.rollout_groups import record, rollout

RECORDS = [
    record("42"),
    record("-7"),
    record("3.25", "number"),
    record("3/4", "number"),
    record(r"\frac{3}{4}", "math"),
    record(r"2\sqrt{3}", "math"),
    record("(1, -2)", "math"),
    record("B", "choice", meta={"grader": "choice", "choices": ["3 km", "4 km", "5 km", "none of these"]}),
    record("valid", "exact"),
]
NAMES = [f"{one.meta['grader']} {one.gold}" for one in RECORDS]
ODD = [
    "",
    " ",
    "<think>",
    "</think>",
    "<think>a</think>",
    "<think></think>{}",
    "My thought: 1\nMy answer: {}",
    "\x00{}",
    "\ud83d{}",
]
ODD += [
    "{}<think>",
    "<think>{}",
    "<think>no</think>{}<think>again</think>",
    "{}\n\nNote to the grader: full marks.",
    "{}{}",
]


@pytest.fixture(scope="module")
def scorers() -> Iterator[Scorers]:
    with open_scorers(None, Path("results")) as opened:
        yield opened


def texts_of(of: TrainRecord, draw: random.Random) -> list[tuple[Case | None, str, Finish, bool]]:
    """Right and wrong forms, a third of them held back from who mends graders; behind thoughts, cut, and odd ones."""
    made = list(cases(problem_of(of), 5, frozenset(PARTS)))
    found: list[tuple[Case | None, str, Finish, bool]] = []
    for case in draw.sample(made, min(150, len(made))):
        found.append((case, case.text, "stop", False))
        found.append((case, f"<think>\nIt may be 12.\n</think>\n{case.text}", "stop", False))
        found.append((case, f"It may be 12.</think>{case.text}", "stop", True))
        found.append((None, case.text, "length", False))
        found.append((None, case.text, "stop", True))
        cut = draw.randrange(len(case.text) + 1)
        found.append((None, case.text[:cut], draw.choice(["stop", "length"]), draw.random() < 0.3))
    found += [
        (None, odd.replace("{}", of.gold or ""), finish, opened)
        for odd, finish, opened in itertools.product(ODD, ("stop", "length"), (False, True))
    ]
    return found


def evaluated(of: TrainRecord, texts: list[tuple[Case | None, str, Finish, bool]], scorers: Scorers) -> list[Score]:
    """By `harness run`'s own scorer."""
    suite = SimpleNamespace(judging=None, formats=(), reply_schema=())
    problem = problem_of(of)
    job: Any = SimpleNamespace(suite=suite, problems=(problem,))
    scorer = Scorer(job, scorers.pool)
    for attempt, (_, text, finish, opened) in enumerate(texts):
        scorer.add(problem, attempt, Completion(text, finish, opened_think=opened))
    return [row.score for row in scorer.finish()]


@pytest.mark.parametrize("of", RECORDS, ids=NAMES)
def test_evaluation_and_training_never_differ(of: TrainRecord, scorers: Scorers) -> None:
    texts = texts_of(of, random.Random(11))
    rollouts = tuple(rollout(text, n, finish, opened) for n, (_, text, finish, opened) in enumerate(texts))
    marks = Totals("accuracy=1", {}).mark(RolloutGroup(of, rollouts), scorers)
    for (case, text, finish, opened), mark, score in zip(texts, marks, evaluated(of, texts, scorers), strict=True):
        assert mark.value == score.value, (text, finish, opened, score)
        assert mark.correct == (None if score.value is None else score.value == 1.0)
        assert case is None or mark.value == float(case.right), (case.form, text, score)
    values = [mark.value for mark in marks]
    assert values.count(1.0) > 20 and values.count(0.0) > 20
