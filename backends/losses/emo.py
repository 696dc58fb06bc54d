"""EMO: earth mover's distance optimisation (Ren et al. 2024, ICLR, arXiv 2310.04691).

Beside the likelihood of the reference token `y`, the loss asks how far the student's distribution `q` lies from it in
embedding space. With cost `c(u, v) = 1 - cos(e_u, e_v)` over the output layer's rows, all of `q` must travel to `y`, so
the exact distance is the expected cost `d = sum_v q(v) c(v, y)`: 0 when `q` is certain of `y`, at most 2.

- "plain": the term is `d` (the authors' GPT-2 code).
- "detach_gold": the reference token's own mass is subtracted without a gradient, `q - sg[q onehot(y)]` (their patch
  for LLaMA and OPT, used for instruction tuning). The term is then `d + sg[q(y)]`: its *value*, which sets the dynamic
  weight below, is near 1 where `d` is near 0, but its gradient is that of "plain". (Moving "only the other tokens'
  mass", as this variant is at times described, would need the reference token masked out of `q`.)

Both dynamic combinations with the likelihood leave the value as it is and balance the gradients per token:

- mode 1: `(sg[nll / term] * term + nll) / 2`, of value nll;
- mode 2: `sg[term / nll] * nll + term`, of value 2 * term.

Shapes: B sequences, T positions, V vocabulary entries, D embedding size. Position t predicts `labels_BT[:, t]`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from backends.losses.embeddings import cosine_to
from backends.losses.positions import Logits, check_labels, label_nll, over_positions, vocabulary_size
from backends.losses.reduction import Reduction, check_shape, reduce_tokens
from harness.errors import ConfigError, DataError

EmoVariant = Literal["plain", "detach_gold"]
EmoMode = Literal[1, 2]

_EPSILON = 1e-10
"""The authors' guard of both quotients."""


class EmoLoss(NamedTuple):
    """The loss and, for the log, its two parts under the same reduction; only `loss` has a gradient."""

    loss: Tensor
    nll: Tensor
    """Negative log-likelihood, nats per token."""
    distance: Tensor
    """Expected cost `d` between the prediction and the reference token, in [0, 2], whatever the variant."""


def emo(
    logits: Logits,
    labels_BT: Tensor,
    mask_BT: Tensor,
    cost_VD: Tensor,
    *,
    variant: EmoVariant = "detach_gold",
    mode: EmoMode = 1,
    reduction: Reduction = "token",
    num_items: int | Tensor | None = None,
    chunk: int | None = None,
) -> EmoLoss:
    """EMO loss of the positions where `mask_BT` is true, reduced as `reduce_tokens` says.

    `cost_VD`: the embeddings that measure cost, never trained by this loss. Give the output layer's current matrix for
    the "adaptive" cost (the default) or a copy from before training for the "fixed" one. Its rows are
    normalised here. `chunk`: positions at a time; memory is a few times chunk x V float32 numbers.

    Raises `DataError` for labels outside the vocabulary or a cost matrix of another size, `ConfigError` for an unknown
    variant or mode, and what `reduce_tokens` raises.
    """
    check_shape("the mask", mask_BT, like=labels_BT)
    if variant not in get_args(EmoVariant):
        raise ConfigError(f"unknown EMO variant {variant!r}; choose one of {', '.join(get_args(EmoVariant))}")
    if mode not in get_args(EmoMode):
        raise ConfigError(f"unknown EMO mode {mode!r}; choose 1 (likelihood emphasised) or 2")
    nll_BT, distance_BT = emo_parts(logits, labels_BT, mask_BT, cost_VD, chunk=chunk)
    term_BT = distance_BT
    if variant == "detach_gold":
        term_BT = distance_BT + torch.exp(-nll_BT).detach()
    loss_BT = _combined(nll_BT, term_BT, mode)
    loss, nll, distance = (
        reduce_tokens(values_BT, mask_BT, reduction=reduction, num_items=num_items)
        for values_BT in (loss_BT, nll_BT.detach(), distance_BT.detach())
    )
    return EmoLoss(loss, nll, distance)


def _combined(nll_BT: Tensor, term_BT: Tensor, mode: EmoMode) -> Tensor:
    if mode == 1:
        return 0.5 * ((nll_BT / (term_BT + _EPSILON)).detach() * term_BT + nll_BT)
    return (term_BT / (nll_BT + _EPSILON)).detach() * nll_BT + term_BT


def emo_parts(
    logits: Logits, labels_BT: Tensor, mask_BT: Tensor, cost_VD: Tensor, *, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood (nats) and expected cost `d` where `mask_BT` is true, 0 elsewhere: B x T each.

    Both with gradients. Arguments and errors as in `emo`.
    """
    size = vocabulary_size(logits)
    check_labels(labels_BT, mask_BT, size)
    if cost_VD.shape[0] != size:
        raise DataError(f"the cost matrix has {cost_VD.shape[0]} rows, but the scores are over {size} tokens")

    def chunk_parts(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor, Tensor]:
        label_n = labels_BT[b_n, t_n]
        # The label's own cost is exactly 0, so a certain prediction has distance 0 and not a rounding error, by which
        # mode 1 would divide.
        away_nV = 1.0 - cosine_to(label_n, cost_VD).to(scores_nV.dtype)
        return label_nll(scores_nV, label_n), (scores_nV.softmax(-1) * away_nV).sum(-1)

    nll_BT, distance_BT = over_positions(chunk_parts, logits, mask_BT, chunk=chunk)
    return nll_BT, distance_BT
