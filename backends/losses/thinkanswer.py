"""ThinkAnswer loss (EMNLP 2025 Findings 177).

The answer is learned token by token; the reasoning before it only has to mean the same as the teacher's:

    L = alpha * L_MIM + (1 - alpha) * L_CE            (Eq. 3.2; per sequence, then the mean)
    L_MIM = (1 - cos(f(T), f(R))) / 2                 (Eq. 3.4)

The paper leaves open how `f` of the student's reasoning is differentiable and what alpha's schedule is, and published
no code. Our reading: the teacher's response is fed to the student once, no sampling; every position of the
reasoning gives a next-token distribution, `f(T)` is the mean of the expected input embeddings under them, `f(R)` that
of the reference tokens; embeddings are detached (else the loss falls by collapsing them) and centred (raw means all
point the same way). As a mean of expectations is the expectation under the mean distribution, the embeddings are
multiplied with one distribution per sequence and not with one per token, which makes the term nearly free.

A mean knows no order: L_MIM = 0 does not make the reasoning readable. The loss therefore always reports the reasoning's
own cross-entropy, and `cot_ce_weight` can add some of it (0 is the paper's, 0.1 the stabilised variant).

alpha is a schedule (`backends.schedules`): "dynamically adjusted" in the paper, here by default the ratio at which both
terms weigh the same (`BalancedRatio`, fed with `answer_ce` and `mim`).

Shapes: B sequences, T positions, V vocabulary entries, D embedding size. Position t predicts `labels_BT[:, t]`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from backends.losses.embeddings import cosine_gap, expected_embeddings, straight_through
from backends.losses.positions import Logits, check_labels, label_nll, over_positions, vocabulary_size
from backends.losses.reduction import check_shape, row_means
from harness.errors import ConfigError, DataError

MimMode = Literal["soft_mean", "soft_pos", "sample_st"]


class ThinkAnswerLoss(NamedTuple):
    """The loss and its components, all divided by the same number of sequences; only `loss` has a gradient.

    Summed over the micro-batches of an optimiser step (with `num_sequences` given), each is the step's own value.
    """

    loss: Tensor
    mim: Tensor
    """L_MIM, in [0, 1]."""
    answer_ce: Tensor
    """L_CE: mean cross-entropy of the answer's tokens, nats."""
    think_ce: Tensor
    """Mean cross-entropy of the reasoning's tokens, nats; its exponential is the perplexity to watch."""


def think_answer(
    logits: Logits,
    labels_BT: Tensor,
    think_BT: Tensor,
    answer_BT: Tensor,
    embedding_VD: Tensor,
    *,
    alpha: float,
    center_D: Tensor | None,
    mim_mode: MimMode = "soft_mean",
    cot_ce_weight: float = 0.0,
    uniform_BT: Tensor | None = None,
    num_sequences: int | None = None,
    chunk: int | None = None,
) -> ThinkAnswerLoss:
    """ThinkAnswer loss of a batch of teacher responses.

    `think_BT`, `answer_BT`: true where the predicted token belongs to the reasoning, or to the closing tag, the answer
    and the end token. `embedding_VD`: the student's *input* embeddings. `center_D`: `mean_embedding` of them (the
    default), None not to centre. `num_sequences`: sequences of the whole optimiser step (None: B), so
    that accumulated micro-batches equal one batch.

    `mim_mode` "soft_mean" compares the mean embeddings; "soft_pos" takes the mean over positions of each position's own
    gap to its reference token, which knows order; "sample_st" is "soft_mean" with one token drawn per position, its
    gradient passed straight through to the distribution: it alone needs `uniform_BT`, random numbers in [0, 1).

    Raises `DataError` for a sequence without reasoning or without an answer, for labels outside the vocabulary and for
    embeddings of another one; `ConfigError` for options outside their range.
    """
    _check(labels_BT, think_BT, answer_BT, uniform_BT, alpha, cot_ce_weight, mim_mode)
    check_labels(labels_BT, think_BT.bool() | answer_BT.bool(), vocabulary_size(logits))
    span = _Span(labels_BT, think_BT.bool(), answer_BT.bool(), embedding_VD.detach(), center_D, uniform_BT)
    nll_BT, mim_B = _by_position(logits, span, chunk) if mim_mode == "soft_pos" else _by_mean(logits, span, chunk)
    answer_B, think_B = row_means(nll_BT, answer_BT), row_means(nll_BT, think_BT)
    loss_B = alpha * mim_B + (1.0 - alpha) * answer_B
    if cot_ce_weight > 0:
        loss_B = loss_B + cot_ce_weight * think_B
    count = labels_BT.shape[0] if num_sequences is None else num_sequences
    parts = (x.detach().sum() / count for x in (mim_B, answer_B, think_B))
    return ThinkAnswerLoss(loss_B.sum() / count, *parts)


@dataclass(frozen=True)
class _Span:
    """What the reasoning is compared by."""

    labels_BT: Tensor
    think_BT: Tensor
    answer_BT: Tensor
    embedding_VD: Tensor
    center_D: Tensor | None
    uniform_BT: Tensor | None

    def embed(self, probability_NV: Tensor) -> Tensor:
        """Expected embeddings, centred: N x D."""
        expected_ND = expected_embeddings(probability_NV, self.embedding_VD)
        return expected_ND if self.center_D is None else expected_ND - self.center_D.to(expected_ND.dtype)


def _by_mean(logits: Logits, span: _Span, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Cross-entropies B x T and the gap of mean embeddings B ("soft_mean", "sample_st")."""
    row_B1 = torch.arange(span.labels_BT.shape[0], device=span.labels_BT.device)[:, None]

    def chunk_parts(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor, Tensor]:
        keep = span.think_BT[b_n, t_n].nonzero()[:, 0]
        probability_kV = scores_nV[keep].softmax(-1)
        if span.uniform_BT is not None:
            probability_kV = straight_through(probability_kV, span.uniform_BT[b_n, t_n][keep])
        member_Bk = (b_n[keep] == row_B1).to(scores_nV.dtype)
        return label_nll(scores_nV, span.labels_BT[b_n, t_n]), member_Bk @ probability_kV

    nll_BT, total_BV = over_positions(chunk_parts, logits, span.think_BT | span.answer_BT, sums=1, chunk=chunk)
    length_B1 = span.think_BT.sum(1, keepdim=True).to(total_BV.dtype)
    # The reference goes the same way, as the distribution of its tokens: a certain student then has gap 0 exactly.
    reference_BV = torch.zeros_like(total_BV)
    reference_BV.scatter_add_(1, span.labels_BT * span.think_BT, span.think_BT.to(total_BV.dtype))
    return nll_BT, cosine_gap(span.embed(total_BV / length_B1), span.embed(reference_BV / length_B1))


def _by_position(logits: Logits, span: _Span, chunk: int | None) -> tuple[Tensor, Tensor]:
    """Cross-entropies B x T and the mean over positions of the gap to the reference token B ("soft_pos")."""

    def chunk_parts(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor, Tensor]:
        label_n = span.labels_BT[b_n, t_n]
        keep = span.think_BT[b_n, t_n].nonzero()[:, 0]
        probability_kV = scores_nV[keep].softmax(-1)
        reference_kD = span.embedding_VD[label_n[keep]].to(scores_nV.dtype)
        if span.center_D is not None:
            reference_kD = reference_kD - span.center_D.to(scores_nV.dtype)
        gap_k = cosine_gap(span.embed(probability_kV), reference_kD)
        return label_nll(scores_nV, label_n), gap_k.new_zeros(label_n.shape).index_put((keep,), gap_k)

    nll_BT, gap_BT = over_positions(chunk_parts, logits, span.think_BT | span.answer_BT, chunk=chunk)
    return nll_BT, row_means(gap_BT, span.think_BT)


def _check(
    labels_BT: Tensor,
    think_BT: Tensor,
    answer_BT: Tensor,
    uniform_BT: Tensor | None,
    alpha: float,
    cot_ce_weight: float,
    mim_mode: str,
) -> None:
    check_shape("the reasoning's mask", think_BT, like=labels_BT)
    check_shape("the answer's mask", answer_BT, like=labels_BT)
    if mim_mode not in get_args(MimMode):
        raise ConfigError(f"unknown mim_mode {mim_mode!r}; choose one of {', '.join(get_args(MimMode))}")
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"alpha is between 0 and 1, got {alpha!r}")
    if not 0.0 <= cot_ce_weight < math.inf:
        raise ConfigError(f"cot_ce_weight is a finite number of at least 0, got {cot_ce_weight!r}")
    if (uniform_BT is not None) is not (mim_mode == "sample_st"):
        raise ConfigError(f"uniform_BT belongs to mim_mode 'sample_st' and to no other; here it is {mim_mode!r}")
    if uniform_BT is not None:
        check_shape("uniform_BT", uniform_BT, like=labels_BT)
    for name, mask_BT in (("reasoning", think_BT), ("answer", answer_BT)):
        empty = (~mask_BT.bool().any(1)).nonzero()[:, 0].tolist()
        if empty:
            raise DataError(f"sequences {empty} of the batch have no {name} tokens: ThinkAnswer needs both spans")
