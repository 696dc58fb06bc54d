"""What the readers of the benchmarks' own files share.

Rows are data of strangers: whatever does not fit is refused with the name of its row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from harness.datasets.local import Raw, read_file
from harness.errors import DataError
from harness.types import Json

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """One model's answers to one question."""

    question: str
    """Its id in the benchmark's files."""
    model: str
    turns: tuple[str, ...]
    """One answer per turn."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """What else the file says of it: Arena-Hard's style counts, AlpacaEval's data set."""


def read_rows(paths: Iterable[Path], *, refuse_empty: bool = False) -> list[Raw]:
    """Rows of JSON-lines files. Raises `MissingData` or `DataError` naming file and line."""
    rows: list[Raw] = []
    for path in paths:
        own = list(read_file(path.parent, path.name, None))
        if refuse_empty and not own:
            raise DataError(f"{path} is empty")
        rows += own
    return rows


def checked(raw: Raw, read: Callable[[Mapping[str, Json]], T], what: str) -> T:
    """What `read` makes of a row; its errors become a `DataError` with file and line."""
    try:
        return read(raw.fields)
    except KeyError as error:
        raise DataError(f"{raw.where}: no field {error.args[0]!r}; this is no {what}") from error
    except (TypeError, ValueError) as error:
        raise DataError(f"{raw.where}: {error}") from error


def some(items: Sequence[str], shown: int = 5) -> str:
    """The first of a list, and how many more there are."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
