"""One side of a gate: a metric's value on every problem, from a stored run."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from harness.errors import DataError, UsageError
from harness.metrics import described, estimate, find_metric
from harness.run.directions import described_in
from harness.run.folder import RunFolder
from harness.run.result import RunResult, cut_share, warnings_of
from harness.types import Graded, Json, Metric

OF_RUN = (
    *("run_id", "suite", "suite_version", "data_sha256", "model", "n", "limit", "seed", "sampling", "graders"),
    *("judge", "imported_from"),
)
"""What a side has of its run's result."""
_CLOSE = 1e-6


@dataclass(frozen=True)
class Value:
    """A metric on one problem."""

    mean: float | None
    """None: no sample has a score."""
    n: int = 1
    """Samples behind it."""
    missing: int = 0
    """Samples without a score."""
    low: float | None = None
    """What it would be had the missing samples been as low as possible; None where that is not known."""
    high: float | None = None
    cluster: str = ""
    best: str = ""
    """The answer of the first sample with the highest score, to be shown; empty where none is stored."""
    worst: str = ""


@dataclass(frozen=True)
class Side:
    """The baseline or the candidate on one suite."""

    run_id: str
    suite: str
    suite_version: str
    data_sha256: str
    model: str
    metric: str
    n: int
    limit: int | None
    seed: int
    sampling: Mapping[str, Json]
    values: Mapping[str, Value]
    graders: Mapping[str, str] = field(default_factory=dict)
    judge: str | None = None
    imported_from: str | None = None
    truncated: float | None = None
    """Share of samples that the token limit cut before an answer; None where that is not known."""
    warnings: tuple[str, ...] = ()
    """What is to be said beside any result of this run."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """The metric, if the tool that the run was imported from says which way it is better."""
    file: str = ""
    """The baseline file that this was read from; empty for a run."""

    @cached_property
    def share(self) -> bool:
        """True if the metric lies between 0 and 1."""
        known = [value.mean for value in self.values.values() if value.mean is not None and math.isfinite(value.mean)]
        return described(self.metric).is_share and all(0.0 <= value <= 1.0 for value in known)

    @property
    def lower_is_better(self) -> bool:
        """As the metric says, or the tool that measured it."""
        return described_in(self.metric, [self]).lower_is_better


def read_side(folder: RunFolder, metric: str | None = None) -> Side:
    """A stored run's values of a metric (None: its headline).

    Raises `StoreError` for a run that is unfinished or damaged, `UsageError` for a metric that is no mean over problems
    or that these samples do not support, `DataError` if no problem has a value.
    """
    result = folder.result
    name = metric or result.headline
    foreign = result.judge is not None or result.imported_from is not None
    values = _stored_values(result, name) if foreign else _graded_values(folder.graded, name)
    known = [value.mean for value in values.values() if value.mean is not None]
    if not known:
        raise DataError(f"{result.run_id}: no problem has a value of {name}")
    stored = result.estimates.get(name)
    if stored is not None and abs(sum(known) / len(known) - stored.value) > _CLOSE * max(1.0, abs(stored.value)):
        raise UsageError(f"{name} of {result.run_id} is no mean over problems, so two runs cannot be paired on it")
    return Side(
        **{name: getattr(result, name) for name in OF_RUN},
        metric=name,
        values=values,
        truncated=None if foreign else cut_share(result.estimates[result.headline].counts),
        warnings=warnings_of(result),
        higher_is_better={key: value for key, value in result.higher_is_better.items() if key == name},
    )


def _stored_values(result: RunResult, metric: str) -> dict[str, Value]:
    """Judged and imported runs store their headline only."""
    if metric != result.headline:
        raise UsageError(f"{result.run_id} stores {result.headline} of each problem and no other metric: not {metric}")
    return {
        key: Value(item.mean, item.n, 0 if item.mean is not None else 1, item.mean, item.mean, item.cluster)
        for key, item in result.items.items()
    }


def _graded_values(graded: Sequence[Graded], metric: str) -> dict[str, Value]:
    kind = find_metric(metric)[0]
    rows: dict[str, list[Graded]] = defaultdict(list)
    for row in graded:
        rows[row.problem_id].append(row)
    return {problem: _value(kind, metric, members) for problem, members in sorted(rows.items())}


def _value(kind: Metric, metric: str, rows: Sequence[Graded]) -> Value:
    """The metric on one problem; its own bounds say what the missing samples could have made of it."""
    scored = sorted(
        (row for row in rows if row.score.value is not None), key=lambda row: (-(row.score.value or 0.0), row.attempt)
    )
    shown = [_answer(row) for row in scored]
    worst = next((_answer(row) for row in scored if row.score.value == scored[-1].score.value), "")
    counted = kind.unit != "tok"
    missing = sum(row.score.value is None if counted else row.tokens_out is None for row in rows)
    texts = {"cluster": rows[0].cluster, "best": shown[0] if shown else "", "worst": worst}
    try:
        found = estimate(metric, rows)
    except DataError:
        low, high = (0.0, 1.0) if counted else (None, None)
        return Value(None, 0, missing or len(rows), low, high, **texts)
    low, high = found.bounds or ((found.value, found.value) if not missing or counted else (None, None))
    return Value(found.value, found.n_samples, missing, low, high, **texts)


def _answer(row: Graded) -> str:
    if row.score.answer is not None:
        return row.score.answer
    return f"({row.score.status.replace('_', ' ')})"
