"""The feed of a stage whose responses the student writes: a generation is made when its first step is asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.base import Step, Training
from backends.config import Runtime
from backends.records.record import TrainRecord
from backends.records.segments import Example
from backends.rewards.scorers import REPLIES, open_scorers
from backends.rewards.total import Totals
from backends.rollouts.engine import Engine
from backends.rollouts.held_out import HeldOut
from backends.rollouts.journal import Journal, Keep
from backends.rollouts.rolls import Generation, Rolls
from backends.rollouts.source import RolloutSource
from backends.rollouts.student_weights import fingerprint
from backends.rollouts.types import RolloutGroup, RolloutMark
from harness.models.budget import Budget


def rolling_feed(
    source: RolloutSource,
    engine: Engine,
    totals: Totals,
    journal: Journal,
    size: int,
    runtime: Runtime,
    results: Path,
    graded: tuple[Totals, Sequence[TrainRecord], Engine] | None = None,
    beside: Callable[[Training], Any] | None = None,
) -> RollingFeed:
    """The feed of a stage, with its graders; `size`: completions of the whole stage.

    `graded`: what is looked at, and who draws for that; `beside`: a model that reads what is drawn for training.
    Records that a reward could never mark are not drawn for. Raises `DataError` if that is all of them, and what
    opening the scorers raises.
    """
    options, budget = runtime.judge_options, None
    if runtime.judge_budget is not None:
        budget = Budget.parse(runtime.judge_budget)
    held = ExitStack()
    # Each process has a file of its own: sqlite belongs to one. Nothing is written where no model is asked.
    replies = journal.folder / (f"{source.rank}-{REPLIES}" if source.rank else REPLIES) if totals.models else None
    scorers = held.enter_context(open_scorers(replies, results, models=totals.models, arguments=options, budget=budget))
    try:
        left_out = totals.unmarkable(source.records, scorers)
    except BaseException:
        held.close()
        raise
    kept = tuple(record for record in source.records if record.id not in left_out)

    def judged() -> tuple[int, int, int, int]:
        spent = scorers.spent
        return spent.tokens_in, spent.tokens_out, spent.requests, spent.failed

    def mark(group: RolloutGroup) -> tuple[RolloutMark, ...]:
        return totals.mark(group, scorers)

    rolls = Rolls(replace(source, records=kept), engine, mark, journal, judged, beside)
    feed = RollingFeed(rolls, size, runtime.keep_rollouts, held, len(left_out))
    if graded is not None:
        accuracy, records, looks = graded
        place = journal.folder / "checkpoints" / source.stage
        feed.held_out = HeldOut(source, records, looks, lambda group: accuracy.mark(group, scorers), place)
    return feed


class RollingFeed:
    """Examples that are made with the weights of the moment; see `backends.trainers.feed.Feed`."""

    def __init__(self, rolls: Rolls, size: int, keep: Keep, held: ExitStack, unmarkable: int = 0) -> None:
        """`keep`: of the journal, once no checkpoint needs it; `held` is given back at the end.

        `size`: completions of the whole stage; `unmarkable`: records left out.
        """
        self._rolls, self._size, self._keep, self._held = rolls, size, keep, held
        self._unmarkable = unmarkable
        self._made: Generation | None = None
        self._begun: Mapping[str, Any] = {}
        """Of the checkpoint that training goes on from."""
        self._saved = 0
        """Generation of the newest checkpoint: the one before it may still be needed."""
        self.numbers: Mapping[str, float] = {}
        self.gap_means = True
        self.held_out: HeldOut | None = None
        """What is looked at beside training."""

    @property
    def stopped(self) -> bool:
        """Whether the held-out prompts have not become better for long enough."""
        return self.held_out is not None and self.held_out.stopped

    @property
    def size(self) -> int:
        """So many that one epoch of the trainer is the whole stage: its numbers mean nothing here."""
        return self._size

    def batch(self, step: Step, indices: Sequence[Sequence[int]], policy: Training) -> Sequence[Sequence[Example]]:
        """The step's part of its generation; before it, a look at what is held out, where that is due."""
        held_out = self.held_out
        looked = held_out.look(step.number, policy) if held_out is not None and held_out.due(step.number) else {}
        settings = self._rolls.source.settings
        generation, part = divmod(step.number, settings.steps)
        if self._made is None or self._made.generation != generation:
            weights = self._begun["weights"] if part else fingerprint(policy.model)
            first = Step(step.number - part, step.total)  # in which it was made, also where training goes on within it
            self._made = self._rolls.make(generation, first, policy, weights, begun=part > 0)
        self.gap_means = part == 0 or self._rolls.keeps_old
        unmarkable = {"records/unmarkable": float(self._unmarkable)} if self._unmarkable else {}
        self.numbers = ({**self._made.numbers, **unmarkable} if part == 0 else {}) | looked
        micro_batches = self._made.steps[part % settings.updates]
        assert len(micro_batches) == len(indices)
        return micro_batches

    def settle(self, step: Step, policy: Training) -> Mapping[str, float]:
        """The best weights that were looked at, where that is wanted."""
        return {} if self.held_out is None else self.held_out.settle(step.number, policy)

    def state_dict(self) -> dict[str, Any]:
        """Which weights drew what is trained on now: they are no more; and what was looked at."""
        made = self._made
        drew = {} if made is None else {"generation": made.generation, "weights": made.weights}
        return drew if self.held_out is None else {**drew, "held_out": self.held_out.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        self._begun = state
        if self.held_out is not None and "held_out" in state:
            self.held_out.load_state_dict(state["held_out"])

    def saved(self) -> None:
        """Generations before the checkpoint before this one are needed by nobody."""
        self._rolls.journal.prune(self._saved, self._keep)
        self._saved = 0 if self._made is None else self._made.generation

    def finished(self) -> None:
        """Nobody needs any of them."""
        self._rolls.journal.prune(sys.maxsize, self._keep)

    def close(self) -> None:
        """End what draws and what marks."""
        self._rolls.engine.close()
        self._held.close()
