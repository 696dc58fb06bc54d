"""Rows of docs/footguns.md that no other test is about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.config import RunConfig
from harness.metrics import estimate
from harness.run.plan import choose_metrics, make_jobs, plan_suites
from harness.run.result import Item
from harness.run.summarise import summarise
from harness.stats import mean_interval, paired
from harness.types import Graded, Score


def right_or_wrong(problem: str, attempt: int, value: float) -> Graded:
    return Graded(problem, attempt, Score(value, "scored", "a"))


def test_averages_divide_by_the_samples_that_exist_not_by_those_asked_for() -> None:
    config = RunConfig(suite=("synth_easy",), model=("mock:gold",), limit=10, n=4, temperature=1.0)
    (job,) = make_jobs(plan_suites(config), "mock:gold", {}, config)
    job = replace(job, metrics=choose_metrics(job.suite, 2, ()))  # as when an interrupted run is scored
    made = [right_or_wrong(problem.id, attempt, 1.0) for problem in job.problems[:7] for attempt in range(2)]
    result = summarise(job, made, {}, None)
    found = result.estimates["avg@n"]
    assert (found.value, found.n_problems, found.n_samples, result.n) == (1.0, 7, 14, 0)
    assert any("3 of 10 problems have no sample" in warning for warning in result.warnings)


def test_64_copies_of_every_answer_are_no_more_evidence_than_one() -> None:
    marks = [float(i % 3 == 0) for i in range(30)]
    once = estimate("avg@n", [right_or_wrong(f"p{i}", 0, mark) for i, mark in enumerate(marks)])
    often = estimate("avg@n", [right_or_wrong(f"p{i}", j, mark) for i, mark in enumerate(marks) for j in range(64)])
    assert (often.n_problems, often.n_samples) == (30, 30 * 64)
    assert (often.se, often.low, often.high) == pytest.approx((once.se, once.low, once.high))


def test_pairs_show_a_difference_that_two_overlapping_intervals_hide() -> None:
    def items(values: list[float]) -> dict[str, Item]:
        return {f"p{i}": Item(value, 1) for i, value in enumerate(values)}

    weak = [1.0] * 40 + [0.0] * 60
    strong = [1.0] * 48 + [0.0] * 52
    below, above = mean_interval(np.array(weak)), mean_interval(np.array(strong))
    assert below.high > above.value and above.low < below.value
    found = paired(items(strong), items(weak))
    assert found is not None
    assert (found.diff, found.test) == (pytest.approx(0.08), "mcnemar")
    assert found.p < 0.01 and found.low > 0.0
