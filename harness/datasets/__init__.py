"""Data references to checked rows: a local folder, the hub, or a generator; one pin for all three.

A suite names its data with a `DataRef`. `load_rows` finds the source, turns every raw row into the suite's normalised
row, and refuses whatever is not exactly what was pinned: no rows, duplicate ids, another number of rows, another
content hash. That happens before anything is generated, so a run can never score another benchmark by accident.

Sources, in this order: a generator in our own code, the folder given (`--data-dir`), the folder in HARNESS_DATA_DIR,
the hub. Rows come back sorted by id, so neither their order nor the hash depends on where they came from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from harness.datasets.local import MissingData, Raw, read_file
from harness.errors import DataError
from harness.types import DataRef, Json

__all__ = ["INDEX", "PART", "MissingData", "Row", "clean_text", "content_hash", "data_folder", "load_rows", "pinned"]

Row = dict[str, Json]
"""A normalised row: `id` (non-empty string) and whatever the suite renders and grades."""

INDEX = "_index"
"""Key that every raw row carries besides its own: its 0-based position in its file or split."""
PART = "_part"
"""Key that every raw row carries besides its own: its file name, or its hub configuration ("" if it has none)."""

DATA_DIR_VARIABLE = "HARNESS_DATA_DIR"


def load_rows(ref: DataRef, data_dir: Path | None = None) -> list[Row]:
    """The rows of a data reference, normalised, checked against its pin and sorted by id.

    Raises `MissingData` for data that is not there, `DataError` for data that is not what is pinned, `MissingExtra` if
    the hub is needed and `datasets` is not installed, `PrerequisiteError` if the hub cannot be reached or refuses.
    """
    if ref.generate is not None:
        source = "the generator"
        rows = [dict(row) for row in ref.generate()]
    elif (folder := data_folder(data_dir)) is not None:
        source = f"{', '.join(ref.files)} in {folder}"
        rows = _local_rows(ref, folder)
    else:
        source = ", ".join(f"hub data set {hub.repo} at {hub.revision}" for hub in ref.hub)
        rows = _hub_rows(ref)
    if ref.combine is not None and ref.generate is None:  # rows that `pinned` keeps have been combined before
        rows = [dict(row) for row in ref.combine(rows)]
    _check(ref, rows, source)
    return sorted(rows, key=_natural)


def pinned(ref: DataRef, data_dir: Path | None = None) -> DataRef:
    """The reference itself, or, if nobody published a pin (an empty hash), one pinned to what is there now.

    The rows are kept in the result, so that they are read once. Raises what `load_rows` raises.
    """
    if ref.sha256:
        return ref
    rows = load_rows(ref, data_dir)
    return dataclasses.replace(ref, rows=len(rows), sha256=content_hash(rows), generate=lambda: rows)


def data_folder(data_dir: Path | None) -> Path | None:
    """The folder to read from: the argument, else HARNESS_DATA_DIR, else None (the hub).

    Raises `DataError` if that folder does not exist.
    """
    named = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE)
    if named is None or str(named) == "":
        return None
    folder = Path(named)
    if not folder.is_dir():
        raise DataError(
            f"{str(folder)!r} (--data-dir or {DATA_DIR_VARIABLE}) is not a folder: "
            "name the folder that holds the benchmark files"
        )
    return folder


def content_hash(rows: Iterable[Mapping[str, Json]]) -> str:
    """sha256 over canonical JSON of the rows, as 64 hex digits; the order of rows and of keys does not matter."""
    lines = sorted(json.dumps(row, sort_keys=True, ensure_ascii=True, separators=(",", ":")) for row in rows)
    return hashlib.sha256("\n".join(lines).encode("ascii")).hexdigest()


def clean_text(value: Json) -> str:
    """A text field as every source should agree on it: NFC, line feeds only, no outer white space.

    Raises `TypeError` if the value is not a string.
    """
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return unicodedata.normalize("NFC", value.replace("\r\n", "\n").replace("\r", "\n")).strip()


def _local_rows(ref: DataRef, folder: Path) -> list[Row]:
    rows: list[Row] = []
    for name in ref.files:
        rows += _normalise(read_file(folder, name, ref.password), name, ref.from_local)
    return rows


def _hub_rows(ref: DataRef) -> list[Row]:
    if not ref.hub or ref.from_hub is None:
        raise MissingData(
            f"this data set is read from files ({', '.join(ref.files)}) and is not on the hub: "
            f"name their folder with --data-dir or {DATA_DIR_VARIABLE}"
        )
    from harness.datasets.hub import read_hub  # only here: it imports `datasets`

    rows: list[Row] = []
    for hub in ref.hub:
        rows += _normalise(read_hub(hub), hub.config or "", ref.from_hub)
    return rows


def _normalise(
    raws: Iterable[Raw], part: str, convert: Callable[[Mapping[str, Json]], Mapping[str, Json] | None]
) -> list[Row]:
    rows: list[Row] = []
    for index, raw in enumerate(raws):
        try:
            row = convert({**raw.fields, INDEX: index, PART: part})
        except KeyError as error:
            raise DataError(
                f"{raw.where}: no field {error.args[0]!r}; this is not the data set the suite expects"
            ) from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"{raw.where}: a field has an unexpected form ({error})") from error
        if row is not None:
            rows.append(dict(row))
    return rows


def _check(ref: DataRef, rows: Sequence[Row], source: str) -> None:
    if not rows:
        raise DataError(f"no rows in {source}; expected {ref.rows or 'some'}")
    for row in rows:
        if not isinstance(row.get("id"), str) or not row["id"]:
            raise DataError(f"a row of {source} has no id")
    counts = Counter(str(row["id"]) for row in rows)
    twice = sorted(key for key, count in counts.items() if count > 1)
    if twice:
        raise DataError(f"{len(twice)} ids occur more than once in {source}, the first {twice[0]!r}")
    if not ref.sha256:
        return
    if len(rows) != ref.rows:
        raise DataError(f"{source}: {len(rows)} rows, the suite is pinned to {ref.rows}")
    actual = content_hash(rows)
    if actual != ref.sha256:
        raise DataError(
            f"{source}: the content hash of the rows is {actual}, the suite is pinned to {ref.sha256}. The data is not "
            "what this version of the suite was checked on (edited, another release, or another transcription): "
            "get the source that docs/suites.md names"
        )


def _natural(row: Row) -> list[tuple[int, str]]:
    """Sort key that puts 2 before 10; alternating text and number parts, so that keys always compare."""
    return [
        (int(part), "") if part.isascii() and part.isdigit() else (-1, part) for part in _PARTS.split(str(row["id"]))
    ]


_PARTS = re.compile(r"([0-9]{1,18})")
