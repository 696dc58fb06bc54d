"""Logistic regression of votes, small and self-contained: Firth's penalised likelihood, clustered standard errors.

Why not a library: a judge that always follows the label separates the data, and plain maximum likelihood then runs off
to infinity and takes the length coefficient with it. Firth's penalty (Biometrika 80, 1993) keeps every coefficient
finite and removes the first-order bias, in ten lines.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import cluster_codes
from harness.types import Estimate

Array = npt.NDArray[np.float64]

_STEPS = 100
_STEP_MAX = 2.0
_CLOSE = 1e-8


def fit(x: Array, y: Array, weights: Array, clusters: list[str]) -> list[Estimate] | None:
    """Coefficients of P(y) = 1 / (1 + exp(-x b)), no intercept; x is [rows, features], y in [0, 1].

    Each is the change in log odds per unit of a feature, the others held fixed, over as many clusters. Standard errors
    are the cluster-robust sandwich. None if the features are collinear, if there are fewer than two clusters more than
    features, or if the fit does not settle.
    """
    features = x.shape[1]
    codes, count = cluster_codes(clusters)
    if count < features + 2 or np.linalg.matrix_rank(x) < features:
        return None
    beta = np.zeros(features)
    for _ in range(_STEPS):
        p, information = _state(x, weights, beta)
        inverse = np.linalg.inv(information)
        w = weights * p * (1 - p)
        leverage = w * np.einsum("ij,jk,ik->i", x, inverse, x)
        score = x.T @ (weights * (y - p) + leverage * (0.5 - p))
        step = inverse @ score
        size = float(np.abs(step).max())
        beta = beta + step * min(1.0, _STEP_MAX / size if size > 0 else 1.0)
        if size < _CLOSE:
            break
    else:
        return None
    p, information = _state(x, weights, beta)
    inverse = np.linalg.inv(information)
    grouped = np.zeros((count, features))
    np.add.at(grouped, codes, x * (weights * (y - p))[:, None])
    variance = inverse @ (grouped.T @ grouped) @ inverse * count / (count - features)
    critical = t_quantile(count - features)
    return [
        Estimate(float(b), float(b - critical * se), float(b + critical * se), float(se), count, len(x))
        for b, se in zip(beta, np.sqrt(np.clip(np.diag(variance), 0.0, None)), strict=True)
    ]


def _state(x: Array, weights: Array, beta: Array) -> tuple[Array, Array]:
    """Probabilities and the information matrix at `beta`."""
    p = 1.0 / (1.0 + np.exp(-np.clip(x @ beta, -30.0, 30.0)))
    return p, x.T @ (x * (weights * p * (1 - p))[:, None])
