"""MixCE: forward and reversed cross-entropy mixed (Zhang et al. 2023, ACL; as in the EMO repository).

The reversed part, a cross-entropy of the student's own distribution under the data, is approximated by weighting each
token's likelihood with the probability the student already gives it: tokens the student holds unlikely count less.

    loss_t = (r + (1 - r) * sg[q_t]) * nll_t,   q_t = exp(-nll_t)

It needs the reference tokens' log-probabilities only, so any way of computing those will do.
Shapes: B sequences, T positions.
"""

from __future__ import annotations

from torch import Tensor

from backends.losses.nll import weighted_nll
from backends.losses.reduction import Reduction
from harness.errors import ConfigError


def mixce(
    logps_BT: Tensor,
    mask_BT: Tensor,
    *,
    ratio: float = 0.5,
    reduction: Reduction = "token",
    num_items: int | Tensor | None = None,
) -> Tensor:
    """MixCE of token log-probabilities (nats, `backends.losses.nll.token_logps`) where the mask is true: a scalar.

    `ratio` r in [0, 1]: 1 is plain maximum likelihood, 0 the self-weighted half alone. Raises `ConfigError` for a ratio
    outside that range, and what `reduce_tokens` raises.
    """
    return weighted_nll(logps_BT, mask_BT, mixce_weights(logps_BT, ratio), reduction=reduction, num_items=num_items)


def mixce_weights(logps_BT: Tensor, ratio: float) -> Tensor:
    """Weight `r + (1 - r) q` of each token's likelihood, without gradient: B x T in [r, 1]."""
    if not 0.0 <= ratio <= 1.0:
        raise ConfigError(f"MixCE's ratio is between 0 and 1, got {ratio!r}")
    return ratio + (1.0 - ratio) * logps_BT.detach().exp()
