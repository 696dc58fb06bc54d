"""Published reference rows: the shipped ones are valid, bad ones are named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.report.published import COLUMNS, SUITE_OF, Reference, find_folder, load_references

SHIPPED = Path(__file__).resolve().parents[2] / "results" / "published"
GOOD = "RLKD,R1-Distill-Qwen-7B,DeepSeek-R1,AIME24,avg@64,53.6,RLKD Table 1"


def write(folder: Path, *lines: str) -> Path:
    (folder / "a.csv").write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")
    return folder


def test_shipped_rows_are_valid_and_known_ones_are_there() -> None:
    rows = load_references(SHIPPED)
    found = {(r.system, r.student, r.benchmark, r.metric): r.value for r in rows}
    assert found["RLKD", "R1-Distill-Qwen-7B", "AIME24", "avg@64"] == 53.6
    assert found["RLKD", "R1-Distill-Qwen-7B", "GPQA-D", "pass_first@8"] == 86.9
    assert found["DeepSeek", "DeepSeek-R1-Distill-Qwen-7B", "MATH-500", "avg@n"] == 92.8
    assert found["open-r1 reproduction", "DeepSeek-R1-Distill-Llama-70B", "GPQA-D", "avg@8"] == 67.4
    assert all(row.source for row in rows)
    assert found["ThinkAnswer", "DeepSeek-R1-Distill-Qwen-7B", "ThinkAnswer math", "cot_math"] == 96.07
    assert found["CoTD-PO", "Llama-3.1-8B-Instruct", "MT-Bench", "rating"] == 8.54


def test_printed_points_add_up_to_the_printed_scores() -> None:
    rows = [row for row in load_references(SHIPPED) if row.benchmark.startswith("ThinkAnswer ")]
    for score in (row for row in rows if row.metric in ("cot_math", "cot_quality")):
        same = [row for row in rows if (row.system, row.student, row.benchmark) == score_key(score)]
        points = [row.value for row in same if row.metric.startswith(f"points:{score.metric}.")]
        assert len(points) == 5 and sum(points) == pytest.approx(score.value, abs=0.011)
        parts = {row.metric: row.value for row in same}
        mean = (parts["format:json"] + parts["em"] + score.value) / 3
        assert math.floor(10 * mean + 1e-6) / 10 == parts["average"], "the paper cuts its averages"


def score_key(row: Reference) -> tuple[str, str, str]:
    return row.system, row.student, row.benchmark


@pytest.mark.parametrize(("metric", "value", "ours"), [("rating", 8.54, 8.54), ("lc_win_rate", 53.8, 0.538)])
def test_values_on_our_scale(tmp_path: Path, metric: str, value: float, ours: float) -> None:
    row = load_references(write(tmp_path, f"CoTD-PO,s,t,MT-Bench,{metric},{value},Table 1"))[0]
    assert row.on_our_scale == pytest.approx(ours) and row.answers(metric)


def test_suites_named_by_references_exist() -> None:
    from harness import catalog

    assert set(SUITE_OF.values()) <= set(catalog.entries("suite"))


def test_metrics_match_ours(tmp_path: Path) -> None:
    row = load_references(write(tmp_path, GOOD))[0]
    assert row.suite == "aime24"
    assert row.samples == 64
    assert row.answers("avg@n")
    assert not row.answers("pass@8")
    first = load_references(write(tmp_path, GOOD.replace("avg@64", "pass_first@8")))[0]
    assert first.answers("pass@8")
    assert first.answers("pass_first@8")
    assert not first.answers("pass@16")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (GOOD.replace("53.6", "536"), "not a percentage"),
        (GOOD.replace("53.6", "nan"), "not a percentage"),
        (GOOD.replace("53.6", "13.3|11.7"), "not a number"),
        (GOOD.replace("avg@64", "avg64"), "unknown metric"),
        (GOOD.replace("avg@64", "rating"), "not a rating"),
        (GOOD.replace("avg@64", "otr").replace("53.6", "136"), "not a reduction"),
        (GOOD.replace("RLKD Table 1", ""), "empty source"),
        (GOOD + ",more", "8 cells"),
        (GOOD + "\n" + GOOD.replace("53.6", "54.0"), "repeats line 2"),
    ],
)
def test_bad_rows_are_named_with_file_and_line(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as error:
        load_references(write(tmp_path, line))
    assert "a.csv, line" in str(error.value)


def test_wrong_header_and_no_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no published rows"):
        load_references(tmp_path)
    (tmp_path / "a.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(DataError, match="header"):
        load_references(tmp_path)


def test_own_folder_wins_over_the_clone(tmp_path: Path) -> None:
    assert find_folder(tmp_path) == SHIPPED
    (tmp_path / "published").mkdir()
    assert find_folder(tmp_path) == tmp_path / "published"
