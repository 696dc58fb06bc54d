"""Losses over whole next-token distributions: functions of the positions that count, a chunk of them at a time.

`backends.losses.chunks` maps a tensor's rows to rows and sums. Here the rows are scores: only the positions under a
mask are visited, straight from the B x T x V scores (selecting them first would copy gigabytes), and some results are
sums over positions that are themselves as wide as the vocabulary (a sequence's mean distribution).

Scores are either a tensor or `HeadLogits`, which are never built whole, as in the fused output layer of TRL's trainers:
then a loss over full distributions needs no more memory than one over token log-probabilities.

Shapes: B sequences, T positions, n positions of one chunk, V vocabulary entries, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from backends.losses.chunks import (
    CHUNK_ELEMENTS,
    HEADLESS_ELEMENTS,
    accumulation_dtype,
    chunk_rows,
    map_rows_and_sums,
    same_dtype,
)
from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError


@dataclass(frozen=True)
class HeadLogits:
    """Next-token scores `hidden_BTD @ head_VD.T + bias_V`, never built whole.

    Only for models whose scores are exactly this (no cap, no scale). Gradients reach whichever tensors require them.
    The product runs in autocast's data type where autocast is on, else in the widest of theirs.
    """

    hidden_BTD: Tensor
    """Last hidden states, after the final norm."""
    head_VD: Tensor
    """The output layer's matrix, the whole of it (a sharded one must be gathered first)."""
    bias_V: Tensor | None = None
    """The output layer's bias, where it has one."""

    def detached(self, *, copy: bool = False) -> HeadLogits:
        """Without gradient; `copy` the output layer where its weights will be others before these are used."""

        def kept(part: Tensor) -> Tensor:
            return part.detach().clone() if copy else part.detach()

        bias_V = None if self.bias_V is None else kept(self.bias_V)
        return HeadLogits(self.hidden_BTD.detach(), kept(self.head_VD), bias_V)


Logits: TypeAlias = Tensor | HeadLogits
"""Scores of the next token: a tensor B x T x V, or what it is made of."""

ChunkFunction = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, ...]]
"""(scores n x V in float32 or float64, sequence numbers n, position numbers n) -> values (n) ..., then sums ..."""


def vocabulary_size(logits: Logits) -> int:
    """Number of entries that the scores are over, padding of the output layer included."""
    return int(logits.head_VD.shape[0] if isinstance(logits, HeadLogits) else logits.shape[-1])


def over_positions(
    function: ChunkFunction, logits: Logits, mask_BT: Tensor, *, sums: int = 0, chunk: int | None = None
) -> tuple[Tensor, ...]:
    """Apply `function` to the scores of the positions where `mask_BT` is true, a chunk of them at a time.

    The function gets the scores of n positions with their sequence and position numbers. It returns values per position
    (n), which come back as B x T with exact 0 elsewhere, then `sums` tensors of any shape that are added up over the
    chunks. It must give the same result when called again (no random numbers inside), every result depends on the
    scores, and tensors that it closes over get no gradient. With no position that counts it is called once on 0 x V, so
    values and gradients are exact zeros.

    `chunk`: positions at a time (None: by the size of the vocabulary); it changes memory, not the result. Raises
    `ConfigError` for a chunk below 1 and for a mask of another shape. Second derivatives are not supported.
    """
    states_BTX, head = states_of(logits)
    if states_BTX.dim() != 3:
        raise ConfigError(f"expected scores of shape (B, T, width), got {tuple(states_BTX.shape)}")
    check_shape("the mask", mask_BT, like=states_BTX[..., 0])
    b_BT, t_BT = (torch.arange(size, device=mask_BT.device) for size in mask_BT.shape)
    places = (b_BT[:, None].expand(mask_BT.shape), t_BT.expand(mask_BT.shape))
    index_2N = mask_BT.bool().nonzero().T

    def on_chunk(states_nX: Tensor, b_n: Tensor, t_n: Tensor, *head: Tensor) -> tuple[Tensor, ...]:
        return function(row_scores(states_nX, head), b_n, t_n)

    width = chunk_rows(vocabulary_size(logits), chunk)
    found = map_rows_and_sums(on_chunk, (states_BTX, *places), head, chunk=width, index=index_2N, sums=sums)
    split = len(found) - sums
    values = (value_N.new_zeros(mask_BT.shape).index_put(tuple(index_2N), value_N) for value_N in found[:split])
    return (*values, *found[split:])


def row_states(logits: Logits) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What `chunks.map_rows` takes: the states (B * T, V or D) as its rows, and the head, if any, as what is shared.

    `row_scores` makes scores of both again. Unlike `over_positions`, several models' states fit into one pass so, and
    each of them gets its gradient.
    """
    states_BTX, head = states_of(logits)
    return states_BTX.flatten(0, -2), head


def states_of(logits: Logits) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(states B x T x V or D, head and bias if there is one): the scores' factors, in the dtype of their product."""
    if not isinstance(logits, HeadLogits):
        return logits, ()
    bias = () if logits.bias_V is None else (logits.bias_V,)
    hidden_BTD, *head = same_dtype(logits.hidden_BTD, logits.head_VD, *bias)
    return hidden_BTD, tuple(head)


def row_scores(states_n: Tensor, head: Sequence[Tensor] = ()) -> Tensor:
    """Scores n x V of some rows' states and the head that `row_states` gave, in at least float32."""
    scores_nV = torch.nn.functional.linear(states_n, *head) if head else states_n
    return scores_nV.to(accumulation_dtype(scores_nV.dtype))


def chunk_of(logits: Logits, chunk: int | None) -> int:
    """Positions of these scores at a time for `map_rows`; ConfigError for a chunk below 1."""
    elements = CHUNK_ELEMENTS if isinstance(logits, HeadLogits) else HEADLESS_ELEMENTS
    return chunk_rows(vocabulary_size(logits), chunk, elements)


def positions_shape(logits: Logits) -> Tensor:
    """A view B x T of the scores, for its shape alone (`check_shape`)."""
    return (logits.hidden_BTD if isinstance(logits, HeadLogits) else logits)[..., 0]


def label_nll(scores_nV: Tensor, label_n: Tensor) -> Tensor:
    """-log softmax of each position's own label, in nats."""
    return scores_nV.logsumexp(-1) - scores_nV.gather(-1, label_n[:, None])[:, 0]


def check_labels(labels_BT: Tensor, mask_BT: Tensor, vocabulary: int) -> None:
    """Raise `DataError` unless every label that counts is a vocabulary entry (a GPU would abort the whole process)."""
    counted = labels_BT[mask_BT.bool()]
    if counted.numel() and (int(counted.min()) < 0 or int(counted.max()) >= vocabulary):
        raise DataError(
            f"labels {int(counted.min())} to {int(counted.max())} at positions that count, but the vocabulary is 0 to "
            f"{vocabulary - 1}: leave ignored positions out of the mask, and use the model's own tokenizer"
        )
