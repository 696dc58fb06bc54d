"""SSR (the core of MedSSR): reinforcement first by the student's own majority vote, then by labels.

    stage "vote"     synthetic questions without gold: reward 1 for the answer of the group's majority
    stage "labels"   questions with gold: reward 1 for the right answer

A majority is trusted where its share lies within bounds (`reward.vote.least`, `reward.vote.most`); other groups are
left out. Records without `gold` are the first stage's, those with one the second's; where all have one, both read them
all and the first does not look at it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backends.base import Rolling, Stage, TrainMethod
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from backends.methods.grpo import SETTINGS
from backends.records.record import TrainRecord, has
from backends.records.segments import Encoder, Tokenised
from backends.rollouts.prompts import prompts
from harness.errors import DataError
from harness.types import Json

ROLLOUT: dict[str, Json] = {"group": 16, "temperature": 1.0}


@dataclass(frozen=True)
class SsrOptions(PolicyOptions):
    """Options of SSR."""

    first: str = "vote=1"
    """Rewards of the first stage, as `weights` are those of the second."""
    vote_share: float = 0.5
    """The first stage's part of a token or time budget."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.vote_share < 1:
            raise ValueError(f"vote_share must be above 0 and below 1, not {self.vote_share}")


def unlabelled(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The prompts of records without gold; of all where there is none."""
    return prompts(encoder, [record for record in records if not has(record, "gold")] or records)


def labelled(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The prompts of records with gold. Raises `DataError` if there is none."""
    found = [record for record in records if has(record, "gold")]
    if not found:
        raise DataError(
            f"ssr ends with a stage on labels, and none of {len(records)} records has a 'gold': add records that have "
            "one, or train grpo with weights=vote=1 on these alone"
        )
    return prompts(encoder, found)


def stages(options: SsrOptions) -> tuple[Stage, ...]:
    """Both are GRPO."""
    stage = policy_stage("ssr", options, SETTINGS, ROLLOUT)
    assert isinstance(stage.rolling, Rolling)
    first = replace(
        stage,
        name="vote",
        examples=unlabelled,
        share=options.vote_share,
        rolling=replace(stage.rolling, weights=options.first),
    )
    return (first, replace(stage, name="labels", examples=labelled, share=1 - options.vote_share))


METHOD = TrainMethod(
    name="ssr",
    summary="reinforcement by the student's own vote, then by labels (MedSSR)",
    paper="MedSSR, self-supervised, then supervised reinforcement; training settings unpublished (tdlhl/MedSSR)",
    options=SsrOptions,
    stages=stages,
    deviations=(
        "Groups of 16 and the bounds 0.3 and 0.9 of a majority's share are ours, as are the settings, those of grpo.",
        "A vote whose first place is shared has no majority.",
        "Evaluation's second pass, which forces an option, is not here: a reply without an answer is wrong.",
    ),
)
