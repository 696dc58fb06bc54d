"""MixCE: forward and reversed cross-entropy mixed (Zhang et al. 2023, ACL; as in the EMO repository).

The reversed part, a cross-entropy of the student's own distribution under the data, is approximated by weighting each
token's likelihood with the probability the student already gives it: tokens the student holds unlikely count less.

    loss_t = (r + (1 - r) * sg[q_t]) * nll_t,   q_t = exp(-nll_t)

It needs the reference tokens' log-probabilities only, so any way of computing those will do.
Shapes: B sequences, T positions.
"""

from __future__ import annotations

from torch import Tensor

from harness.errors import ConfigError


def mixce_weights(logps_BT: Tensor, ratio: float) -> Tensor:
    """Weight `r + (1 - r) q` of each token's likelihood, without gradient: B x T in [r, 1].

    `ratio` r in [0, 1]: 1 is plain maximum likelihood, 0 the self-weighted half alone; else `ConfigError`.
    """
    if not 0.0 <= ratio <= 1.0:
        raise ConfigError(f"MixCE's ratio is between 0 and 1, got {ratio!r}")
    return ratio + (1.0 - ratio) * logps_BT.detach().exp()
