"""Correlations of weighted pairs, so that resampled clusters are weights: Pearson, Spearman and Kendall's tau-b.

A pair of weight 2 counts as two equal pairs. (Many short rows at once: `harness.stats.ranks`.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from harness.stats.resampling import ratio
from harness.stats.standard_errors import Array


def pearson(x: Array, y: Array, weights: Array) -> float:
    """NaN where one side has no two different values."""
    total = weights.sum()
    if total <= 0:
        return math.nan
    a, b = x - weights @ x / total, y - weights @ y / total
    spread = float(weights @ a**2) * float(weights @ b**2)
    return ratio(float(weights @ (a * b)), math.sqrt(spread)) if spread > 1e-18 * float(total) ** 2 else math.nan


def spearman(x: Array, y: Array, weights: Array) -> float:
    """Pearson's of mean ranks."""
    return pearson(_ranks(x, weights), _ranks(y, weights), weights)


def kendall(x: Array, y: Array, weights: Array) -> float:
    """Tau-b, from the table of both sides' different values."""
    rows, columns = (np.unique(one, return_inverse=True)[1].reshape(-1) for one in (x, y))
    table = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1))
    np.add.at(table, (rows, columns), weights)
    below = np.zeros_like(table)
    below[1:, 1:] = table.cumsum(0).cumsum(1)[:-1, :-1]
    upper = np.zeros_like(table)
    upper[1:, :-1] = table.cumsum(0)[:, ::-1].cumsum(1)[:, ::-1][:-1, 1:]
    total = table.sum()
    untied = [(total**2 - float((table.sum(axis) ** 2).sum())) / 2 for axis in (0, 1)]
    return ratio(float((table * (below - upper)).sum()), math.sqrt(max(untied[0] * untied[1], 0.0)))


def calibrated_accuracy(x: Array, y: Array) -> float:
    """Share of pairs that x orders as y does, with the margin below which x calls a tie that fits best (acc-eq with
    tie calibration, Deutsch et al. 2023). `x` and `y` are differences of pairs; NaN for none.
    """
    if not len(x):
        return math.nan
    size = np.abs(x)
    order = np.argsort(size, kind="stable")
    tie = (y[order] == 0).astype(float)
    same = ((np.sign(x) == np.sign(y)) & (y != 0))[order].astype(float)
    ends: npt.NDArray[np.intp] = np.flatnonzero(np.r_[size[order][1:] > size[order][:-1], True])
    tied = np.r_[0.0, tie.cumsum()[ends]]
    rest = same.sum() - np.r_[0.0, same.cumsum()[ends]]
    return float((tied + rest).max() / len(x))


def _ranks(values: Array, weights: Array) -> Array:
    """Mean ranks of weighted values, up to a shift."""
    _, places = np.unique(values, return_inverse=True)
    places = places.reshape(-1)
    counts = np.bincount(places, weights)
    found: Array = (counts.cumsum() - counts / 2)[places]
    return found
