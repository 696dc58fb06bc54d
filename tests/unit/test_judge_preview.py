"""`harness judge RUN --dry-run`: what is known already costs nothing, and no judge is asked."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import entry

Call = Callable[..., tuple[int, str, str]]
PLAN = ("judge", "synth_easy-8p-mock-gold", "--rubric", "cot_math", "--dry-run")
PRICES = ("--judge-arg", "price_in=2", "--judge-arg", "price_out=8")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    """Run a command in this process: (exit code, stdout, stderr); a run of eight problems is there."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    assert call("run", "--suite", "synth_easy", "--limit", "8", "--quiet", "--model", "mock:gold")[0] == 0
    return call


def test_what_the_cache_holds_is_not_planned_again(harness: Call, tmp_path: Path) -> None:
    before = json.loads(harness(*PLAN, "--judge", "mock:judge", "--json")[1])
    assert (before["judgments"], before["cached"]) == (8, 0)
    assert before["tokens_in"] > 8 * 500 and before["tokens_out_at_most"] == 8 * 3072
    assert not (tmp_path / "results" / "judgments.sqlite").exists()
    assert harness(*PLAN[:-1], "--judge", "mock:judge", "--quiet")[0] == 0
    after = json.loads(harness(*PLAN, "--judge", "mock:judge", "--json")[1])
    assert (after["judgments"], after["cached"], after["tokens_in"], after["tokens_out_at_most"]) == (8, 8, 0, 0)


def test_each_judge_of_a_panel_is_planned_by_itself(harness: Call) -> None:
    assert harness(*PLAN[:-1], "--judge", "mock:judge", "--quiet")[0] == 0
    plan = json.loads(harness(*PLAN, "--judge", "mock:judge", "--judge", "mock:wrong", "--json")[1])
    assert [(one["judge"], one["cached"]) for one in plan["by_judge"]] == [("mock:judge", 8), ("mock:wrong", 0)]
    assert plan["judgments"] == 16 and plan["tokens_out_at_most"] == 8 * 3072


def test_a_judge_without_its_key_is_planned_at_the_prices_told(harness: Call) -> None:
    plan = json.loads(harness(*PLAN, "--judge", "openai:gpt-4.1", *PRICES, "--json")[1])
    assert plan["cost_at_most"] == pytest.approx((2 * plan["tokens_in"] + 8 * plan["tokens_out_at_most"]) / 1e6)


def test_the_table_is_for_reading(harness: Call) -> None:
    code, out, _ = harness(*PLAN, "--judge", "mock:judge")
    assert code == 0 and "null" not in out and "{" not in out.partition("First prompt")[0]
    assert "cost       unknown without --judge-arg price_in=" in out
    assert "\n  fits it." in out, "the prompt is shown as it is, indentation included"


def test_a_slip_in_a_subcommand_is_told_as_such(harness: Call) -> None:
    code, _, err = harness("judge", "chek", "--rubric", "cot_math")
    assert code == 2 and err.rstrip().endswith("or say `harness judge check`")
    assert "or say" not in harness("judge", "math500-hf-student", "--rubric", "cot_math")[2]


@pytest.mark.parametrize("judge", ["mock:judge", "openai:gpt-4.1"])
def test_what_is_asked_once_for_several_is_not_known_already(harness: Call, tmp_path: Path, judge: str) -> None:
    """Two samples of a greedy model are one prompt twice: the cache holds neither."""
    runs = tmp_path / "results" / "runs"
    before = set(runs.iterdir())
    command = ("--suite", "synth_easy", "--limit", "8", "--quiet", "--model", "mock:gold", "--n", "4")
    assert harness("run", *command, "--temperature", "1")[0] == 0
    (run,) = (path.name for path in set(runs.iterdir()) - before)
    plan = ("judge", run, "--rubric", "cot_math", "--dry-run", "--judge", judge)
    facts = json.loads(harness(*plan, "--json")[1])
    assert facts["cached"] == 0 and facts["repeated"] > 0
    assert facts["judgments"] == 32 and facts["tokens_out_at_most"] == (32 - facts["repeated"]) * 3072
    shown = harness(*plan)[1]
    assert f"32, 0 of them known already, {facts['repeated']} the same as another" in shown
    if judge == "mock:judge":
        assert harness(*plan[:-3], "--judge", judge, "--quiet")[0] == 0
        after = json.loads(harness(*plan, "--json")[1])
        assert (after["cached"], after["repeated"], after["tokens_out_at_most"]) == (32, 0, 0)
