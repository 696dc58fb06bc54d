"""The report as a file: one self-contained HTML page with pictures, or Markdown.

Pictures are inline SVG: no script, no font, no request; every piece of foreign text is escaped. Colours are told apart
by people who see few of them (Okabe and Ito 2008), and every mark is named in a legend.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path

from harness.bench.compare import Entry, SuiteComparison
from harness.bench.costs import TITLES, Costed, axes_of, costed
from harness.bench.report import all_tables
from harness.bench.samples import TOKENS
from harness.bench.spec import COUNTED, Arm, BenchSpec
from harness.errors import UsageError
from harness.files import iter_lines, parse_json, write_output
from harness.plain import clean, plural
from harness.registry import models_dir
from harness.report.page.document import Own, PageSpec, report
from harness.report.table import to_markdown
from harness.report.text import count, markdown
from harness.run.folder import RunFolder, stored_folders
from harness.stats.seeds import SOURCES, Seeded

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#b8a900", "#777777")
_WIDTH, _HEIGHT = 620, 340
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 34, 44
_MAX_POINTS = 400
"""Of one curve; a longer one is thinned."""


Points = tuple[tuple[float, float], ...]
"""One line: loss over the tokens that the student has read, or any number over steps."""


@dataclass(frozen=True)
class _Axes:
    """Data to pixels."""

    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (value - self.x0) / (self.x1 - self.x0)

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - self.y0) / (self.y1 - self.y0)

    def draw(self, x_title: str, y_title: str) -> str:
        """Frame, ticks and titles."""
        parts = []
        for value in _ticks(self.x0, self.x1):
            parts.append(_line("axis", self.x(value), _TOP, self.x(value), _HEIGHT - _BOTTOM))
            parts.append(_text(self.x(value), _HEIGHT - _BOTTOM + 16, count(value), "middle"))
        for value in _ticks(self.y0, self.y1):
            parts.append(_line("axis", _LEFT, self.y(value), _WIDTH - _RIGHT, self.y(value)))
            parts.append(_text(_LEFT - 6, self.y(value) + 4, f"{value:g}", "end"))
        parts.append(_text(_WIDTH / 2, _HEIGHT - 8, x_title, "middle"))
        parts.append(_text(_LEFT, _TOP - 18, y_title, "start"))
        return "".join(parts)


def scatter(found: SuiteComparison) -> str:
    """Score against tokens of the answers: a dot per row with both intervals, a small dot per training seed."""
    key, scale = found.headline.key, 100.0 if found.headline.share else 1.0
    shown = [e for e in found.entries if key in e.means and TOKENS.key in e.means]
    if not shown:
        return ""
    xs = [edge for e in shown for edge in (*_ends(e.means[TOKENS.key]), *e.by_seed[TOKENS.key])]
    ys = [scale * edge for e in shown for edge in (*_ends(e.means[key]), *e.by_seed[key])]
    axes = _Axes(*_range(xs), *_range(ys))
    title = f"{found.suite}: {found.headline.title}{' [%]' if found.headline.share else ''} against tokens of an answer"
    marks = "".join(_mark(axes, entry, key, scale, _COLOURS[i % len(_COLOURS)]) for i, entry in enumerate(shown))
    names = [entry.arm.name for entry in shown]
    return _figure(title, axes.draw("tokens of an answer", found.headline.title) + marks, _legend(names))


def _mark(axes: _Axes, entry: Entry, key: str, scale: float, colour: str) -> str:
    score, tokens = entry.means[key], entry.means[TOKENS.key]
    x, y = axes.x(tokens.value), axes.y(scale * score.value)
    (left, right), (low, high) = _ends(tokens), _ends(score)
    label = f"{entry.arm.name}: {scale * score.value:.1f}, {tokens.value:.0f} tokens"
    parts = [
        f"<g><title>{_safe(label)}</title>",
        _line("", axes.x(left), y, axes.x(right), y, colour),
        _line("", x, axes.y(scale * low), x, axes.y(scale * high), colour),
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>',
    ]
    if entry.arm.kind == "method":
        pairs = zip(entry.by_seed[TOKENS.key], entry.by_seed[key], strict=True)
        parts += [
            f'<circle cx="{axes.x(a):.1f}" cy="{axes.y(scale * b):.1f}" r="2.5" fill="none" stroke="{colour}"/>'
            for a, b in pairs
        ]
    return "".join([*parts, "</g>"])


def frontiers(found: SuiteComparison) -> list[str]:
    """Score against each kind of cost: a dot per row, a line through those that nothing beats for less."""
    rows = costed(found)
    return [_frontier(found, rows, axis) for axis in axes_of(rows)]


def _frontier(found: SuiteComparison, rows: Sequence[Costed], axis: str) -> str:
    scale = 100.0 if found.headline.share else 1.0
    points = [(row.costs[axis], scale * row.value) for row in rows]
    axes = _Axes(*_range([x for x, _ in points]), *_range([y for _, y in points]))
    best = sorted(point for row, point in zip(rows, points, strict=True) if axis in row.best)
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in best)
    marks = [f'<polyline points="{path}" fill="none" stroke="#777777" stroke-dasharray="4 3"/>']
    marks += [
        f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="5" fill="{_COLOURS[place % len(_COLOURS)]}">'
        f"<title>{_safe(f'{row.name}: {y:.1f}, {x:.3g} {TITLES[axis]}')}</title></circle>"
        for place, (row, (x, y)) in enumerate(zip(rows, points, strict=True))
    ]
    title = f"{found.suite}: {found.headline.title}{' [%]' if found.headline.share else ''} against {TITLES[axis]}"
    frame = axes.draw(f"{TITLES[axis]} of a training", found.headline.title)
    return _figure(title, frame + "".join(marks), _legend([row.name for row in rows]))


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
    axes = _Axes(*_range([0.0, *xs]), *_range(ys))
    lines = []
    for name, points in shown:
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in points)
        colour = _COLOURS[names.index(name) % len(_COLOURS)]
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
    return _figure(title, axes.draw(x_title, y_title) + "".join(lines), _legend(names))


def noise_bars(found: SuiteComparison) -> str:
    """Variance of each mean as a bar, split by where it comes from."""
    key = found.headline.key
    shown = [entry for entry in found.entries if key in entry.means]
    largest = max((_variance(entry.means[key]) for entry in shown), default=0.0)
    if largest <= 0.0:
        return ""
    height = _TOP + 26 * len(shown) + 8
    left, width = 190.0, _WIDTH - 190.0 - 70.0
    scale = 100.0 if found.headline.share else 1.0
    parts = []
    for row, entry in enumerate(shown):
        x, y = left, _TOP + 26 * row
        seeded = entry.means[key]
        parts.append(_text(left - 8, y + 14, clean(entry.arm.name, 26), "end"))
        for component in seeded.components:
            span = width * component.se**2 / largest
            colour = _COLOURS[SOURCES.index(component.sources[0])]
            label = f"{' + '.join(component.sources)}: standard error {scale * component.se:.2f}"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{span:.1f}" height="18" fill="{colour}">'
                f"<title>{_safe(label)}</title></rect>"
            )
            x += span
        parts.append(_text(x + 6, y + 14, f"± {scale * seeded.se:.2f}", "start"))
    title = f"{found.suite}: variance of {found.headline.title} by source"
    return _figure(title, "".join(parts), _legend(SOURCES), height)


def _variance(found: Seeded) -> float:
    return math.fsum(component.se**2 for component in found.components)


def _ends(found: Seeded) -> tuple[float, float]:
    """The interval, or the value twice where it is open."""
    finite = math.isfinite(found.low) and math.isfinite(found.high)
    return (found.low, found.high) if finite else (found.value, found.value)


def _thin(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    step = max(1, math.ceil(len(points) / _MAX_POINTS))
    return tuple(points[::step])


def _range(values: Sequence[float]) -> tuple[float, float]:
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


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<svg width="12" height="12"><rect width="12" height="12" fill="{_COLOURS[i % len(_COLOURS)]}"/></svg> '
        f"{_safe(name, 60)} &#160; "
        for i, name in enumerate(names)
    )
    return f"<figcaption>{items}</figcaption>"


def _figure(title: str, body: str, legend: str, height: float = _HEIGHT) -> str:
    return (
        f'<figure><h2>{_safe(title)}</h2><svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" role="img" aria-label="{_safe(title)}">{body}</svg>{legend}</figure>'
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float, colour: str = "") -> str:
    look = f'class="{kind}"' if kind else f'stroke="{colour}" stroke-width="1.5"'
    return f'<line {look} x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="12" fill="currentColor" text-anchor="{anchor}">{_safe(text)}</text>'
    )


def _safe(text: str, limit: int = 200) -> str:
    return escape(clean(text, limit), quote=True)


SUFFIXES = (".html", ".md")
_MAX_LINES = 200_000
"""Of a metrics.jsonl."""


def check_report(path: Path) -> None:
    """Raise `UsageError` for a place or a kind of file that cannot be written, before anything is spent."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"--report {str(path)!r}: name a file ending in {' or '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise UsageError(f"--report {str(path)!r}: there is no folder {str(path.parent)!r}")


def write_report(
    path: Path, spec: BenchSpec, arms: Sequence[Arm], comparisons: Sequence[SuiteComparison], results_dir: Path
) -> None:
    """Write the report; raises `OSError` if the place cannot be written."""
    tables = all_tables(arms, comparisons)
    budget = "each for its own epochs" if spec.budget is None else f"{spec.budget} each{COUNTED[spec.count]}"
    title = f"{', '.join(spec.methods)} on {spec.student}: {plural(spec.seeds, 'seed')}, {budget}"
    if path.suffix == ".md":
        write_output(path, f"# {markdown(title)}\n\n{to_markdown(tables)}")
        return
    figures = [figure for found in comparisons for figure in (scatter(found), *frontiers(found), noise_bars(found))]
    figures.append(curves(loss_curves(arms, results_dir)))
    own = Own(tables, figures=[figure for figure in figures if figure], verdicts=False)  # a method is several runs
    write_output(path, report(_stored(arms, results_dir), PageSpec(title), own))


def _stored(arms: Sequence[Arm], results_dir: Path) -> list[RunFolder]:
    """The folders of all runs and judged runs, each once."""
    members = (member for arm in arms for member in arm.members)
    results = (result for one in members for result in (*one.runs.values(), *one.judged.values()))
    return stored_folders(results_dir, results)


def loss_curves(arms: Sequence[Arm], results_dir: Path) -> list[tuple[str, Points]]:
    """Loss over tokens of every trained model that has a metrics.jsonl; a line that cannot be read is left out."""
    found = []
    for arm in arms:
        for member in arm.members:
            if member.card is not None:
                path = models_dir(results_dir) / member.card.id / "metrics.jsonl"
                found.append((arm.name, tuple(_points(path))))
    return found


def _points(path: Path) -> Iterator[tuple[float, float]]:
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
