"""A mean of judged values corrected for the judge's errors, which a labelled subset shows.

Prediction-powered inference takes the judged mean of everything and adds the mean error on the labelled part; it holds
whatever the judge is like, as long as the labelled part is a random sample. The weight of the judge (`weight`, 0 to 1)
is the one with the smallest variance, so that a bad judge costs nothing against the labels alone. Sources: Angelopoulos
et al. (arXiv 2301.09633; PPI++, arXiv 2311.01453).

Rogan and Gladen (Am. J. Epidemiol. 107, 1978) turn the judged rate of wins by what the judge says of true wins and of
true losses. Their ratio has no honest standard error where the two are close, so the interval is by inversion (Fieller,
1954; adjusted as Lang and Reiczigel, Prev. Vet. Med. 113, 2014): every rate that is not refuted, maybe all of 0 to 1.

Simulated coverage: `benchmarks/sim_judging.py`, the numbers in `docs/LOG.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.errors import DataError
from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import Array, clustered_se, wilson

FEWEST = 10
"""Labels below which nothing is corrected: an interval from fewer would be a guess."""
_GRID = 4001


@dataclass(frozen=True)
class Corrected:
    """A corrected mean with a 95 % interval that includes what the labels leave open about the judge."""

    value: float
    low: float
    high: float
    se: float
    """Of `value`; NaN for Rogan-Gladen, whose interval is no multiple of it."""
    weight: float = 1.0
    """How much of the judge went into it."""


def prediction_powered(judged: Array, labelled: Array, labels: Array) -> Corrected:
    """Corrected mean of values in [0, 1].

    `judged` (shape [others]): what the judge says of independent items without a label; `labelled` and `labels` (shape
    [labels]) what it says of those with one, and the labels. Raises `DataError` for fewer than `FEWEST` labels.
    """
    _enough(labels)
    n, others = len(labels), len(judged)
    if others == 0:
        weight = 0.0
    else:
        everything = np.concatenate((judged, labelled))
        spread = float(everything.var(ddof=1)) * (1.0 + n / others)
        shared = float(np.cov(labels, labelled)[0, 1])
        weight = min(1.0, max(0.0, shared / spread)) if spread > 0.0 else 0.0
    errors = labels - weight * labelled
    value = float(errors.mean()) + (weight * float(judged.mean()) if others else 0.0)
    # Half an error more in each direction: a judge that erred on no label has still not been shown to be right.
    centred = np.concatenate((errors - errors.mean(), [0.5, -0.5]))
    variance = float(centred @ centred) / (n * (n + 1))
    if others:
        variance += weight**2 * clustered_se(judged)[0] ** 2
    se, critical = math.sqrt(variance), t_quantile(n - 1)
    clipped = min(1.0, max(0.0, value))
    middle = min(max(clipped, 0.5 / n), 1.0 - 0.5 / n)
    low, high = wilson(middle, middle * (1.0 - middle) / variance, critical)
    return Corrected(clipped, min(low, clipped), max(high, clipped), se, weight)


def rogan_gladen(judged: Array, labelled: Array, labels: Array) -> Corrected | None:
    """Corrected rate of wins, from labels that are 1 (win), 0 (loss) or 1/2 (tie, which tells nothing of either).

    `judged`: what the judge says of all items; the rest as for `prediction_powered`. None where the labels have no win
    or no loss, or where the judge values losses as highly as wins.
    """
    _enough(labels)
    wins, losses = labelled[labels == 1.0], labelled[labels == 0.0]
    if len(wins) == 0 or len(losses) == 0 or float(wins.mean()) <= float(losses.mean()):
        return None
    of_win, of_loss, rate = float(wins.mean()), float(losses.mean()), float(judged.mean())
    value = min(1.0, max(0.0, (rate - of_loss) / (of_win - of_loss)))
    (win, win_variance), (loss, loss_variance) = _adjusted(wins), _adjusted(losses)
    spread = clustered_se(judged)[0] ** 2
    grid = np.linspace(0.0, 1.0, _GRID)
    gap = rate - grid * win - (1.0 - grid) * loss
    variance = spread + grid**2 * win_variance + (1.0 - grid) ** 2 * loss_variance
    critical = t_quantile(min(len(wins), len(losses)) + 1)
    held = grid[gap**2 <= critical**2 * variance]
    low, high = (float(held[0]), float(held[-1])) if len(held) else (value, value)
    return Corrected(value, min(low, value), max(high, value), math.nan)


def _adjusted(values: Array) -> tuple[float, float]:
    """Mean and its variance with one value more at either end, so that none is known for certain."""
    more = np.concatenate((values, [0.0, 1.0]))
    return float(more.mean()), float(more.var(ddof=1)) / len(more)


def _enough(labels: Sequence[float] | Array) -> None:
    if len(labels) < FEWEST:
        raise DataError(f"{len(labels)} labels: at least {FEWEST} are needed to say how often the judge errs")
