"""Whether a judge in training decides rightly between two answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from backends.rewards.base import Reward
from backends.rollouts.types import Part, RolloutGroup
from harness.errors import DataError
from judges.answers import prefers, side
from judges.prompts.rubric import load_rubric
from judges.replies.parse import parse_reply
from judges.types import Malformed, Rubric

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers


@dataclass(frozen=True)
class RightVerdict(Reward):
    """1 for the verdict in the record's `gold`, -1 for another and for a reply in which none can be read.

    Replies are read as `harness judge` reads them. `harness data verdicts` makes the records, from pairs, with the
    label of the better answer as gold and both orders where that is wanted: the mean reward is 2 x accuracy - 1.
    """

    rubric: str = "pairwise_verdict"
    """Name or TOML file of the pairwise rubric that the prompts were made from."""

    name: ClassVar[str] = "verdict"
    version: ClassVar[int] = 1
    low: ClassVar[float] = -1.0
    high: ClassVar[float] = 1.0
    needs: ClassVar[tuple[str, ...]] = ("gold",)

    @cached_property
    def _loaded(self) -> Rubric:
        return load_rubric(self.rubric)

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Golds are labels of the rubric for one answer. Raises what loading the rubric raises, too."""
        labels = [choice.label for choice in self._loaded.choices if side(choice.value)]
        bad = [record for record in records if record.gold not in labels]
        if bad:
            raise DataError(
                f"the reward verdict needs a label of the rubric {self.rubric} as gold ({', '.join(labels)}), and "
                f"record {bad[0].id!r} has {bad[0].gold!r}: make the records with `harness data verdicts`"
            )

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """The gold is the label of the better answer; unreadable is the policy's fault."""
        found = []
        gold = prefers(self._loaded, group.record.gold or "")
        shown = group.record.prompt[-1].content
        for rollout in group.rollouts:
            try:
                said = parse_reply(self._loaded, rollout.completion(), judged_text=shown)
                right, feedback = side(said.value) == gold, ""
            except Malformed as error:
                right, feedback = False, str(error)
            found.append(Part(1.0 if right else -1.0, correct=right, feedback=feedback))
        return found
