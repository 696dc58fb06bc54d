"""Vocabulary-sized work a few positions at a time, with the exact value and gradient of the whole.

One float32 tensor over a vocabulary of 152 thousand and 2,048 positions is 1.2 GB, and a softmax with its gradient
holds several. Here only the current chunk is ever that wide: the forward pass keeps the inputs alone, and the backward
pass computes each chunk again. (Slicing a tensor inside ordinary autograd would not do: every slice's gradient is a
zero-filled tensor of the full size.)

Shapes: N positions, each a row; V vocabulary; D hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from harness.errors import ConfigError

CHUNK_ELEMENTS = 2**25
"""Elements of one vocabulary-sized float32 temporary (128 MiB): 220 positions of a 152 thousand token vocabulary, where
a matrix product with the LM head is still worth its reading of the head."""


def chunk_rows(width: int, chunk: int | None = None) -> int:
    """Positions per chunk for rows of `width` elements; an explicit `chunk` wins. Raises ConfigError below 1."""
    if chunk is None:
        return max(1, CHUNK_ELEMENTS // max(1, width))
    if chunk < 1:
        raise ConfigError(f"a chunk holds at least one position, not {chunk!r}")
    return chunk


def spans(rows: int, chunk: int) -> Iterator[slice]:
    """Slices of at most `chunk` rows that cover `rows`; one empty slice when there are none."""
    for start in range(0, max(rows, 1), chunk):
        yield slice(start, min(start + chunk, rows))


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """float32 for anything narrower; float64 stays (gradient checks need it)."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def same_dtype(states: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
    """Hidden states and head parameters in the one dtype their product runs in, differentiably.

    That is autocast's dtype where autocast is on (as in the model's own head), else the widest of theirs.
    """
    device = states.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    else:
        dtype = states.dtype
        for parameter in parameters:
            dtype = torch.promote_types(dtype, parameter.dtype)
    return tuple(tensor.to(dtype) for tensor in (states, *parameters))


def map_rows(
    function: Callable[..., Tensor],
    rows: Sequence[Tensor],
    shared: Sequence[Tensor] = (),
    *,
    chunk: int,
) -> Tensor:
    """`function(*rows, *shared)` computed over chunks of rows: the same value, the same gradient, less memory.

    `rows`: tensors (N, ...) that are cut along the first dimension together; `shared`: tensors that every chunk sees
    whole (an LM head, an embedding matrix), whose gradient is summed in float32. `function` returns (n, ...) for n rows
    and treats each row alone; it is pure and gets every tensor that needs a gradient as an argument (what it closes
    over gets none). It runs without autocast: see `same_dtype`. Gradients of gradients are not supported.
    """
    result: Tensor = _MapRows.apply(function, chunk, len(rows), *rows, *shared)
    return result


class _MapRows(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], chunk: int, count: int, *tensors: Tensor) -> Tensor:
        rows, shared = tensors[:count], tensors[count:]
        ctx.function, ctx.chunk, ctx.count = function, chunk, count
        ctx.save_for_backward(*tensors)
        with torch.autocast(tensors[0].device.type, enabled=False):
            parts = [function(*(row[span] for row in rows), *shared) for span in spans(rows[0].shape[0], chunk)]
        return torch.cat(parts)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        tensors: tuple[Tensor, ...] = ctx.saved_tensors
        needed = [index for index, need in enumerate(ctx.needs_input_grad[3:]) if need]
        grads: list[Tensor | None] = [None] * len(tensors)
        for index in needed:
            shared = index >= ctx.count
            dtype = accumulation_dtype(tensors[index].dtype) if shared else tensors[index].dtype
            grads[index] = torch.zeros_like(tensors[index], dtype=dtype)
        for span in spans(tensors[0].shape[0], ctx.chunk):
            with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
                inputs = [t.detach()[span] if i < ctx.count else t.detach() for i, t in enumerate(tensors)]
                for index in needed:
                    inputs[index].requires_grad_()
                value = ctx.function(*inputs)
            found = torch.autograd.grad(value, [inputs[i] for i in needed], grad[span], allow_unused=True)
            for index, part in zip(needed, found, strict=True):
                target = grads[index]
                if part is not None and target is not None:
                    (target[span] if index < ctx.count else target).add_(part)
        whole = (g if g is None else g.to(t.dtype) for g, t in zip(grads, tensors, strict=True))
        return (None, None, None, *whole)
