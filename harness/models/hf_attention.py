"""Attention for one new token per row, without copying the cache.

With a padding mask the library repeats every key and value head once for each query head of its group before it calls
the kernel: at each step a copy several times the size of the cache. For a single query position the heads of a group
can stand where the positions usually do, which is the same sum with nothing repeated. Any other case is handed on.

Shapes: B rows, N query heads, H key/value heads, G = N / H, L columns, D head size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "harness_grouped_sdpa"


def use_grouped_attention(model: Any) -> None:
    """Switch a loaded model over, if it uses the library's `sdpa` and its layers attend to the whole past."""
    if model.config._attn_implementation != "sdpa":
        return
    AttentionInterface.register(NAME, _attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)


@contextmanager
def grouped_attention(model: Any) -> Iterator[None]:
    """Within, a model that is trained decodes with it; afterwards it has the attention that it had."""
    before = model.config._attn_implementation
    use_grouped_attention(model)
    try:
        yield
    finally:
        if model.config._attn_implementation != before:
            model.set_attn_implementation(before)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,  # whatever the library hands to attention functions; passed on unread
) -> tuple[Tensor, None]:
    """The library's signature: query (B, N, 1, D), key and value (B, H, L, D) -> (B, 1, N, D)."""
    rows, heads, positions, size = query.shape
    groups = heads // key.shape[1]
    shared_mask = attention_mask is None or attention_mask.shape[1] == 1
    if positions != 1 or groups == 1 or not shared_mask or kwargs.get("position_bias") is not None:
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
        return out
    grouped = query.reshape(rows, heads // groups, groups, size)
    mask = attention_mask.expand(rows, 1, groups, -1) if attention_mask is not None else None
    mixed = torch.nn.functional.scaled_dot_product_attention(grouped, key, value, attn_mask=mask, scale=scaling)
    return mixed.reshape(rows, 1, heads, mixed.shape[-1]), None
