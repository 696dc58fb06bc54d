"""Losses over whole next-token distributions: functions of the positions that count, a chunk of them at a time.

`backends.losses.chunks.map_rows` maps a tensor's rows to rows. What is here adds what the losses over distributions
(EMO, ThinkAnswer) need on top: only the positions under a mask are visited, straight from the B x T x V scores
(selecting them first would copy gigabytes), several results come from one pass, and some results are sums over
positions that are themselves as wide as the vocabulary (a sequence's mean distribution).

Scores are either a tensor or `HeadLogits`, which are never built whole, as in the fused output layer of TRL's trainers:
then a loss over full distributions needs no more memory than one over token log-probabilities.

The backward pass computes each chunk again and lets autograd differentiate it: one more softmax (and, for `HeadLogits`,
one more product with the head) for a constant amount of memory and the same gradient.

Shapes: B sequences, T positions, n positions of one chunk, V vocabulary entries, D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from backends.losses.chunks import (
    CHUNK_ELEMENTS,
    HEADLESS_ELEMENTS,
    accumulation_dtype,
    chunk_rows,
    same_dtype,
    spans,
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
    if isinstance(logits, HeadLogits):
        bias = () if logits.bias_V is None else (logits.bias_V,)
        inputs = same_dtype(logits.hidden_BTD, logits.head_VD, *bias)
    else:
        inputs = (logits,)
    if inputs[0].dim() != 3:
        raise ConfigError(f"expected scores of shape (B, T, width), got {tuple(inputs[0].shape)}")
    check_shape("the mask", mask_BT, like=inputs[0][..., 0])
    index_2N = mask_BT.bool().nonzero().T
    results: tuple[Tensor, ...] = _OverPositions.apply(
        function, index_2N, sums, chunk_rows(vocabulary_size(logits), chunk), *inputs
    )
    return results


def row_states(logits: Logits) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What `chunks.map_rows` takes: the states (B * T, V or D) as its rows, and the head, if any, as what is shared.

    `row_scores` makes scores of both again. Unlike `over_positions`, several models' states fit into one pass so, and
    each of them gets its gradient.
    """
    if isinstance(logits, HeadLogits):
        bias = () if logits.bias_V is None else (logits.bias_V,)
        hidden, *head = same_dtype(logits.hidden_BTD, logits.head_VD, *bias)
        return hidden.flatten(0, -2), tuple(head)
    return logits.flatten(0, -2), ()


def row_scores(states_n: Tensor, head: Sequence[Tensor] = ()) -> Tensor:
    """Scores n x V of some rows' states and the head that `row_states` gave, in at least float32."""
    return _scores((states_n, *head))


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


class _OverPositions(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """`over_positions` for autograd: keeps only the inputs."""

    @staticmethod
    def forward(
        ctx: Any, function: ChunkFunction, index_2N: Tensor, sums: int, chunk: int, *inputs: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.function, ctx.sums, ctx.chunk = function, sums, chunk
        ctx.save_for_backward(index_2N, *inputs)
        results: list[Tensor] = []
        with _no_autocast(inputs[0]):
            for b_n, t_n in _chunks(index_2N, chunk):
                parts = function(_scores(_cut(inputs, b_n, t_n)), b_n, t_n)
                rows = len(parts) - sums
                if not results:
                    results = [part.new_zeros(inputs[0].shape[:2]) for part in parts[:rows]]
                    results += [torch.zeros_like(part) for part in parts[rows:]]
                for whole_BT, part_n in zip(results[:rows], parts[:rows], strict=True):
                    whole_BT[b_n, t_n] = part_n
                for total, part in zip(results[rows:], parts[rows:], strict=True):
                    total += part
        return tuple(results)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        index_2N, *inputs = ctx.saved_tensors
        need = ctx.needs_input_grad[4:]
        # Each position is written once, in its own precision; head and bias are sums over chunks and are kept wide.
        dtypes = [inputs[0].dtype] + [accumulation_dtype(x.dtype) for x in inputs[1:]]
        grads = [
            torch.zeros_like(x, dtype=dtype) if needed else None
            for x, dtype, needed in zip(inputs, dtypes, need, strict=True)
        ]
        rows = len(upstream) - ctx.sums
        for b_n, t_n in _chunks(index_2N, ctx.chunk):
            with torch.enable_grad(), _no_autocast(inputs[0]):
                leaves = [x.requires_grad_(needed) for x, needed in zip(_cut(inputs, b_n, t_n), need, strict=True)]
                parts = ctx.function(_scores(leaves), b_n, t_n)
            weights = [grad_BT[b_n, t_n] for grad_BT in upstream[:rows]] + list(upstream[rows:])
            with _no_autocast(inputs[0]):
                wanted = [leaf for leaf in leaves if leaf.requires_grad]
                found = iter(torch.autograd.grad(parts, wanted, weights))
            for number, grad in enumerate(grads):
                if grad is not None and number == 0:
                    grad[b_n, t_n] = next(found)
                elif grad is not None:
                    grad += next(found)
        whole = (g if g is None else g.to(x.dtype) for g, x in zip(grads, inputs, strict=True))
        return (None, None, None, None, *whole)


def _chunks(index_2N: Tensor, chunk: int) -> Iterator[tuple[Tensor, Tensor]]:
    for span in spans(index_2N.shape[1], chunk):
        yield index_2N[0, span], index_2N[1, span]


def _cut(inputs: Sequence[Tensor], b_n: Tensor, t_n: Tensor) -> list[Tensor]:
    """The chunk's positions of the first input, the others whole; all without the graph outside."""
    return [inputs[0].detach()[b_n, t_n], *(x.detach() for x in inputs[1:])]


def _scores(cut: Sequence[Tensor]) -> Tensor:
    scores_nV = cut[0] if len(cut) == 1 else torch.nn.functional.linear(*cut)
    return scores_nV.to(accumulation_dtype(scores_nV.dtype))


def _no_autocast(like: Tensor) -> Any:
    """The backward pass must compute exactly what the forward pass did, in the data types written here."""
    return torch.autocast(like.device.type, enabled=False)
