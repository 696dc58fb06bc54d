"""What lies behind the values: what became of the samples, tokens against value, training, and where runs came from."""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.errors import DataError
from harness.plain import clean
from harness.registry import models_dir
from harness.report.board import lineage_of
from harness.report.page.charts import (
    COLOURS,
    TOP,
    WIDTH,
    Axes,
    curves,
    figure,
    legend,
    line,
    logged_loss,
    spread,
    text_at,
)
from harness.report.page.data import PageBoard, PageRun
from harness.report.page.gather import Gathered
from harness.report.page.tables import safe, section
from harness.report.table import Row, Table, column
from harness.stats import components
from harness.types import Json

_OUTCOMES = {
    "r": ("right", COLOURS[2]),
    "p": ("partly right", COLOURS[5]),
    "w": ("wrong", COLOURS[1]),
    "n": ("no answer", COLOURS[4]),
    "c": ("cut", COLOURS[3]),
    "u": ("unscored", COLOURS[7]),
    "e": ("failed", COLOURS[6]),
}
_LEFT = 190.0
_STEP = 26
_NAME = 150.0
_NAMED = 12
"""Models whose names stand beside their dots; of more they would cover each other."""
_MANY = 40
"""Models of one drawing; of more only the best."""


def why(found: Sequence[Gathered], *, drawn: bool = True) -> str:
    """Sections of the page, as HTML; `drawn` false: without tokens and training, which the caller draws itself."""
    parts = ['<section id="why"><h2>Why</h2>']
    for one in found:
        pictures = [against_tokens(one.board) if drawn else "", outcomes(one.board)]
        parts += [f"<h3>{safe(one.board.title)}</h3>", *pictures] if any(pictures) else []
    parts.append("</section>")
    if (noise := noise_table(found)).rows:
        parts.append(f'<section id="noise"><h2>Noise</h2>{section(noise)}</section>')
    training = curves([(name, tuple(points)) for name, points in _logged(found) if points]) if drawn else ""
    if training:
        parts.append(f'<section id="training"><h2>Training</h2>{training}</section>')
    parts.append(f'<section id="provenance"><h2>Provenance</h2>{section(provenance(found))}</section>')
    return "".join(parts)


def against_tokens(board: PageBoard) -> str:
    """Value with its interval against the mean tokens of an answer; nothing where tokens are not known."""
    shown = [(run, tokens) for run in board.runs[:_MANY] if (tokens := _mean_tokens(run)) is not None]
    if len(shown) < 2:
        return ""
    ends = [_ends(run) for run, _ in shown]
    axes = Axes(*spread([tokens for _, tokens in shown]), *spread([board.scale * end for pair in ends for end in pair]))
    marks = []
    for place, ((run, tokens), (low, high)) in enumerate(zip(shown, ends, strict=True)):
        colour, x, y = COLOURS[place % len(COLOURS)], axes.x(tokens), axes.y(board.scale * run.value)
        told = safe(f"{run.model}: {board.scale * run.value:.1f}, {tokens:.0f} tokens")
        marks.append(
            f"<g><title>{told}</title>{line('', x, axes.y(board.scale * low), x, axes.y(board.scale * high), colour)}"
        )
        marks.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        side, anchor = (x - 8, "end") if x > WIDTH - _NAME else (x + 8, "start")
        name = text_at(side, y - 6, clean(run.model, 24), anchor) if len(shown) <= _NAMED else ""
        marks.append(f"{name}</g>")
    title = f"{board.suite}: {board.metric} against tokens of an answer"
    names = [run.model for run, _ in shown]
    return figure(title, axes.draw("tokens of an answer", board.metric) + "".join(marks), legend(names))


def _ends(run: PageRun) -> tuple[float, float]:
    """The interval, or the value twice where it is open."""
    return (run.low, run.high) if math.isfinite(run.low) and math.isfinite(run.high) else (run.value, run.value)


def _mean_tokens(run: PageRun) -> float | None:
    known = [tokens for tokens in run.tokens if tokens is not None]
    return math.fsum(known) / len(known) if known else None


def outcomes(board: PageBoard) -> str:
    """A bar for each run: shares of its samples by what became of them, with counts; nothing without samples."""
    counted = [(run, {mark: "".join(run.marks).count(mark) for mark in _OUTCOMES}) for run in board.runs[:_MANY]]
    counted = [(run, counts) for run, counts in counted if sum(counts.values())]
    if not counted:
        return ""
    parts, width = [], WIDTH - _LEFT - 8
    for row, (run, counts) in enumerate(counted):
        x, y, total = _LEFT, TOP + _STEP * row, sum(counts.values())
        parts.append(text_at(_LEFT - 8, y + 14, clean(run.model, 26), "end"))
        for mark, number in counts.items():
            if not number:
                continue
            word, colour = _OUTCOMES[mark]
            span = width * number / total
            told = safe(f"{run.model}: {number} of {total} {word}")
            parts.append(
                f'<rect x="{x:.1f}" y="{y}" width="{span:.1f}" height="18" fill="{colour}"><title>{told}</title></rect>'
            )
            if span > 60:
                parts.append(f'<text x="{x + 4:.1f}" y="{y + 13}" font-size="11" fill="#000">{number} {word}</text>')
            x += span
    used = [mark for mark in _OUTCOMES if any(counts[mark] for _, counts in counted)]
    swatches = "".join(
        f'<svg width="12" height="12"><rect width="12" height="12" fill="{_OUTCOMES[mark][1]}"/></svg> '
        f"{_OUTCOMES[mark][0]} &#160; "
        for mark in used
    )
    title = f"{board.suite}: what became of the samples"
    return figure(title, "".join(parts), f"<figcaption>{swatches}</figcaption>", TOP + _STEP * len(counted) + 8)


def noise_table(found: Sequence[Gathered]) -> Table:
    """Standard error of each value by its source, of runs with two or more samples of a problem."""
    rows: list[Row] = []
    for one in found:
        for standing in one.group.standings if one.board.unit == "%" else ():  # the split is of right and wrong
            items = standing.result.items.values()
            try:
                _, between, within = components(items)
            except DataError:  # one sample cannot tell the two apart
                continue
            known = [item.n for item in items if item.mean is not None]
            problems = one.board.scale * between / math.sqrt(len(known))
            samples = one.board.scale * within * math.sqrt(math.fsum(1.0 / n for n in known if n)) / len(known)
            rows.append(
                {
                    "suite": one.board.suite,
                    "model": standing.model,
                    "from problems": f"{problems:.2f}",
                    "from samples": f"{samples:.2f}",
                    "more helps": "samples" if samples > problems else "problems",
                }
            )
    notes = (
        "standard errors of each value alone; a comparison on the same problems is rid of most of what comes from them",
        "what another training seed or another judge would give is not in them",
    )
    names = ("suite", "model", "from problems", "from samples", "more helps")
    return Table("", tuple(column(name, name) for name in names), tuple(rows), notes)


def _logged(found: Sequence[Gathered]) -> list[tuple[str, list[tuple[float, float]]]]:
    """Loss over tokens of every trained model among the runs that logged one, each once."""
    seen: dict[str, tuple[str, list[tuple[float, float]]]] = {}
    for one in found:
        for folder in one.folders:
            facts = lineage_of(folder.result.model_identity)
            name = facts.get("id") if facts is not None else None
            if facts is None or not isinstance(name, str) or "/" in name or name in seen:
                continue
            path = models_dir(folder.results_dir) / name / "metrics.jsonl"
            seen[name] = (str(facts.get("method")), list(logged_loss(path)))
    return list(seen.values())


def provenance(found: Sequence[Gathered]) -> Table:
    """Where each run came from: its id, suite, data, seeds, how it was sampled, what graded it, when."""
    rows: list[Row] = []
    for one in found:
        for run, folder in zip(one.board.runs, one.folders, strict=True):
            result = folder.result
            sampling = {key: value for key, value in result.sampling.items() if value not in (None, [], "")}
            row: dict[str, Json] = {
                "run": run.run_id,
                "model": run.model,
                "suite": f"{result.suite}@{result.suite_version}",
                "data": result.data_sha256[:12],
                "seed": result.seed,
                "n": result.n,
                "sampling": ", ".join(f"{key} {value}" for key, value in sampling.items()),
                "scored by": result.judge or ", ".join(f"{name} {version}" for name, version in result.graders.items()),
                "made by": result.imported_from or f"harness {result.environment.get('harness', '')}".strip(),
                "finished": result.finished,
            }
            rows.append(row)
    names = ("run", "model", "suite", "data", "seed", "n", "sampling", "scored by", "made by", "finished")
    notes = ("`harness show RUN` prints everything that is stored with a run, `harness score RUN` grades it again",)
    return Table("", tuple(column(name, name) for name in names), tuple(rows), notes)
