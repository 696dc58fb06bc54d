"""How completions are drawn while a student is trained: `--set rollout.group=8`, before it the paper's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, get_args

from backends.options import must_be, parse_settings
from harness.errors import ConfigError
from harness.redact import one_line
from harness.types import Json

Truncated = Literal["keep", "mask", "drop"]
EngineName = Literal["hf", "vllm", "server"]
ALL = 2**40
"""More optimiser steps than any stage has."""
MOST = 10_000_000
"""Completions of a generation, which lies in memory as a whole."""


@dataclass(frozen=True)
class RolloutSettings:
    """How a stage draws. `Settings.batch_size` counts completions: a generation has batch x updates / group prompts."""

    group: int = 8
    """Completions of one prompt."""
    updates: int = 1
    """Optimiser steps into which the completions of one generation are cut."""
    passes: int = 1
    """How often each completion is trained on before new ones are drawn."""
    every: Literal["step", "stage"] = "step"
    """Whether completions are drawn again after `updates` x `passes` steps, or once, before the first, for all steps:
    then `updates` is as many as one completion set of every prompt gives."""
    temperature: float = 1.0
    top_p: float = 1.0
    max_new: int | None = None
    """Most tokens of a completion; None: what `max_length` leaves behind the longest prompt."""
    mix: float = 1.0
    """Share of the prompts that the student answers; in place of the others' completions stand the records' responses,
    where the method has them (gkd's lam)."""
    truncated: Truncated = "keep"
    """Completions cut off by `max_new`: trained on, counted in their group but not trained on, or dropped."""
    engine: str = "hf"
    """Who draws: the student itself in the training process (hf); vLLM in one of its own, with a copy of its weights
    (vllm); or vLLM servers that run already (server:http://host:8000,http://other:8000)."""
    gpu_share: float = 0.4
    """Of a GPU's memory for the vLLM that is started beside the training, its copy of the weights included."""
    flat: Literal["keep", "resample"] = "keep"
    """Groups whose completions are all worth the same, which say nothing: kept, or another prompt drawn for in their
    place, three tries at most (DAPO)."""

    held_out: int = 0
    """Records, the last ones, that are never trained on: accuracy on them is looked at (`dev/accuracy`)."""
    look_every: int = 10
    """Optimiser steps between looks at them."""
    patience: int = 0
    """Looks without a better one after which training ends, with the best weights that were looked at; 0: no end."""

    def __post_init__(self) -> None:
        if self.held_out < 0 or self.patience < 0 or (self.patience and not self.held_out):
            raise ValueError("patience is with held_out records, both 0 or more")
        for name in ("group", "updates", "passes", "max_new", "look_every"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if self.kind not in get_args(EngineName) or (self.kind == "server") != bool(self.servers):
            raise ValueError(f"engine is hf, vllm or server:http://host:8000,…, not {one_line(self.engine, 80)!r}")
        if not self.temperature > 0:
            raise ValueError(
                f"temperature must be above 0, not {self.temperature}: at 0 all completions of a prompt are the same"
            )
        must_be(self, "from 0.001 to 1000", "temperature")
        if not 0 <= self.mix <= 1:
            raise ValueError(f"mix must be from 0 to 1, not {self.mix}")
        if not 0 < self.gpu_share < 1:
            raise ValueError(f"gpu_share must be between 0 and 1, not {self.gpu_share}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p}")

    @property
    def kind(self) -> str:
        """Which of the engines it is."""
        return engine_kind(self.engine)

    @property
    def servers(self) -> str:
        """Their addresses, where servers draw."""
        return self.engine.partition(":")[2]

    @property
    def steps(self) -> int:
        """Optimiser steps made with the completions of one generation; more than there are if it is the only one."""
        return ALL if self.every == "stage" else self.updates * self.passes

    def lasting(self) -> dict[str, Json]:
        """What differs from the defaults, so that an id does not change when a setting is added.

        Where servers are, and how much memory there is, decide nothing.
        """
        told = lasting_of(asdict(self))
        return {
            item.name: told[item.name] for item in fields(self) if told.get(item.name, item.default) != item.default
        }


def engine_kind(engine: str) -> str:
    """Which of the engines it is, wherever servers are."""
    return engine.partition(":")[0]


def lasting_of(given: Mapping[str, Json]) -> dict[str, Json]:
    """What the user said, without what decides nothing."""
    told = {name: value for name, value in given.items() if name != "gpu_share"}
    return told | ({"engine": engine_kind(str(told["engine"]))} if "engine" in told else {})


def rollout_settings(paper: Mapping[str, Json], given: Mapping[str, Json], stage: str = "") -> RolloutSettings:
    """The user's before the paper's; "<stage>.<key>" is for that stage alone, and before what is for all.

    Raises `ConfigError` for an unknown key or a bad value.
    """
    general = {key: value for key, value in given.items() if "." not in key}
    own = {key.rpartition(".")[2]: value for key, value in given.items() if key.rpartition(".")[0] == stage != ""}
    return parse_settings(RolloutSettings, {**paper, **general, **own}, "rollout")


def prompts_per_generation(settings: RolloutSettings, batch: int, processes: int) -> int:
    """How many prompts are drawn for at once. Raises `ConfigError` where completions or processes do not come out."""
    prompts, rest = divmod(batch * settings.updates, settings.group)
    if rest:
        raise ConfigError(
            f"batch_size {batch} x rollout.updates {settings.updates} completions are no whole number of groups of "
            f"{settings.group}: set batch_size or rollout.group so that one divides the other"
        )
    if not prompts:
        raise ConfigError(
            f"there are fewer completions than a step of batch_size {batch} takes: set it lower or rollout.group higher"
        )
    if prompts * settings.group > MOST:
        raise ConfigError(
            f"batch_size {batch} x rollout.updates {settings.updates} are {prompts * settings.group:,} completions of "
            f"a generation, which are in memory at once: at most {MOST:,}, set rollout.updates or batch_size lower"
        )
    if prompts % processes:
        raise ConfigError(
            f"{prompts} prompts of a generation cannot be divided among {processes} processes: each takes whole groups"
        )
    return prompts
