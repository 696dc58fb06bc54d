"""One decision per comparison: the corrected test's, with a line where the interval looks otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from bench_fakes import stored_arm
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from stored_runs import make_run

from harness.bench.compare import compare_suites
from harness.bench.page import write_report
from harness.bench.report import bench_json, suite_table
from harness.bench.spec import BenchSpec
from harness.cli.main import cli
from harness.config import RunConfig
from harness.metrics.diversity import Scores
from harness.report.diversity import diversity_tables
from harness.report.lab_json import difference_of
from harness.report.table import render
from harness.run.diversity import MeasuredRun
from harness.stats.multiple import decide, disagreement
from harness.stats.paired import paired_differences
from harness.stats.seeds import Seeded
from harness.types import Estimate
from judges.lab.versus import ArmDifference

# 19 won, 8 lost, 33 the same: [+1.3, +34.2] beside p = 0.052
BEFORE = [0.0] * 19 + [1.0] * 8 + [1.0] * 33
AFTER = [1.0] * 19 + [0.0] * 8 + [1.0] * 33
WHY = "the interval leaves out 0 and p is above 0.05: the interval is approximate, and the test decides"


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 6))
def test_there_is_a_line_exactly_where_interval_and_decision_disagree(w: int, l: int, same: int, family: int) -> None:  # noqa: E741
    if w + l + same == 0:
        return
    found = paired_differences(np.array([1.0] * w + [-1.0] * l + [0.0] * same), (), mcnemar=True)
    corrected = min(1.0, family * found.p)
    decision = decide(found.diff, corrected)
    looks = "higher" if found.low > 0 else "lower" if found.high < 0 else "not shown"
    assert (looks != decision) == bool(disagreement(found.low, found.high, found.p, corrected))
    assert decision == "not shown" or (found.diff > 0) == (decision == "higher")


@pytest.mark.parametrize(
    ("low", "high", "p", "corrected", "words"),
    [
        (0.013, 0.342, 0.052, 0.052, WHY),
        (-0.342, -0.013, 0.052, 0.104, WHY),
        (0.013, 0.342, 0.03, 0.06, "of this comparison alone"),
        (-0.01, 0.3, 0.04, 0.04, "the interval holds 0 and p is at most 0.05"),
        (-0.01, 0.3, 0.04, 0.08, ""),
        (0.01, 0.3, 0.01, 0.02, ""),
        (0.01, 0.3, None, None, ""),
        (float("nan"), 0.3, 0.01, 0.01, ""),
    ],
)
def test_the_line_says_why(low: float, high: float, p: float | None, corrected: float | None, words: str) -> None:
    assert words in disagreement(low, high, p, corrected)
    assert bool(words) == bool(disagreement(low, high, p, corrected))


def invoke(*args: str) -> str:
    done = CliRunner().invoke(cli, list(args), standalone_mode=False)
    assert done.exception is None, done.output
    return done.stdout


@pytest.mark.parametrize("command", ["compare", "leaderboard"])
def test_commands_say_the_decision_and_why(tmp_path: Path, command: str) -> None:
    runs = [make_run(tmp_path, f"mock:{name}", values) for name, values in (("a", BEFORE), ("b", AFTER))]
    where = ("--results-dir", str(tmp_path))
    more = [run.name for run in runs] if command == "compare" else ["--baseline", "mock:a"]
    text, data = invoke(command, *where, *more), json.loads(invoke(command, *where, *more, "--json"))
    assert WHY in text and "not shown" in text and "0.052" in text and "[+1.3, +34.2]" in text
    prefix = "" if command == "compare" else "delta_"
    row = next(row for row in data["rows"] if f"{prefix}decision" in row)
    assert row[f"{prefix}decision"] == "not shown" and row[f"{prefix}why"].startswith(WHY)


def test_bench_says_the_decision_and_why(tmp_path: Path) -> None:
    arms = [stored_arm(tmp_path, name, "method", [values]) for name, values in (("sft", BEFORE), ("emo", AFTER))]
    (found,) = compare_suites(arms, {"toy": 1}, tmp_path)
    spec = BenchSpec(("sft", "emo"), 1, "tiny", RunConfig())
    text = render([suite_table(found)], "table")
    assert f"emo vs sft, accuracy: {WHY}" in text and "not shown" in text
    write_report(tmp_path / "r.html", spec, arms, (found,), tmp_path)
    assert WHY in (tmp_path / "r.html").read_text(encoding="utf-8")
    rows = json.loads(render([suite_table(found)], "json", extra=bench_json(spec, arms, (found,))))["rows"]
    assert rows[1]["measures"]["accuracy"]["versus"]["decision"] == "not shown"


def test_the_laboratory_decides_agreement_by_the_corrected_p() -> None:
    found = paired_differences(np.array([1.0] * 30 + [0.0] * 30), (), mcnemar=True)
    assert found.p < 0.05
    for p_holm, decision in ((found.p, "higher"), (0.06, "not shown")):
        comparison = ArmDifference({"accuracy": found, "flips": found}, (), 60, "a", "b", p_holm)
        agreement: Any = difference_of(comparison, "accuracy")
        flips: Any = difference_of(comparison, "flips")  # shown apart, so not corrected
        assert (agreement["decision"], flips["decision"]) == (decision, "higher")


def test_the_laboratory_and_diversity_say_it_too() -> None:
    found = paired_differences(np.array(AFTER) - np.array(BEFORE), (), mcnemar=True)
    shown: Any = difference_of(
        ArmDifference({"accuracy": found, "flips": found}, (), 60, "a", "b", found.p), "accuracy"
    )
    assert shown["decision"] == "not shown" and shown["why"].startswith(WHY)
    run: Any = SimpleNamespace(folder=Path("r"), model="m", attempts=4, left_out={})
    scores = Scores("distinct-1", "within", Estimate(0.5, 0.4, 0.6, 0.05, 60, 240))
    line = MeasuredRun(run, scores, True, Seeded(found.diff, found.low, found.high, found.se, 60, 1, p=found.p))
    assert WHY in render(diversity_tables([line], []), "table")
