"""Key-Reasoning-Step Learning (KRSL): learn the steps of a right chain at which its wrong twin went astray.

EDIT, arXiv 2405.19737, in the form of the authors' code: for n dual pairs of a right response y⁺ and a wrong one y⁻,

    L = 1/n Σ_pairs [ α Σ_{key t of y⁺} ℓ⁺_t / |y⁺|  −  β Σ_{key t of y⁻} ℓ⁻_t / |y⁻| ]

with ℓ the token's negative log-likelihood in nats, keys from `backends.losses.edit.key_tokens`, and |·| counting *all*
response tokens. α = 1 and β = 0.025 are the paper's. It is `weighted_nll` with signed weights: rows of right and wrong
responses may be mixed in any order and over any number of batches.

The wrong term has no lower bound. The authors' scripts take single tokens of wrong responses out once their NLL has
reached 20 (`drop_above`); without that, training should stop once `rejected_key_nll` exceeds `NLL_GUARD`.

Shapes: B rows, each one response of a pair; T positions, aligned as in `backends.losses.nll`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from backends.losses.nll import weighted_nll
from backends.losses.reduction import check_shape, row_sums
from harness.errors import ConfigError, DataError

NLL_GUARD = 20.0
"""Nats. A mean NLL of the wrong responses' key tokens above it means that they are unlearned, and more is damage."""


class KrslLoss(NamedTuple):
    """The loss and what to log about it."""

    loss: Tensor
    """Scalar, differentiable: `chosen` + `rejected`."""
    chosen: Tensor
    """Scalar, detached: the part of the right responses, at least 0."""
    rejected: Tensor
    """Scalar, detached: the part of the wrong responses, at most 0."""
    rejected_keys: int
    """Key tokens of this batch's wrong responses."""
    rejected_key_nll: float | None
    """Their mean NLL in nats; None if there are none."""


def krsl_weights(
    key_BT: Tensor,
    mask_BT: Tensor,
    chosen_B: Tensor,
    *,
    alpha: float = 1.0,
    beta: float = 0.025,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Signed token weights (B, T): α/|y⁺| on key tokens of right rows, −β/|y⁻| on those of wrong rows, 0 elsewhere.

    Bool: `key_BT` flags the key tokens, `mask_BT` all response tokens, `chosen_B` the rows with a right response.
    Raises ConfigError for a negative α or β (β is subtracted here; the authors' code adds −0.025) and for shapes that
    differ, DataError for a row without response tokens and for a key outside the response.
    """
    if alpha < 0 or beta < 0:
        raise ConfigError(f"alpha and beta of KRSL must be 0 or more, not {alpha!r} and {beta!r}: beta is subtracted")
    check_shape("the key tokens", key_BT, like=mask_BT)
    check_shape("the rows' sides", chosen_B, like=mask_BT[:, 0])
    length_B = mask_BT.sum(-1)
    if bool((length_B == 0).any()):
        raise DataError("a response of a dual pair has no tokens; drop the pair before training")
    if bool((key_BT & ~mask_BT).any()):
        raise DataError("a key token lies outside its response: keys and labels are not shifted alike")
    side_B = torch.full(chosen_B.shape, -beta, dtype=dtype, device=chosen_B.device).masked_fill(chosen_B, alpha)
    return key_BT * (side_B / length_B)[:, None]


def krsl_loss(
    logps_BT: Tensor,
    key_BT: Tensor,
    mask_BT: Tensor,
    chosen_B: Tensor,
    *,
    pairs: int,
    alpha: float = 1.0,
    beta: float = 0.025,
    drop_above: float | None = None,
) -> KrslLoss:
    """The KRSL loss of a batch of right and wrong rows.

    `logps_BT`: log-probability of each label; the others as for `krsl_weights`. `pairs` is n: the pairs of the whole
    optimiser step, so that the losses of its accumulation steps and processes add up to that of one batch. `drop_above`
    gives tokens of wrong responses with at least that NLL weight 0. Identical twins have no key: loss and gradient are
    exactly 0. Raises as `krsl_weights` does, and DataError for fewer than one pair.
    """
    if pairs < 1:
        raise DataError(f"a KRSL step needs at least one dual pair, not {pairs}")
    weights_BT = krsl_weights(key_BT, mask_BT, chosen_B, alpha=alpha, beta=beta, dtype=logps_BT.dtype)
    wrong_key_BT = key_BT & ~chosen_B[:, None]
    if drop_above is not None:
        weights_BT = weights_BT.masked_fill(wrong_key_BT & (-logps_BT.detach() >= drop_above), 0.0)
    loss = weighted_nll(logps_BT, key_BT, weights_BT, reduction="global", num_items=pairs)
    parts_B = row_sums(-logps_BT.detach() * weights_BT, key_BT) / pairs
    wrong_nll = -logps_BT.detach()[wrong_key_BT]
    return KrslLoss(
        loss=loss,
        chosen=parts_B[chosen_B].sum(),
        rejected=parts_B[~chosen_B].sum(),
        rejected_keys=len(wrong_nll),
        rejected_key_nll=float(wrong_nll.mean()) if len(wrong_nll) else None,
    )
