"""Length-controlled win rates of AlpacaEval 2: the published logistic model, and what it does not know.

The preference for a model is regressed on three features, without an intercept (Dubois et al., arXiv 2404.04475):

    logit P(model preferred) = a tanh(d / sd(d)) + b difficulty + c,    d = baseline's length - model's length

and predicted with d = 0. As published: soft labels, L1 penalty, the strength chosen on a grid of ten values by
five-fold cross-validation over instructions, and the answers of two length-gaming variants of the baseline (for which
c is absent) as further rows of weight 0.1. Solver, seed and tolerance are the published ones too (scikit-learn's
liblinear): it stops up to 0.015 points short of the optimum, and neighbouring penalties often differ by less in
cross-validated loss (1e-6) than its order of visits decides.

Two standard errors. The published one is that of the mean of the *predictions*: it takes the three parameters for
known. `Fit.se` adds their uncertainty at the chosen penalty (influence functions: what each instruction does to the
parameters, to sd(d) and to the mean); that the data also chose the penalty is in neither.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from harness.errors import DataError
from harness.models.base import import_extra
from harness.stats.standard_errors import clustered_se

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Formula = Literal["length_controlled_v1", "length_controlled_noreg", "length_controlled_minimal"]
"""v1 is the published one; "noreg" has no gamed rows; "minimal" has no difficulty either."""

GRID: Array = np.logspace(-4.0, 4.0, 10)
"""Inverse penalties tried; the default grid of the library that the published fits were made with."""
FOLDS = 5
GAMED_WEIGHT = 0.1
"""Weight of a gamed row: 0.2, shared by two gamed baselines."""
NEAR_TIE = 3e-6
"""Grid values whose cross-validated loss is this close to the best one cannot be told apart on reconstructed data."""
_ALMOST = 1e-9
SEED = 123
"""Seed of the published fits."""


@dataclass(frozen=True)
class Rows:
    """One model's annotations, or those of the gamed baselines; every array has shape [rows]."""

    preference: Array
    """For the model, in [0, 1]; NaN where there is none. Such rows are predicted but teach nothing, as published."""
    delta: Array
    """Baseline's length less the model's, in characters, of gamed rows over its standard deviation; NaN where the model
    gave no answer."""
    index: Indices
    """Instruction of each row, 0-based."""
    difficulty: Array | None
    """Of each row; None for the minimal formula."""


@dataclass(frozen=True)
class GlmData:
    """What the published fit needs besides a model's own annotations."""

    difficulty: Array
    """By instruction, shape [805]."""
    gamed: Rows | None
    """The answers of the two length-gaming variants of the baseline, as further rows of the regression."""
    provenance: str
    """Where the numbers come from; says so where they are reconstructed."""

    @property
    def digest(self) -> str:
        """12 hex digits over all numbers: win rates that were controlled with other data are other win rates."""
        arrays: list[npt.NDArray[Any] | None] = [self.difficulty]
        if (gamed := self.gamed) is not None:
            arrays += [gamed.delta, gamed.difficulty, gamed.preference, gamed.index]
        return hashlib.sha256(
            b"".join(np.ascontiguousarray(array).tobytes() for array in arrays if array is not None)
        ).hexdigest()[:12]


@dataclass(frozen=True)
class Fit:
    """A length-controlled win rate; shares, not percent."""

    formula: Formula
    lc: float
    se_predictions: float
    """The published standard error: of the mean of the predictions, parameters taken for known."""
    se: float
    """Standard error that includes the parameters' uncertainty at the chosen penalty."""
    weights: tuple[float, float, float]
    """Of tanh(delta), of the difficulty (0 where the formula has none) and of the constant."""
    predictions: Array
    """Preference at equal length, shape [rows]."""
    pseudo: Array
    """lc + influence of each row, shape [rows]: their mean is `lc` and their spread gives `se`."""
    rivals: tuple[float, float]
    """Lowest and highest lc over the grid values that cross-validation cannot tell from the chosen one."""


def fit_glm(rows: Rows, gamed: Rows | None, c: float | None = None) -> Fit:
    """Fit and predict at equal length. `c` fixes the inverse penalty instead of choosing it.

    Raises `DataError` if fewer than five rows have a preference and a length.
    """
    known = np.flatnonzero(~np.isnan(rows.preference) & ~np.isnan(rows.delta))
    if len(known) < FOLDS:
        raise DataError(f"a length-controlled win rate needs at least {FOLDS} annotated rows, found {len(known)}")
    scale = _spread(rows.delta)
    x, p, w = _training(rows, known, scale, gamed)
    if c is None:
        losses = _losses(x, p, w)
        chosen = int(losses.argmin())
        close = np.flatnonzero(losses - losses[chosen] <= NEAR_TIE)
        fitted = {int(i): _solver(x, p, w, float(GRID[i]), SEED) for i in {*close.tolist(), chosen}}
        beta = fitted[chosen]
        means = [float(_predict(rows, other).mean()) for other in fitted.values()]
        rivals = (min(means), max(means))
    else:
        beta = _solver(x, p, w, c, SEED)
        rivals = (float(_predict(rows, beta).mean()),) * 2
    predictions = _predict(rows, beta)
    pseudo = predictions + _parameter_influence(rows, known, gamed, scale, beta, predictions)
    return Fit(
        formula=_formula(rows, gamed),
        lc=float(predictions.mean()),
        se_predictions=clustered_se(predictions)[0],
        se=clustered_se(pseudo)[0],
        weights=(float(beta[0]), float(beta[1]) if rows.difficulty is not None else 0.0, float(beta[-1])),
        predictions=predictions,
        pseudo=pseudo,
        rivals=rivals,
    )


def extreme(win_rate: float, lc: float) -> bool:
    """The published warning, in percent: the control moved the rate by more than 10 points *and* a quarter."""
    low = min(win_rate - win_rate / 4.0, win_rate - 10.0)
    high = max(win_rate + (100.0 - win_rate) / 4.0, win_rate + 10.0)
    return not low <= lc <= high


def _solver(x: Array, p: Array, w: Array, c: float, state: object) -> Array:
    """Weights, shape [features], for soft labels `p` and inverse penalty `c`: every row twice, right and wrong.

    `state` seeds the order in which liblinear visits the features; where it stops depends on that.
    """
    linear_model = import_extra("sklearn.linear_model", "the length-controlled win rate", "judge")
    model = linear_model.LogisticRegression(
        solver="liblinear", C=c, fit_intercept=False, random_state=state, **_l1_arguments()
    )
    labels = np.repeat([1, 0], len(p))
    if not (p.any() and (1.0 - p).any()):  # liblinear takes rows of weight 0 out, and fits nothing to one class
        p = np.clip(p, _ALMOST, 1.0 - _ALMOST)
    with warnings.catch_warnings():
        # Published fits stop at liblinear's limit of steps too, and say so only in a log.
        warnings.simplefilter("ignore")
        model.fit(np.vstack([x, x]), labels, sample_weight=np.concatenate([p * w, (1.0 - p) * w]))
    return np.asarray(model.coef_[0], dtype=np.float64)


@cache
def _l1_arguments() -> Mapping[str, object]:
    """How this version of scikit-learn is told to use the L1 norm; the other way round it would silently use L2."""
    sklearn = import_extra("sklearn", "the length-controlled win rate", "judge")
    major, minor = (int(part) for part in str(sklearn.__version__).split(".")[:2])
    return {"l1_ratio": 1.0} if (major, minor) >= (1, 8) else {"penalty": "l1"}


def _sigmoid(z: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -z))


def _formula(rows: Rows, gamed: Rows | None) -> Formula:
    if rows.difficulty is None:
        return "length_controlled_minimal"
    return "length_controlled_noreg" if gamed is None else "length_controlled_v1"


def _spread(delta: Array) -> float:
    """Standard deviation of the length differences; 1 where all are equal, so that nothing is divided by zero."""
    spread = float(np.nanstd(delta, ddof=1))
    return spread if spread > 0.0 else 1.0


def _features(length: Array, difficulty: Array | None, constant: float) -> Array:
    columns = [length] if difficulty is None else [length, difficulty]
    return np.column_stack([*columns, np.full(len(length), constant)])


def _training(rows: Rows, known: Indices, scale: float, gamed: Rows | None) -> tuple[Array, Array, Array]:
    """Features, labels and weights: gamed rows first, as published, because the folds go by position."""
    difficulty = None if rows.difficulty is None else rows.difficulty[known]
    x = _features(np.tanh(rows.delta[known] / scale), difficulty, 1.0)
    p, w = rows.preference[known], np.ones(len(known))
    if gamed is None or rows.difficulty is None:
        return x, p, w
    x = np.vstack([_features(np.tanh(gamed.delta), gamed.difficulty, 0.0), x])
    p = np.concatenate([gamed.preference, p])
    return x, p, np.concatenate([np.full(len(gamed.preference), GAMED_WEIGHT), w])


def _losses(x: Array, p: Array, w: Array) -> Array:
    """Cross-validated loss of every grid value, shape [grid]: the mean over folds of the mean weighted log loss.

    The last row is in the first fold, the one before it in the second, and so on: how the published fits' library
    deals out groups of equal size.
    """
    folds = np.arange(len(p))[::-1] % FOLDS
    losses = np.zeros(len(GRID))
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        state = np.random.RandomState(SEED)  # one stream for all values of a fold, as in the published fits
        for i, c in enumerate(GRID):
            z = x[test] @ _solver(x[train], p[train], w[train], float(c), state)
            losses[i] += float((w[test] * (np.logaddexp(0.0, z) - p[test] * z)).mean()) / FOLDS
    return losses


def _predict(rows: Rows, beta: Array) -> Array:
    z = np.full(len(rows.delta), beta[-1])
    return _sigmoid(z if rows.difficulty is None else z + beta[1] * rows.difficulty)


def _parameter_influence(
    rows: Rows, known: Indices, gamed: Rows | None, scale: float, beta: Array, predictions: Array
) -> Array:
    """What each instruction does to lc through the fitted parameters, shape [rows], summing to 0.

    A parameter that the penalty holds at 0 stays there under small changes of the data, so it has no influence. An
    instruction brings its row, its gamed rows, and its share of sd(d).
    """
    n = len(rows.delta)
    active = np.flatnonzero(beta)
    if len(active) == 0:
        return np.zeros(n)
    x, p, w = _training(rows, known, scale, gamed)
    s = _sigmoid(x @ beta)
    scores = (w * (p - s))[:, None] * x
    per_row = np.zeros((n, x.shape[1]))
    per_row[known] = scores[len(scores) - len(known) :]
    if gamed is not None and rows.difficulty is not None:
        by_instruction = np.zeros((max(int(gamed.index.max()), int(rows.index.max())) + 1, x.shape[1]))
        np.add.at(by_instruction, gamed.index, scores[: len(gamed.index)])
        counts = np.bincount(rows.index, minlength=len(by_instruction))
        per_row += by_instruction[rows.index] / counts[rows.index][:, None]
    curvature = ((x.T * (w * s * (1.0 - s))) @ x)[np.ix_(active, active)]
    shifts = n * (per_row - per_row.mean(axis=0))[:, active]
    shifts += np.outer(_spread_influence(rows.delta), _score_of_spread(rows, known, scale, beta)[active])
    moved = np.linalg.lstsq(curvature, shifts.T, rcond=None)[0]
    test = _features(np.zeros(n), rows.difficulty, 1.0)
    slope = ((predictions * (1.0 - predictions))[:, None] * test).mean(axis=0)[active]
    return np.asarray(slope @ moved, dtype=np.float64)


def _spread_influence(delta: Array) -> Array:
    """Influence of each row on the standard deviation of the length differences, summing to 0."""
    squares = (delta - np.nanmean(delta)) ** 2
    variance = float(np.nanmean(squares))
    if variance <= 0.0:
        return np.zeros_like(delta)
    known = ~np.isnan(delta)
    influence: Array = np.where(known, (squares - variance) / (2.0 * math.sqrt(variance)), 0.0)
    return influence * (len(delta) / int(known.sum()))


def _score_of_spread(rows: Rows, known: Indices, scale: float, beta: Array) -> Array:
    """Derivative of the summed scores by the standard deviation of the length differences, shape [features]."""
    difficulty = None if rows.difficulty is None else rows.difficulty[known]
    length = np.tanh(rows.delta[known] / scale)
    x = _features(length, difficulty, 1.0)
    s = _sigmoid(x @ beta)
    slope = -(rows.delta[known] / scale**2) * (1.0 - length**2)
    result: Array = -(x.T @ (s * (1.0 - s) * beta[0] * slope))
    result[0] += float(slope @ (rows.preference[known] - s))
    return result
