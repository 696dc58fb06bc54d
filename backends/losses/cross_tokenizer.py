"""Distances between next-token distributions over two vocabularies: ULD, GOLD's hybrid, and GLD's graphs.

ULD (arXiv 2402.12030) compares sorted probabilities, which need no common vocabulary: it is the Wasserstein distance
under the cost 1 between any two tokens. GOLD (TRL) compares the tokens that both vocabularies have by their divergence
and only the rest sorted. Of a group of several tokens the distribution is that of its last token, times the
probabilities of the earlier ones (the chain rule). GLD (InfiGFusion) compares which ranks are high together.

Shapes: B rows, T positions, G groups, V and W the vocabularies, K tokens of both. Results are float32 (float64 for
float64 scores).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from backends.losses.alignment import Groups
from backends.losses.chunks import map_rows
from backends.losses.divergence import divergence
from backends.losses.nll import IGNORE, token_logps
from backends.losses.positions import (
    HeadLogits,
    Logits,
    chunk_of,
    over_positions,
    positions_shape,
    row_scores,
    row_states,
)
from harness.errors import ConfigError

Distance = Callable[[Tensor, Tensor], Tensor]
"""Of log-probabilities (n, V) and (n, W), the value of each of the n, (n,)."""


def first_rows(logits: Logits, size: int) -> Logits:
    """The scores of the first so many tokens: what is behind them is padding of the output layer."""
    if not isinstance(logits, HeadLogits):
        return logits[..., :size]
    bias_V = None if logits.bias_V is None else logits.bias_V[:size]
    return HeadLogits(logits.hidden_BTD, logits.head_VD[:size], bias_V)


def group_distances(
    student: Logits,
    teacher: Logits,
    ours: Groups,
    theirs: Groups,
    distance: Distance,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> Tensor:
    """The distance at each group, (G,): between what either side expects in the place of the group's last token.

    Both sides' scores are divided by the temperature. The teacher gets a gradient only if it asks for one.
    """
    (student_NX, student_head), (teacher_NX, teacher_head) = row_states(student), row_states(teacher)
    heads = len(student_head)
    ours_G, theirs_G = (_before(*pair, temperature) for pair in ((student, ours), (teacher, theirs)))

    def compare(student_nX: Tensor, teacher_nX: Tensor, ours_n: Tensor, theirs_n: Tensor, *head: Tensor) -> Tensor:
        log_p = (row_scores(student_nX, head[:heads]) / temperature).log_softmax(-1) + ours_n[:, None]
        log_q = (row_scores(teacher_nX, head[heads:]) / temperature).log_softmax(-1) + theirs_n[:, None]
        return distance(log_p, log_q)

    rows = (student_NX[ours.last_G], teacher_NX[theirs.last_G], ours_G, theirs_G)
    width = min(chunk_of(student, chunk), chunk_of(teacher, chunk))
    return map_rows(compare, rows, (*student_head, *teacher_head), chunk=width)


def _before(logits: Logits, where: Groups, temperature: float) -> Tensor:
    """The logarithm of the product of the probabilities of each group's earlier tokens, (G,)."""
    shape = positions_shape(logits).shape
    labels_BT = torch.full(shape, IGNORE, dtype=torch.int64, device=where.tokens_M.device)
    labels_BT.view(-1)[where.earlier_M] = where.tokens_M
    logps_N = token_logps(logits, labels_BT, temperature=temperature).flatten()
    none_G = logps_N.new_zeros(len(where.last_G))
    return none_G.index_add(0, where.group_M, logps_N[where.earlier_M])


def sorted_l1(log_p: Tensor, log_q: Tensor) -> Tensor:
    """ULD: sum over ranks of |p_(i) - q_(i)|, the smaller vocabulary filled up with zeros, (n,)."""
    p, q = (side.exp().sort(dim=-1, descending=True).values for side in (log_p, log_q))
    width = max(p.shape[-1], q.shape[-1])
    p, q = (torch.nn.functional.pad(side, (0, width - side.shape[-1])) for side in (p, q))
    return (p - q).abs().sum(-1)


@dataclass(frozen=True)
class Hybrid:
    """GOLD: the divergence of the tokens that both vocabularies have, and the rest by `sorted_l1`."""

    student_K: Tensor
    """Ids of the common tokens in the student's vocabulary, in the order of the teacher's."""
    teacher_K: Tensor
    beta: float
    """Of the generalised Jensen-Shannon divergence, which is that of measures: what is shared need not sum to 1."""
    matched: float
    """Weight of the common tokens."""
    unmatched: float
    """Weight of the rest."""

    def parts(self, log_p: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        """(of the common tokens, of the rest), each (n,); unweighed."""
        common = divergence(log_p[:, self.student_K], log_q[:, self.teacher_K], kind="jsd", beta=self.beta)
        rest = (_without(log_p, self.student_K), _without(log_q, self.teacher_K))
        return common, sorted_l1(*rest)

    def __call__(self, log_p: Tensor, log_q: Tensor) -> Tensor:
        """The weighed sum, (n,)."""
        common, rest = self.parts(log_p, log_q)
        return self.matched * common + self.unmatched * rest


def _without(log_p: Tensor, ids_K: Tensor) -> Tensor:
    kept = torch.ones(log_p.shape[-1], dtype=torch.bool, device=log_p.device)
    kept[ids_K] = False
    return log_p[:, kept]


def rank_features(logits: Logits, mask_BT: Tensor, *, top_k: int, chunk: int | None = None) -> Tensor:
    """GLD: how much each of the `top_k` ranks is high together with the others, a mean over each row, (B, top_k).

    z_t are a position's highest scores in order, less the last of them, made a unit vector; the features are the row
    means of C = mean over t of z_t z_t', which no order of the vocabulary changes. A row without a position has zeros.
    Raises `ConfigError` for a `top_k` below 2: one score less itself is nothing.
    """
    if top_k < 2:
        raise ConfigError(f"top_k is {top_k!r}: a graph needs at least 2 nodes")
    rows = mask_BT.shape[0]

    def features(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor]:
        top_nK = scores_nV.topk(top_k, dim=-1).values
        z_nK = torch.nn.functional.normalize(top_nK - top_nK[:, -1:], dim=-1)
        return (scores_nV.new_zeros(rows, top_k).index_add(0, b_n, z_nK * z_nK.mean(-1, keepdim=True)),)

    (sums_BK,) = over_positions(features, logits, mask_BT, sums=1, chunk=chunk)
    return sums_BK / mask_BT.sum(1).clamp(min=1)[:, None]


def graph_distance(student_BK: Tensor, teacher_BK: Tensor) -> Tensor:
    """GLD: mean over nodes of |f_(i) - g_(i)| of the sorted features, a closed form of Gromov-Wasserstein, (B,)."""
    return (student_BK.sort(-1).values - teacher_BK.sort(-1).values).abs().mean(-1)
