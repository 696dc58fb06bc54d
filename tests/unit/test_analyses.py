"""`harness analyze`: shares of a gap, agreement and bins of difficulty on runs whose truth is known by hand."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stored_runs import make_run
from system_fakes import command

from harness.analyses.difficulty import bin_of
from harness.run.store import write_graded
from harness.stats.resampling import cluster_intervals
from harness.types import Graded, Score

Attempts = Sequence[str | None]
"""Answers of one problem: "7" is right, another wrong, "" no answer, None unscored."""


def stored(results: Path, model: str, problems: Sequence[Attempts], **changes: Any) -> str:
    """A run with these answers; its id."""
    rows, means = [], []
    for place, attempts in enumerate(problems):
        values = [None if one is None else float(one == "7") for one in attempts]
        known = [value for value in values if value is not None]
        means.append(sum(known) / len(known) if known else None)
        rows += [
            Graded(
                f"p{place:03d}",
                attempt,
                Score(value, "unscored" if one is None else "scored" if one else "no_answer", one or None),
                tokens_out=10,
            )
            for attempt, (one, value) in enumerate(zip(attempts, values, strict=True))
        ]
    folder = make_run(results, model, means, n=len(problems[0]), **changes)
    write_graded(folder, rows)
    return folder.name


def asked(results: Path, *arguments: str) -> dict[str, Any]:
    ran = command("analyze", *arguments, "--results-dir", results, "--format", "json")
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)  # type: ignore[no-any-return]


def test_the_share_of_the_gap_agreement_and_losses_by_hand(tmp_path: Path) -> None:
    right, wrong, other = ["7"], ["3"], ["4"]
    base = stored(tmp_path, "mock:base", [right] * 10 + [wrong] * 30)
    teacher = stored(tmp_path, "mock:teacher", [right] * 30 + [wrong] * 10)
    # Of the 10 that the base solved it loses 2, of the 20 more that the teacher solves it gains 12: 20 right.
    answers = [right] * 8 + [other] * 2 + [right] * 12 + [other] * 8 + [wrong] * 4 + [other] * 4 + [[""], [None]]
    student = stored(tmp_path, "mock:student", answers)
    found = asked(tmp_path, "teacher", student, "--base", base, "--teacher", teacher)
    (row,) = found["rows"]
    assert row["problems"] == 39  # one is not scored
    base_of, teacher_of, student_of = 10 / 39, 30 / 39, 20 / 39
    assert row["accuracy"]["value"] == pytest.approx(student_of)
    assert row["recovered"]["value"] == pytest.approx((student_of - base_of) / (teacher_of - base_of)) == 0.5
    assert 0 < row["recovered"]["low"] < 0.5 < row["recovered"]["high"] < 1
    assert (row["gained"], row["lost"], row["base_solved"]) == (12, 2, 10)
    assert row["agreement"]["value"] == pytest.approx((20 + 4) / 39)
    assert row["inherited"]["value"] == pytest.approx(4 / 9)  # of nine that the teacher has wrong
    assert row["base_agreement"]["value"] == pytest.approx((10 + 9) / 39)
    assert row["tokens_per_right"] == pytest.approx(390 / 20) and row["train_tokens"] is None
    (cells,) = found["tables"][0]["rows"]
    assert [cells[name] for name in ("both", "only_teacher", "only_student", "neither")] == pytest.approx(
        [20 / 39, 10 / 39, 0, 9 / 39]
    )


def test_there_is_no_share_of_a_gap_that_is_not_shown(tmp_path: Path) -> None:
    base = stored(tmp_path, "mock:base", [["7"], ["3"], ["3"], ["7"]])
    teacher = stored(tmp_path, "mock:teacher", [["7"], ["7"], ["3"], ["7"]])
    student = stored(tmp_path, "mock:student", [["7"], ["7"], ["3"], ["3"]])
    found = asked(tmp_path, "teacher", student, "--base", base, "--teacher", teacher)
    assert found["rows"][0]["recovered"]["value"] is None and "no gap to share" in " ".join(found["notes"])


@pytest.mark.parametrize(
    ("rate", "place"), [(0, 0), (0.05, 1), (0.1, 1), (0.1 * 3, 2), (0.5, 3), (0.7, 4), (0.9, 5), (0.95, 6), (1, 7)]
)
def test_bins_close_on_the_right(rate: float, place: int) -> None:
    assert bin_of(rate) == place


def test_moves_between_bins_by_hand(tmp_path: Path) -> None:
    """Even attempts choose the bin, odd ones measure: the second problem's luck in even attempts is no change."""
    before = stored(tmp_path, "mock:before", [["3", "3", "3", "3"], ["7", "3", "7", "3"], ["7", "7", "7", "7"]])
    after = stored(tmp_path, "mock:after", [["7", "7", "7", "7"], ["3", "3", "3", "3"], ["7", "7", "7", "7"]])
    found = asked(tmp_path, "difficulty", before, after)
    rows = {row["bin"]: row for row in found["rows"]}
    assert {name: (row["problems"], row["change"]["value"]) for name, row in rows.items()} == {"0": (1, 1), "1": (2, 0)}
    assert rows["1"]["before"]["value"] == 0.5 and rows["1"]["pass_before"]["value"] == 0.5
    moves = {row["bin"]: {name: n for name, n in row["after"].items() if n} for row in found["tables"][0]["rows"]}
    assert moves == {"0": {"1": 1}, "1": {"0": 1, "1": 1}}
    whole = found["tables"][1]["rows"]
    assert [row["capability"]["value"] for row in whole] == pytest.approx([2 / 3, 2 / 3])
    assert whole[1]["accuracy_change"]["value"] == pytest.approx(1 / 6)


def test_a_run_drawn_again_changes_no_bin(tmp_path: Path) -> None:
    """Regression to the mean: the usual table, with bins and change of one set of attempts, would claim 8 points."""
    rng = random.Random(3)
    rates = [rng.choice((0.1, 0.3, 0.5, 0.7, 0.9)) for _ in range(400)]

    def draw() -> list[list[str]]:
        return [["7" if rng.random() < rate else "3" for _ in range(8)] for rate in rates]

    before, after = stored(tmp_path, "mock:a", draw()), stored(tmp_path, "mock:b", draw())
    rows = asked(tmp_path, "difficulty", before, after)["rows"]
    assert len(rows) == 5  # of four even attempts: 0, .25, .5, .75, 1
    assert sum(row["change"]["low"] <= 0 <= row["change"]["high"] for row in rows) >= 4
    assert all(abs(row["change"]["value"]) < 0.06 for row in rows)
    assert all(row["p_holm"] >= row["p"] for row in rows) and min(row["p_holm"] for row in rows) > 0.05


def test_what_cannot_be_analysed_is_one_line(tmp_path: Path) -> None:
    one = stored(tmp_path, "mock:one", [["7"], ["3"]])
    two = stored(tmp_path, "mock:two", [["7"], ["3"]])
    other = stored(tmp_path, "mock:three", [["7"], ["3"]], suite="other")
    nothing = stored(tmp_path, "mock:none", [[None], [None]])
    for arguments, said in (
        (("difficulty", one), "at least 2 runs"),
        (("difficulty", one, two), "run it with --n 2"),
        (("difficulty", one, one), "given twice"),
        (("difficulty", one, other), "is of suite 'toy'"),
        (("difficulty", one, nothing), "no problem is scored in all"),
        (("teacher", one, "--base", two, "--teacher", "nobody"), "nobody"),
        (("teacher", one, "--base", two), "--teacher"),
        (("unknown", one), "unknown"),
    ):
        ran = command("analyze", *arguments, "--results-dir", tmp_path)
        assert ran.exit_code == 2 and said in ran.stderr, (arguments, ran.stderr)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        x = rng.normal(1.0, 1.0, 60)
        clusters = [str(place // 2) for place in range(60)]
        value, low, high = cluster_intervals(lambda w, x=x: {"m": float(w @ x / w.sum())}, clusters, resamples=200)["m"]
        held += low <= 1.0 <= high
        assert value == pytest.approx(x.mean())
    assert held >= 86
    alike = cluster_intervals(lambda w: {"m": 1.0}, ["a", "b"])["m"]
    assert alike[0] == 1.0 and np.isnan(alike[1]) and np.isnan(alike[2])
