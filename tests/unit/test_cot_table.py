"""The CoT score table: published rows, what is missing and why, and the two commands that lead to it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from stored_runs import make_run

from harness.report.cot_table import cot_table
from harness.report.judged import show_judged
from harness.report.table import Table, render
from harness.run.folder import RunFolder
from harness.run.result import RunResult
from harness.types import Estimate
from judges.prompts.rubric import load_rubric

GOLDEN: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "golden" / "cot_table.json").read_text(encoding="utf-8")
)
BASE = "toy-m-0000000000"


def share(value: float, width: float = 0.02) -> Estimate:
    return Estimate(value, value - width, value + width, width / 2, 10, 10)


def base_run(folder: Path, estimates: Mapping[str, float], **changes: Any) -> None:
    """The run whose answers are judged."""
    found = {name: share(value) for name, value in estimates.items()}
    headline = next(iter(found))
    make_run(folder, "m", [1.0], run_id=BASE, estimates=found, headline=headline, **changes)


def judged_run(folder: Path, rubric: str, points: Sequence[float], model: str = "m", **changes: Any) -> RunResult:
    """A run judged with a catalog rubric; `points` of its dimensions, in their order."""
    loaded = load_rubric(*rubric.split(":"))
    estimates = {loaded.name: share(math.fsum(points) / 100)}
    for dimension, value in zip(loaded.dimensions, points, strict=True):
        estimates[f"{loaded.name}.{dimension.key}"] = share(value / dimension.weight)
    facts: dict[str, Any] = {
        "headline": loaded.name,
        "estimates": estimates,
        "judge": f"{loaded.id} by mock:judge",
        "judging": {"judged_from": BASE, "judging": {"judging": "rubric", "rubric": loaded.id}},
    }
    return RunFolder(make_run(folder, model, [1.0], run_id=f"{BASE}@{loaded.name}-{model}", **(facts | changes))).result


def shown(table: Table) -> dict[str, str]:
    """Column title -> cell of the only row."""
    (row,) = table.rows
    return {column.title: column.show(row) for column in table.columns}


MATH = [22.5, 18.6, 17.7, 18.7, 13.7]


@pytest.mark.parametrize(
    ("problems", "n", "part"),
    [
        (1, 1, ""),
        (3, 1, "1 of 3 problems"),
        (1, 4, "1 of 4 samples per problem"),
        (3, 4, "1 of 4 samples per problem and 1 of 3 problems"),
    ],
)
def test_what_was_judged_of_the_run_is_said_beside_its_own_shares(
    tmp_path: Path, problems: int, n: int, part: str
) -> None:
    make_run(tmp_path, "m", [1.0] * problems, n=n, run_id=BASE, estimates={"avg@n": share(0.5)}, headline="avg@n")
    notes = " ".join(cot_table([judged_run(tmp_path, "cot_math", MATH)], tmp_path).notes)
    assert (f"m: judged on {part}; format accuracy and EM are over all" in notes) == bool(part)
    assert ("judged on" in notes) == bool(part)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["row"]))
def test_published_rows(case: dict[str, Any], tmp_path: Path) -> None:
    exact = "em" if case["rubric"] == "cot_math" else "em_micro"
    base_run(tmp_path, {"avg@n": 0.5, exact: case["em"] / 100, "format:json": case["format"] / 100})
    table = cot_table([judged_run(tmp_path, case["rubric"], case["points"])], tmp_path)
    (row,) = table.rows
    assert row["cot_score"] == pytest.approx(case["cot"], abs=0.005)
    assert list(row["points"].values()) == pytest.approx(case["points"])  # type: ignore[union-attr]
    assert row["format_accuracy"] == pytest.approx(case["format"])
    assert row["em"] == pytest.approx(case["em"])
    average = row["average"]
    assert isinstance(average, float)
    assert math.floor(10 * average + 1e-6) / 10 == case["average"]  # the paper cuts, it does not round


def test_what_a_person_sees(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 0.9, "em": 0.94, "format:json": 0.703})
    table = cot_table([judged_run(tmp_path, "cot_math", MATH)], tmp_path)
    assert shown(table) == {
        "model": "m",
        "Reasoning Correctness /25": "22.50",
        "Method Relevance /20": "18.60",
        "Step Completeness /20": "17.70",
        "Calculation Accuracy /20": "18.70",
        "Conclusion Reasonableness /15": "13.70",
        "CoT score": "91.2 ± 2.0",
        "format accuracy": "70.3",
        "EM": "94.0",
        "average": "85.2",
    }
    assert any("a reply without an answer is left out" in note for note in table.notes)


def test_weightings_have_their_own_points(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(tmp_path, "cot_quality:prompt", [25, 15, 15, 25, 20])
    assert shown(cot_table([result], tmp_path))["Relevance /15"] == "15.00"
    assert cot_table([result], tmp_path).rows[0]["average"] == pytest.approx(100)


@pytest.mark.parametrize(
    ("estimates", "graders", "blank", "note"),
    [
        ({"avg@n": 0.9, "format:json": 1.0}, {"labels": "labels/1"}, "em", "no labels to match"),
        ({"arena": 0.9, "format:json": 1.0}, {}, "em", "no right answers to match"),
        ({"avg@n": 0.9}, {"integer": "integer/1"}, "format_accuracy", "checks no format:json or format:boxed"),
    ],
)
def test_no_average_of_two(
    tmp_path: Path, estimates: dict[str, float], graders: dict[str, str], blank: str, note: str
) -> None:
    base_run(tmp_path, estimates, graders=graders)
    table = cot_table([judged_run(tmp_path, "cot_math", MATH)], tmp_path)
    (row,) = table.rows
    assert [name for name in ("cot_score", "format_accuracy", "em") if row[name] is None] == [blank]
    assert row["average"] is None and any(note in text for text in table.notes)
    assert "average" not in render([table], "md").splitlines()[2]


def test_the_run_that_was_judged_is_gone(tmp_path: Path) -> None:
    table = cot_table([judged_run(tmp_path, "cot_math", MATH)], tmp_path)
    (row,) = table.rows
    assert row["cot_score"] == pytest.approx(91.2)
    assert row["format_accuracy"] is row["em"] is row["average"] is None
    assert "does not exist" in table.notes[0]


def test_a_rubric_that_changed_has_no_points(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    judging = {"judged_from": BASE, "judging": {"judging": "rubric", "rubric": "cot_math@1#000000000000"}}
    table = cot_table([judged_run(tmp_path, "cot_math", MATH, judging=judging)], tmp_path)
    assert table.rows[0]["points"] == {} and table.rows[0]["average"] is not None
    assert "cot_math@1#000000000000" in table.notes[0] and "not known here" in table.notes[0]


def test_a_rubric_of_a_file_has_no_points(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(
        tmp_path,
        "cot_math",
        MATH,
        headline="mine",
        estimates={"mine": share(0.6), "mine.logic": share(0.6)},
        judging={"judged_from": BASE, "judging": {"judging": "rubric", "rubric": "mine@1#000000000000"}},
    )
    table = cot_table([result], tmp_path)
    assert shown(table) == {
        "model": "m",
        "CoT score": "60.0 ± 2.0",
        "format accuracy": "100.0",
        "EM": "100.0",
        "average": "86.7",
    }
    assert "no rubric of the catalog" in table.notes[0]


def test_points_that_do_not_add_up_are_told(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(tmp_path, "cot_math", MATH)
    estimates = {**result.estimates, "cot_math": share(0.9)}  # the median of a panel, its parts are means
    table = cot_table([replace(result, estimates=estimates)], tmp_path)
    assert any("add up to 91.20, not to the CoT score" in note for note in table.notes)


def test_some_of_the_samples(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0}, n=4)
    table = cot_table([judged_run(tmp_path, "cot_math", MATH)], tmp_path)
    assert any("judged on 1 of 4 samples" in note for note in table.notes)


@pytest.mark.parametrize("rubric", ["rating_10", "pairwise_5"])
def test_rubrics_without_dimensions_are_left_out(tmp_path: Path, rubric: str) -> None:
    base_run(tmp_path, {"avg@n": 1.0})
    estimates = {rubric: share(0.6), f"{rubric}.invented_quotes": share(0.1), "tokens_out": share(0.5)}
    judging = {"judged_from": BASE, "judging": {"rubric": load_rubric(rubric).id}}
    result = judged_run(tmp_path, "cot_math", MATH, headline=rubric, estimates=estimates, judging=judging)
    assert not cot_table([result], tmp_path).rows
    assert "CoT score" not in show_judged([result], "table", tmp_path)
    assert json.loads(show_judged([result], "json", tmp_path))["cot"] == []


@pytest.mark.parametrize("judging", [{}, {"judging": None}, {"judging": {"rubric": 3}}])
def test_judgings_of_any_shape(tmp_path: Path, judging: dict[str, Any]) -> None:
    assert not cot_table([judged_run(tmp_path, "cot_math", MATH, judging=judging)], tmp_path).rows


def test_several_models_in_one_table(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(tmp_path, "cot_math", MATH)
    other = judged_run(tmp_path, "cot_math", MATH, model="other")
    table = cot_table([result, other], tmp_path)
    assert [row["model"] for row in table.rows] == ["m", "other"]
    assert len(table.notes) == len(set(table.notes)) == 2


def test_runs_judged_alike_stand_in_one_table(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(tmp_path, "cot_math", MATH)
    judged_run(tmp_path, "cot_quality", [25, 20, 20, 20, 15])  # another judge prompt: another table
    judged_run(tmp_path, "cot_math", [5, 4, 4, 4, 3], model="worse")
    judged_run(tmp_path, "cot_math", [25, 20, 20, 20, 15], model="better")
    rows = json.loads(show_judged([result], "json", tmp_path))["cot"]
    assert [row["model"] for row in rows] == ["m", "better", "worse"]
    assert rows[0]["run_id"] == result.run_id


def test_every_format(tmp_path: Path) -> None:
    base_run(tmp_path, {"avg@n": 1.0, "format:boxed": 1.0})
    result = judged_run(tmp_path, "cot_math", MATH)
    assert "CoT score, 0 to 100" in show_judged([result], "table", tmp_path)
    assert "### CoT score, 0 to 100" in show_judged([result], "md", tmp_path)
    assert json.loads(show_judged([result], "json", tmp_path))["cot"][0]["cot_score"] == pytest.approx(91.2)
    header, *lines = show_judged([result], "csv", tmp_path).splitlines()
    assert all(line.count(",") >= header.count(",") for line in lines)
