"""One-sided bounds of a mean of bounded values that stay honest when few values, or none, differ.

Gaffke's bound: give the units seen random Dirichlet(1, ..., 1) weights, together with one unit more that has the worst
value there can be; the alpha quantile of the weighted mean is a lower bound of the true mean. For right-or-wrong values
it is Clopper and Pearson's exact bound; no difference among N problems gives -(1 - alpha^(1/N)), the "rule of three".
No variance is estimated, so nothing collapses at the boundary. Sources: Gaffke (2005, Univ. Magdeburg, "Three test
statistics for a nonparametric one-sided hypothesis on the mean of a nonnegative variable"); Learned-Miller and Thomas
(arXiv 1905.06208); Phan, Thomas and Learned-Miller (arXiv 2106.03163). That it always holds is a conjecture there with
strong numerical support; `benchmarks/sim_gate.py` checks it for differences of two runs.

The quantile is computed, not drawn: the same data always give the same bound.
"""

from __future__ import annotations

import math

import numpy as np

from harness.stats.standard_errors import Array

_STEP = 0.05  # of log u, at most; halving it changes no p value by more than 1e-8
_CHUNK = 2_000_000  # terms held in memory at once
_TOLERANCE = 1e-7  # of a bound, relative to the range of the values


def shortfall_p(sums: Array, sizes: Array, at: float, worst: float) -> float:
    """One-sided p value of "the mean is at most `at`"; small values show that it is higher.

    `sums` and `sizes` (shape [units], at least one): total and number of problems of each independent unit (a problem,
    or a cluster of them); the mean is that of problems, sum(sums) / sum(sizes). `worst` is the lowest value that a
    problem can have.
    """
    gaps, counts = _gaps(*_with_worst(sums, sizes, worst), at)
    return _below_zero(gaps, counts)


def lower_bound(sums: Array, sizes: Array, worst: float, alpha: float) -> float:
    """Lower bound of the mean at one-sided level `alpha`: the largest `at` with `shortfall_p` at most alpha.

    Arguments as for `shortfall_p`. For an upper bound, negate the sums, `worst` and the result.
    """
    all_sums, all_sizes = _with_worst(sums, sizes, worst)
    means = all_sums / all_sizes
    low, high = float(means.min()), float(means.max())
    tolerance = _TOLERANCE * (high - low)
    while high - low > tolerance:
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if _below_zero(*_gaps(all_sums, all_sizes, middle)) <= alpha:
            low = middle
        else:
            high = middle
    return low


def _with_worst(sums: Array, sizes: Array, worst: float) -> tuple[Array, Array]:
    """The units and the unseen one: the cluster that a problem drawn at random would be in, all at its worst."""
    size = float(sizes @ sizes) / float(sizes.sum())
    worst = min(worst, float((sums / sizes).min()))
    return np.append(sums, worst * size), np.append(sizes, size)


def _gaps(sums: Array, sizes: Array, at: float) -> tuple[Array, Array]:
    """Each distinct total above `at` and how many units have it: equal units are one gamma variable."""
    values, counts = np.unique(np.round(sums - at * sizes, 12), return_counts=True)
    return values, counts.astype(np.float64)


def _below_zero(gaps: Array, shapes: Array) -> float:
    """P(sum of gaps_j G_j <= 0) for independent G_j ~ Gamma(shapes_j, 1), shape of both [values].

    A Dirichlet-weighted mean is at most t exactly if this sum is, for gaps x_j - t. Computed by inverting the
    characteristic function (Gil-Pelaez 1951; Imhof 1961), by the trapezoidal rule in log u, where the integrand is
    analytic and falls off exponentially at both ends.
    """
    if gaps[-1] <= 0.0:
        return 1.0
    if gaps[0] >= 0.0:
        return 0.0
    scale = math.sqrt(float(shapes @ gaps**2))
    gaps = gaps / scale
    # Far from the mean the integrand turns around often: about once for each standard deviation of distance.
    step = min(_STEP, 1.0 / (1.0 + abs(float(shapes @ gaps))))
    top = 1.0
    while float(shapes @ np.log1p((gaps * top) ** 2)) < 70.0 and top < 1e30:
        top *= 2.0
    u = np.exp(np.arange(math.log(1e-11), math.log(top), step))
    total = 0.0
    rows = max(1, _CHUNK // len(gaps))
    for start in range(0, len(u), rows):
        products = u[start : start + rows, None] * gaps
        angle = np.arctan(products) @ shapes
        damping = 0.5 * (np.log1p(products**2) @ shapes)
        total += float((np.sin(angle) * np.exp(-damping)).sum())
    return min(1.0, max(0.0, 0.5 - step * total / math.pi))
