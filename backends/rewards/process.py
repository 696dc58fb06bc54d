"""What a process reward model says of the steps of a completion (Fin-PRM), or a reward model of all of it (CoTD-PO).

Asked at the end of each step of the path, and of all of it with its answer, in the words that the methods `prm` and
`rm` train on (`backends.structure.judged`). p(good) is that of the label "yes" beside "no" as the reply
(`Model.score`). What it says is in the file of replies: no end is asked about twice, not after a kill.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from backends.options import must_be
from backends.rewards.base import Reward
from backends.rollouts.types import Part, RolloutGroup
from backends.structure.judged import BAD, GOOD, End, end_request, ends_of, log_odds, p_good
from backends.structure.paths import question_of
from harness.types import Completion

if TYPE_CHECKING:
    from backends.rewards.scorers import Scorers

Aggregate = Literal["mean", "min", "last"]
Scale = Literal["p", "log_odds"]
_OF_STEPS: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "min": min,
    "last": lambda values: values[-1],
}
MOST = 64
"""Steps of one completion that are asked about; of more, as many at even distances, the last one among them."""


@dataclass(frozen=True)
class Process(Reward):
    """How good a process reward model finds the steps of a completion and all of it, from 0 to 1 or in log odds.

    Its steps are paragraphs of the path; lines where there is one paragraph, sentences where there is one line. An
    empty path is worth 0, or the least of its group where values are log odds, and is not asked about. A text that
    does not fit the model, or a model that cannot score a given text: no value. A reward model of whole answers (`rm`)
    is asked with trajectory=1 scale=log_odds.
    """

    prm: str = ""
    """Whom to ask: trained:<id> of a model that `prm` or `rm` trained (needed)."""
    aggregate: Aggregate = "mean"
    """What becomes of the steps: their mean, the worst, or the last."""
    trajectory: float = 0.5
    """Share of the value that is what the model says of the whole; 0: it is not asked, 1: it alone is."""
    scale: Scale = "p"
    """p: how likely it is good; log_odds: an `rm` model's own scale, without bounds and with an arbitrary zero."""

    name: ClassVar[str] = "process"
    version: ClassVar[int] = 1
    low: ClassVar[float] = -math.inf  # of log odds
    high: ClassVar[float] = math.inf

    def __post_init__(self) -> None:
        if not self.prm:
            raise ValueError("prm must say whom to ask: reward.process.prm=trained:ID")
        must_be(self, "from 0 to 1", "trajectory")

    def models(self) -> Sequence[str]:
        """The process reward model."""
        return (self.prm,)

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """One asking about all ends of all completions."""
        asked = [self.ends(one.text, one.opened_think) for one in group.rollouts]
        question = question_of(group.record)
        requests = [end_request(question, end) for ends in asked for end in ends]
        replies = iter(scorers.likelihoods(self.prm, requests, (GOOD, BAD)) if requests else ())
        return self.parts(asked, [[next(replies) for _ in ends] for ends in asked])

    def ends(self, text: str, opened_think: bool = False) -> list[End]:
        """What of a completion the model is asked about."""
        ends = ends_of(text, opened_think)
        steps, whole = ends[:-1], ends[-1:]
        if len(steps) > MOST:
            steps = [steps[(place + 1) * len(steps) // MOST - 1] for place in range(MOST)]
        return [*(steps if self.trajectory < 1 else ()), *(whole if self.trajectory > 0 else ())]

    def parts(self, asked: Sequence[Sequence[End]], replies: Sequence[Sequence[Completion]]) -> list[Part]:
        """What each completion is worth, from its ends and what was said of them."""
        parts = [self._part(ends, said) if ends else None for ends, said in zip(asked, replies, strict=True)]
        told = [part.value for part in parts if part is not None and part.value is not None]
        least = 0.0 if self.scale == "p" else min(told, default=0.0)
        return [Part(least) if part is None else part for part in parts]

    def _part(self, ends: Sequence[End], replies: Sequence[Completion]) -> Part:
        value_of = p_good if self.scale == "p" else log_odds
        said: list[tuple[End, float]] = []
        for end, reply in zip(ends, replies, strict=True):
            if reply.finish == "error" or reply.alternatives is None:
                return Part(None, f"the process reward model failed: {reply.error}"[:300])
            said.append((end, value_of(reply.alternatives)))
        steps = [good for end, good in said if end.kind == "step"]
        more = {"worst": min(steps)} if steps else {}
        value = _OF_STEPS[self.aggregate](steps) * (1 - self.trajectory) if steps else 0.0
        for end, good in said:
            if end.kind == "end":
                more["trajectory"] = good
                value += self.trajectory * good
        return Part(min(1.0, value) if self.scale == "p" else value, more=more)
