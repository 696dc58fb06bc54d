"""MCC-KD: two rationales of one question should lead to the same answer distribution (arXiv 2310.14747).

    L = ½(CE_a + CE_b) + α · ½[KL(p‖q) + KL(q‖p)],   α = 0.1

with p and q the student's next-token distributions at the aligned positions of the two answers: both spans tell the
same answer, so position i of the one belongs to position i of the other. A pair whose spans differ in length is left
out of the second term. Both sides get gradients. The cross-entropies are `weighted_nll`'s.

Shapes: P pairs, T positions (each side has its own), V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from backends.losses.chunks import map_rows
from backends.losses.positions import Logits, chunk_of, positions_shape, row_scores, row_states
from backends.losses.reduction import check_shape
from harness.errors import ConfigError


def consistency(
    logits_a: Logits,
    logits_b: Logits,
    answer_a_PT: Tensor,
    answer_b_PT: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor]:
    """½[KL(p‖q) + KL(q‖p)], summed over the positions that predict the answers of a question's two rationales.

    Nats, to be divided by the aligned positions of the optimiser step; and which pairs are aligned, (P,) bool: the
    others' answer spans have different lengths, or none.

    The masks are true at each row's answer span, in order. `HeadLogits` are of one model, and are built at the aligned
    positions only. `temperature` divides both sides' logits; `chunk` is how many positions are compared at a time, and
    changes memory only. With no aligned position the total is an exact 0 that is part of the graph. Raises ConfigError
    for shapes that do not fit and for a temperature that is not above 0.
    """
    if not temperature > 0:
        raise ConfigError(f"a temperature must be above 0, not {temperature!r}")

    def symmetric_kl(log_p_nV: Tensor, log_q_nV: Tensor) -> Tensor:
        return ((log_p_nV.exp() - log_q_nV.exp()) * (log_p_nV - log_q_nV)).sum(-1) / 2

    found_N, _, aligned_P = over_aligned(
        symmetric_kl, logits_a, logits_b, answer_a_PT, answer_b_PT, temperature=temperature, chunk=chunk
    )
    return found_N.sum(), aligned_P


def over_aligned(
    function: Callable[[Tensor, Tensor], Tensor],
    logits_a: Logits,
    logits_b: Logits,
    answer_a_PT: Tensor,
    answer_b_PT: Tensor,
    *,
    temperature: float = 1.0,
    chunk: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """`function` of both sides' log-probabilities (n, V) at the aligned positions of the answers of pairs of rows.

    Gives (values N, the pair of each (N,), which pairs are aligned (P,)); see `consistency`.
    """
    check_shape("the first answers' mask", answer_a_PT, like=positions_shape(logits_a))
    check_shape("the second answers' mask", answer_b_PT, like=positions_shape(logits_b))
    check_shape("the second answers", answer_b_PT[:, 0], like=answer_a_PT[:, 0])
    (states_a_NX, head), (states_b_NX, _) = row_states(logits_a), row_states(logits_b)
    check_shape("the second side", states_b_NX[:0], like=states_a_NX[:0])
    length_a_P, length_b_P = answer_a_PT.bool().sum(1), answer_b_PT.bool().sum(1)
    aligned_P1 = ((length_a_P == length_b_P) & (length_a_P > 0))[:, None]
    first_PT = answer_a_PT.bool() & aligned_P1
    a_NX = states_a_NX[first_PT.flatten()]
    b_NX = states_b_NX[(answer_b_PT.bool() & aligned_P1).flatten()]

    def compare(a_nX: Tensor, b_nX: Tensor, *head: Tensor) -> Tensor:
        log_p_nV, log_q_nV = ((row_scores(side, head) / temperature).log_softmax(-1) for side in (a_nX, b_nX))
        return function(log_p_nV, log_q_nV)

    found_N = map_rows(compare, (a_NX, b_NX), head, chunk=chunk_of(logits_a, chunk))
    return found_N, first_PT.nonzero()[:, 0], aligned_P1[:, 0]
