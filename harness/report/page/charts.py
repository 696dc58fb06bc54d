"""Charts as inline SVG: no script, no font, no request; every piece of foreign text is escaped, and they print.

Colours are told apart by people who see few of them (Okabe and Ito 2008), and every mark is named in a legend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from harness.files import iter_lines, parse_json
from harness.report.page.tables import safe
from harness.report.text import count

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a900", "#777777")
WIDTH, HEIGHT = 620, 340
_LEFT, _RIGHT, TOP, _BOTTOM = 64, 16, 34, 44
_MAX_POINTS = 400
"""Of one curve; a longer one is thinned."""


Points = tuple[tuple[float, float], ...]
"""One line: loss over the tokens that the student has read, or any number over steps."""


_MAX_LINES = 200_000
"""Of a metrics.jsonl."""


@dataclass(frozen=True)
class Axes:
    """Data to pixels."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return HEIGHT - _BOTTOM - (HEIGHT - TOP - _BOTTOM) * (value - self.y0) / (self.y1 - self.y0)

    def draw(self, x_title: str, y_title: str) -> str:
        """Frame, ticks and titles."""
        parts = []
        for value in _ticks(self.x0, self.x1):
            parts.append(line("axis", self.x(value), TOP, self.x(value), HEIGHT - _BOTTOM))
            parts.append(text_at(self.x(value), HEIGHT - _BOTTOM + 16, count(value), "middle"))
        for value in _ticks(self.y0, self.y1):
            parts.append(line("axis", _LEFT, self.y(value), WIDTH - _RIGHT, self.y(value)))
            parts.append(text_at(_LEFT - 6, self.y(value) + 4, f"{value:g}", "end"))
        parts.append(text_at(WIDTH / 2, HEIGHT - 8, x_title, "middle"))
        parts.append(text_at(_LEFT, TOP - 18, y_title, "start"))
        return "".join(parts)


def curves(
    found: Sequence[tuple[str, Points]],
    title: str = "Training loss",
    x_title: str = "tokens read in training",
    y_title: str = "loss of each method's own kind: compare shapes, not heights",
) -> str:
    """A line for each (name, points), those of a name in one colour; as it is: training runs, by method."""
    thinned = [(name, _thin([p for p in points if all(map(math.isfinite, p))])) for name, points in found]
    shown = [(name, points) for name, points in thinned if len(points) > 1]
    if not shown:
        return ""
    names = list(dict.fromkeys(name for name, _ in shown))
    xs, ys = ([point[i] for _, points in shown for point in points] for i in (0, 1))
    axes = Axes(*spread([0.0, *xs]), *spread(ys))
    lines = []
    for name, points in shown:
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
        colour = COLOURS[names.index(name) % len(COLOURS)]
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
    return figure(title, axes.draw(x_title, y_title) + "".join(lines), legend(names))


def _thin(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    return tuple(points[::step])


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Both ends of an axis that shows these values, with a margin."""
    low, high = min(values), max(values)
    margin = 0.05 * (high - low) or max(1.0, abs(high)) * 0.05
    return (low if low == 0.0 else low - margin), high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Four to eight round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [round(index * step, 12) for index in range(first, last + 1)]


def legend(names: Sequence[str]) -> str:
    """Which colour is whose."""
    items = "".join(
        f'<svg width="12" height="12"><rect width="12" height="12" fill="{COLOURS[i % len(COLOURS)]}"/></svg> '
        f"{safe(name, 60)} &#160; "
        for i, name in enumerate(names)
    )
    return f"<figcaption>{items}</figcaption>"


def figure(title: str, body: str, legend: str, height: float = HEIGHT) -> str:
    """A drawing with its title and legend."""
    return (
        f'<figure><h2>{safe(title)}</h2><svg viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{safe(title)}">{body}</svg>{legend}</figure>'
    )


def line(kind: str, x1: float, y1: float, x2: float, y2: float, colour: str = "") -> str:
    """A line of a kind of the style sheet, or in a colour."""
    look = f'class="{kind}"' if kind else f'stroke="{colour}" stroke-width="1.5"'
    return f'<line {look} x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def text_at(x: float, y: float, text: str, anchor: str) -> str:
    """A short text; `anchor` is start, middle or end."""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="currentColor" text-anchor="{anchor}">{safe(text)}</text>'
    )


def logged_loss(path: Path) -> Iterator[tuple[float, float]]:
    """Tokens and loss of every line of a metrics.jsonl that can be read."""
    try:
        for line in islice(iter_lines(path), _MAX_LINES):
            try:
                row = parse_json(line)
                point = float(row["tokens"]), float(row["loss"])
            except (ValueError, KeyError, TypeError):
                continue
            if all(map(math.isfinite, point)):
                yield point
    except (OSError, ValueError):  # ValueError: a line longer than is read
        return
