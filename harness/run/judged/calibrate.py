"""A judged run corrected by what people, or another judge, say of a part of it.

`calibrate` takes labels from a file and keeps what follows in the run's result, so that every table can say whether its
judge was ever held against anything. `bridge` takes another judge's values on the same answers for the labels: what
that judge would have given the whole run.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.clock import utc_now
from harness.datasets.local import read_file
from harness.errors import DataError, UsageError
from harness.files import is_number
from harness.hashing import canonical_json, short_hash
from harness.run.folder import Key, RunFolder
from harness.run.result import CALIBRATION, RunResult
from harness.run.store import write_result
from harness.stats.corrected import Corrected, prediction_powered, rogan_gladen
from harness.stats.standard_errors import Array, Mean, mean_interval
from harness.types import Json

_WORDS = {"win": 1.0, "tie": 0.5, "loss": 0.0}
_FIELDS = {"id", "attempt", "label"}


@dataclass(frozen=True)
class Calibration:
    """What a judge said of everything, what it is worth after correction, and how the judge errs."""

    judged: Mean
    """Mean judged value of the whole run, as it was."""
    powered: Corrected
    """By prediction-powered inference."""
    rogan_gladen: Corrected | None
    labels: int
    """Labelled problems (or clusters of them), the units of all this."""
    units: int
    of_win: float | None
    """Mean judged value where the label is a win: a perfect judge's is 1."""
    of_loss: float | None
    gap: Mean
    """Judged value minus label on the labelled part: the judge's bias."""
    agreement: float
    """Correlation of judged values and labels; NaN where one of them is constant."""


def read_labels(path: Path) -> dict[Key, float]:
    """(problem id, attempt) -> label in [0, 1] of a JSONL file of {"id", "label"[, "attempt"]}.

    A label is "win", "tie", "loss" or a number from 0 to 1. Raises `DataError` naming file and line.
    """
    if not path.is_file():
        raise DataError(f"there is no file {str(path)!r}: name a JSONL file of id and label")
    labels: dict[Key, float] = {}
    for raw in read_file(path.parent, path.name, None):
        if unknown := sorted(set(raw.fields) - _FIELDS):
            raise DataError(f"{raw.where}: unknown field {unknown[0]!r}; known are {', '.join(sorted(_FIELDS))}")
        problem, attempt, label = raw.fields.get("id"), raw.fields.get("attempt", 0), raw.fields.get("label")
        value = _WORDS.get(label) if isinstance(label, str) else label
        if not isinstance(problem, str) or not isinstance(attempt, int) or isinstance(attempt, bool):
            raise DataError(f"{raw.where}: id must be a text and attempt a whole number")
        if not is_number(value) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise DataError(f"{raw.where}: label must be win, tie, loss or a number from 0 to 1, not {label!r}")
        if (problem, attempt) in labels:
            raise DataError(f"{raw.where}: {problem!r}, attempt {attempt}, is labelled twice")
        labels[problem, attempt] = float(value)
    return labels


def calibrate(folder: RunFolder, labels: Mapping[Key, float]) -> Calibration:
    """Correct a judged run by labels and keep that in its result. Raises `UsageError`, `DataError`, `StoreError`."""
    values, clusters = _values(folder), _clusters(folder)
    judged = {(row.problem_id, row.attempt) for row in folder.graded}
    if beside := next((key for key in labels if key not in judged and key[0] in clusters), None):
        raise DataError(
            f"a label is of attempt {beside[1]} of problem {beside[0]!r}, which run {folder.name} does not have: "
            "attempts are counted from 0"
        )
    found = corrected(values, clusters, labels, f"run {folder.name}")
    facts: dict[str, Json] = {
        "at": utc_now(),
        "labels": found.labels,
        "content": short_hash(canonical_json(sorted([*key, value] for key, value in labels.items()))),
        "judged": found.judged.value,
        "prediction_powered": _json(found.powered),
        "rogan_gladen": _json(found.rogan_gladen),
    }
    result = folder.result
    write_result(folder.path, dataclasses.replace(result, judging={**result.judging, CALIBRATION: facts}))
    return found


def bridge(old: RunFolder, new: RunFolder) -> Calibration:
    """What NEW's judge would have given the whole of OLD, from the answers that both judged; nothing is kept."""
    for folder in (old, new):
        if folder.result.judge is None:
            raise UsageError(f"{folder.name} is no judged run: name one (`<run>@…`, `harness list runs`)")
    if old.result.judging.get("judged_from") != new.result.judging.get("judged_from"):
        raise UsageError(
            f"{old.name} and {new.name} judged different runs: judge a part of the same run with the new judge, "
            f"`harness judge {old.result.judging.get('judged_from')} --limit 100 …`"
        )
    return corrected(_values(old), _clusters(old), _values(new), f"run {old.name}")


def corrected(
    values: Mapping[Key, float], clusters: Mapping[str, str], labels: Mapping[Key, float], where: str
) -> Calibration:
    """The numbers, from values and labels by (problem id, attempt); `clusters`: problem id -> its cluster."""
    both = [key for key in labels if key in values]
    if unknown := next((problem for problem, _ in labels if problem not in clusters), None):
        raise DataError(f"a label is of problem {unknown!r}, which {where} does not have")
    if not both:
        raise DataError(f"not one of the {len(labels)} labels is of an answer of {where} that has a value")
    unit_of = {key: clusters.get(key[0]) or key[0] for key in values}
    labelled = {unit_of[key] for key in both}
    judged = _means({key: values[key] for key in both}, unit_of)
    truth = _means({key: labels[key] for key in both}, unit_of)
    others = _means({key: v for key, v in values.items() if unit_of[key] not in labelled}, unit_of)
    everything = np.concatenate((others, judged))
    single = set(labels.values()) <= {0.0, 0.5, 1.0}
    powered = prediction_powered(others, judged, truth)
    moving = judged.std() > 0 and truth.std() > 0
    return Calibration(
        judged=mean_interval(everything),
        powered=powered,
        rogan_gladen=rogan_gladen(everything, judged, truth) if single else None,
        labels=len(judged),
        units=len(everything),
        of_win=_mean_where(judged, truth == 1.0),
        of_loss=_mean_where(judged, truth == 0.0),
        gap=mean_interval(judged - truth, share=False),
        agreement=float(np.corrcoef(judged, truth)[0, 1]) if moving else math.nan,
    )


def kept_calibration(result: RunResult, before: RunResult) -> RunResult:
    """A result that was just written again keeps its calibration, if the judge still says the same of everything."""
    facts = before.judging.get(CALIBRATION)
    if facts is None or dict(before.items) != dict(result.items):
        return result
    return dataclasses.replace(result, judging={**result.judging, CALIBRATION: facts})


def _values(folder: RunFolder) -> dict[Key, float]:
    if folder.result.judge is None:
        raise UsageError(f"{folder.name} is no judged run: name one (`<run>@…`, `harness list runs`)")
    rows = [(row, row.score.value) for row in folder.graded]
    return {(row.problem_id, row.attempt): value for row, value in rows if value is not None}


def _clusters(folder: RunFolder) -> dict[str, str]:
    return {row.problem_id: row.cluster for row in folder.graded}


def _means(values: Mapping[Key, float], unit_of: Mapping[Key, str]) -> Array:
    """Mean of each unit, in order of first appearance."""
    units: dict[str, list[float]] = defaultdict(list)
    for key, value in values.items():
        units[unit_of[key]].append(value)
    return np.array([math.fsum(one) / len(one) for one in units.values()], dtype=np.float64)


def _mean_where(values: Array, where: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> float | None:
    return float(values[where].mean()) if where.any() else None


def _json(found: Corrected | None) -> Json:
    return None if found is None else {name: getattr(found, name) for name in ("value", "low", "high")}
