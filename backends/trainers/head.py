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
from harness.errors import ConfigError

_SCALES = ("final_logit_softcapping", "logit_scale", "output_multiplier", "lm_head_multiplier", "logits_scaling")
"""Settings with which a model's scores are more than hidden states times output layer."""


def add_objective_head(model: Any) -> None:
    """Patch a transformers causal language model, before peft wraps it; without `objective` nothing changes.

    Raises `ConfigError` for a model whose scores are scaled or capped after the output layer, or whose last hidden
    states are transformed before it: losses would be wrong.
    """
    config = model.config.get_text_config()
    changed = [name for name in _SCALES if getattr(config, name, None) not in (None, 1, 1.0)]
    between = _between(model)
    if changed or between or model.get_output_embeddings() is None:
        what = f"its scores are changed after the output layer ({changed[0]})" if changed else "it has no output layer"
        what = f"there are weights between its layers and the output layer ({between[0]})" if between else what
        raise ConfigError(f"{type(model).__name__} cannot be trained here: {what}")
    original = model.forward

    @functools.wraps(type(model).forward)  # generate() checks its arguments against the signature
    def forward(self: Any, *args: Any, objective: Callable[[HeadLogits], Any] | None = None, **more: Any) -> Any:
        if objective is None:
            return original(*args, **more)
        hidden_RTD = self.base_model(*args, **(more | {"use_cache": False})).last_hidden_state
        return _call(objective, hidden_RTD, self.get_output_embeddings())

    model.forward = types.MethodType(forward, model)


def _between(model: Any) -> list[str]:
    """Weights that are neither of the backbone nor of the output layer: a transformation that would be left out."""
    layer = model.get_output_embeddings()
    known = {id(weight) for part in (model.base_model, layer) if part is not None for weight in part.parameters()}
    return [name for name, weight in model.named_parameters() if id(weight) not in known]


def _call(objective: Callable[[HeadLogits], Any], hidden_RTD: Any, layer: Any) -> Any:
    from torch.distributed.tensor import DTensor
    from trl.trainer.utils import maybe_gather_lm_head_ctx

    weight, bias = layer.weight, layer.bias
    if isinstance(weight, DTensor):  # FSDP2: gathered once, before the positions are taken in chunks
        weight = weight.full_tensor()
        bias = None if bias is None else bias.full_tensor()
    with maybe_gather_lm_head_ctx(weight, bias):  # ZeRO-3
        return objective(HeadLogits(hidden_RTD.to(weight.device), weight, bias))


def score(model: Any, batch: Batch, function: Callable[[HeadLogits], Any]) -> Any:
    """`function(scores)` of a batch, computed inside the forward pass of a patched model (or of what wraps it)."""
    return model(**batch.inputs, objective=function)
