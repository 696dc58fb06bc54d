"""A baseline as one small file, to be committed: the value of every problem and what they may be compared with.

No completions and nothing about the machine: the same run always writes the same bytes.

    {"schema": 1, "kind": "gate-baseline", "suite": ..., "suite_version": ..., "data_sha256": ..., "metric": ...,
     "model": ..., "run_id": ..., "n": ..., "limit": ..., "seed": ..., "sampling": {...}, "graders": {...},
     "truncated": share or null, "warnings": [...], "higher_is_better": {metric: true or false} if another tool says it,
     "values": {"<problem>": [mean, samples, missing, low, high, cluster], ...}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from harness.errors import StoreError, UsageError
from harness.files import read_json, write_output
from harness.gate.values import OF_RUN, Side, Value

SCHEMA = 1
KIND = "gate-baseline"
_MAX_BYTES = 50_000_000
_AGAIN = "write it again with `harness gate --save-baseline`"
_TEXTS = ("suite", "suite_version", "data_sha256", "metric", "model", "run_id")


def write_baseline(path: Path, side: Side) -> None:
    """Write a side as a baseline file, problems in order of id, one to a line; raises `StoreError` if it cannot."""
    head: dict[str, Any] = {"schema": SCHEMA, "kind": KIND, **asdict(side)}
    del head["values"], head["file"]
    if not side.higher_is_better:
        del head["higher_is_better"]
    lines = [f"{json.dumps(key)}: {_dump(value)}" for key, value in head.items()]
    rows = [
        f"  {json.dumps(key)}: {json.dumps([v.mean, v.n, v.missing, v.low, v.high, v.cluster])}"
        for key, v in sorted(side.values.items())
    ]
    text = "{\n" + ",\n".join([*lines, '"values": {\n' + ",\n".join(rows) + "\n}"]) + "\n}\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_output(path, text)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _dump(value: object) -> str:
    return json.dumps(value, sort_keys=True)


def read_baseline(path: Path, metric: str | None = None) -> Side:
    """Read a baseline file.

    Raises `StoreError` naming what is wrong with a file that is not one, `UsageError` if it is of another metric.
    """
    try:
        raw = read_json(path.resolve(), _MAX_BYTES)  # named by the user: it may be a link, but no pipe and no device
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise StoreError(f"{path} is not a baseline file ({error}): {_AGAIN}") from None
    problem = _problem(raw)
    if problem:
        raise StoreError(f"{path} is not a baseline file ({problem}): {_AGAIN}")
    if metric is not None and metric != raw["metric"]:
        raise UsageError(f"{path} holds {raw['metric']} of each problem, not {metric}")
    known = {name: raw[name] for name in (*OF_RUN, "metric")}
    known |= {"truncated": raw.get("truncated"), "warnings": tuple(raw.get("warnings", ()))}
    known["higher_is_better"] = raw.get("higher_is_better", {})
    return Side(**known, file=str(path), values={key: Value(*row) for key, row in raw["values"].items()})


def _problem(raw: Any) -> str:
    """What is wrong, or an empty text."""
    if not isinstance(raw, dict) or raw.get("kind") != KIND:
        return f"its kind is not {KIND!r}"
    if raw.get("schema") != SCHEMA:
        return f"it has schema {raw.get('schema')!r}, this version reads {SCHEMA}"
    for name in _TEXTS:
        if not isinstance(raw.get(name), str):
            return f"{name} is not a text"
    for name in ("n", "seed"):
        if type(raw.get(name)) is not int:
            return f"{name} is not a whole number"
    if not {"limit", "judge", "imported_from"} <= raw.keys() or not (raw["limit"] is None or type(raw["limit"]) is int):
        return "limit, judge or imported_from is missing or of the wrong type"
    if not all(isinstance(raw[name], str | None) for name in ("judge", "imported_from")):
        return "judge or imported_from is not a text"
    if not all(isinstance(raw.get(name), Mapping) for name in ("sampling", "graders", "values")):
        return "sampling, graders or values is not a table"
    cut, warnings = raw.get("truncated"), raw.get("warnings", [])  # files of earlier versions have neither
    if not (cut is None or (type(cut) in (int, float) and 0 <= cut <= 1)):
        return "truncated is no share"
    if not (isinstance(warnings, list) and all(isinstance(text, str) for text in warnings)):
        return "warnings is not a list of texts"
    declared = raw.get("higher_is_better", {})
    if not isinstance(declared, dict) or not all(isinstance(higher, bool) for higher in declared.values()):
        return "higher_is_better is not a table of yes and no"
    bad = next((key for key, row in raw["values"].items() if not _is_row(row)), None)
    if bad is not None:
        return f"the values of problem {bad!r} are not [mean, samples, missing, low, high, cluster]"
    return "" if any(row[0] is not None for row in raw["values"].values()) else "no problem has a value"


def _is_row(row: Any) -> bool:
    return (
        isinstance(row, list)
        and len(row) == 6
        and all(x is None or (type(x) in (int, float) and math.isfinite(x)) for x in (row[0], row[3], row[4]))
        and all(type(x) is int and x >= 0 for x in row[1:3])
        and isinstance(row[5], str)
    )
