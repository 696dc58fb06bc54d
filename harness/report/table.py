"""One table abstraction and its four plain faces: terminal, Markdown, CSV, JSON.

A `Table` has two sides. `rows` are the data, plain JSON values under stable keys: CSV and JSON print exactly these.
`columns` say how a row looks to a person: the terminal, Markdown and HTML print these. Nothing is formatted twice.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.plain import clean, visible_json
from harness.report.terminal import Grid, bold, draw, terminal_width
from harness.report.text import csv_text, markdown
from harness.types import Json

Format = Literal["table", "md", "csv", "json"]
FORMATS: tuple[Format, ...] = ("table", "md", "csv", "json")
Row = Mapping[str, Json]
_CELL = 400  # characters of a cell
NOTE = 4000
"""Characters of a note: a command to repeat is printed in full."""


@dataclass(frozen=True)
class Column:
    """How one column looks to a person."""

    title: str
    show: Callable[[Row], str]
    """Row -> text of the cell; may contain foreign text, rendering makes it safe."""
    right: bool = False
    """Numbers are aligned to the right."""


def column(title: str, key: str = "", *, right: bool = False) -> Column:
    """A column that shows one value as it is: the row's `key`, by default the title with underscores."""
    name = key or title.replace(" ", "_")
    return Column(title, lambda row: str(row[name]), right)


def at(row: Row, *path: str) -> Json:
    """What stands at `row[path[0]][path[1]]…`; None where there is nothing."""
    value: Json = row
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number(row: Row, *path: str) -> float | None:
    """The number there; None where there is none."""
    value = at(row, *path)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


@dataclass(frozen=True)
class Table:
    """A titled table with notes under it."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def shown_columns(self) -> tuple[Column, ...]:
        """The columns in which at least one cell says something."""
        kept = tuple(c for c in self.columns if any(c.show(row) not in ("", "-") for row in self.rows))
        return kept or self.columns


def finite(value: Json) -> Json:
    """JSON has no NaN and no infinity: they become null, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def to_json(value: Mapping[str, Json]) -> str:
    """One JSON object, indented, without NaN."""
    return visible_json(json.dumps(finite(value), indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def flatten(row: Row, prefix: str = "") -> dict[str, Json]:
    """Nested objects as dotted keys, for CSV: {"counts": {"error": 1}} -> {"counts.error": 1}."""
    flat: dict[str, Json] = {}
    for key, value in row.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat[f"{prefix}{key}"] = json.dumps(finite(value), ensure_ascii=False)
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def to_csv(rows: Sequence[Row]) -> str:
    """All rows under one header; a missing value is an empty cell, text cannot become a formula."""
    flat = [flatten(row) for row in rows]
    header = list(dict.fromkeys(key for row in flat for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(csv_text(key) for key in header)
    for row in flat:
        cells = (finite(row.get(key)) for key in header)
        writer.writerow(csv_text(cell) if isinstance(cell, str) else cell for cell in cells)
    return out.getvalue()


def to_markdown(tables: Sequence[Table]) -> str:
    """GitHub tables with their titles and notes."""
    parts: list[str] = []
    for table in tables:
        columns = table.shown_columns()
        lines = [f"### {markdown(table.title)}", ""] if table.title else []
        if table.rows:
            lines.append("| " + " | ".join(markdown(column.title) for column in columns) + " |")
            lines.append("|" + "|".join("---:" if column.right else "---" for column in columns) + "|")
            lines += ["| " + " | ".join(markdown(column.show(row)) for column in columns) + " |" for row in table.rows]
            lines.append("")
        lines += [f"- {markdown(note, NOTE)}" for note in table.notes]
        parts.append("\n".join(lines).rstrip() + "\n")
    return "\n".join(parts)


def to_terminal(tables: Sequence[Table], *, tty: bool) -> str:
    """Tables as wide as there is room (`harness.report.terminal`); bold titles only on a terminal without NO_COLOR."""
    width = terminal_width(tty=tty)
    lines: list[str] = []
    for position, table in enumerate(tables):
        lines += [""] if position else []
        lines += [bold(clean(table.title), tty=tty)] if table.title else []
        if table.rows:
            columns = table.shown_columns()
            rows = tuple(tuple(clean(column.show(row), _CELL) for column in columns) for row in table.rows)
            titles = tuple(clean(column.title) for column in columns)
            lines += draw(Grid(titles, tuple(column.right for column in columns), rows), width, tty=tty)
        lines += [f"  {clean(note, NOTE)}" for note in table.notes]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def render(tables: Sequence[Table], form: Format, *, tty: bool = False, extra: Mapping[str, Json] | None = None) -> str:
    """All tables in one format. JSON is {"rows": [rows of all tables in order]} and `extra`."""
    rows = [row for table in tables for row in table.rows]
    if form == "json":
        return to_json({"rows": rows, **(extra or {})})
    if form == "csv":
        return to_csv(rows)
    if form == "md":
        return to_markdown(tables)
    return to_terminal(tables, tty=tty)
