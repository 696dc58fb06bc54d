"""`harness run` with a judge: says who judged and how, and what the same command would ask again."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.main import entry
from harness.report.board import judging_cost
from harness.report.judged import show_judged
from harness.run.folder import RunFolder

Call = Callable[..., tuple[int, str, str]]
RUN = ("run", "--suite", "synth_easy", "--limit", "4", "--model", "mock:gold", "--rubric", "cot_math")
JUDGE = ("--judge", "mock:judge")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run a command in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_the_prompt_and_the_points_are_shown_as_by_harness_judge(harness: Call) -> None:
    code, out, _ = harness(*RUN, *JUDGE)
    assert code == 0 and "avg@n" in out and out.count("judged with cot_math@2#") == 1
    assert "CoT score, 0 to 100" in out and "stored as synth_easy-4p-mock-gold-" in out
    shown = json.loads(harness(*RUN, *JUDGE, "--json")[1])
    assert len(shown["judging"]) == 1 and shown["cot"][0]["em"] == 100


def test_a_graded_run_alone_has_nothing_of_a_judge(harness: Call) -> None:
    shown = json.loads(harness(*RUN[:-2], "--json")[1])
    assert list(shown) == ["rows"]


def test_unreadable_replies_are_kept_and_the_advice_says_so(harness: Call) -> None:
    broken = (*RUN, *JUDGE, "--judge-arg", "malformed=1")
    code, _, first = harness(*broken)
    assert code == 1 and "only another judge, rubric or --judge-temperature asks anew" in first
    code, _, again = harness(*broken)
    assert code == 1 and "4/4 judgments (4 cached)" in again, "the advice is true: nothing is asked again"


def test_the_plan_of_a_run_says_that_judging_is_not_in_it(harness: Call) -> None:
    assert "judging is not counted" in harness(*RUN, *JUDGE, "--dry-run")[1]
    assert "judging" not in harness(*RUN[:-2], "--dry-run")[1]


def test_the_judging_costs_what_its_prices_say_and_a_panel_of_two_prices_nothing(harness: Call, tmp_path: Path) -> None:
    assert harness(*RUN, *JUDGE)[0] == 0
    (folder,) = (RunFolder(path) for path in (tmp_path / "results" / "runs").iterdir() if "@" in path.name)
    result = folder.result
    assert judging_cost(result) is None, "the mock has no prices"
    counts = result.judging["judgments"]
    assert isinstance(counts, dict)
    told = {**result.judging, "judgments": {**counts, "tokens_in": 1_000_000, "tokens_out": 500_000}}
    dear, cheap = {"price_in": 2.0, "price_out": 8.0}, {"price_in": 1.0, "price_out": 1.0}
    priced = replace(result, judging=told, environment={"judges": [dear, dear]})
    assert judging_cost(priced) == 6.0
    assert ", cost 6," in show_judged([priced], "table", tmp_path / "results")
    assert judging_cost(replace(priced, environment={"judges": [dear, cheap]})) is None
