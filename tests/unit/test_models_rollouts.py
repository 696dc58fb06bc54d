"""`harness models rollouts`: what a student wrote in training is found by what it got for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from backends.rollouts.journal import Journal
from backends.rollouts.stored import stored_completions
from backends.rollouts.types import RolloutMark
from harness.cli.models import command
from harness.errors import HarnessError
from tests.drawn_groups import group

NAME = "tiny-grpo-00000000"


def rollouts(results: Path, *arguments: str) -> str:
    given = ["rollouts", NAME, *arguments, "--results-dir", str(results)]
    done = CliRunner().invoke(command, given, standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.stdout


def shown(results: Path, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(rollouts(results, *arguments, "--json"))["rows"]
    return found


def mark(value: float | None, accuracy: float | None, form: float) -> RolloutMark:
    right = None if accuracy is None else accuracy > 0
    return RolloutMark(
        value, {"accuracy": accuracy, "format": form}, right, "try 7", "" if value is not None else "gone"
    )


@pytest.fixture
def results(tmp_path: Path) -> Path:
    journal = Journal(tmp_path / "models" / NAME, "train", "s")
    for generation in range(3):
        made = group("r1", ("six \x1b[2J", f"it is 7, {generation}", "7"))
        cut = replace(made.rollouts[2], finish="length")
        made = replace(made, rollouts=(*made.rollouts[:2], cut))
        journal.write_drawn(generation, generation, "w", [made, group("r2", ("x",))])
        marks = (mark(0.5, 0, 1), mark(1.0, 1, 0), mark(None, None, 0))
        if generation < 2:
            journal.write_marked(
                generation, "w", [replace(made, marks=marks), replace(group("r2", ("x",)), marks=(mark(0.0, 0, 0),))]
            )
    journal.prune(2, "text")
    return tmp_path


def test_the_table_shows_rewards_by_part_and_means_by_generation(results: Path) -> None:
    text = rollouts(results)
    assert "12 of 12 completions" in text and "accuracy" in text and "format" in text
    assert "\x1b" not in text
    assert "Means by generation" in text


@pytest.mark.parametrize(
    ("arguments", "texts"),
    [
        (("--which", "right"), ["it is 7, 0", "it is 7, 1"]),
        (("--which", "wrong", "--record", "r1"), ["six \x1b[2J"] * 2),
        (("--which", "unscored"), ["7", "7"]),
        (("--which", "cut"), ["7", "7", "7"]),
        (("--which", "cut", "--which", "unscored", "--generation", "1"), ["7"]),
        (("--least", "0.6"), ["it is 7, 0", "it is 7, 1"]),
        (("--most", "0", "--generation", "0"), ["x"]),
        (("--part", "format", "--least", "1", "--generation", "1:"), ["six \x1b[2J"]),
        (("--contains", "7, 2"), ["it is 7, 2"]),
        (("--record", "r2", "--generation", ":1"), ["x", "x"]),
        (("--generation", "2", "--limit", "1"), ["six \x1b[2J"]),
    ],
)
def test_filters(results: Path, arguments: tuple[str, ...], texts: list[str]) -> None:
    assert [row["text"] for row in shown(results, *arguments)] == texts


def test_json_has_everything(results: Path) -> None:
    whole = json.loads(rollouts(results, "--which", "unscored", "--json"))
    assert whole["found"] == 2 and whole["generations"][0]["accuracy"] == pytest.approx(1 / 3)
    assert whole["generations"][2] == {"generation": 2, "completions": 4, "cut": 1, "unscored": 0}
    row = whole["rows"][0]
    assert row["parts"] == {"accuracy": None, "format": 0.0} and row["reward"] is None
    assert (row["why"], row["feedback"], row["gold"], row["prompt"]) == ("gone", "try 7", "c", "question r1")
    assert (row["generation"], row["version"], row["stage"], row["finish"]) == (0, 0, "train", "length")


def test_whole_texts(results: Path) -> None:
    text = rollouts(results, "--full", "--which", "right", "--limit", "1")
    assert "=== generation 0, r1, sample 1: reward 1, accuracy 1, format 0" in text
    assert "--- completion (stop)\nit is 7, 0\n" in text and "--- gold\nc\n" in text
    assert "2 of 12 completions, the first 1: --limit shows more" in text


def test_the_newest_training_is_shown_where_the_number_of_processes_changed(tmp_path: Path) -> None:
    folder = tmp_path / "models" / NAME
    Journal(folder, "train", "s").write_drawn(0, 0, "w", [group("old"), group("old2")])
    for rank in range(2):
        Journal(folder, "train", "s", rank, 2).write_drawn(0, 0, "w", [group(f"new{rank}")])
    assert {one.record for one in stored_completions(folder)} == {"new0", "new1"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--generation", "x"), "FIRST:LAST"),
        (("--generation", "7"), "no completions are kept of these generations"),
        (
            ("--part", "formt", "--least", "0"),
            r"unknown reward .* 'formt'. Did you mean 'format'\? Known: accuracy, format",
        ),
        (("--part", "format"), "say one of them too"),
        (("--record", "r9"), "no completion here answers a record whose id begins with 'r9'"),
        (("--least", "nan"), "'nan' is no finite number"),
        (("--most", "-inf"), "no finite number"),
    ],
)
def test_what_is_not_there_is_said(results: Path, arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises((HarnessError, click.ClickException), match=why) as raised:
        rollouts(results, *arguments)
    assert raised.value.exit_code == 2


def test_a_model_without_a_journal_and_a_damaged_one(results: Path) -> None:
    (results / "models" / "other").mkdir()
    with pytest.raises(HarnessError, match="keeps no completions"):
        CliRunner().invoke(
            command, ["rollouts", "other", "--results-dir", str(results)], standalone_mode=False, catch_exceptions=False
        )
    path = results / "models" / NAME / "rollouts" / "train" / "000001.0of1.marked.jsonl"
    path.write_text(path.read_text().replace('"correct": true', '"correct": 3'))
    with pytest.raises(HarnessError, match="damaged"):
        rollouts(results)
