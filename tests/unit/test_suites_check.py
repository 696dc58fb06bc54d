"""`harness check`: what it passes, fails, skips and refuses."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType

import pytest
from click.testing import CliRunner, Result

from harness import catalog
from harness.cli.check import command
from harness.datasets import MissingData, content_hash
from harness.errors import UnknownName
from harness.grading.forms import part_of
from harness.grading.number import GRADER
from harness.suites.word_problems import GSM8K
from harness.types import Json, Problem, Score, Suite

Rows = list[dict[str, Json]]
GOOD: Rows = [{"id": f"p{number}", "question": "?", "answer": str(number)} for number in range(3)]


def render(row: Mapping[str, Json], seed: int) -> Problem:
    problem = GSM8K.render({**row, "solution": ""}, seed)
    return replace(problem, meta={"ungradable": row["ungradable"]}) if "ungradable" in row else problem


def suite(rows: Rows) -> Suite:
    data = replace(GSM8K.data, rows=len(rows), sha256=content_hash(rows), generate=lambda: rows)
    return replace(GSM8K, name="made", data=data, render=render)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]  # a local function
    """Run the command over a catalog of these suites only."""
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)

    def run(suites: Mapping[str, Suite], *arguments: str) -> Result:
        module = ModuleType("made_suites")
        for name, value in suites.items():
            setattr(module, name, value)
        monkeypatch.setitem(sys.modules, "made_suites", module)
        monkeypatch.setitem(catalog._CATALOG, "suite", {name: (f"made_suites:{name}", "made") for name in suites})
        return CliRunner().invoke(command, [*arguments])

    return run


def test_a_sound_suite_passes(check) -> None:  # type: ignore[no-untyped-def]
    result = check({"made": suite(GOOD)}, "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["suite"], row["status"], row["problems"], row["failures"], row["known"]) == ("made", "ok", 3, [], [])


def test_a_target_that_its_grader_cannot_read_fails(check) -> None:  # type: ignore[no-untyped-def]
    result = check({"made": suite([*GOOD, {"id": "bad", "question": "?", "answer": "three apples"}])}, "--json")
    assert result.exit_code == 1
    (row,) = json.loads(result.stdout)["rows"]
    assert row["status"] == "failed"
    assert {failure["problem_id"] for failure in row["failures"]} == {"bad"}
    assert "not a number" in row["failures"][0]["why"]


def test_known_exceptions_are_counted_apart_and_cannot_go_stale(check) -> None:  # type: ignore[no-untyped-def]
    bad: dict[str, Json] = {"id": "bad", "question": "?", "answer": "three", "ungradable": "a word"}
    known = check({"made": suite([*GOOD, bad])}, "--json")
    assert known.exit_code == 0
    assert json.loads(known.stdout)["rows"][0]["known"] == [{"problem_id": "bad", "why": "a word"}]
    stale = check({"made": suite([*GOOD, {**bad, "answer": "3"}])})
    assert stale.exit_code == 1
    assert "take it off the list" in stale.output


def test_absent_data_is_skipped_unless_named(check, tmp_path) -> None:  # type: ignore[no-untyped-def]
    away = replace(suite(GOOD), data=replace(GSM8K.data, files=("gone.jsonl",)))
    both = {"away": away, "made": suite(GOOD)}
    result = check(both, "--data-dir", str(tmp_path))
    assert result.exit_code == 0
    assert "skipped" in result.stdout
    assert "gone.jsonl is not in" in result.stdout
    named = check(both, "--suite", "away", "--data-dir", str(tmp_path))
    assert isinstance(named.exception, MissingData)


def test_data_that_is_not_what_is_pinned_fails(check, tmp_path) -> None:  # type: ignore[no-untyped-def]
    other = suite(GOOD)
    other = replace(other, data=replace(other.data, sha256="0" * 64))
    result = check({"made": other}, "--json")
    assert result.exit_code == 1
    assert "content hash" in json.loads(result.stdout)["rows"][0]["reason"]


def test_limit_and_unknown_names(check) -> None:  # type: ignore[no-untyped-def]
    result = check({"made": suite(GOOD)}, "--limit", "2", "--json")
    assert json.loads(result.stdout)["rows"][0]["problems"] == 2
    assert isinstance(check({"made": suite(GOOD)}, "--suite", "maid").exception, UnknownName)


def test_deep_tells_false_positives_and_false_negatives_by_form(check, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A grader that calls everything right fails on what is wrong, one that calls everything wrong on the rest."""
    for value, outcome in ((1.0, "false_positive"), (0.0, "false_negative")):
        monkeypatch.setattr(GRADER.__class__, "grade", lambda self, target, answer, v=value: Score(v, "scored", answer))
        result = check({"made": suite(GOOD)}, "--deep", "--json")
        assert result.exit_code == 1
        found = json.loads(result.stdout)
        (row,) = found["rows"]
        assert row["status"] == "failed"
        assert row["cases"] > 100
        assert row[outcome] > 50
        assert row["unscored"] == 0
        assert {failure["outcome"] for failure in found["failures"]} <= {outcome, "false_negative"}
        assert sum(form[outcome] for form in found["forms"]) == row[outcome]
        assert all(failure["text"] and failure["form"] for failure in found["failures"])


def test_deep_counts_unscored_apart(check, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(GRADER.__class__, "grade", lambda self, target, answer: Score(None, "unscored", None, "slow"))
    result = check({"made": suite(GOOD)}, "--deep", "--json", "--cases", "60")
    (row,) = json.loads(result.stdout)["rows"]
    assert result.exit_code == 1
    assert row["cases"] == 60
    assert row["unscored"] > 0
    assert row["false_positive"] == 0


def test_deep_takes_every_problem_and_the_same_cases_each_time(check) -> None:  # type: ignore[no-untyped-def]
    first, second = (check({"made": suite(GOOD)}, "--deep", "--json", "--cases", "1") for _ in range(2))
    one, two = json.loads(first.stdout), json.loads(second.stdout)
    assert one["rows"][0]["cases"] == len(GOOD)
    assert one["forms"] == two["forms"]


@pytest.mark.parametrize("part", ["open", "held"])
def test_deep_keeps_to_the_part_that_is_asked_for(check, part: str) -> None:  # type: ignore[no-untyped-def]
    found = json.loads(check({"made": suite(GOOD)}, "--deep", "--json", "--forms", part).stdout)
    assert found["forms"]
    assert {part_of(row["form"]) for row in found["forms"]} == {part}


def test_deep_prints_a_table_of_forms_with_the_failing_cases(check, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(GRADER.__class__, "grade", lambda self, target, answer: Score(1.0, "scored", answer))
    result = check({"made": suite(GOOD)}, "--deep")
    assert "Agreement per form" in result.stdout
    assert "false positive: digit: gold '0', read" in result.stdout
