"""The feed of a stage whose responses the student writes: a generation is made when its first step is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from backends.base import Step, Training
from backends.records.segments import Example
from backends.rewards.scorers import REPLIES, open_scorers
from backends.rewards.total import Totals
from backends.rollouts.engine import Engine
from backends.rollouts.rolls import Made, RolloutSource, Rolls


def rolling_feed(
    source: RolloutSource, engine: Engine, totals: Totals, size: int, folder: Path, results: Path
) -> RollingFeed:
    """The feed of a stage, with its graders; `folder` is the model's, `size` the completions of the whole stage.

    Records that a reward could never mark are not drawn for. Raises `DataError` if that is all of them.
    """
    held = ExitStack()
    # Each process has a file of its own: sqlite belongs to one. Nothing is written where no model is asked.
    replies = folder / (f"{source.rank}-{REPLIES}" if source.rank else REPLIES) if totals.models else None
    scorers = held.enter_context(open_scorers(replies, results, models=totals.models))
    try:
        left_out = totals.unmarkable(source.records, scorers)
    except BaseException:
        held.close()
        raise
    kept = tuple(record for record in source.records if record.id not in left_out)
    rolls = Rolls(replace(source, records=kept), engine, lambda group: totals.mark(group, scorers))
    return RollingFeed(rolls, size, held, len(left_out))


class RollingFeed:
    """Examples that are made with the weights of the moment; see `backends.trainers.feed.Feed`."""

    def __init__(self, rolls: Rolls, size: int, held: ExitStack, unmarkable: int = 0) -> None:
        """`size`: completions of the whole stage; `held` is given back at the end; `unmarkable`: records left out."""
        self._rolls, self._size, self._held, self._unmarkable = rolls, size, held, unmarkable
        self._made: Made | None = None
        self.numbers: Mapping[str, float] = {}

    @property
    def size(self) -> int:
        """So many that one epoch of the trainer is the whole stage: its numbers mean nothing here."""
        return self._size

    def batch(self, step: Step, indices: Sequence[Sequence[int]], policy: Training) -> Sequence[Sequence[Example]]:
        """The step's part of its generation."""
        settings = self._rolls.source.settings
        generation, part = divmod(step.number, settings.steps)
        if self._made is None or self._made.generation != generation:
            self._made = self._rolls.make(generation, step, policy)
        unmarkable = {"records/unmarkable": float(self._unmarkable)} if self._unmarkable else {}
        self.numbers = {**self._made.numbers, **unmarkable} if part == 0 else {}
        micro_batches = self._made.steps[part % settings.updates]
        assert len(micro_batches) == len(indices)
        return micro_batches

    def close(self) -> None:
        """End what draws and what marks."""
        self._rolls.engine.close()
        self._held.close()
