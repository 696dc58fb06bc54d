"""Tables as HTML, with intervals drawn as inline SVG; every piece of foreign text is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from harness.plain import clean
from harness.report.table import Row, Table

_WIDTH, _HEIGHT = 220, 18


def safe(text: str, limit: int = 4000) -> str:
    """Foreign text as one line of HTML text, also inside quotes."""
    return escape(clean(text, limit), quote=True)


def notes_list(notes: Sequence[str]) -> str:
    """Sentences as a list; nothing for none."""
    return "<ul>" + "".join(f"<li>{safe(note)}</li>" for note in notes) + "</ul>" if notes else ""


def section(table: Table, lines: Mapping[str, float] | None = None, *, notes: bool = True) -> str:
    """A table with its title and notes; rows with numbers get their interval drawn, with upright `lines` by name."""
    columns = table.shown_columns()
    head = "".join(f'<th scope="col"{_class(column.right)}>{safe(column.title)}</th>' for column in columns)
    drawn = any(_numbers(row) is not None for row in table.rows)
    axis = _axis(table.rows) if drawn else (0.0, 1.0)
    marks = lines or {}
    head += '<th scope="col">95 % interval</th>' if drawn else ""
    trs = []
    for row in table.rows:
        cells = "".join(f"<td{_class(column.right)}>{safe(column.show(row))}</td>" for column in columns)
        cells += f"<td>{_svg(row, axis, marks)}</td>" if drawn else ""
        kind = ' class="ref"' if row.get("published") else ""
        trs.append(f"<tr{kind}>{cells}</tr>")
    grid = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(trs)}</tbody></table></div>'
    heading = f"<h3>{safe(table.title)}</h3>" if table.title else ""
    return f"<section>{heading}{grid if table.rows else ''}{notes_list(table.notes if notes else ())}</section>"


def _class(right: bool) -> str:
    return ' class="n"' if right else ""


def _numbers(row: Row) -> tuple[float, float, float] | None:
    """Value, low, high; a row without an interval is a point."""
    value, low, high = row.get("value"), row.get("low"), row.get("high")
    if not isinstance(value, int | float) or value != value:
        return None
    known_low = float(low) if isinstance(low, int | float) and low == low else float(value)
    known_high = float(high) if isinstance(high, int | float) and high == high else float(value)
    return float(value), known_low, known_high


def _axis(rows: Sequence[Row]) -> tuple[float, float]:
    """0 to 1 for shares, else 0 to the largest end."""
    largest = max(numbers[2] for row in rows if (numbers := _numbers(row)) is not None)
    smallest = min(numbers[1] for row in rows if (numbers := _numbers(row)) is not None)
    return min(0.0, smallest), max(1.0, largest)


def _svg(row: Row, axis: tuple[float, float], lines: Mapping[str, float]) -> str:
    numbers = _numbers(row)
    if numbers is None:
        return ""
    start, end = axis

    def place(value: float) -> float:
        return 6 + (_WIDTH - 12) * (value - start) / (end - start)

    x, low, high = map(place, numbers)
    middle = _HEIGHT / 2
    label = safe(f"{row.get('model', '')}: {numbers[0]:.4g}, {numbers[1]:.4g} to {numbers[2]:.4g}")
    uprights = "".join(
        f'<line class="line" x1="{place(value):.1f}" x2="{place(value):.1f}" y1="0" y2="{_HEIGHT}">'
        f"<title>{safe(name)}</title></line>"
        for name, value in lines.items()
    )
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="6" x2="{_WIDTH - 6}" y1="{middle}" y2="{middle}"/>{uprights}'
        f'<line class="bar" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="dot" cx="{x:.1f}" cy="{middle}" r="4"/></svg>'
    )
