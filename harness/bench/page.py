"""The report as a file: one self-contained HTML page with pictures, or Markdown.

Pictures are inline SVG: no script, no font, no request; every piece of foreign text is escaped. Colours are told apart
by people who see few of them (Okabe and Ito 2008), and every mark is named in a legend.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness.bench.compare import Entry, SuiteComparison
from harness.bench.costs import TITLES, Costed, axes_of, costed
from harness.bench.report import all_tables
from harness.bench.samples import TOKENS
from harness.bench.spec import COUNTED, Arm, BenchSpec
from harness.errors import UsageError
from harness.files import write_output
from harness.plain import clean, plural
from harness.registry import models_dir
from harness.report.page.charts import (
    COLOURS,
    TOP,
    WIDTH,
    Axes,
    Points,
    curves,
    figure,
    legend,
    line,
    logged_loss,
    spread,
    text_at,
)
from harness.report.page.document import Own, PageSpec, report
from harness.report.page.tables import safe
from harness.report.table import to_markdown
from harness.report.text import markdown
from harness.run.folder import RunFolder, stored_folders
from harness.stats.seeds import SOURCES, Seeded


def scatter(found: SuiteComparison) -> str:
    """Score against tokens of the answers: a dot per row with both intervals, a small dot per training seed."""
    key, scale = found.headline.key, 100.0 if found.headline.share else 1.0
    shown = [e for e in found.entries if key in e.means and TOKENS.key in e.means]
    if not shown:
        return ""
    xs = [edge for e in shown for edge in (*_ends(e.means[TOKENS.key]), *e.by_seed[TOKENS.key])]
    ys = [scale * edge for e in shown for edge in (*_ends(e.means[key]), *e.by_seed[key])]
    axes = Axes(*spread(xs), *spread(ys))
    title = f"{found.suite}: {found.headline.title}{' [%]' if found.headline.share else ''} against tokens of an answer"
    marks = "".join(_mark(axes, entry, key, scale, COLOURS[i % len(COLOURS)]) for i, entry in enumerate(shown))
    names = [entry.arm.name for entry in shown]
    return figure(title, axes.draw("tokens of an answer", found.headline.title) + marks, legend(names))


def _mark(axes: Axes, entry: Entry, key: str, scale: float, colour: str) -> str:
    score, tokens = entry.means[key], entry.means[TOKENS.key]
    x, y = axes.x(tokens.value), axes.y(scale * score.value)
    (left, right), (low, high) = _ends(tokens), _ends(score)
    label = f"{entry.arm.name}: {scale * score.value:.1f}, {tokens.value:.0f} tokens"
    parts = [
        f"<g><title>{safe(label)}</title>",
        line("", axes.x(left), y, axes.x(right), y, colour),
        line("", x, axes.y(scale * low), x, axes.y(scale * high), colour),
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
    axes = Axes(*spread([x for x, _ in points]), *spread([y for _, y in points]))
    best = sorted(point for row, point in zip(rows, points, strict=True) if axis in row.best)
    path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in best)
    marks = [f'<polyline points="{path}" fill="none" stroke="#777777" stroke-dasharray="4 3"/>']
    marks += [
        f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="5" fill="{COLOURS[place % len(COLOURS)]}">'
        f"<title>{safe(f'{row.name}: {y:.1f}, {x:.3g} {TITLES[axis]}')}</title></circle>"
        for place, (row, (x, y)) in enumerate(zip(rows, points, strict=True))
    ]
    title = f"{found.suite}: {found.headline.title}{' [%]' if found.headline.share else ''} against {TITLES[axis]}"
    frame = axes.draw(f"{TITLES[axis]} of a training", found.headline.title)
    return figure(title, frame + "".join(marks), legend([row.name for row in rows]))


def noise_bars(found: SuiteComparison) -> str:
    """Variance of each mean as a bar, split by where it comes from."""
    key = found.headline.key
    shown = [entry for entry in found.entries if key in entry.means]
    largest = max((_variance(entry.means[key]) for entry in shown), default=0.0)
    if largest <= 0.0:
        return ""
    height = TOP + 26 * len(shown) + 8
    left, width = 190.0, WIDTH - 190.0 - 70.0
    scale = 100.0 if found.headline.share else 1.0
    parts = []
    for row, entry in enumerate(shown):
        x, y = left, TOP + 26 * row
        seeded = entry.means[key]
        parts.append(text_at(left - 8, y + 14, clean(entry.arm.name, 26), "end"))
        for component in seeded.components:
            span = width * component.se**2 / largest
            colour = COLOURS[SOURCES.index(component.sources[0])]
            label = f"{' + '.join(component.sources)}: standard error {scale * component.se:.2f}"
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{span:.1f}" height="18" fill="{colour}">'
                f"<title>{safe(label)}</title></rect>"
            )
            x += span
        parts.append(text_at(x + 6, y + 14, f"± {scale * seeded.se:.2f}", "start"))
    title = f"{found.suite}: variance of {found.headline.title} by source"
    return figure(title, "".join(parts), legend(SOURCES), height)


def _variance(found: Seeded) -> float:
    return math.fsum(component.se**2 for component in found.components)


def _ends(found: Seeded) -> tuple[float, float]:
    """The interval, or the value twice where it is open."""
    finite = math.isfinite(found.low) and math.isfinite(found.high)
    return (found.low, found.high) if finite else (found.value, found.value)


SUFFIXES = (".html", ".md")


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
                found.append((arm.name, tuple(logged_loss(path))))
    return found
