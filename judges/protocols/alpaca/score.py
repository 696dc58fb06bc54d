"""From annotations to the numbers of AlpacaEval 2: one pure function, `score_annotations`.

Definitions are the published ones (percent; a preference of 0 or 1.5 is a draw; standard errors of plain means), with
ours beside them where they differ: `lc_se_glm` includes the uncertainty of the length-control model, and `flags` says
what a reader of the number must know. Nothing here reads files or asks a judge.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError
from harness.stats.standard_errors import clustered_se, mean_interval
from judges.protocols.alpaca.data import BASELINE, SIZE
from judges.protocols.alpaca.glm import Array, Fit, GlmData, Rows, extreme, fit_glm

CONSTANT = 0.95
"""Share of equal lengths from which an answer counts as constant where only lengths are known."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotated pair of outputs."""

    model: str
    index: int
    """Instruction, 0-based."""
    preference: float | None
    """1 (baseline) to 2 (model), 1.5 a draw; None is unscored."""
    len_1: int
    """Characters of the baseline's output."""
    len_2: int
    """Characters of the model's output."""
    output: str | None = None
    """A hash of the model's output, where the text is known."""
    baseline: str = BASELINE


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """A model on a leaderboard; rates and standard errors in percent, as published."""

    model: str
    win_rate: float
    standard_error: float
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    discrete_win_rate: float | None
    mode: str = "community"
    avg_length: float | None
    """Mean characters of the model's outputs."""
    lc: float | None
    lc_se: float | None
    """As published: of the mean prediction, the fit taken for exact. None in rows that are older than it."""


@dataclass(frozen=True, kw_only=True)
class AlpacaScore(LeaderboardRow):
    """A row that was computed here, and what the published ones leave out."""

    discrete_win_rate: float
    avg_length: float
    low: float
    """95 % interval of the win rate."""
    high: float
    n_unscored: int
    """Rows without a preference: in no mean, but predicted by the length control, as published."""
    formula: str
    """Which length control: "length_controlled_v1" is the published one; "" where it could not be fitted."""
    lc_se_glm: float | None
    """Ours: with the uncertainty of the fit."""
    lc_rivals: tuple[float, float] | None
    """Range of `lc` over penalties that cross-validation cannot tell apart."""
    lc_aligned: float | None
    """`lc` with every difficulty at its own instruction, where missing rows shift them in the published one."""
    provenance: str
    """Where difficulties and gamed annotations come from."""
    flags: tuple[str, ...] = ()


def score_annotations(rows: Sequence[Annotation], data: GlmData | None) -> list[AlpacaScore]:
    """Every model's numbers, best length-controlled win rate first.

    `data` holds difficulties and gamed annotations (`alpaca_data.load_glm_data`); without it the minimal formula is
    used and named. A file that lacks rows is scored as published: there the difficulty was looked up by a row's
    position among those present, so that the rows behind a gap have their neighbour's; `lc_aligned` has each its own.
    Raises `DataError` for an instruction that stands twice or does not exist, and where a model has no preference.
    """
    if not rows:
        raise DataError("there are no annotations to score")
    models: dict[str, list[Annotation]] = {}
    for row in rows:
        models.setdefault(row.model, []).append(row)
    scores = [_score(model, sorted(found, key=lambda row: row.index), data) for model, found in models.items()]
    return sorted(scores, key=lambda score: (score.lc is None, -(score.lc or 0.0), -score.win_rate, score.model))


def model_rows(annotations: Sequence[Annotation], difficulty: Array | None, *, by_position: bool) -> Rows:
    """A model's annotations as arrays. Raises `DataError` if an instruction has no difficulty."""
    index = np.array([row.index for row in annotations], dtype=np.intp)
    if difficulty is not None and int(index.max()) >= len(difficulty):
        raise DataError(f"instruction {int(index.max())}: there are only {len(difficulty)}, 0 to {len(difficulty) - 1}")
    place = np.arange(len(index)) if by_position else index
    return Rows(
        preference=np.array([np.nan if row.preference is None else row.preference - 1.0 for row in annotations]),
        delta=np.array([float(row.len_1 - row.len_2) for row in annotations]),
        index=index,
        difficulty=None if difficulty is None else difficulty[place],
    )


def is_constant(annotations: Sequence[Annotation]) -> bool:
    """True if the model gave one and the same answer throughout (NullModel): it won by an attack on the judge.

    Where only lengths are known, at least 95 % equal lengths count.
    """
    if len(annotations) < 2:
        return False
    if all(row.output is not None for row in annotations):
        return len({row.output for row in annotations}) == 1
    return Counter(row.len_2 for row in annotations).most_common(1)[0][1] >= CONSTANT * len(annotations)


def _score(model: str, rows: Sequence[Annotation], data: GlmData | None) -> AlpacaScore:
    _check(model, rows)
    values = np.array([row.preference - 1.0 for row in rows if row.preference is not None])
    if len(values) == 0:
        raise DataError(f"{model}: none of its {len(rows)} annotations has a preference")
    mean = mean_interval(values)
    wins, losses = int((values > 0.5).sum()), int((values < 0.5).sum())
    draws = len(values) - wins - losses
    win_rate = 100.0 * float(values.mean())
    fit, aligned, flags = _control(model, rows, data, win_rate)
    missing = len(rows) - len(values)
    if missing:
        flags.append(f"unscored:{missing}")
    if is_constant(rows):
        flags.append("constant_answer")
    return AlpacaScore(
        model=model,
        win_rate=win_rate,
        standard_error=100.0 * clustered_se(values)[0],
        low=100.0 * mean.low,
        high=100.0 * mean.high,
        discrete_win_rate=100.0 * (wins + 0.5 * draws) / len(values),
        n_wins=wins,
        n_wins_base=losses,
        n_draws=draws,
        n_total=len(values),
        n_unscored=missing,
        avg_length=float(np.mean([row.len_2 for row in rows])),
        formula=fit.formula if fit is not None else "",
        lc=100.0 * fit.lc if fit is not None else None,
        lc_se=100.0 * fit.se_predictions if fit is not None else None,
        lc_se_glm=100.0 * fit.se if fit is not None else None,
        lc_rivals=(100.0 * fit.rivals[0], 100.0 * fit.rivals[1]) if fit is not None else None,
        lc_aligned=100.0 * aligned if aligned is not None else None,
        provenance=data.provenance if data is not None else "",
        flags=tuple(flags),
    )


def _check(model: str, rows: Sequence[Annotation]) -> None:
    twice = sorted(index for index, count in Counter(row.index for row in rows).items() if count > 1)
    if twice:
        shown = ", ".join(map(str, twice[:5]))
        raise DataError(f"{model}: {len(twice)} instructions are annotated more than once, the first: {shown}")
    for row in rows:
        if row.index < 0 or (row.preference is not None and not 1.0 <= row.preference <= 2.0):
            raise DataError(f"{model}, instruction {row.index}: preference {row.preference} is not between 1 and 2")


def _control(
    model: str, rows: Sequence[Annotation], data: GlmData | None, win_rate: float
) -> tuple[Fit | None, float | None, list[str]]:
    """The length-controlled fit as published, the aligned value where that differs, and what to flag."""
    flags: list[str] = []
    difficulty = data.difficulty if data is not None else None
    gamed = data.gamed if data is not None else None
    if len({row.baseline for row in rows}) > 1:
        raise DataError(f"{model}: its annotations are against several baselines; score one at a time")
    if rows[0].baseline != BASELINE:
        flags.append(f"baseline:{rows[0].baseline}")
    if len(rows) < SIZE:
        flags.append(f"missing_rows:{SIZE - len(rows)}")
    annotations = model_rows(rows, difficulty, by_position=True)
    if model == rows[0].baseline:
        return baseline_fit(len(rows)), None, flags
    if int((~np.isnan(annotations.preference)).sum()) < 5:
        return None, None, [*flags, "too_few_for_length_control"]
    fit = fit_glm(annotations, gamed)
    aligned = None
    if difficulty is not None and rows[-1].index != len(rows) - 1:
        aligned = fit_glm(model_rows(rows, difficulty, by_position=False), gamed).lc
        flags.append("shifted_difficulty")
    if extreme(win_rate, 100.0 * fit.lc):
        flags.append("extreme_length_control")
    return fit, aligned, flags


def baseline_fit(rows: int) -> Fit:
    """The baseline against itself: 50 by definition, nothing is fitted."""
    half = np.full(rows, 0.5)
    return Fit("length_controlled_v1", 0.5, 0.0, 0.0, (0.0, 0.0, 0.0), half, half, (0.5, 0.5))
