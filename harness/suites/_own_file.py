"""Data of a suite over the user's own file: where it is looked for, and how its rows are named."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.datasets import load_rows
from harness.datasets.local import MissingData
from harness.errors import UsageError
from harness.hashing import short_hash
from harness.types import DataRef, Json

_ID_DIGITS = 16

Rows = Sequence[Mapping[str, Json]]


def own_data(
    prefix: str, file: str, from_local: Callable[[Mapping[str, Json]], dict[str, Json]], combine: Callable[[Rows], Rows]
) -> DataRef:
    """The data of a file: a path, or the name of one in the data folder, which is looked for when they are loaded.

    Raises `UsageError` for an empty name, `MissingData` for a path to nothing.
    """
    if not file.strip():
        raise UsageError(f"{prefix}: name a file, as in {prefix}:mine.jsonl")
    path = Path(file)
    inside = DataRef(files=(path.name,), rows=0, sha256="", from_local=from_local, combine=combine)
    if os.path.isfile(file):  # unlike Path.is_file, it takes a name that no file can have for what it is
        return DataRef(
            files=(), rows=0, sha256="", from_local=from_local, generate=lambda: load_rows(inside, path.parent)
        )
    if path.name != file:
        raise MissingData(f"{prefix}: there is no file {file!r}: name a file, or one inside the folder of --data-dir")
    return inside


def row_id(given: Json, kind: str, content: str) -> str:
    """A row's own id, or one by its content. Raises `TypeError` for what is no id."""
    if given is None:
        return f"{kind}-{short_hash(content, _ID_DIGITS)}"
    if isinstance(given, bool) or not isinstance(given, str | int):
        raise TypeError("id should be text or a whole number")
    return str(given)
