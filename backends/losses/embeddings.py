"""Expected embeddings: where a next-token distribution points in a model's own embedding space.

ThinkAnswer (Eq. 3.4) compares pooled expected embeddings `sum_v p(v) e_v` with those of a reference; EMO
(Ren et al. 2024) measures how far, on average over the distribution, the vocabulary's vectors lie from the reference
token's. Tables of embeddings are never trained through these functions (a loss would otherwise fall by collapsing them,
and the term with it) and are widened to float32 a block of rows at a time, so a bfloat16 table costs no float32 copy.

Shapes: N distributions, V vocabulary entries, D embedding size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from backends.losses.chunks import accumulation_dtype
from harness.errors import DataError

_BLOCK = 16384
"""Rows of a table at a time: 100 MB of float32 at D = 1,536."""
_TINY = 1e-12
"""Below this length a vector has no direction."""


def expected_embeddings(probability_NV: Tensor, table_VD: Tensor) -> Tensor:
    """`sum_v p(v) e_v` for each of N distributions: N x D in the precision of `probability_NV`.

    Rows need not sum to 1. The gradient reaches the probabilities only. Raises `DataError` when the distributions and
    the table are over vocabularies of different sizes.
    """
    if probability_NV.shape[-1] != table_VD.shape[0]:
        raise DataError(
            f"distributions over {probability_NV.shape[-1]} tokens and a table of {table_VD.shape[0]} embeddings: "
            "student and table must share one (equally padded) vocabulary"
        )
    return _Expected.apply(probability_NV, table_VD.detach())


def mean_embedding(table_VD: Tensor, vocabulary_size: int | None = None) -> Tensor:
    """Mean of a table's first `vocabulary_size` rows (None: all), in at least float32: D.

    The centre that ThinkAnswer subtracts. Give the tokenizer's size where a table is padded to a round number of rows:
    the padding is no part of the vocabulary. Raises `DataError` for a size outside 1 to V.
    """
    size = table_VD.shape[0] if vocabulary_size is None else vocabulary_size
    if not 1 <= size <= table_VD.shape[0]:
        raise DataError(f"vocabulary of {size} tokens, but the table has {table_VD.shape[0]} rows")
    table = table_VD.detach()[:size]
    total_D = torch.zeros(table.shape[1], dtype=accumulation_dtype(table.dtype), device=table.device)
    for _, block in _blocks(table):
        total_D += block.sum(0)
    return total_D / size


def cosine_to(token_N: Tensor, table_VD: Tensor) -> Tensor:
    """Cosine of each token's embedding with every token's: N x V, no gradient, exactly 1 at the token itself.

    A row of zeros has cosine 0 with every other row.
    """
    with torch.no_grad():
        own_ND = torch.nn.functional.normalize(_wide(table_VD[token_N]), dim=-1)
        cosine_NV = own_ND.new_empty(token_N.shape[0], table_VD.shape[0])
        for rows, block in _blocks(table_VD):
            torch.matmul(own_ND, torch.nn.functional.normalize(block, dim=-1).T, out=cosine_NV[:, rows])
        # Rounding must not put a token at a distance from itself, or beyond the cosine's range.
        cosine_NV.clamp_(-1.0, 1.0)
        cosine_NV.scatter_(1, token_N[:, None], 1.0)
    return cosine_NV


def cosine_gap(left_ND: Tensor, right_ND: Tensor) -> Tensor:
    """`(1 - cos(left, right)) / 2` of N pairs: 0 same direction, 0.5 orthogonal, 1 opposite (ThinkAnswer, Eq. 3.4).

    Computed as a quarter of the squared distance of the unit vectors, which is the same number without cancellation:
    never below 0, and exactly 0 for equal vectors. A vector of length 0 has no direction: 0.5, and no gradient.
    """
    left_N, right_N = (torch.linalg.vector_norm(x, dim=-1) for x in (left_ND, right_ND))
    defined_N = (left_N > _TINY) & (right_N > _TINY)
    left_N, right_N = (torch.where(defined_N, x, torch.ones_like(x)) for x in (left_N, right_N))
    apart_ND = left_ND / left_N[:, None] - right_ND / right_N[:, None]
    return torch.where(defined_N, apart_ND.square().sum(-1) / 4, torch.full_like(left_N, 0.5))


def straight_through(probability_NV: Tensor, uniform_N: Tensor) -> Tensor:
    """One token drawn per row as a one-hot vector whose gradient is that of the probabilities (Bengio et al. 2013).

    `uniform_N` are random numbers in [0, 1): the token is read off the cumulative distribution, so that a second call
    draws the same one.
    """
    with torch.no_grad():
        cumulative_NV = probability_NV.cumsum(-1)
        goal_N1 = (uniform_N.to(cumulative_NV.dtype) * cumulative_NV[:, -1])[:, None]
        drawn_N1 = torch.searchsorted(cumulative_NV, goal_N1, right=True).clamp(max=probability_NV.shape[-1] - 1)
        jump_NV = (-probability_NV).scatter_add(1, drawn_N1, torch.ones_like(goal_N1))
    return probability_NV + jump_NV


def _blocks(table_VD: Tensor) -> Iterator[tuple[slice, Tensor]]:
    for start in range(0, table_VD.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        yield rows, _wide(table_VD[rows])


def _wide(rows_ND: Tensor) -> Tensor:
    return rows_ND.to(accumulation_dtype(rows_ND.dtype))


class _Expected(torch.autograd.Function):  # type: ignore[misc]  # the library has no types
    """Blockwise `p @ E` that keeps `E` in its own precision for the backward pass."""

    @staticmethod
    def forward(ctx: Any, probability_NV: Tensor, table_VD: Tensor) -> Tensor:
        ctx.save_for_backward(table_VD)
        expected_ND = probability_NV.new_zeros(probability_NV.shape[0], table_VD.shape[1])
        for rows, block in _blocks(table_VD):
            expected_ND.addmm_(probability_NV[:, rows], block.to(expected_ND.dtype))
        return expected_ND

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]  # the library has no types
    def backward(ctx: Any, upstream_ND: Tensor) -> tuple[Tensor, None]:
        (table_VD,) = ctx.saved_tensors
        grad_NV = upstream_ND.new_empty(upstream_ND.shape[0], table_VD.shape[0])
        for rows, block in _blocks(table_VD):
            grad_NV[:, rows] = upstream_ND @ block.to(upstream_ND.dtype).T
        return grad_NV, None
