"""Whether a model's next-token scores are its last hidden states times its output layer, found out without its weights.

Losses here never build a vocabulary's scores: they take hidden states and the output layer (`backends.trainers.head`).
For a model that scales, caps or transforms on the way that is another loss, and nothing would show it. So the plan
builds the architecture without memory (torch's meta device), puts random hidden states in the place of its layers and
a random matrix in its output layer, and compares what the model makes of them with the plain product. No list of
settings or classes is needed, and no size is too large.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.errors import ConfigError

_RAISED = (
    RuntimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, ImportError
)  # fmt: skip
"""What the library's code raises for a config that does not fit it."""
_WORDS = 50
_TOKENS = 3
_SPREAD = 20.0
"""Standard deviation of the random scores: caps (30 and 50 are in use) and scales change such scores visibly."""


def require_plain_scores(config: Any, name: str, use: str = "be trained here") -> None:
    """Raises `ConfigError` unless scores are hidden states times output layer; `config` is transformers', `name` shown.

    Also for a wrapper around a text model (images, sound) and for a model whose layers cannot be called alone.
    """
    reason = _difference(config)
    if reason is not None:
        raise ConfigError(f"{name!r} cannot {use}: {reason}")


def _difference(config: Any) -> str | None:
    """Why the product would not be the model's scores; None if it is."""
    import transformers

    transformers.utils.logging.set_verbosity_error()
    try:
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(config).eval()
    except _RAISED as error:
        return f"transformers cannot build it from its config ({_first_line(error)})"
    kind = type(model).__name__
    if model.config.get_text_config() is not model.config:
        return f"{kind} wraps a text model for other inputs than text; only text models are trained"
    layers, layer = model.base_model, model.get_output_embeddings()
    if layers is model:
        return f"{kind} has no layers that can be called without its output layer"
    if not isinstance(getattr(layer, "weight", None), Tensor):
        return f"{kind} has no output layer"
    between = _between(model)
    if between:
        return f"{kind} has weights between its layers and the output layer ({between[0]})"
    try:
        with torch.no_grad():
            return _compared(model, layers, layer)
    except _RAISED as error:
        return f"the scores of {kind} could not be compared with its output layer's ({_first_line(error)})"


def _between(model: Any) -> list[str]:
    """Weights that are neither of the layers nor of the output layer: a transformation that would be left out."""
    parts = (model.base_model, model.get_output_embeddings())
    known = {id(weight) for part in parts for weight in part.parameters()}
    return [name for name, weight in model.named_parameters() if id(weight) not in known]


def _compared(model: Any, layers: Any, layer: Any) -> str | None:
    draw = torch.Generator().manual_seed(0)
    width = layer.weight.shape[1]
    hidden_BTD = torch.randn(1, _TOKENS, width, generator=draw)
    layer.weight = torch.nn.Parameter(torch.randn(_WORDS, width, generator=draw) * (_SPREAD / width**0.5))
    if getattr(layer, "bias", None) is not None:
        layer.bias = torch.nn.Parameter(torch.randn(_WORDS, generator=draw))
    ids_BT = torch.arange(1, _TOKENS + 1)[None]
    stand_in = _StandIn(hidden_BTD, ids_BT)
    # The innermost part that gives the hidden states: some models' layers are a wrapper around a decoder.
    inner = layers.get_decoder() if hasattr(layers, "get_decoder") else layers
    inner.forward = stand_in
    right_BTV = torch.nn.functional.linear(
        layers(input_ids=ids_BT).last_hidden_state, layer.weight, getattr(layer, "bias", None)
    )
    own_BTV = model(input_ids=ids_BT).logits
    kind = type(model).__name__
    if stand_in.changed:
        return f"{kind} changes its input before its layers"
    if own_BTV.shape != right_BTV.shape or not torch.allclose(own_BTV, right_BTV, rtol=1e-3, atol=1e-3):
        return f"the scores of {kind} are not its hidden states times its output layer: they are scaled or capped"
    return None


class _StandIn:
    """In the place of a model's layers: always the same hidden states; notices an input that is not the tokens."""

    def __init__(self, hidden_BTD: Tensor, ids_BT: Tensor) -> None:
        self.hidden_BTD, self.ids_BT = hidden_BTD, ids_BT
        self.changed = False

    def __call__(self, input_ids: Any = None, *_: Any, **more: Any) -> _Output:
        self.changed |= input_ids is not self.ids_BT or more.get("inputs_embeds") is not None
        return _Output((self.hidden_BTD,))


class _Output(tuple[Tensor, ...]):
    """What layers return: hidden states first, and None for whatever else a model asks for."""

    def __getattr__(self, name: str) -> Tensor | None:
        if name.startswith("__"):
            raise AttributeError(name)
        return self[0] if name == "last_hidden_state" else None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:120]}"
