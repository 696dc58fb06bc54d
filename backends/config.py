"""Everything that a training run is told, from the command line or a recipe file, and what of it decides the result.

Precedence of a setting: the user's for that stage, the user's, the paper's for the stage, `Settings`' default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from backends.options import parse_settings
from backends.rollouts.settings import lasting_of
from harness.errors import ConfigError, UnknownName
from harness.hashing import canonical_json, short_hash
from harness.spent import Counted
from harness.types import Json

Precision = Literal["auto", "float32", "bf16"]
Scheduler = Literal["linear", "cosine", "constant", "constant_with_warmup", "epoch_decay"]
Stoppable = Literal["hacking", "collapse", "length", "hockey_stick", "leak"]


_MOST = 2**31 - 1
"""Largest count that the libraries below take."""
_MOST_EPOCHS = 1e6
_MOST_SEED = 2**32 - 1
"""What numpy's generator takes."""


@dataclass(frozen=True)
class Settings:
    """How a stage is optimised. Counts of examples are per optimiser step, over all processes."""

    learning_rate: float = 1e-5
    scheduler: Scheduler = "cosine"
    """"epoch_decay" multiplies the learning rate by `decay` after each epoch."""
    decay: float = 0.95
    warmup: float = 0.03
    """Share of the steps in which the learning rate rises; "constant" and "epoch_decay" begin without."""
    weight_decay: float = 0.0
    beta2: float = 0.999
    """Adam's second beta."""
    max_grad_norm: float = 1.0
    epochs: float = 3.0
    """Passes over the data; not used where a budget or `max_steps` is given."""
    max_steps: int | None = None
    """Optimiser steps."""
    batch_size: int = 64
    """Examples per optimiser step."""
    micro_batch: int | None = None
    """Examples per forward pass on one device; None: the largest of 1 to 8 that divides what a device gets."""
    lora_rank: int | None = None
    """Rank of LoRA adapters; None trains all weights."""
    lora_alpha: float | None = None
    """None: twice the rank."""
    lora_dropout: float = 0.0
    lora_targets: str = "all-linear"
    """Names of the layers, joined by "+", or "all-linear"."""

    def __post_init__(self) -> None:
        counts = ("max_steps", "batch_size", "micro_batch", "lora_rank")
        for name in ("learning_rate", "max_grad_norm", "epochs", "lora_alpha", *counts):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
        for name in counts:
            if (getattr(self, name) or 0) > _MOST:
                raise ValueError(f"{name} must be at most {_MOST}, not {getattr(self, name)}")
        if self.epochs > _MOST_EPOCHS:
            raise ValueError(
                f"epochs must be at most {_MOST_EPOCHS:,.0f}, not {self.epochs}: say max_steps or a budget"
            )
        for name in ("warmup", "weight_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, not {getattr(self, name)}")
        if not 0 <= self.lora_dropout < 1:
            raise ValueError(f"lora_dropout must be from 0 to below 1, not {self.lora_dropout}")
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1, not {self.decay}")
        if not 0 < self.beta2 < 1:
            raise ValueError(f"beta2 must be above 0 and below 1, not {self.beta2}")


@dataclass(frozen=True)
class TrainConfig:
    """One training run."""

    method: str
    student: str
    """Model spec: "tiny", "smollm2", "hf:<path or hub id>", "trained:<id>"."""
    data: str
    """A file of training records, or "synth:levels=1+2,per_level=500" (`backends.records.source`)."""
    teacher: str | None = None
    """Model spec, for methods that need the teacher's weights; else a name for the card."""
    teacher_server: str | None = None
    """Addresses of vLLM servers, with commas, that have them: only its tokenizer is loaded here."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The method's own options."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """The user's `Settings`, for all stages; a key "<stage>.<setting>" is for that stage alone."""
    rollout: Mapping[str, Json] = field(default_factory=dict)
    """The user's `RolloutSettings`, of a method whose student writes what it is trained on."""
    reward: Mapping[str, str] = field(default_factory=dict)
    """Options of its rewards: "<reward>.<option>" -> value."""
    seed: int = 0
    limit: int | None = None
    """Only that many records, the first."""
    max_length: int = 2048
    """Most tokens of a sequence, the student's own context at most; longer ones are left out, never cut."""
    budget_tokens: int | None = None
    """Tokens that the student reads and writes in training, padding excluded; takes the place of the epochs."""
    count: Counted = "student"
    """What `budget_tokens` counts: tokens that the student reads and writes, or also those of teachers and judges."""
    stop_on: tuple[Stoppable, ...] = ()
    """Kinds of alarms (`backends.rollouts.alarms`) that end a training on what the student writes."""
    budget_seconds: float | None = None
    """Wall-clock limit; what is trained until then is kept."""
    precision: Precision = "auto"
    """"bf16": autocast, float32 weights (with LoRA: a bfloat16 base); "auto": bf16 on a GPU, else float32."""
    gradient_checkpointing: bool = False
    template: str | None = None
    """A Jinja file in place of the tokenizer's chat template; "off": none."""

    def __post_init__(self) -> None:
        for name in ("limit", "budget_tokens", "budget_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"{name} must be above 0, not {value}")
        if unknown := sorted(set(self.stop_on) - set(get_args(Stoppable))):
            raise UnknownName("alarm", unknown[0], get_args(Stoppable))
        if self.count != "student" and self.budget_tokens is None:
            raise ConfigError(f"--count {self.count} says what a budget of tokens counts: say --budget 2Mtok too")
        if not 0 <= self.seed <= _MOST_SEED:
            raise ConfigError(f"the seed must be from 0 to {_MOST_SEED}, not {self.seed}")

    def stage_settings(self, stage: str, stages: tuple[str, ...], paper: Mapping[str, Json]) -> Settings:
        """The settings of one stage of several. Raises `ConfigError` for an unknown key or a bad value."""
        own: dict[str, Json] = {}
        for key, value in self.settings.items():
            prefix, dot, name = key.rpartition(".")
            if dot and prefix not in stages:
                raise ConfigError(f"{key!r} names no stage of {self.method}: {', '.join(stages)}")
            if not dot:
                own.setdefault(name, value)
            elif prefix == stage:
                own[name] = value
        return settings_from({**paper, **own})

    def identity(self) -> dict[str, Any]:
        """What decides the result, for the id of the model: everything but the place of the data and of servers.

        What only methods read whose student writes is there where something is said: ids of others stay what they were.
        """
        found = dataclasses.asdict(self)
        del found["data"], found["teacher_server"]
        found["rollout"] = lasting_of(self.rollout)
        if self.count == "student":  # ids are older than the choice
            del found["count"]
        return {name: value for name, value in found.items() if value or name not in ("rollout", "reward", "stop_on")}

    def hash(self, data_hash: str, order: str) -> str:
        """16 hexadecimal digits over the identity, the records and their order."""
        return short_hash(canonical_json({**self.identity(), "data_hash": data_hash, "data_order": order}))


@dataclass(frozen=True)
class Runtime:
    """What changes how training runs, not what comes out."""

    save_steps: int | None = None
    """Optimiser steps between checkpoints; None: every ten minutes."""
    logging_steps: int = 10
    report_to: tuple[str, ...] = ()
    """"trackio", "wandb", "tensorboard": handed to the trainer."""
    keep_rollouts: Literal["all", "text", "none"] = "text"
    """What stays of completions that no checkpoint needs any more: everything, texts and marks, nothing."""
    judge_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the engines of reward models: "<option>" of all, "<spec>:<option>" of one."""
    judge_budget: str | None = None
    """What this command may spend on them; None: no limit."""


def settings_from(values: Mapping[str, Json]) -> Settings:
    """Settings of plain values. Raises `ConfigError` for an unknown key, a wrong type or a bad value."""
    return parse_settings(Settings, values, "train")


def micro_batches(settings: Settings, processes: int) -> tuple[int, int]:
    """(examples per forward pass, passes per optimiser step) of one device of so many.

    Raises `ConfigError` where the batch cannot be divided so.
    """
    here, rest = divmod(settings.batch_size, processes)
    if rest:
        raise ConfigError(f"batch_size {settings.batch_size} cannot be divided among {processes} processes")
    micro = settings.micro_batch or max(size for size in (1, 2, 4, 8) if here % size == 0)
    if here % micro:
        raise ConfigError(f"micro_batch {micro} does not divide the {here} examples that a device gets of each step")
    return micro, here // micro
