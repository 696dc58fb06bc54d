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


HEADLESS_ELEMENTS = 2**22
"""The same (16 MiB) where no head is multiplied: small chunks stay in a CPU's cache, and where autograd differentiates
the chunk it keeps a score of them. 2 to 4 times faster than `CHUNK_ELEMENTS` there."""


def chunk_rows(width: int, chunk: int | None = None, elements: int = CHUNK_ELEMENTS) -> int:
    """Positions per chunk for rows of `width`: `elements` // width, or an explicit `chunk`. ConfigError below 1."""
    if chunk is None:
        return max(1, elements // max(1, width))
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
    index: Tensor | None = None,
) -> Tensor:
    """`function(*rows, *shared)` computed over chunks of rows: the same value, the same gradient, less memory.

    `rows`: tensors (N, ...) that are cut along the first dimension together; `shared`: tensors that every chunk sees
    whole (an LM head, an embedding matrix), whose gradient is summed in float32. `function` returns (n, ...) for n rows
    and treats each row alone; it is pure and gets every tensor that needs a gradient as an argument (what it closes
    over gets none). It runs without autocast: see `same_dtype`. Gradients of gradients are not supported.

    `index`: the rows to visit (M distinct integers), whose results come back as (M, ...): as `rows[index]` would give,
    but without that copy. The others get a gradient of 0.
    """
    return map_rows_and_sums(lambda *chunk: (function(*chunk),), rows, shared, chunk=chunk, index=index)[0]


def map_rows_and_sums(
    function: Callable[..., tuple[Tensor, ...]],
    rows: Sequence[Tensor],
    shared: Sequence[Tensor] = (),
    *,
    chunk: int,
    index: Tensor | None = None,
    sums: int = 0,
) -> tuple[Tensor, ...]:
    """`map_rows` with several results: what belongs to rows, then `sums` tensors that are added up over the chunks.

    Every result depends on every tensor that needs a gradient, or on none. An `index` of (2, M) visits positions of
    `rows` that are (B, T, ...), wherever they lie in memory. With no rows `function` is called once on none.
    """
    results: tuple[Tensor, ...] = _MapRows.apply(function, chunk, index, len(rows), sums, *rows, *shared)
    return results


def spread(found_M: Tensor, index: Tensor, like: Tensor) -> Tensor:
    """Results of the rows `index` put back at their places in the shape of `like`, 0 elsewhere."""
    empty = torch.zeros(like.numel(), dtype=found_M.dtype, device=found_M.device)
    return empty.index_put((index,), found_M).view(like.shape)


class _MapRows(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[..., tuple[Tensor, ...]],
        chunk: int,
        index: Tensor | None,
        count: int,
        sums: int,
        *tensors: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.function, ctx.chunk, ctx.count, ctx.sums = function, chunk, count, sums
        ctx.save_for_backward(index, *tensors)
        rows, shared = tensors[:count], tensors[count:]
        values: list[tuple[Tensor, ...]] = []
        totals: tuple[Tensor, ...] = ()
        with torch.autocast(tensors[0].device.type, enabled=False):
            for _, pick in _picks(rows[0], index, chunk):
                found = function(*(row[pick] for row in rows), *shared)
                split = len(found) - sums
                values.append(found[:split])
                added = found[split:]
                totals = tuple(a + b for a, b in zip(totals, added, strict=True)) if totals else added
        return (*(torch.cat(parts) for parts in zip(*values, strict=True)), *totals)

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Any, ...]:
        index, *tensors = ctx.saved_tensors
        needed = [place for place, need in enumerate(ctx.needs_input_grad[5:]) if need]
        grads: list[Tensor | None] = [None] * len(tensors)
        for place in needed:
            # A row is written once, in its own precision; what is shared is a sum over chunks and is kept wide.
            dtype = tensors[place].dtype
            dtype = accumulation_dtype(dtype) if place >= ctx.count else dtype
            grads[place] = torch.zeros_like(tensors[place], dtype=dtype)
        split = len(upstream) - ctx.sums
        for span, pick in _picks(tensors[0], index, ctx.chunk):
            with torch.enable_grad(), torch.autocast(upstream[0].device.type, enabled=False):
                inputs = [t.detach()[pick] if place < ctx.count else t.detach() for place, t in enumerate(tensors)]
                for place in needed:
                    inputs[place].requires_grad_()
                values = ctx.function(*inputs)
            weights = [*(grad[span] for grad in upstream[:split]), *upstream[split:]]
            with torch.autocast(upstream[0].device.type, enabled=False):
                found = torch.autograd.grad(values, [inputs[place] for place in needed], weights, allow_unused=True)
            for place, part in zip(needed, found, strict=True):
                target = grads[place]
                if part is None or target is None:
                    continue
                if place < ctx.count:
                    target[pick] = part
                else:
                    target.add_(part)
        whole = (g if g is None else g.to(t.dtype) for g, t in zip(grads, tensors, strict=True))
        return (None, None, None, None, None, *whole)


def _picks(rows: Tensor, index: Tensor | None, chunk: int) -> Iterator[tuple[slice, Any]]:
    """Each chunk's place among the results, and what selects its rows: a slice, or pieces of the index."""
    for span in spans(rows.shape[0] if index is None else index.shape[-1], chunk):
        if index is None:
            yield span, span
        else:
            yield span, index[span] if index.dim() == 1 else tuple(index[:, span])
