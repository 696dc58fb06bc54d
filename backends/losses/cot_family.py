"""Std-CoT, MT-CoT, step-by-step, SCOTT, CasCoD: one record seen in one or two views, each with its own token mean.

All are the weighted NLL with weights that this module makes. A *view* is a way to present a record as a row of its own:
what the row is given as context, and what it learns. With α a method's setting and NLL_v the token mean over all learnt
tokens of view v (so that a short answer is not drowned by a long rationale),

    L = Σ_v share_v(α) · NLL_v,      shares α and 1 − α

    std_cot       rationale and answer, one view: SFT
    mt_cot        answer (α); rationale and answer (1 − α)
    step_by_step  answer (α); rationale (1 − α)                   Hsieh et al. 2023, arXiv 2305.02301
    scott         answer given a counterfactual rationale (α); rationale and answer (1 − α)    arXiv 2305.01879
    cascod        answer given the rationale (α); rationale (1 − α)                            arXiv 2405.19842

The end of sequence is learnt in every view. Which rows a method's views are is its module's (`backends.methods`).

    weights_BT = view_weights(mask_BT, view_B, tokens_V, shares({"rationale": "rest", "answer": "alpha"}, 0.1))
    weighted_nll(logps_BT, mask_BT, weights_BT, reduction="sum")

Shapes: B rows, T positions, V views.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError

Share = Literal["alpha", "rest"]
"""Whether a view's token mean is weighted with α or with 1 − α."""
Views: TypeAlias = Mapping[str, Share]
"""A method's views by name, in the order of their numbers."""


def shares(views: Views, alpha: float) -> tuple[float, ...]:
    """The weight of each view's token mean. Raises ConfigError for α outside [0, 1]."""
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha must be from 0 to 1, not {alpha!r}")
    return tuple(alpha if share == "alpha" else 1 - alpha for share in views.values())


def view_tokens(mask_BT: Tensor, view_B: Tensor, views: int) -> Tensor:
    """Learnt tokens of each view in this batch, (V,) int64; add them up over an optimiser step for `view_weights`.

    Raises ConfigError for shapes that differ and DataError for a view number outside 0 … `views` − 1.
    """
    check_shape("the rows' views", view_B, like=mask_BT[:, 0])
    if view_B.numel() and not (int(view_B.min()) >= 0 and int(view_B.max()) < views):
        raise DataError(f"view {view_B.tolist()} of a method with {views} views")
    empty_V = torch.zeros(views, dtype=torch.int64, device=mask_BT.device)
    return empty_V.index_add(0, view_B.long(), mask_BT.bool().sum(1))


def view_weights(mask_BT: Tensor, view_B: Tensor, tokens_V: Tensor, shares: Sequence[float]) -> Tensor:
    """Token weights (B, T), float32, whose weighted *sum* of NLLs is the loss: share_v / tokens_v on learnt tokens.

    `mask_BT` marks each row's learnt tokens, `view_B` its view's number, `tokens_V` the learnt tokens of each view in
    the whole optimiser step, so that accumulation steps add up to one batch. Where a step has no row of a view, the
    others' shares grow to sum to 1: SCOTT without counterfactual data is Std-CoT.

    Raises as `view_tokens` does, and DataError if nothing is learnt or a row's view is said to have no tokens.
    """
    shares_V = torch.tensor(shares, dtype=torch.float64, device=mask_BT.device)
    check_shape("the tokens of the views", tokens_V, like=shares_V)
    here_V = view_tokens(mask_BT, view_B, len(shares))
    if bool((here_V > tokens_V).any()):
        raise DataError(f"this batch has {here_V.tolist()} tokens by view, the whole step only {tokens_V.tolist()}")
    present_V = torch.where(tokens_V > 0, shares_V, 0.0)
    if not float(present_V.sum()) > 0:
        raise DataError("no token of this optimiser step counts: views with a share above 0 have no row")
    weight_V = present_V / present_V.sum() / tokens_V.clamp(min=1)
    return mask_BT.bool() * weight_V[view_B.long()].float()[:, None]
