"""One generation: prompts drawn for, completions marked, compared in their groups, made into examples.

    rolls = Rolls(source, engine, mark)
    made = rolls.make(generation, step, policy)
    made.steps[update]        # this process's micro-batches of one optimiser step
    made.numbers              # what is logged, the same on every process

Drawing and rewards see no gradients, losses see no text. A group is whole on one process; credit sees the groups of
all processes in the order of the prompts, so that what it makes of them does not depend on how many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from backends.base import Rolling, Step, Training
from backends.losses.nll import token_logps
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Example
from backends.rollouts.cutting import behind, example_of, fates_of, marks_of, steps_of
from backends.rollouts.engine import Drawn, Engine, Wanted
from backends.rollouts.numbers import numbers_of
from backends.rollouts.order import completion_seed, is_drawn, prompts_of
from backends.rollouts.prompts import given
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark
from harness.models.hf_prompt import Prompt

MARKED_AT_ONCE = 8
"""Groups, beside decoding."""

Mark = Callable[[RolloutGroup], tuple[RolloutMark, ...]]
"""Marks one group; called from several threads at once."""


@dataclass(frozen=True)
class RolloutSource:
    """What a stage draws for, and how: everything but the weights."""

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


@dataclass(frozen=True)
class Made:
    """A generation, ready to train on."""

    generation: int
    steps: Sequence[Sequence[Sequence[Example]]]
    """This process's micro-batches of each update."""
    numbers: Mapping[str, float]


@dataclass(frozen=True)
class _Group:
    """A group that is being drawn."""

    record: TrainRecord
    visit: int
    prompt: Prompt
    seeds: tuple[int, ...]
    drawn: bool
    """Whether the student answers it, and not its record."""


class Rolls:
    """Makes one generation after another; nothing of one is needed for the next."""

    def __init__(self, source: RolloutSource, engine: Engine, mark: Mark) -> None:
        self.source, self.engine, self._mark = source, engine, mark

    def make(self, generation: int, step: Step, policy: Training) -> Made:
        """Draw, mark and credit with the student as it is. Raises `ModelError`, and what rewards raise."""
        source, settings = self.source, self.source.settings
        began = time.monotonic()
        groups, drawn = self._draw(generation, step, policy)
        marked = time.monotonic()
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        if step.number % settings.steps == 0:  # a training that goes on within a generation has counted it
            policy.spend(
                generated=sum(len(one.tokens_T) for one in rollouts),
                prefilled=sum(len(group.rollouts[0].prompt_T) for group in groups),
            )
        gathered = policy.gather(groups)
        everything = [gathered[place % source.processes][place // source.processes] for place in range(source.prompts)]
        credited = source.rolling.credit(everything, step)
        fates = [
            fates_of(group, credits, settings.truncated) for group, credits in zip(everything, credited, strict=True)
        ]
        mine = slice(source.rank, None, source.processes)
        decided = zip(
            (credit for credits in credited[mine] for credit in credits),
            (fate for row in fates[mine] for fate in row),
            strict=True,
        )
        examples = [
            example_of(rollout, credit, fate, index)
            for index, (rollout, (credit, fate)) in enumerate(zip(rollouts, decided, strict=True))
        ]
        if settings.steps > 1:
            examples = self._with_old(examples, policy)
        numbers = numbers_of(everything, fates) | {"seconds/draw": drawn - began, "seconds/mark": marked - drawn}
        return Made(generation, steps_of(examples, settings, source.accumulation, rollouts[0]), numbers)

    def _draw(self, generation: int, step: Step, policy: Training) -> tuple[list[RolloutGroup], float]:
        """The groups of this process, marked, and when the last completion was drawn."""
        groups = [self._group(*place) for place in self._mine(generation)]
        size = self.source.settings.group
        places = [place for place, group in enumerate(groups) if group.drawn]
        wanted = [Wanted(groups[place].prompt, seed) for place in places for seed in groups[place].seeds]
        found: list[list[Rollout | None]] = [[None] * size for _ in groups]
        marking: dict[int, Future[RolloutGroup]] = {}
        with ThreadPoolExecutor(MARKED_AT_ONCE, "rewards") as pool:
            try:

                def emit(number: int, drawn: Drawn) -> None:
                    turn, sample = divmod(number, size)
                    place = places[turn]
                    found[place][sample] = _rollout(groups[place], sample, drawn, step.number)
                    whole = [rollout for rollout in found[place] if rollout is not None]
                    if len(whole) == size:
                        marking[place] = pool.submit(self._marked, RolloutGroup(groups[place].record, tuple(whole)))

                for place, group in enumerate(groups):
                    if not group.drawn:
                        marking[place] = pool.submit(self._marked, self._given(group, step.number))
                self.engine.sync(policy, step.number)
                self.engine.draw(wanted, emit)
                drawn = time.monotonic()
                return [marking[place].result() for place in range(len(groups))], drawn
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _marked(self, group: RolloutGroup) -> RolloutGroup:
        group = replace(group, marks=self._mark(group))
        return replace(group, marks=marks_of(group, self.source.settings.truncated))

    def _mine(self, generation: int) -> list[tuple[int, int]]:
        source = self.source
        visits = prompts_of(source.seed, generation, source.prompts, len(source.records))
        return list(visits[source.rank :: source.processes])

    def _group(self, place: int, visit: int) -> _Group:
        source = self.source
        record = source.records[place]
        seeds = tuple(
            completion_seed(source.seed, source.stage, record.id, visit, sample)
            for sample in range(source.settings.group)
        )
        drawn = is_drawn(source.seed, source.stage, record.id, visit, source.settings.mix)
        return _Group(record, visit, source.encoder.prompt(record), seeds, drawn)

    def _given(self, group: _Group, version: int) -> RolloutGroup:
        encoder, record = self.source.encoder, group.record
        rollouts = (
            given(encoder, record, group.visit, sample, seed, version) for sample, seed in enumerate(group.seeds)
        )
        return RolloutGroup(record, tuple(rollouts))

    def _with_old(self, examples: Sequence[Example | None], policy: Training) -> list[Example | None]:
        """The examples with what the student says of them before the first update."""
        source, found = self.source, list(examples)
        kept = [example for example in examples if example is not None]
        size = -(-len(examples) // (source.settings.updates * source.accumulation))
        for start in range(0, len(kept), size):
            part = kept[start : start + size]
            batch = policy.batch(part)
            labels_RT, temperature = batch.labels_RT, source.settings.temperature
            logps_RT = policy.forward(partial(token_logps, labels_BT=labels_RT, temperature=temperature), batch)
            for row_T, example in zip(logps_RT.float().cpu().numpy(), part, strict=True):
                (sequence,) = example.sequences
                old_T = behind(1, row_T[: len(sequence.ids_T) - 1])  # position t speaks of token t + 1
                sequence = replace(sequence, extras={**sequence.extras, "old_logps": old_T})
                found[example.index] = replace(example, sequences=(sequence,))
        return found


def _rollout(group: _Group, sample: int, drawn: Drawn, version: int) -> Rollout:
    return Rollout(
        record=group.record.id,
        visit=group.visit,
        sample=sample,
        seed=group.seeds[sample],
        prompt_T=np.array(group.prompt.tokens, np.int32),
        tokens_T=drawn.tokens_T,
        logps_T=drawn.logps_T,
        text=drawn.text,
        finish=drawn.finish,
        version=version,
        opened_think=group.prompt.opened_think,
    )
