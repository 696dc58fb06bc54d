"""Rank correlations of many short rows at once: Spearman's rho with mean ranks for ties, and Kendall's tau-b.

Both follow from the signs of all pairs of a row: a rank less the mean rank is half the sum of a value's signs, and
tau-b is the cosine of the two sets of signs (Kendall, "The treatment of ties in ranking problems", 1945).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.stats.standard_errors import Array

_CELLS = 4_000_000
"""Signs held at once."""


def rank_correlations(x: Array, y: Array, known: npt.NDArray[np.bool_] | None = None) -> tuple[Array, Array]:
    """Spearman's rho and Kendall's tau-b of each row of two tables of the shape [rows, values].

    `known` (same shape) says which values count. NaN for a row in which one side has no two different values.
    """
    valid = np.ones(x.shape, dtype=np.bool_) if known is None else known
    rows, width = x.shape
    part = max(1, _CELLS // max(1, width * width))
    rho, tau = np.full(rows, np.nan), np.full(rows, np.nan)
    for start in range(0, rows, part):
        chosen = slice(start, start + part)
        both = valid[chosen, :, None] & valid[chosen, None, :]
        signs = [_signs(one[chosen]) * both for one in (x, y)]
        sums = [one.sum(axis=2) for one in signs]
        rho[chosen] = _cosine(*sums)
        tau[chosen] = _cosine(*(one.reshape(len(one), -1) for one in signs))
    return rho, tau


def _signs(values: Array) -> npt.NDArray[np.float32]:
    """[rows, values, values]: 1 where the first is above the second, -1 below; sums of them are exact."""
    above = (values[:, :, None] > values[:, None, :]).astype(np.float32)
    found: npt.NDArray[np.float32] = above - above.transpose(0, 2, 1)
    return found


def _cosine(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> Array:
    squares = [np.einsum("ij,ij->i", a, b).astype(np.float64) for a, b in ((x, x), (y, y), (x, y))]
    lengths = np.sqrt(squares[0] * squares[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(lengths > 0, squares[2] / lengths, np.nan)
    return found
