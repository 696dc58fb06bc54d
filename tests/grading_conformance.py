"""How well our graders agree with labelled cases of other projects, by the path that suites use.

    python -m tests.grading_conformance [--beside] cases.jsonl [more.jsonl …]

Every case becomes a problem and a completion, and goes through `score_completion` and the grading pool, as in a run.
Three kinds of rows may be mixed:

* grader cases: `pred`, `gold`, `expected` and `kind`: "answer" (`pred` is a bare answer, and stands in a box here),
  "response" (`pred` is a whole reply) or "mcq_response" (both name an option letter). Of a gold with a box, the box.
  `contested` rows (projects disagree) are counted apart, and so are rows whose `options.precision` asks for another
  tolerance than the grader's: a suite has no such setting, so the grader's parts are called with it.
* reply cases: `grader`, `target`, `text`, `expected` (null: only the status counts), and optionally `options` (how
  many) or `choices`, `finish` and `status`.
* extraction cases: `input`, `expected` and `task`: a function of ours is called.

Prints one JSON object: counts and every disagreement, false positives first. `--beside` adds what bare math-verify
makes of the same replies.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from harness.answers import after_hashes, last_boxed, last_integer
from harness.errors import UsageError
from harness.grading import Pending, score_completion
from harness.grading.base import boxed_reply
from harness.grading.choice import find_letter
from harness.grading.latex import normalise
from harness.grading.math import equivalent
from harness.grading.mathclaim import read_claim
from harness.grading.mathfind import find_answer
from harness.grading.mathjudge import value_of
from harness.grading.mathpoints import real_value
from harness.grading.mathtext import Unreadable
from harness.grading.pool import GradingPool
from harness.types import Completion, Problem, Score

Row = dict[str, Any]
"""A row of a case file: JSON, so its values are whatever was written."""
SECONDS = 10.0
"""Time for one comparison."""
_LETTERS = "ABCDEFGHIJ"
_DEFAULT_PRECISION = 6
Outcome = Literal["agree", "false_positive", "false_negative", "unscored", "status_differs"]
DISAGREEMENTS: tuple[Outcome, ...] = ("false_positive", "false_negative", "unscored", "status_differs")


def within(gold: str, answer: str, tolerance: float | Sequence[float]) -> bool:
    """Whether two lists of numbers agree, in any order, up to an absolute tolerance for each gold number."""
    golds, answers = _values(gold), _values(answer)
    if golds is None or answers is None or len(golds) != len(answers):
        return False
    tolerances = [tolerance] * len(golds) if isinstance(tolerance, (int, float)) else list(tolerance)
    if len(tolerances) != len(golds):
        raise UsageError(f"{len(tolerances)} tolerances were given for {len(golds)} gold values")
    for value, allowed in zip(golds, tolerances, strict=True):
        near = [other for other in answers if abs(other - value) <= Fraction(allowed) * (1 + Fraction(1, 10**9))]
        if not near:
            return False
        answers.remove(min(near, key=lambda other: abs(other - value)))
    return True


def _values(text: str) -> list[Fraction] | None:
    """The numbers of a list, evaluated; None if any element is no real number."""
    try:
        sides = [value_of(item) for item in read_claim(text).items]
    except (Unreadable, RecursionError):
        return None
    found = [real_value(side.node) if side and side.node else None for side in sides]
    numbers = [value for value in found if value is not None]
    return numbers if sides and len(numbers) == len(found) else None


@dataclass(frozen=True)
class Item:
    """A row as a suite would meet it."""

    problem: Problem
    completion: Completion


def item(row: Row) -> Item:
    """The problem and the completion of a grader case or reply case; raises `UsageError` for any other row."""
    if "text" in row and "target" in row:
        given = row.get("choices") or [""] * int(row.get("options") or 0)
        problem = Problem("case", (), str(row["target"]), str(row["grader"]), choices=tuple(map(str, given)))
        return Item(problem, Completion(str(row["text"]), row.get("finish", "stop")))
    if not {"pred", "gold", "kind"} <= set(row):
        raise UsageError(f"a case needs pred, gold and kind, or target and text: {json.dumps(row)[:200]}")
    pred, gold = str(row["pred"]), str(row["gold"])
    if row["kind"] == "mcq_response":
        letter = find_letter(gold, _LETTERS)
        return Item(Problem("case", (), letter.answer if letter else gold, "choice"), Completion(pred, "stop"))
    target = find_answer(gold) if last_boxed(gold) else None
    problem = Problem("case", (), target.answer if target else gold, "math")
    box = boxed_reply(pred)
    whole = row["kind"] == "answer" and last_boxed(box) == pred.strip()  # braces that do not match break a box
    return Item(problem, Completion(box if whole else pred, "stop"))


def scores(rows: Sequence[Row]) -> list[Score]:
    """What a suite would make of these rows, in order."""
    with GradingPool(timeout=SECONDS) as pool:
        found = [score_completion(one.problem, one.completion) for one in map(item, rows)]
        futures = [
            pool.submit(one.grader, one.target, one.answer) if isinstance(one, Pending) else one for one in found
        ]
        return [one if isinstance(one, Score) else one.result() for one in futures]


def outcome(row: Row, score: Score) -> Outcome:
    """Whether a score is what the row expects."""
    if "status" in row and score.status != row["status"]:
        return "status_differs"
    if row["expected"] is None:
        return "agree"
    if score.value is None:
        return "unscored"
    if (score.value == 1.0) == row["expected"]:
        return "agree"
    return "false_negative" if row["expected"] else "false_positive"


def extraction(row: Row) -> str | int | None:
    """What our extraction finds in an extraction case."""
    text, task = row["input"], row["task"]
    if task == "mcq_letter":
        letter = find_letter(text)
        return None if letter is None else letter.answer
    if task == "answer_extraction":
        found = find_answer(text)
        return "" if found is None else normalise(found.answer)
    tasks: dict[str, Callable[[str], str | int | None]] = {
        "boxed": last_boxed,
        "gsm8k_hash": after_hashes,
        "last_integer": last_integer,
        "normalise": normalise,
    }
    if task not in tasks:
        raise UsageError(f"unknown extraction task {task!r}; one of mcq_letter, answer_extraction, {', '.join(tasks)}")
    return tasks[task](text)


def _precision(row: Row) -> int | float | list[float]:
    options = row.get("options")  # in reply cases the number of options
    value = options.get("precision", _DEFAULT_PRECISION) if isinstance(options, dict) else _DEFAULT_PRECISION
    if isinstance(value, list):
        return [float(one) for one in value]
    return value if isinstance(value, int) else float(str(value))


def _beside(rows: Sequence[Row]) -> Row:
    from harness.grading.forms.beside import verdicts

    items = [item(row) for row in rows]
    asked = [(one.problem.target, one.completion.text) for one in items if one.problem.grader != "choice"]
    wanted = [row["expected"] for row, one in zip(rows, items, strict=True) if one.problem.grader != "choice"]
    said = verdicts(asked)
    return {
        "cases": len(asked),
        "agree": sum(verdict == want for verdict, want in zip(said, wanted, strict=True)),
        "false_positive": sum(verdict and want is False for verdict, want in zip(said, wanted, strict=True)),
    }


def report(rows: Iterable[Row], *, beside: bool = False) -> Row:
    """Counts over the decidable cases and the extraction cases, and all disagreements."""
    rows = list(rows)
    extractions = [row for row in rows if "task" in row]
    graded = [row for row in rows if "task" not in row and not row.get("contested")]
    contested = [row for row in rows if "task" not in row and row.get("contested")]
    decidable = [row for row in graded if _precision(row) == _DEFAULT_PRECISION]
    by_setting = [row for row in graded if _precision(row) != _DEFAULT_PRECISION]
    wrong: dict[str, list[Row]] = {name: [] for name in (*DISAGREEMENTS, "contested_differs", "setting", "extraction")}
    kept = decidable + contested
    for place, (row, score) in enumerate(zip(kept, scores(kept), strict=True)):
        said = outcome(row, score)
        if said != "agree":
            name = said if place < len(decidable) else "contested_differs"
            wrong[name].append({**row, "read": score.answer, "score": score.value, "found_status": score.status})
    for row in by_setting:
        setting, pair = _precision(row), (str(row["gold"]), str(row["pred"]))
        same = equivalent(*pair, precision=setting) if isinstance(setting, int) else within(*pair, setting)
        if same != row["expected"]:
            wrong["setting"].append(row)
    for row in extractions:
        found = extraction(row)
        if found != row["expected"]:
            wrong["extraction"].append({**row, "found": found})
    result: Row = {
        "cases": len(decidable),
        "agree": len(decidable) - sum(len(wrong[name]) for name in DISAGREEMENTS),
        "contested": len(contested),
        "setting_cases": len(by_setting),
        "extraction_cases": len(extractions),
        "extraction_agree": len(extractions) - len(wrong["extraction"]),
    }
    if beside:
        result["math_verify"] = _beside([row for row in decidable if row["expected"] is not None])
    return result | wrong


def main(arguments: list[str]) -> None:
    """Print the report on these files."""
    paths = [one for one in arguments if one != "--beside"]
    lines = [line for path in paths for line in Path(path).read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    print(json.dumps(report(map(json.loads, lines), beside="--beside" in arguments), ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
