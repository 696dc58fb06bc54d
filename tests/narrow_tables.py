"""The rule for tables on narrow terminals, and a stand-in that holds every table drawn in a test to it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len

from harness.report import terminal
from harness.report.terminal import Grid

WIDTHS = (80, 100, 120)


def check_lines(grid: Grid, width: int, lines: Sequence[str]) -> None:
    """Numbers are whole on one line, every word of every label is whole, nothing is wider than it must be."""
    words = set(" ".join(lines).split())
    shown = [list(row) for row in grid.rows]
    for row in shown:
        for number, cell in zip(grid.right, row, strict=True):
            if number and cell not in ("", "-"):
                assert any(re.search(rf"(^|\s){re.escape(cell)}(\s|$)", line) for line in lines), (width, cell, lines)
            elif not number and cell != "-":
                assert set(cell.split()) <= words, (width, cell, lines)
    said = [any(row[i] not in ("", "-") for row in shown) for i in range(len(grid.titles))]
    assert {word for title, some in zip(grid.titles, said, strict=True) if some for word in title.split()} <= words
    whole = [cell for row in shown for number, cell in zip(grid.right, row, strict=True) if number]
    whole += [word for row in (grid.titles, *shown) for cell in row for word in cell.split()]
    most = max(width, max(map(cell_len, grid.titles)) + 2 + max(map(cell_len, whole), default=0))
    assert all(cell_len(line) <= most for line in lines), (width, lines)


def checked_draw(grid: Grid, width: int, *, tty: bool) -> list[str]:
    """`harness.report.terminal.draw`, drawn at every width of the rule too."""
    for narrow in WIDTHS:
        check_lines(grid, narrow, terminal.draw(grid, narrow, tty=False))
    return terminal.draw(grid, width, tty=tty)
