"""`verdicts.jsonl` of a judged run: every judgment with the judge's own words, one a line."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.redact import redact
from harness.run.result import write_atomically
from judges.types import Judgment

VERDICTS = "verdicts.jsonl"


def write_judgments(directory: Path, judgments: Iterable[Judgment]) -> None:
    """Write all judgments of a judged run, atomically and without secrets."""
    lines = (json.dumps(asdict(judgment), ensure_ascii=False, separators=(",", ":")) for judgment in judgments)
    write_atomically(directory / VERDICTS, "".join(f"{redact(line)}\n" for line in lines))


def read_judgments(directory: Path) -> list[dict[str, Any]]:
    """Every line of verdicts.jsonl, as stored. Raises `StoreError` naming the line that is damaged."""
    path, rows = directory / VERDICTS, []
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                row = json.loads(line)
                if not isinstance(row, dict) or not isinstance(row.get("problem_id"), str):
                    raise ValueError("not a judgment")
                rows.append(row)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise StoreError(
            f"{path}, line {len(rows) + 1} is damaged ({error}): write it again with the same `harness judge`"
        ) from error
    return rows
