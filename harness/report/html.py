"""One self-contained HTML page: tables with intervals drawn as inline SVG. No script, no font, no request anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from harness.files import write_output
from harness.plain import clean
from harness.report.table import Row, Table

_WIDTH, _HEIGHT = 220, 18
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem} h2{font-size:1.05rem;margin:2rem 0 .5rem}
.scroll{overflow-x:auto} table{border-collapse:collapse} caption{text-align:left}
th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums} .ref td{color:#666;font-style:italic}
ul{color:#444;padding-left:1.2rem} svg{vertical-align:middle} figure{margin:2rem 0;overflow-x:auto}
.bar{stroke:#2b6cb0;stroke-width:2} .dot{fill:#2b6cb0} .ref .dot{fill:#999} .axis{stroke:#ddd}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#333}ul,.ref td{color:#aaa}
.axis{stroke:#333}.bar{stroke:#7db7f0}.dot{fill:#7db7f0}}
"""


def page(title: str, tables: Sequence[Table], notes: Sequence[str] = (), figures: Sequence[str] = ()) -> str:
    """The whole page as text; every piece of foreign text is escaped. `figures` are HTML already, below the tables."""
    body = "".join([*(_section(table) for table in tables), *figures]) or "<p>Nothing to show.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{_safe(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{_safe(title)}</h1>{_list(notes)}{body}</body></html>\n"
    )


def write_page(path: Path, title: str, tables: Sequence[Table], notes: Sequence[str] = ()) -> None:
    """Write the page; raises `OSError` if the place cannot be written."""
    write_output(path, page(title, tables, notes))


def _safe(text: str, limit: int = 4000) -> str:
    return escape(clean(text, limit), quote=True)


def _list(notes: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_safe(note)}</li>" for note in notes) + "</ul>" if notes else ""


def _section(table: Table) -> str:
    columns = table.shown_columns()
    head = "".join(f'<th scope="col"{_class(column.right)}>{_safe(column.title)}</th>' for column in columns)
    drawn = any(_numbers(row) is not None for row in table.rows)
    axis = _axis(table.rows) if drawn else (0.0, 1.0)
    head += '<th scope="col">95 % interval</th>' if drawn else ""
    lines = []
    for row in table.rows:
        cells = "".join(f"<td{_class(column.right)}>{_safe(column.show(row))}</td>" for column in columns)
        cells += f"<td>{_svg(row, axis)}</td>" if drawn else ""
        kind = ' class="ref"' if row.get("published") else ""
        lines.append(f"<tr{kind}>{cells}</tr>")
    grid = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
    return f"<section><h2>{_safe(table.title)}</h2>{grid if table.rows else ''}{_list(table.notes)}</section>"


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


def _svg(row: Row, axis: tuple[float, float]) -> str:
    numbers = _numbers(row)
    if numbers is None:
        return ""
    start, end = axis
    x, low, high = (6 + (_WIDTH - 12) * (number - start) / (end - start) for number in numbers)
    middle = _HEIGHT / 2
    label = _safe(f"{row.get('model', '')}: {numbers[0]:.4g}, {numbers[1]:.4g} to {numbers[2]:.4g}")
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{label}">'
        f'<line class="axis" x1="6" x2="{_WIDTH - 6}" y1="{middle}" y2="{middle}"/>'
        f'<line class="bar" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>'
        f'<circle class="dot" cx="{x:.1f}" cy="{middle}" r="4"/></svg>'
    )
