"""What a stage draws for, and how: everything about its completions but the weights."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from backends.base import Rolling
from backends.records.record import TrainRecord
from backends.records.segments import Encoder
from backends.rollouts.asides import before
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.order import completion_seed, is_drawn, prompts_of, spare_of
from backends.rollouts.prompts import given
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.types import Rollout, RolloutGroup
from harness.models.hf_prompt import Prompt


@dataclass(frozen=True)
class RolloutSource:
    """A stage's records and settings, as one process sees them."""

    stage: str
    rolling: Rolling
    settings: RolloutSettings
    prompts: int
    """Of a generation, over all processes."""
    records: tuple[TrainRecord, ...]
    """Those whose prompts fit."""
    encoder: Encoder
    seed: int
    accumulation: int
    """Micro-batches of one process in one optimiser step."""
    rank: int = 0
    processes: int = 1

    @property
    def at_once(self) -> int:
        """Completions of one pass: as many as a micro-batch has."""
        return -(-self.prompts * self.settings.group // (self.processes * self.settings.updates * self.accumulation))

    def wanted(self, generation: int) -> list[WantedGroup]:
        """What this process draws of a generation."""
        visits = prompts_of(self.seed, generation, self.prompts, len(self.records))
        return [self._group(*place) for place in visits[self.rank :: self.processes]]

    def _group(self, place: int, visit: int) -> WantedGroup:
        record = self.records[place]
        seeds = tuple(
            completion_seed(self.seed, self.stage, record.id, visit, sample) for sample in range(self.settings.group)
        )
        drawn = is_drawn(self.seed, self.stage, record.id, visit, self.settings.mix)
        begun = self.rolling.begun
        prompt = self.encoder.prompt(record) if begun is None else self.encoder.begun(record, begun(record))
        return WantedGroup(record, visit, prompt, seeds, drawn)

    def spare(self, generation: int, place: int, tries: int) -> WantedGroup:
        """What takes this process's place of a generation when what was drawn before says nothing; `tries` from 0."""
        whole = self.rank + place * self.processes
        found = spare_of(self.seed, generation, whole, tries, self.prompts, len(self.records))
        return replace(self._group(*found), drawn=True)

    def revision(self, wanted: WantedGroup, first: RolloutGroup) -> WantedGroup:
        """What is drawn once the first completion of a group is marked: the others, behind it."""
        assert self.rolling.revise is not None
        told = self.rolling.revise(first, 0)
        assert told is not None
        prompt = Prompt(tuple(before(self.encoder, wanted.record, told).tolist()))
        return replace(wanted, prompt=prompt, seeds=wanted.seeds[1:])

    def measured(self, group: RolloutGroup) -> RolloutGroup:
        """The group with the length of what its completions began with, and what becomes of those cut off."""
        if self.rolling.begun is None or group.rollouts[0].given:
            return group
        begun = len(group.rollouts[0].prompt_T) - len(self.encoder.prompt(group.record).tokens)
        return replace(group, begun=begun, masks_cut=self.settings.truncated == "mask")

    def given(self, group: WantedGroup, version: int) -> RolloutGroup:
        """The record's response in place of each completion."""
        rollouts = (
            given(self.encoder, group.record, group.visit, sample, seed, version)
            for sample, seed in enumerate(group.seeds)
        )
        return RolloutGroup(group.record, tuple(rollouts))


@dataclass(frozen=True)
class WantedGroup:
    """The completions of one prompt that are to be drawn."""

    record: TrainRecord
    visit: int
    prompt: Prompt
    seeds: tuple[int, ...]
    drawn: bool
    """Whether the student answers it, and not its record."""

    def wanted(self, sample: int) -> Wanted:
        """One of them, for the engine."""
        return Wanted(self.prompt, self.seeds[sample])

    def rollout(self, sample: int, drawn: Drawn, version: int) -> Rollout:
        """What was drawn for one of them."""
        return Rollout(
            record=self.record.id,
            visit=self.visit,
            sample=sample,
            seed=self.seeds[sample],
            prompt_T=np.array(self.prompt.tokens, np.int32),
            tokens_T=drawn.tokens_T,
            logps_T=drawn.logps_T,
            text=drawn.text,
            finish=drawn.finish,
            version=version,
            opened_think=self.prompt.opened_think,
        )
