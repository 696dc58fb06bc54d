"""How per-token values become one number: the four reductions, said once for every loss.

Papers differ in what they divide by, and the difference is not cosmetic: "token" weighs long responses more, "seq"
weighs every response the same, and only "global" (divide by the tokens of the whole optimiser step, over all
micro-batches and processes) makes k accumulation steps equal one big batch.

Shapes: B rows, T positions. The mask is true where a position counts; what stands elsewhere is never read.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from harness.errors import ConfigError, DataError

Reduction = Literal["token", "seq", "sum", "global"]


def check_shape(name: str, tensor: Tensor, like: Tensor) -> None:
    """Raise ConfigError unless both tensors have the same shape: broadcasting would hide a missing shift."""
    if tensor.shape != like.shape:
        raise ConfigError(f"{name} has the shape {tuple(tensor.shape)}, expected {tuple(like.shape)}")


def reduce_tokens(
    values_BT: Tensor,
    mask_BT: Tensor,
    *,
    reduction: Reduction = "token",
    num_items: int | Tensor | None = None,
) -> Tensor:
    """Reduce values (B, T) over the positions where the mask (B, T) is true to a scalar of the same dtype.

    - `token`: sum / number of counted positions in this batch;
    - `seq`: mean over rows of each row's mean;
    - `sum`: the plain sum;
    - `global`: sum / `num_items`, the number of counted positions (or pairs) in the whole optimiser step.

    Raises DataError for `token` without a counted position and for `seq` with a row that has none: the mean of nothing
    is a mistake in the data, never NaN. `sum` and `global` give an exact 0 that is still part of the graph, because a
    micro-batch may be empty where the step is not. Raises ConfigError for a wrong shape or a `num_items` that does not
    fit.
    """
    if reduction not in get_args(Reduction):
        raise ConfigError(f"unknown reduction {reduction!r}; choose one of {', '.join(get_args(Reduction))}")
    if (reduction == "global") != (num_items is not None):
        raise ConfigError(f"num_items belongs to the reduction 'global' and to no other; here it is {reduction!r}")
    check_shape("the mask", mask_BT, like=values_BT)
    counted = mask_BT.bool()
    # `where`, not a product: 0 * inf at a position nobody asked for would poison the sum and its gradient.
    kept = torch.where(counted, values_BT, torch.zeros_like(values_BT))
    if reduction == "sum":
        return kept.sum()
    if num_items is not None:
        items = float(num_items)
        if not items > 0:
            raise DataError(f"num_items is {items:g}: the optimiser step has no token that counts")
        return kept.sum() / items
    if reduction == "token":
        total = counted.sum()
        if int(total) == 0:
            raise DataError("no token of this batch counts: the loss mask is empty")
        return kept.sum() / total
    return (kept.sum(dim=1) / _lengths(counted)).mean()


def row_sums(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The sum over each row's counted positions, (B,); an empty row gives 0."""
    check_shape("the mask", mask_BT, like=values_BT)
    return torch.where(mask_BT.bool(), values_BT, torch.zeros_like(values_BT)).sum(dim=1)


def row_means(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    """The mean over each row's counted positions, (B,). Raises DataError for a row that has none."""
    return row_sums(values_BT, mask_BT) / _lengths(mask_BT.bool())


def _lengths(counted_BT: Tensor) -> Tensor:
    lengths_B = counted_BT.sum(dim=1)
    if lengths_B.numel() == 0 or int(lengths_B.min()) == 0:
        empty = (lengths_B == 0).nonzero().flatten().tolist()
        raise DataError(f"rows without a token that counts: {empty}" if empty else "the batch has no rows")
    return lengths_B
