"""One generation: prompts drawn for, completions marked, compared in their groups, made into examples.

    rolls = Rolls(source, engine, mark, journal)
    made = rolls.make(generation, step, policy, weights)
    made.steps[update]        # this process's micro-batches of one optimiser step
    made.numbers              # what is logged, the same on every process

Drawing and rewards see no gradients, losses see no text. A group is whole on one process; credit sees the groups of
all processes in the order of the prompts, so that what it makes of them does not depend on how many there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from numpy.typing import NDArray

from backends.base import Step, Training
from backends.losses.nll import token_logps
from backends.records.segments import Example
from backends.rewards.total import parse_weights
from backends.rollouts.alarms import ASKED_FAILED, scorers_failed
from backends.rollouts.asides import Row, asides_of
from backends.rollouts.cutting import Fate, example_of, fates_of, old_of, passes, steps_of, with_old
from backends.rollouts.drawing import Mark, drawing
from backends.rollouts.engine import Engine
from backends.rollouts.journal import Journal
from backends.rollouts.monitor import advantage_numbers, drawn_numbers, part_numbers, staleness, text_numbers
from backends.rollouts.source import RolloutSource
from backends.rollouts.taught import Taught
from backends.rollouts.types import Credited, RolloutGroup
from harness.errors import StoreError

OLD = "old_logps"
"""What the journal and the examples call the student's log-probabilities before the first update."""


@dataclass(frozen=True)
class Generation:
    """A generation, ready to train on."""

    generation: int
    weights: str
    """Fingerprint of those that drew it."""
    steps: Sequence[Sequence[Sequence[Example]]]
    """This process's micro-batches of each update."""
    numbers: Mapping[str, float]


class Rolls:
    """Makes one generation after another; nothing of one is needed for the next."""

    def __init__(
        self,
        source: RolloutSource,
        engine: Engine,
        mark: Mark,
        journal: Journal,
        judged: Callable[[], tuple[int, int, int, int]] = lambda: (0, 0, 0, 0),
        beside: Callable[[Training], Any] | None = None,
    ) -> None:
        """`judged`: tokens that judges have read and written until now, requests to them, and how many of those failed.

        `beside`: a model that reads what is drawn.
        """
        self.source, self.engine, self._mark, self.journal = source, engine, mark, journal
        self._judged, self._beside = judged, beside
        self._aside = source.rolling.context is not None
        teacher = source.rolling.teacher
        self._taught = None if teacher is None else Taught(teacher, source.settings.temperature, source.at_once)

    @property
    def keeps_old(self) -> bool:
        """Whether the student is read before the first update: only a loss that weighs it by itself needs that."""
        return self.source.settings.steps > 1 and self.source.rolling.ratio

    def make(self, generation: int, step: Step, policy: Training, weights: str, *, begun: bool = False) -> Generation:
        """Draw, mark and credit with the student as it is, or take up what the journal has of these weights.

        `weights`: fingerprint of those that draw. `begun`: they have been trained since, so that nothing can be drawn
        again. Raises `ModelError`, what rewards raise, and `StoreError` if the journal has lost a generation that is
        begun.
        """
        settings = self.source.settings
        kept = self.journal.marked(generation, weights)
        # Where scorers failed, they are asked once more; what has been trained on stays as it was.
        replayed = None if kept is not None and not begun and scorers_failed(kept.groups) else kept
        judged = (0, 0) if kept is None else kept.judged
        seconds: dict[str, float] = {}
        asked = (0, 0)
        if replayed is not None:
            groups = replayed.groups
        else:
            before = self._judged()
            groups, seconds = self._groups(generation, step, policy, weights, begun)
            more = [now - then for now, then in zip(self._judged(), before, strict=True)]
            judged, asked = (judged[0] + more[0], judged[1] + more[1]), (more[2], more[3])
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        if not begun:  # a training that goes on within a generation has counted it
            written, read = written_and_read(groups)
            wasted = self.journal.given_up(generation) if settings.flat == "resample" else (0, 0)
            policy.spend(
                generated=written + wasted[0], prefilled=read + wasted[1], judge_in=judged[0], judge_out=judged[1]
            )
            if self._beside is not None:
                policy.spend(teacher=written + read + sum(wasted), of=self._beside(policy))
        if self._taught is not None and (replayed is None or not begun):
            # Again after a kill, although the journal has it: the process that asked did not live to count it.
            groups = self._taught.tell(groups, policy)
        everything = [self.source.measured(group) for group in self._of_all(policy.gather(groups))]
        credited = self.source.rolling.credit(everything, step)
        fates = [
            fates_of(group, credits, settings.truncated) for group, credits in zip(everything, credited, strict=True)
        ]
        fates, told = asides_of(everything, fates, self.source.rolling.context, self.source.encoder)
        examples = self._examples(groups, credited, fates, told)
        if self.keeps_old and replayed is not None:
            examples = with_old(examples, replayed.extras[OLD])
            if not begun:  # the pass that gave them was made by a process that did not live to count it
                policy.spend(prefilled=sum(len(one.sequences[0].ids_T) for one in examples if one is not None))
        elif self.keeps_old:
            examples = self._read_by(policy, examples)
        if replayed is None:
            extras: dict[str, list[NDArray[Any] | None]] = {OLD: old_of(examples)} if self.keeps_old else {}
            self.journal.write_marked(generation, weights, groups, extras, judged)
        numbers = self._numbers(everything, credited, fates, step) | seconds | _failing(policy.gather(asked))
        steps = steps_of(examples, settings, self.source.accumulation, rollouts[0], self._aside)
        return Generation(generation, weights, steps, numbers)

    def _groups(
        self, generation: int, step: Step, policy: Training, weights: str, begun: bool
    ) -> tuple[list[RolloutGroup], dict[str, float]]:
        """The groups of this process, marked, and how long that took."""
        drawn = self.journal.drawn(generation, weights)
        if drawn is None and begun:
            raise StoreError(
                f"{self.journal.place} has lost generation {generation}, which the last checkpoint has begun, and "
                "weights that were trained since would draw another: restore it, or delete that checkpoint and run "
                "the same command again, which goes on from the one before or from the beginning"
            )
        with drawing(self._mark, self.source.settings.truncated) as under_way:
            if drawn is None:
                drawn = under_way.draw(self.engine, policy, self.source, generation, step.number)
                given_up = written_and_read(under_way.given_up)
                self.journal.write_drawn(generation, step.number, weights, drawn, given_up)
            else:
                under_way.again(drawn)
            waits = time.monotonic()
            groups = under_way.marked()
        seconds = {
            "seconds/sync": under_way.synced,
            "seconds/draw": under_way.seconds,
            "seconds/mark": time.monotonic() - waits,
        }
        return groups, seconds

    def _of_all(self, gathered: Sequence[Sequence[RolloutGroup]]) -> list[RolloutGroup]:
        """The groups of all processes in the prompts' order."""
        processes = self.source.processes
        return [gathered[place % processes][place // processes] for place in range(self.source.prompts)]

    def _examples(
        self,
        groups: Sequence[RolloutGroup],
        credited: Sequence[Sequence[Credited]],
        fates: Sequence[Sequence[Fate]],
        told: Sequence[Sequence[Row]],
    ) -> list[Example | None]:
        """Those of this process; None where a completion is not trained on."""
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        teacher = [row for group in groups for row in group.teacher or (None,) * len(group.rollouts)]
        mine = slice(self.source.rank, None, self.source.processes)
        of_all = (chain.from_iterable(rows[mine]) for rows in (credited, fates, told))
        return [
            example_of(rollout, credit, fate, index, said, told_T)
            for index, (rollout, said, credit, fate, told_T) in enumerate(zip(rollouts, teacher, *of_all, strict=True))
        ]

    def _read_by(self, policy: Training, examples: Sequence[Example | None]) -> list[Example | None]:
        """The examples with what the student says of them before the first update."""
        found = [None] * len(examples)
        for part in passes(examples, self.source.at_once):
            batch = policy.batch(part)
            labels_RT, temperature = batch.labels_RT, self.source.settings.temperature
            logps_RT = policy.forward(partial(token_logps, labels_BT=labels_RT, temperature=temperature), batch)
            for row_T, example in zip(logps_RT.float().cpu().numpy(), part, strict=True):
                (sequence,) = example.sequences
                learnt_T = sequence.supervised_T[1:]  # position t speaks of token t + 1
                found[example.index] = row_T[: len(learnt_T)][learnt_T]
        return with_old(examples, found)

    def _numbers(
        self,
        groups: Sequence[RolloutGroup],
        credited: Sequence[Sequence[Credited]],
        fates: Sequence[Sequence[Fate]],
        step: Step,
    ) -> dict[str, float]:
        parts = part_numbers(groups, parse_weights(self.source.rolling.weights))
        found = drawn_numbers(groups, fates, self._aside) | parts | text_numbers(groups)
        return found | advantage_numbers(credited) | staleness(groups, step.number)


def _failing(asked: Sequence[Sequence[int]]) -> dict[str, float]:
    """The share of the requests to reward models of all processes that failed, where any were made now."""
    requests, failed = (sum(counts) for counts in zip(*asked, strict=True))
    return {ASKED_FAILED: failed / requests} if requests else {}


def written_and_read(groups: Sequence[RolloutGroup]) -> tuple[int, int]:
    """Tokens that the student wrote, and those of the prompts that it read for that."""
    drawn = [group for group in groups if not group.rollouts[0].given]
    written = sum(len(rollout.tokens_T) for group in drawn for rollout in group.rollouts)
    prompts = ({rollout.prompt_T.tobytes(): len(rollout.prompt_T) for rollout in group.rollouts} for group in drawn)
    return written, sum(sum(lengths.values()) for lengths in prompts)
