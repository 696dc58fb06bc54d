"""How well our graders agree with labelled cases of other projects: agreement, false positives, false negatives.

    python -m harness.grading.conformance cases.jsonl [more.jsonl …]

Rows of grader cases have `pred`, `gold`, `expected` and `kind`: "answer" (both are bare answers), "response" (`pred`
is a whole reply) or "mcq_response" (both name an option letter); optional are `match_types` (the extraction of a
math-verify test), `options.precision` and `contested` (projects disagree: reported apart). Rows of extraction cases
have `input`, `expected` and `task`. Comparisons of the grader "math" run in its pool; those that need an extraction or
precision of the source run in a forked child, which is killed after `SECONDS`: nothing here can hang. Prints one JSON
object: counts, and every disagreement.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from harness.answers import after_hashes, last_boxed, last_integer
from harness.grading.choice import find_letter
from harness.grading.latex import normalise
from harness.grading.math import equivalent
from harness.grading.mathfind import find_answer
from harness.grading.mathlib import Extraction
from harness.grading.pool import GradingPool
from harness.reasoning import split_reasoning
from harness.types import Score

Row = dict[str, Any]
"""A row of a case file: JSON, so its values are whatever was written."""
SECONDS = 10
"""Time for one grader case; a case that is cut counts as "not right"."""
MEMORY = 4 * 2**30
"""Address space of one grader case, in bytes."""


def verdict(row: Row) -> bool:
    """What our graders say about a grader case, in this process."""
    pair = compared(row)
    if pair is None or row["kind"] == "mcq_response":
        return pair is not None and pair[0] == pair[1]
    precision = _precision((row.get("options") or {}).get("precision", 6))
    return equivalent(pair[0], pair[1], precision=precision, extract=_source_extraction(row))


def compared(row: Row) -> tuple[str, str] | None:
    """The (gold, answer) that a grader case compares; None if no answer is found."""
    pred, gold = row["pred"], row["gold"]
    if row["kind"] == "mcq_response":
        found, wanted = find_letter(pred, "ABCDEFGHIJ"), find_letter(gold, "ABCDEFGHIJ")
        return None if found is None or wanted is None else (wanted.answer, found.answer)
    if row["kind"] == "answer" or _source_extraction(row) is not None:
        return gold, pred
    _, answer_text = split_reasoning(pred)
    found = None if answer_text is None else find_answer(answer_text)
    return None if found is None else (gold, found.answer)


def _source_extraction(row: Row) -> list[Extraction] | None:
    """The kinds of answers that the source's own extraction looks for in both texts; None: ours is tested."""
    if row["kind"] != "response" or row.get("language") or "lighteval" in row.get("source", ""):
        return None
    return row.get("match_types") or None


def _precision(value: object) -> int | float | list[float]:
    if isinstance(value, list):
        return [float(item) for item in value]
    return value if isinstance(value, int) else float(str(value))


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
    return tasks[task](text)


def isolated(row: Row) -> bool:
    """`verdict` in a forked child with limits on time and memory; False if the child did not finish."""
    child = os.fork()
    if child == 0:
        code = 2
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))  # old versions take the alarm
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            code = 0 if verdict(row) else 1
        finally:
            os._exit(code)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def verdicts(rows: list[Row]) -> list[bool]:
    """What our graders say about these grader cases; a case that is cut counts as "not right"."""
    found: list[bool | Future[Score]] = []
    own = [row["kind"] == "mcq_response" or _is_plain(row) for row in rows]
    for extract in (None, ("latex", "expr"), ("latex",), ("expr",)):  # import and compile once, before the forks
        equivalent("$x+1$", "$x-1$", extract=extract)
    forked = [False if plain else isolated(row) for row, plain in zip(rows, own, strict=True)]
    with GradingPool(timeout=SECONDS) as pool:  # after the forks: a child must not inherit the pool's threads
        for row, plain, other in zip(rows, own, forked, strict=True):
            pair = compared(row) if plain else None
            if not plain or pair is None or row["kind"] == "mcq_response":
                found.append(other if not plain else pair is not None and pair[0] == pair[1])
            else:
                found.append(pool.submit("math", *pair))
    return [item if isinstance(item, bool) else item.result().value == 1.0 for item in found]


def _is_plain(row: Row) -> bool:
    """Whether the grader's own extraction and precision decide this case."""
    return _source_extraction(row) is None and _precision((row.get("options") or {}).get("precision", 6)) == 6


def report(rows: Iterable[Row]) -> Row:
    """Counts over uncontested grader cases and extraction cases, and all disagreements."""
    rows = list(rows)
    graded = iter(verdicts([row for row in rows if "task" not in row]))
    result: Row = {"cases": 0, "agree": 0, "extraction_cases": 0, "extraction_agree": 0, "contested": 0}
    wrong: dict[str, list[Row]] = {
        "false_positive": [],
        "false_negative": [],
        "contested_differs": [],
        "extraction": [],
    }
    for row in rows:
        if "task" in row:
            found = extraction(row)
            result["extraction_cases"] += 1
            result["extraction_agree"] += found == row["expected"]
            if found != row["expected"]:
                wrong["extraction"].append({**row, "found": found})
            continue
        agrees = next(graded) == row["expected"]
        if row.get("contested"):
            result["contested"] += 1
            kind = "contested_differs"
        else:
            result["cases"] += 1
            result["agree"] += agrees
            kind = "false_negative" if row["expected"] else "false_positive"
        if not agrees:
            wrong[kind].append(row)
    return result | wrong


def main(paths: list[str]) -> None:
    """Print the report on these files."""
    lines = [line for path in paths for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    print(json.dumps(report(json.loads(line) for line in lines), ensure_ascii=False))


if __name__ == "__main__":
    main(sys.argv[1:])
