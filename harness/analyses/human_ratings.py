"""Texts that people rated: the file that `meta_evaluation` reads.

    {"source": "…", "system": "A", "output": "…", "adequacy": [4, 5], "fluency": 4, "segment": "s1", "reference": "…"}

A row (JSON lines, or JSON, CSV, TSV, parquet by the name's ending) is one output of one system. `source`, `system` and
`output` must be there, and a column of ratings for each aspect: a number, or a list of several raters', whose mean
counts; empty where nobody rated. `segment` tells which outputs are of the same source (without it, equal sources are),
`reference` is shown to the judge.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.datasets.local import read_file
from harness.errors import DataError
from harness.files import is_number
from harness.types import Json

_TEXTS = ("source", "system", "output")


@dataclass(frozen=True)
class RatedText:
    """One output of one system, and what people gave it."""

    segment: str
    system: str
    source: str
    output: str
    reference: str | None = None
    ratings: Mapping[str, float] = field(default_factory=dict)
    """By aspect."""


def read_ratings(path: Path, aspects: Sequence[str]) -> list[RatedText]:
    """The rows of a file. Raises `DataError` naming the line for a row that is not as it should be."""
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}: name a file of source, system, output and ratings")
    found: list[RatedText] = []
    seen: dict[tuple[str, str], str] = {}
    for raw in read_file(path.parent, path.name, None):
        row = _rated(raw.fields, aspects, raw.where)
        key = (row.segment, row.system)
        if key in seen:
            raise DataError(f"{raw.where}: system {row.system!r} has an output for this segment at {seen[key]} as well")
        seen[key] = raw.where
        found.append(row)
    if not found:
        raise DataError(f"{path} holds no rows")
    return found


def _rated(fields: Mapping[str, Json], aspects: Sequence[str], where: str) -> RatedText:
    needed = (*_TEXTS, *aspects)
    if lacking := [name for name in needed if name not in fields]:
        raise DataError(f"{where}: no column {lacking[0]!r}; every row needs {', '.join(needed)}")
    texts = {}
    for name in _TEXTS:
        value = fields[name]
        if not isinstance(value, str) or not (value.strip() or name == "output"):
            raise DataError(f"{where}: {name!r} must be a text")
        texts[name] = value
    ratings = {name: _rating(fields[name], name, where) for name in aspects}
    segment, reference = fields.get("segment"), fields.get("reference")
    return RatedText(
        segment=texts["source"] if segment in (None, "") else str(segment),
        reference=str(reference) if reference not in (None, "") else None,
        ratings={name: one for name, one in ratings.items() if one is not None},
        **texts,
    )


def _rating(value: Json, name: str, where: str) -> float | None:
    """None where nobody rated."""
    given = value if isinstance(value, list) else [] if value in (None, "") else [value]
    numbers = []
    for one in given:
        try:
            number = math.nan if isinstance(one, bool) else float(one)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            number = math.nan
        if not is_number(number):
            raise DataError(f"{where}: {name!r} must be a number or a list of numbers, not {str(value)[:40]!r}")
        numbers.append(number)
    return math.fsum(numbers) / len(numbers) if numbers else None
