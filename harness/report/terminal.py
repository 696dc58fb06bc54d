"""Tables on a terminal of any width: no number is cut and no label vanishes, however narrow it is.

In this order, the first that fits is taken:

    grid      every cell on one line
    wrapped   titles and texts broken between words; numbers stay whole
    parts     the columns in several tables below each other, each with the labels in front
    stacked   every row as a list of "title  value"

A single word that is wider than the terminal stands on a line of its own and is left to the terminal to break, so
that it can still be copied.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

PIPE_WIDTH = 240
"""Columns when stdout is no terminal and COLUMNS says nothing."""
_GAP = 2  # spaces between columns
_LEAST = 16  # a text is not broken to less than this, though its words may be shorter
_BOLD, _PLAIN = "\x1b[1m", "\x1b[0m"


def terminal_width(*, tty: bool) -> int:
    """Columns to draw in: COLUMNS if it is set, else the terminal's own; a pipe has room for whole lines."""
    if tty:
        return max(20, shutil.get_terminal_size().columns)
    said = os.environ.get("COLUMNS", "")
    return max(20, int(said)) if said.isascii() and said.isdigit() and len(said) < 6 else PIPE_WIDTH


def bold(text: str, *, tty: bool) -> str:
    """Text in bold on a terminal that wants it."""
    return f"{_BOLD}{text}{_PLAIN}" if tty and text and "NO_COLOR" not in os.environ else text


@dataclass(frozen=True)
class Grid:
    """The cells of a table as clean single lines."""

    titles: tuple[str, ...]
    right: tuple[bool, ...]
    """Columns of numbers: aligned to the right and never broken."""
    rows: tuple[tuple[str, ...], ...]

    def take(self, positions: Sequence[int]) -> Grid:
        """Some of the columns."""
        rows = tuple(tuple(row[i] for i in positions) for row in self.rows)
        return Grid(tuple(self.titles[i] for i in positions), tuple(self.right[i] for i in positions), rows)


def listed(rows: Sequence[tuple[str, str]], width: int) -> list[str]:
    """Names with a text each, the texts broken between words beside the names, or below them where there is no room."""
    names = max((_width(name) for name, _ in rows), default=0)
    room = min(width - names - _GAP, max((_width(text) for _, text in rows), default=0) + 2 * _LEAST)
    if room >= 2 * _LEAST:
        cells = [_row([[name], _wrap(text, room)], [names, room], [False, False]) for name, text in rows]
    else:
        cells = [[name, *(f"    {line}" for line in _wrap(text, width - 4) if line)] for name, text in rows]
    return [line for lines in cells for line in lines]


def draw(grid: Grid, width: int, *, tty: bool) -> list[str]:
    """The lines of a table, in the first of the four forms that fits."""
    if _line(_widest(grid)) <= width:
        return _lines(grid, _widest(grid), tty)
    if _line(_least(grid)) <= width:
        return _lines(grid, _shared(grid, width), tty)
    if parts := _parts(grid, width):
        drawn: list[str] = []
        for part in parts:
            drawn += [*([""] if drawn else []), *_lines(part, _shared(part, width), tty)]
        return drawn
    return _stacked(grid, width, tty)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # late: a listing of our own names needs no tables of Unicode

    return cell_len(text)


def _line(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1)


def _column(grid: Grid, position: int) -> list[str]:
    return [row[position] for row in grid.rows]


def _widest(grid: Grid) -> list[int]:
    """Width of each column on one line."""
    return [max(map(_width, [title, *_column(grid, i)])) for i, title in enumerate(grid.titles)]


def _least(grid: Grid) -> list[int]:
    """Width that each column needs once titles and texts are broken between words."""
    found = []
    for i, (title, full) in enumerate(zip(grid.titles, _widest(grid), strict=True)):
        cells = _column(grid, i)
        pieces = cells if grid.right[i] else [word for cell in cells for word in cell.split()]
        need = max(map(_width, [*title.split(), *pieces]), default=0)
        found.append(need if grid.right[i] else max(need, min(full, _LEAST)))
    return found


def _shared(grid: Grid, width: int) -> list[int]:
    """The least widths, and the room that is left shared out among the columns that want more."""
    widths, wanted = _least(grid), _widest(grid)
    room = width - _line(widths)
    while room > 0 and widths != wanted:
        tightest = max(range(len(widths)), key=lambda i: wanted[i] / max(1, widths[i]))
        widths[tightest] += 1
        room -= 1
    return widths


def _wrap(text: str, width: int) -> list[str]:
    """Broken between words; a word that is too long stands alone."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _row(cells: Sequence[Sequence[str]], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    """One row of broken cells as lines."""
    lines = []
    for number in range(max(map(len, cells))):
        pieces = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = [_padded(piece, w, r) for piece, w, r in zip(pieces, widths, right, strict=True)]
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def _lines(grid: Grid, widths: Sequence[int], tty: bool) -> list[str]:
    head = _row([_wrap(title, w) for title, w in zip(grid.titles, widths, strict=True)], widths, grid.right)
    drawn = [*(bold(line, tty=tty) for line in head), "─" * _line(widths)]
    for row in grid.rows:
        cells = [[cell] if r else _wrap(cell, w) for cell, w, r in zip(row, widths, grid.right, strict=True)]
        drawn += _row(cells, widths, grid.right)
    return drawn


def _labels(grid: Grid) -> list[int]:
    """The columns that say what a row is: the first texts, and a number that stands before them (a rank)."""
    start = 1 if len(grid.right) > 1 and grid.right[0] and not grid.right[1] else 0
    end = next((i for i in range(start, len(grid.right)) if grid.right[i]), len(grid.right))
    return list(range(end))


def _parts(grid: Grid, width: int) -> list[Grid]:
    """The table in several, each as wide as fits, with the labels repeated; none if there is no room beside them."""
    labels = _labels(grid)
    others = [i for i in range(len(grid.titles)) if i not in labels]
    if len(grid.rows) < 2 or not labels or not others:
        return []
    parts: list[list[int]] = []
    for position in others:
        if parts and _line(_least(grid.take([*parts[-1], position]))) <= width:
            parts[-1].append(position)
        else:
            parts.append([*labels, position])
    found = [grid.take(part) for part in parts]
    return found if all(_line(_least(part)) <= width for part in found) else []


def _stacked(grid: Grid, width: int, tty: bool) -> list[str]:
    """Row after row, a line for each column; empty cells are left out."""
    key = max(map(_width, grid.titles))
    drawn: list[str] = []
    for row in grid.rows:
        drawn += [""] if drawn else []
        for title, cell, right in zip(grid.titles, row, grid.right, strict=True):
            if cell in ("", "-"):
                continue
            first, *rest = [cell] if right else _wrap(cell, width - key - _GAP)
            drawn.append(f"{bold(title, tty=tty)}{' ' * (key - _width(title) + _GAP)}{first}".rstrip())
            drawn += [f"{' ' * (key + _GAP)}{line}" for line in rest]
    return drawn
