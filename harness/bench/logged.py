"""A page of one training: what it logged, number by number over its steps, and its alarms."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import StoreError, UsageError
from harness.files import iter_lines, parse_json, write_output
from harness.report.page.charts import Points, curves
from harness.report.page.document import Own, PageSpec, report

_MAX_LINES = 200_000
_MOST = 8
"""Lines of one picture."""


def _begins(*prefixes: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(prefixes)


def _is(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


PICTURES: Mapping[str, tuple[str, Callable[[str], bool]]] = {
    "Loss": ("loss", _is("loss")),
    "Reward and its parts": ("mean", lambda name: name == "reward" or name.startswith("reward/")),
    "Right answers": ("share", _is("accuracy", "dev/accuracy")),
    "Share of the advantage's variance": ("share", _begins("variance/")),
    "Correlation with right answers": ("correlation", _begins("with_accuracy/")),
    "Tokens of a completion": ("tokens", _is("length", "length_p95")),
    "Groups and completions": ("share", _is("flat", "cut", "unscored", "repetition", "leak", "none/reward")),
    "Different answers of a group": ("answers", _is("distinct_answers")),
    "Entropy of a token": ("nats", _is("entropy", "entropy_top")),
    "Distance from reference, teacher and sampler": (
        "nats",
        _is("kl_reference", "teacher_k1", "teacher_k3", "kl_teacher", "sampler_gap"),
    ),
    "Ratio's clipped shares": ("share", _is("clip_low", "clip_high")),
    "Gradient": ("norm", _is("grad_norm")),
}
"""Title -> (what its height is, which numbers it shows)."""


def write_training_page(path: Path, title: str, metrics: Path) -> None:
    """Write the page. Raises `UsageError` for another ending than .html, `StoreError` where nothing was logged."""
    if path.suffix != ".html":
        raise UsageError(f"--plot {str(path)!r}: name a file ending in .html")
    rows = list(_rows(metrics))
    if not rows:
        raise StoreError(
            f"{metrics} holds nothing that could be drawn: the model was imported, merged, or not trained yet"
        )
    figures = [
        figure for stage in dict.fromkeys(str(row.get("stage")) for row in rows) for figure in _stage(stage, rows)
    ]
    alarms = [f"alarm: {line}" for row in rows for line in _lines(row.get("alarms"))]
    write_output(path, report([], PageSpec(f"{title}: what training logged"), Own(notes=alarms, figures=figures)))


def _stage(stage: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    own = [row for row in rows if str(row.get("stage")) == stage]
    names = list(dict.fromkeys(name for row in own for name in row))
    several = len({str(row.get("stage")) for row in rows}) > 1
    for title, (height, shown) in PICTURES.items():
        lines = [(name, _points(own, name)) for name in names if shown(name)][:_MOST]
        figure = curves(lines, f"{stage}: {title}" if several else title, "optimiser steps", height)
        if figure:
            yield figure


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> Points:
    found = ((row.get("step"), row.get(name)) for row in rows)
    return tuple((float(x), float(y)) for x, y in found if _is_number(x) and _is_number(y))  # type: ignore[arg-type]


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _lines(value: Any) -> list[str]:
    return [str(line) for line in value] if isinstance(value, list) else []


def _rows(metrics: Path) -> Iterator[dict[str, Any]]:
    """The lines that can be read."""
    try:
        for line in islice(iter_lines(metrics), _MAX_LINES):
            try:
                row = parse_json(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                yield row
    except (OSError, ValueError):  # ValueError: a line longer than is read
        return
