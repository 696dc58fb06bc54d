"""Agreement with labelled cases of other projects and labelled model solutions; skipped where the data is absent."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.grading import Pending, score_completion
from harness.grading.base import boxed_reply
from harness.grading.mathlib import library_version
from harness.grading.pool import GradingPool
from harness.types import Completion, Problem
from tests.grading_conformance import item, report

KNOWN_DIFFERENCES = {
    ("", ""): "an empty reply to an empty gold is no answer here; no real target is empty",
    ("No explicit final. But here's some text 2 and 10", "10"): "two values joined by 'and' are a list, never its last",
    ("No letter here", "No letter here"): "a text without a letter has no letter (None); the source returns the text",
    ("Answer \\( \n 9 \n \\)", "$9$"): "the source does not read a formula across lines; a reply that says 9 says 9",
}
"""Deliberate differences: (pred or input, gold or expected) -> why."""


def conformance(files: list[Path]) -> dict[str, Any]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.grading_conformance", *map(str, files)]
    run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=280)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def known(row: dict[str, Any]) -> bool:
    return (row.get("pred", row.get("input")), row.get("gold", row.get("expected"))) in KNOWN_DIFFERENCES


def test_grader_and_extraction_cases_by_the_path_of_suites(shared_data: Path) -> None:
    files = sorted(shared_data.glob("grader_cases*.jsonl")) + sorted(shared_data.glob("extraction_cases*.jsonl"))
    if not files:
        pytest.skip("no grader cases in the data directory")
    found = conformance(files)
    if library_version().startswith("0.5."):  # knows fewer forms, and reads a time as a ratio
        assert found["agree"] >= 0.9 * found["cases"] > 0
        return
    assert [row for row in found["false_positive"] if not known(row)] == []
    assert found["unscored"] == []
    assert found["agree"] >= 0.99 * found["cases"] > 0
    if [path.name for path in files] == ["grader_cases.jsonl", "extraction_cases.jsonl"]:
        assert [row for row in found["extraction"] if not known(row)] == []


def test_reply_cases_by_the_path_of_suites(shared_data: Path) -> None:
    files = sorted(shared_data.glob("reply_cases*.jsonl"))
    if not files or library_version().startswith("0.5."):
        pytest.skip("no reply cases in the data directory, or an old library")
    found = conformance(files)
    assert [found[name] for name in ("false_positive", "unscored", "status_differs")] == [[], [], []]
    assert found["agree"] >= 0.99 * found["cases"] > 0


def test_rows_become_what_a_suite_would_meet() -> None:
    answer = item({"kind": "answer", "pred": "\\frac12", "gold": "0.5", "expected": True})
    assert (answer.problem.grader, answer.problem.target) == ("math", "0.5")
    assert answer.completion.text == boxed_reply("\\frac12")
    broken = item({"kind": "answer", "pred": "185\\", "gold": "185", "expected": True})
    assert broken.completion.text == "185\\"
    reply = item({"kind": "response", "pred": "So it is 3.", "gold": "\\boxed{1} and \\boxed{2}"})
    assert (reply.completion.text, reply.problem.target) == ("So it is 3.", "1, 2")
    letter = item({"kind": "mcq_response", "pred": "D", "gold": "(D) Alina", "expected": True})
    assert (letter.problem.grader, letter.problem.target) == ("choice", "D")
    own = {"grader": "choice", "target": "B", "text": "B", "expected": True, "options": 4, "finish": "length"}
    assert (len(item(own).problem.choices), item(own).completion.finish) == (4, "length")
    with pytest.raises(UsageError, match="a case needs"):
        item({"question": "?"})


def test_the_report_tells_disagreements_apart() -> None:
    rows: list[dict[str, Any]] = [
        {"grader": "number", "target": "4", "text": "The answer is 4.", "expected": True},
        {"grader": "number", "target": "4", "text": "The answer is 4.", "expected": False},
        {"grader": "number", "target": "4", "text": "The answer is 5.", "expected": True},
        {
            "grader": "number",
            "target": "4",
            "text": "<think>4",
            "expected": None,
            "status": "truncated",
            "finish": "length",
        },
        {"grader": "number", "target": "4", "text": "The answer is 4.", "expected": None, "status": "no_answer"},
        {"kind": "answer", "pred": "3.1", "gold": "3", "expected": True, "options": {"precision": 0.2}},
        {"kind": "response", "pred": "5", "gold": "5", "expected": False, "contested": "a convention"},
        {"input": "#### 3", "task": "gsm8k_hash", "expected": "3"},
    ]
    found = report(rows)
    counts = {name: value if isinstance(value, int) else len(value) for name, value in found.items()}
    assert counts == {
        "cases": 5,
        "agree": 2,
        "contested": 1,
        "setting_cases": 1,
        "extraction_cases": 1,
        "extraction_agree": 1,
        "false_positive": 1,
        "false_negative": 1,
        "unscored": 0,
        "status_differs": 1,
        "contested_differs": 1,
        "setting": 0,
        "extraction": 0,
    }
    assert found["false_negative"][0]["read"] == "5"


def rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        pytest.skip(f"{path.name} is not in the data directory")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def verdicts(pairs: list[tuple[Problem, str]]) -> list[bool]:
    with GradingPool() as pool:
        found = [score_completion(problem, Completion(reply, "stop")) for problem, reply in pairs]
        scores = [
            pool.submit(item.grader, item.target, item.answer).result() if isinstance(item, Pending) else item
            for item in found
        ]
    return [score.value == 1.0 for score in scores]


def test_labelled_gsm8k_solutions(shared_data: Path) -> None:
    labelled = rows(shared_data / "gsm8k_model_solutions.jsonl")
    pairs = [(Problem("p", (), row["answer"].rsplit("A: ", 1)[1], "integer"), row["response"]) for row in labelled]
    assert verdicts(pairs) == [bool(row["is_correct"]) for row in labelled]


def test_labelled_math_chains(shared_data: Path) -> None:
    labelled = rows(shared_data / "qwen25math_cot_math100x8.jsonl")
    found = verdicts([(Problem("p", (), row["gold"], "math"), row["response"]) for row in labelled])
    differing = [row for row, verdict in zip(labelled, found, strict=True) if verdict != row["is_correct"]]
    # The label of one row calls the boxed 10000 wrong where the gold is 10{,}000; the label is what is wrong.
    assert [row["gold"] for row in differing] == ["10{,}000"]
