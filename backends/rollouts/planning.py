"""What a stage will draw, found out before anything is drawn; whatever can be wrong with that is raised here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from backends.base import Rolling, Stage
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Tokenised
from backends.rewards.leak import watched
from backends.rewards.total import Totals, parse_weights
from backends.rollouts.settings import RolloutSettings, prompts_per_generation, rollout_settings
from harness.errors import ConfigError, DataError
from harness.models.openai_servers import addresses_of
from harness.models.vllm import require as require_vllm

if TYPE_CHECKING:
    from backends.config import Settings, TrainConfig


PHRASE = 96
"""Most tokens between a completion and one that revises it."""


@dataclass(frozen=True)
class Rolled:
    """What a stage will draw, resolved."""

    settings: RolloutSettings
    """With `max_new`."""
    prompts: int
    """Of a generation, over all processes."""
    records: tuple[TrainRecord, ...]
    """Those that are drawn for, in order."""
    totals: Totals
    prompt_tokens: float
    """Mean of the prompts."""
    cache_bytes: int
    """Keys and values of the completions that one device decodes at a time, at the most."""
    held_out: tuple[TrainRecord, ...] = ()
    """Records that are looked at and never trained on."""

    def tokens_per_step(self, batch: int) -> float:
        """Most tokens that the student reads in an optimiser step, on average over the prompts."""
        assert self.settings.max_new is not None
        return batch * (self.prompt_tokens + self.settings.max_new)

    def steps_of_budget(self, tokens: float, batch: int) -> int:
        """More steps than a budget of tokens read and written can make: it ends the stage."""
        return math.ceil(tokens / (batch * (self.prompt_tokens + 2)))

    def lines(self, stage_steps: int) -> list[str]:
        """For a dry run: how much will be drawn."""
        how, generations = self.settings, math.ceil(stage_steps / self.settings.steps)
        total = generations * self.prompts * how.group
        named = {
            "temperature": how.temperature,
            "top_p": how.top_p,
            "truncated": how.truncated,
            "flat": how.flat,
            "mix": how.mix,
        }
        told = ", ".join(f"{name} {value}" for name, value in named.items())
        weights = "+".join(f"{name}={weight:g}" for name, weight in self.totals.weights.items()) or "none"
        times = generations * self.prompts / len(self.records)
        asked = f", which ask {', '.join(self.totals.models)} about {total:,} completions" if self.totals.models else ""
        return [
            f"draws {how.group} completions of each of {self.prompts} prompts a generation, {how.updates} updates x "
            f"{how.passes} passes: {generations:,} generations, {total:,} completions of at most {how.max_new:,} "
            f"tokens ({told})",
            f"each of {len(self.records):,} prompts comes {times:.2g} times; rewards {weights}{asked}",
            f"keys and values of what is decoded at a time: at most {self.cache_bytes / 2**20:,.0f} MiB per device, "
            "freed before the training pass",
        ]

    def steps(self, epochs: float) -> int:
        """Optimiser steps of so many visits to each prompt."""
        if self.settings.every == "stage":
            return max(1, round(epochs * self.settings.updates))
        return max(1, round(epochs * len(self.records) / self.prompts)) * self.settings.steps


def plan_rolling(
    config: TrainConfig,
    stage: Stage,
    settings: Settings,
    encoder: Encoder,
    architecture: Any,
    records: Sequence[TrainRecord],
    processes: int,
) -> tuple[Tokenised, Rolled]:
    """The prompts and how they are drawn for; `architecture` is the student's config.

    Raises `ConfigError` and `DataError`, and `UnknownName` for a reward.
    """
    from backends.rollouts.engine_hf import refuse_sharded

    rolling = stage.rolling
    assert rolling is not None
    refuse_sharded()
    rollout = rollout_settings(rolling.settings, config.rollout, stage.name)
    weights = watched(rolling.weights, config.reward, rolling.context is not None)
    own = parse_weights(weights)  # of several stages each may have rewards of its own
    totals = Totals(weights, {key: value for key, value in config.reward.items() if key.partition(".")[0] in own})
    _check(config.method, rolling, settings, rollout, config)
    if rollout.engine == "vllm" and processes > 1:
        raise ConfigError(
            f"rollout.engine=vllm starts one vLLM beside one training process, and {processes} of them would share "
            "its device: start servers and set rollout.engine=server:http://host:8000,…, or set rollout.engine=hf"
        )
    room = encoder.max_length - (PHRASE if rolling.revise else 0)
    turns = 2 if rolling.revise else 1
    data, rollout = _fitting(stage.examples(encoder, records), rollout, room, context_of(architecture), turns)
    known = {record.id: record for record in records}
    kept = tuple(known[example.id] for example in data.examples)
    totals.check(kept)
    kept, held_out = _held_out(kept, rollout, config)
    lengths = [len(example.sequences[0].ids_T) for example in data.examples]
    if rollout.every == "stage":
        completions = len(kept) * rollout.group
        if completions < settings.batch_size:
            raise ConfigError(
                f"{config.method} draws once: rollout.group={rollout.group} completions of each of {len(kept)} prompts "
                f"are fewer than batch_size {settings.batch_size}: set batch_size to {completions} or less"
            )
        rollout = replace(rollout, updates=completions // settings.batch_size)
    prompts = prompts_per_generation(rollout, settings.batch_size, processes)
    assert rollout.max_new is not None
    columns = max(lengths) + turns * rollout.max_new + encoder.max_length - room
    cache = _cache_bytes(config, architecture, columns, prompts * rollout.group // processes)
    before = sum(lengths) / len(lengths) + (turns - 1) * rollout.max_new
    return data, Rolled(rollout, prompts, kept, totals, before, cache, held_out)


def accuracy_of(config: TrainConfig) -> Totals:
    """What grades held-out records: the reward accuracy alone, with the training's options of it."""
    return Totals("accuracy=1", {key: value for key, value in config.reward.items() if key.startswith("accuracy.")})


def _held_out(
    records: tuple[TrainRecord, ...], rollout: RolloutSettings, config: TrainConfig
) -> tuple[tuple[TrainRecord, ...], tuple[TrainRecord, ...]]:
    """(trained on, looked at)."""
    count = rollout.held_out
    if not count:
        return records, ()
    if count >= len(records):
        raise DataError(f"rollout.held_out={count} leaves none of {len(records)} records to train on: set it lower")
    accuracy_of(config).check(records[-count:])
    return records[:-count], records[-count:]


def context_of(architecture: Any) -> int | None:
    """Most tokens of prompt and completion; None where the config tells of no limit."""
    found: int | None = getattr(architecture.get_text_config(), "max_position_embeddings", None)
    return found


def _cache_bytes(config: TrainConfig, architecture: Any, columns: int, completions: int) -> int:
    import torch

    from backends.rollouts.engine_hf import rows_at_once
    from harness.models.hf_load import cached_numbers

    gpu = torch.cuda.is_available()
    width = 2 if config.precision == "bf16" or (config.precision == "auto" and gpu) else 4
    rows = min(completions, rows_at_once("cuda" if gpu else "cpu"))
    return rows * columns * cached_numbers(architecture.get_text_config()) * width


def weighed(options: type, config: TrainConfig) -> Mapping[str, str]:
    """The method's options as they are given; where another engine draws, each token is weighed unless told otherwise.

    The weight is the student's probability over the sampler's, at most `cap`.
    """
    engines = [value for key, value in config.rollout.items() if key.rpartition(".")[2] == "engine"]
    if all(engine == "hf" for engine in engines) or "correction" not in {item.name for item in fields(options)}:
        return config.options
    return {"correction": "token_truncate", **config.options}


def refuse_unrewarded(method: str, options: type, stages: Sequence[Stage]) -> None:
    """Raise `ConfigError` where a method that learns from rewards is told of none."""
    usual = next((item.default for item in fields(options) if item.name == "weights"), "")
    told = [stage.rolling.weights for stage in stages if stage.rolling is not None]
    if usual and told and not any(map(parse_weights, told)):
        raise ConfigError(f"{method} learns from rewards, and weights names none: leave it out, which is {usual}")


def _check(method: str, rolling: Rolling, settings: Settings, rollout: RolloutSettings, config: TrainConfig) -> None:
    if rolling.compares and rollout.group < 2:
        raise ConfigError(
            f"{method} compares the completions of a prompt: with rollout.group={rollout.group} there is nothing to "
            "compare, set it to 2 or more"
        )
    if rollout.flat == "resample" and not (rolling.compares and rolling.weights):
        raise ConfigError(f"{method} has no rewards by which a group could be flat: leave out rollout.flat=resample")
    if rolling.ratio and rollout.top_p < 1:
        raise ConfigError(
            f"{method} weighs the student against the policy that drew, and rollout.top_p={rollout.top_p} makes that "
            "another one than the student: set rollout.top_p=1"
        )
    if rolling.ratio and rollout.mix < 1:
        raise ConfigError(
            f"{method} weighs the student against the policy that drew, and nothing drew the records' responses that "
            f"rollout.mix={rollout.mix} puts in place of completions: set rollout.mix=1"
        )
    if rolling.ratio and settings.lora_rank is not None and settings.lora_dropout > 0:
        raise ConfigError(
            f"{method} weighs the student against the policy that drew, and lora_dropout={settings.lora_dropout} makes "
            "that another one than the student that is trained: set lora_dropout=0"
        )
    if rolling.mixture is not None and rollout.kind != "hf":
        raise ConfigError(
            f"{method} draws each token from student and teacher together, which only the training process can: set "
            "rollout.engine=hf, or teacher_mix=0 for the student alone"
        )
    if rollout.kind != "hf" and rollout.top_p < 1:
        raise ConfigError(
            "vLLM tells log-probabilities within the nucleus, so that nobody sees whether it has the student's "
            f"weights: with rollout.top_p={rollout.top_p} set rollout.engine=hf"
        )
    if rollout.kind == "vllm":
        require_vllm()
    elif rollout.kind == "server":
        addresses_of(rollout.servers, "rollout.engine=server")
    if config.budget_tokens is not None and settings.max_steps is None and settings.scheduler != "constant":
        raise ConfigError(
            f"how many steps a budget of tokens makes is not known before completions are drawn, and scheduler="
            f"{settings.scheduler} needs to know it: set max_steps, or scheduler=constant"
        )


def _fitting(
    data: Tokenised, rollout: RolloutSettings, max_length: int, context: int | None, turns: int
) -> tuple[Tokenised, RolloutSettings]:
    """The prompts that leave room for `turns` times `max_new` tokens; None becomes what the longest prompt leaves."""
    lengths = {example.id: len(example.sequences[0].ids_T) for example in data.examples}
    if rollout.max_new is None:
        left = (max_length - max(lengths.values())) // turns
        if left < 1:
            raise ConfigError(f"the longest prompt leaves no room for {turns} completions: set --max-length higher")
        return data, replace(rollout, max_new=left)
    over = tuple(name for name, length in lengths.items() if length + turns * rollout.max_new > max_length)
    if not over:
        return data, rollout
    told = (
        f"{len(over)} of {len(lengths)} prompts leave no room for rollout.max_new={rollout.max_new}, the first "
        f"{over[0]!r} with {lengths[over[0]]} tokens"
    )
    if context is not None and max_length >= context:
        raise ConfigError(f"{told}: the student's context has {context}; set rollout.max_new lower")
    kept = tuple(example for example in data.examples if example.id not in over)
    if not kept:
        raise DataError(f"{told}: set --max-length (now {max_length}) higher, or rollout.max_new lower")
    return Tokenised(kept, {**data.left_out, "too_long": (*data.left_out.get("too_long", ()), *over)}), rollout
