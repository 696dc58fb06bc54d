"""Merging models without training: weight averages and balanced actor initialisation (arXiv 2509.00309).

First the fine-tuned models are averaged, M_sft = sum_i w_i M_i with sum w = 1; then the result is
drawn back to the base, M = alpha * M_base + (1 - alpha) * M_sft, and serves as the actor's initialisation for
reinforcement learning. Both work on state dicts (name -> tensor), one tensor at a time: float32 copies are never wider
than that; the tensors given are never changed and never shared. Everything is checked before anything is computed, and
a merge that would not mean anything (another architecture, quantised weights, adapters that were not merged) raises
ConfigError.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]

VOCABULARY_TENSORS = ("embed_tokens.weight", "wte.weight", "lm_head.weight", "lm_head.bias")
"""Ends of the names of tensors whose rows are tokens."""

_ADAPTERS = ("lora_A", "lora_B", "lora_embedding_", "lora_magnitude_vector", "base_layer.", "modules_to_save.")
_QUANTISED = (
    ".qweight",
    ".qzeros",
    ".absmax",
    ".quant_map",
    ".weight_scale",
    ".weight_scale_inv",
    ".SCB",
    ".weight_format",
)


def average_weights(
    states: Sequence[State], weights: Sequence[float], *, buffers: Collection[str] = ()
) -> dict[str, Tensor]:
    """The average sum_i w_i * states_i in float32, rounded once to the models' data type.

    Tensors named in `buffers` and all that are not floating point are copied from the first model. A model of weight 0
    contributes nothing, and with one weight of 1 its tensors come back bit for bit.

    Raises ConfigError unless there is one finite weight per model, they sum to 1 and the models have the same names,
    shapes and data types; DataError when an average is not finite.
    """
    _check_weights(states, weights)
    for number, state in enumerate(states):
        _check_state(state, f"model {number + 1}")
        _check_match(states[0], state, f"model {number + 1}")
    return {
        name: first.clone()
        if name in buffers or not first.is_floating_point()
        else _mean(name, [state[name] for state in states], weights)
        for name, first in states[0].items()
    }


def balanced_actor(
    base: State, tuned: Sequence[State], weights: Sequence[float], *, alpha: float = 0.1, buffers: Collection[str] = ()
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The merge alpha * base + (1 - alpha) * sum_i w_i * tuned_i in float32, rounded once to the models' data type.

    Returns the state and, for each vocabulary tensor that the tuned models have more rows of, how many.

    alpha 0.1 scored best in the paper, 0.5 to 0.6 kept the lengths of answers healthiest; the tuned models there are an
    instruction-tuned and a distilled one, half each. alpha 1 gives the base bit for bit. Buffers and tensors that are
    not floating point are the base's.

    Where the tuned models have more tokens than the base (tensors of `VOCABULARY_TENSORS`), the common rows are merged
    and the rows for new tokens are the tuned models' average.

    Raises ConfigError and DataError as `average_weights` does, and ConfigError for an alpha outside [0, 1].
    """
    if not 0.0 <= alpha <= 1.0:
        raise ConfigError(f"alpha is {alpha!r}; it must lie between 0 and 1")
    _check_weights(tuned, weights)
    _check_state(base, "the base")
    for number, state in enumerate(tuned):
        _check_state(state, f"model {number + 1}")
        _check_match(tuned[0], state, f"model {number + 1}")
    _check_match(base, tuned[0], "the tuned models", longer=True)
    merged: dict[str, Tensor] = {}
    new_rows: dict[str, int] = {}
    shares = [alpha, *((1 - alpha) * weight for weight in weights)]
    for name, own in base.items():
        if name in buffers or not own.is_floating_point():
            merged[name] = own.clone()
            continue
        theirs = [state[name] for state in tuned]
        common = own.shape[0] if own.dim() > 0 else 0
        extra = theirs[0].shape[0] - common if own.dim() > 0 else 0
        if extra == 0:
            merged[name] = _mean(name, [own, *theirs], shares)
            continue
        whole = _mean(name, theirs, weights)
        whole[:common] = _mean(name, [own, *(tensor[:common] for tensor in theirs)], shares)
        merged[name], new_rows[name] = whole, extra
    return merged, new_rows


def _mean(name: str, tensors: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """The weighted sum in float32 (float64 for float64) in the data type of the first."""
    total: Tensor | None = None
    for tensor, share in zip(tensors, shares, strict=True):
        if share == 0.0:
            continue  # 0 * inf is no contribution, and a copy must stay bit for bit (also the sign of a zero)
        wide = tensor.detach().clone() if tensor.element_size() >= 4 else tensor.detach().float()
        total = wide.mul_(share) if total is None else total.add_(wide, alpha=share)
    if total is None:
        raise ConfigError("all weights are 0")
    result = total.to(tensors[0].dtype)
    if not bool(result.isfinite().all()):
        raise DataError(f"the merged tensor {name!r} is not finite; check the models that went in")
    return result


def _check_weights(states: Sequence[State], weights: Sequence[float]) -> None:
    if not states:
        raise ConfigError("nothing to merge: no model was given")
    if len(states) != len(weights):
        raise ConfigError(f"{len(states)} models but {len(weights)} weights")
    if not all(math.isfinite(weight) for weight in weights) or abs(math.fsum(weights) - 1.0) > 1e-6:
        raise ConfigError(f"weights must be finite and sum to 1, not {list(weights)!r}")


def _check_state(state: State, model: str) -> None:
    """Refuse what cannot be averaged: nothing, adapters beside their weights, quantised weights."""
    if not state:
        raise ConfigError(f"{model} has no tensors")
    for name, tensor in state.items():
        if any(part in name for part in _ADAPTERS):
            raise ConfigError(f"{model} holds the adapter tensor {name!r}: merge the adapter into its base first")
        narrow = tensor.is_floating_point() and tensor.element_size() < 2
        packed = name.endswith(".weight") and not tensor.is_floating_point()
        if narrow or packed or name.endswith(_QUANTISED):
            raise ConfigError(f"{model} is quantised ({name!r}, {tensor.dtype}): merge the original weights instead")


def _check_match(first: State, other: State, model: str, *, longer: bool = False) -> None:
    """Same names, data types and shapes; with `longer`, `other` may have more rows in vocabulary tensors."""
    odd = sorted(first.keys() ^ other.keys())
    if odd:
        raise ConfigError(f"{model}: other tensors than the rest has, {len(odd)} in all, such as {odd[:3]}")
    for name, tensor in first.items():
        given = other[name]
        if given.dtype != tensor.dtype:
            raise ConfigError(f"{model}: {name!r} is {given.dtype}, elsewhere {tensor.dtype}; convert it first")
        grown = longer and name.endswith(VOCABULARY_TENSORS) and given.dim() == tensor.dim() > 0
        if grown and given.shape[0] >= tensor.shape[0] and given.shape[1:] == tensor.shape[1:]:
            continue
        if given.shape != tensor.shape:
            raise ConfigError(f"{model}: {name!r} has the shape {tuple(given.shape)}, elsewhere {tuple(tensor.shape)}")
