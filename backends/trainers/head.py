"""A model whose forward pass can end in a function of its next-token scores instead of in logits.

`add_objective_head(model)` lets `model(..., objective=f)` run the backbone and return `f(HeadLogits)`, so the scores of
a whole vocabulary are never built. The function runs *inside* the forward pass: there the output layer's weights are
whole even when they are sharded over devices (FSDP, ZeRO-3), and wrappers (DDP, peft) see an ordinary forward pass.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

from backends.losses.positions import HeadLogits
from backends.trainers.batch import Batch
from backends.trainers.sharding import gathered


def add_objective_head(model: Any) -> None:
    """Patch a transformers causal language model, before peft wraps it; without `objective` nothing changes.

    Its scores must be its last hidden states times its output layer, or losses would be wrong: the plan has found that
    out (`backends.trainers.scores`).
    """
    original = model.forward

    @functools.wraps(type(model).forward)  # generate() checks its arguments against the signature
    def forward(self: Any, *args: Any, objective: Callable[[HeadLogits], Any] | None = None, **more: Any) -> Any:
        if objective is None:
            return original(*args, **more)
        hidden_RTD = self.base_model(*args, **(more | {"use_cache": False})).last_hidden_state
        return _call(objective, hidden_RTD, self.get_output_embeddings())

    model.forward = types.MethodType(forward, model)


def _call(objective: Callable[[HeadLogits], Any], hidden_RTD: Any, layer: Any) -> Any:
    from torch.distributed.tensor import DTensor

    weight, bias = layer.weight, layer.bias
    if isinstance(weight, DTensor):  # FSDP2: gathered once, before the positions are taken in chunks
        weight = weight.full_tensor()
        bias = None if bias is None else bias.full_tensor()
    with gathered(weight, bias):
        return objective(HeadLogits(hidden_RTD.to(weight.device), weight, bias))


def score(model: Any, batch: Batch, function: Callable[[HeadLogits], Any]) -> Any:
    """`function(scores)` of a batch, computed inside the forward pass of a patched model (or of what wraps it)."""
    return model(**batch.inputs, objective=function)
