"""Merging: average the weights of models that share a base, and draw the result back to the base (BAI). No training.

Balanced actor initialisation takes an instruction-tuned and a distilled model, half each, and mixes in the base: a
start for reinforcement learning. The models come through the same loader as everywhere, so adapters are merged first.

    harness train --method merge --set models=trained:a,trained:b --set weights=0.5,0.5
    harness train --method merge --set mode=bai --set models=hf:tuned,trained:x --set base=hf:base --set alpha=0.1
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backends.base import MakeMethod
from backends.merging import average_weights, balanced_actor
from backends.options import refuse_unused
from backends.records.segments import tokenizer_difference
from backends.trainers.writing import writing
from harness.errors import ConfigError
from harness.types import Json

_SAME = ("model_type", "num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act")
"""Settings that shapes of tensors do not show and that must agree."""


@dataclass(frozen=True)
class MergeOptions:
    """Options of a merge."""

    models: tuple[str, ...] = ()
    """Specs of the models to average, such as "trained:<id>" or "hf:<path>", joined by commas."""
    weights: tuple[str, ...] = ()
    """Their shares, which sum to 1; none: equal ones."""
    mode: Literal["average", "bai"] = "average"
    """bai: balanced actor initialisation, alpha times `base` plus (1 - alpha) times the average."""
    base: str | None = None
    """Spec of the base, for bai."""
    alpha: float = 0.1
    """The base's share, for bai: 0.1 scored best in the paper, 0.5 to 0.6 kept lengths healthiest."""

    def __post_init__(self) -> None:
        refuse_unused(self, self.mode == "bai", "mode=bai", "alpha")

    @property
    def shares(self) -> tuple[float, ...]:
        """The weights as numbers. Raises `ConfigError` for what is none."""
        try:
            return tuple(float(text) for text in self.weights) or (1 / len(self.models),) * len(self.models)
        except ValueError:
            raise ConfigError(f"weights must be numbers, joined by commas, not {','.join(self.weights)!r}") from None

    def check(self) -> None:
        """Raises `ConfigError` for options that do not say what to merge."""
        least = 1 if self.mode == "bai" else 2
        if len(self.models) < least:
            raise ConfigError(f"merge needs models=…, at least {least}, joined by commas: models=trained:a,trained:b")
        if self.mode == "bai" and self.base is None:
            raise ConfigError("mode=bai needs base=…, the model that the others were trained from")
        if self.mode == "average" and self.base is not None:
            raise ConfigError("mode=average has no base: leave it out, or take mode=bai")
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha must be from 0 to 1, not {self.alpha}")
        if len(self.shares) != len(self.models) or not abs(sum(self.shares) - 1) <= 1e-6:
            given = ",".join(self.weights)
            raise ConfigError(f"weights must be {len(self.models)} numbers that sum to 1, not {given!r}")


def reads(options: MergeOptions) -> tuple[str, ...]:
    """Every model that is read. Raises `ConfigError` for options that do not say what to merge."""
    options.check()
    return (*options.models, *(() if options.base is None else (options.base,)))


def make(options: MergeOptions, load: Callable[[str], tuple[Any, Any]], folder: Path) -> Mapping[str, Json]:
    """Merge the models into `folder`; the tokenizer and the settings are those of the first.

    Raises `ConfigError` for models of other architectures or vocabularies and for quantised ones, `DataError` where the
    result is not finite.
    """
    options.check()
    loaded = [_load(load, spec) for spec in options.models]
    model, tokenizer = loaded[0]
    for spec, (other, others_tokenizer) in zip(options.models[1:], loaded[1:], strict=True):
        _check(spec, model, other, tokenizer_difference(tokenizer, others_tokenizer))
    states, new_rows = [other.state_dict() for other, _ in loaded], dict[str, int]()
    buffers = {name for name, _ in model.named_buffers()}
    if options.base is None:  # mode=average, as the check has it
        merged = average_weights(states, options.shares, buffers=buffers)
    else:
        merged, new_rows = _with_base(options, options.base, load, model, tokenizer, states, buffers)
    model.load_state_dict(merged)
    with writing(folder, "nothing is registered"):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return {
        "models": list(options.models),
        "weights": list(options.shares),
        "mode": options.mode,
        "base": options.base,
        "alpha": options.alpha if options.mode == "bai" else None,
        "new_rows": new_rows,
    }


def _with_base(
    options: MergeOptions,
    spec: str,
    load: Callable[[str], tuple[Any, Any]],
    model: Any,
    tokenizer: Any,
    states: list[Mapping[str, Any]],
    buffers: set[str],
) -> tuple[dict[str, Any], dict[str, int]]:
    base, base_tokenizer = _load(load, spec)
    ours: dict[str, int] = base_tokenizer.get_vocab()
    theirs: dict[str, int] = tokenizer.get_vocab()
    moved = next((token for token, number in ours.items() if theirs.get(token) != number), None)
    why = None if moved is None else f"its token {moved!r} has no or another number in the tuned models"
    _check(spec, model, base, why)
    return balanced_actor(base.state_dict(), states, options.shares, alpha=options.alpha, buffers=buffers)


def _load(load: Callable[[str], tuple[Any, Any]], spec: str) -> tuple[Any, Any]:
    model, tokenizer = load(spec)
    if getattr(model.config, "quantization_config", None) is not None:
        raise ConfigError(f"{spec!r} is quantised: merge the original weights instead")
    return model, tokenizer


def _check(spec: str, first: Any, other: Any, tokenizers: str | None) -> None:
    for name in _SAME:
        ours, its = getattr(first.config, name, None), getattr(other.config, name, None)
        if ours != its:
            raise ConfigError(f"{spec!r} cannot be merged: its {name} is {its!r}, the first model's {ours!r}")
    if tokenizers is not None:
        raise ConfigError(f"{spec!r} cannot be merged: {tokenizers}")


METHOD = MakeMethod(
    name="merge",
    summary="average the weights of models, or balanced actor initialisation (BAI); no training",
    paper="Balanced Actor Initialization, arXiv 2509.00309; weight averaging: Wortsman et al. 2022, arXiv 2203.05482",
    options=MergeOptions,
    make=make,
    reads=reads,
    deviations=(
        "Rows of tokens that only the tuned models have are their average; the paper's vocabularies are equal.",
    ),
)
