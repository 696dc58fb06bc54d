"""`verdicts.jsonl` of a judged run: every judgment with the judge's own words, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from harness.errors import StoreError
from harness.files import iter_lines, parse_json, write_atomically
from judges.types import Judgment, Mark, Order, Verdict

VERDICTS = "verdicts.jsonl"


def write_judgments(directory: Path, judgments: Iterable[Judgment]) -> None:
    """Write all judgments of a judged run, atomically and without secrets."""
    lines = (json.dumps(asdict(judgment), ensure_ascii=False, separators=(",", ":")) for judgment in judgments)
    write_atomically(directory / VERDICTS, "".join(f"{line}\n" for line in lines))


def read_judgments(directory: Path) -> list[Judgment]:
    """Every judgment of a judged run. Raises `StoreError` naming the line that is damaged."""
    path = directory / VERDICTS
    rows: list[Judgment] = []
    try:
        for line in iter_lines(path):
            rows.append(_judgment(parse_json(line)))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path}, line {len(rows) + 1} is damaged ({error}): write it again with the same `harness judge`"
        ) from error
    return rows


def _judgment(row: dict[str, Any]) -> Judgment:
    """Inverse of `asdict`; raises KeyError, TypeError or ValueError on a line that is not one of ours."""
    verdict = row["verdict"]
    if verdict is not None:
        marks = tuple(Mark(**{**mark, "evidence": tuple(mark["evidence"])}) for mark in verdict["marks"])
        verdict = Verdict(**{**verdict, "marks": marks, "notes": tuple(verdict["notes"])})
        if not isinstance(verdict.value, int | float) or not 0.0 <= verdict.value <= 1.0:
            raise ValueError(f"a verdict's value is {verdict.value!r}")
    judgment = Judgment(**{**row, "verdict": verdict})
    if not all(isinstance(text, str) for text in (judgment.problem_id, judgment.judge, judgment.rubric, judgment.raw)):
        raise ValueError("a field has the wrong type")
    if judgment.order not in get_args(Order) or type(judgment.attempt) is not int or type(judgment.repeat) is not int:
        raise ValueError("order, attempt or repeat is none")
    if verdict is not None and not isinstance(verdict.label, str):
        raise ValueError("a verdict's label is no text")
    return judgment
