"""What a process reward model says of the steps of a completion (Fin-PRM).

Asked at the end of each step of the path, and of all of it with its answer, in the words that the method `prm` trains
on (`backends.structure.judged`). p(good) is that of the label "yes" beside "no" as the reply (`Model.score`). What it
says is in the file of replies: no end is asked about twice, not after a kill.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from backends.base import must_be
from backends.rewards.base import Reward
from backends.rollouts.types import Part, RolloutGroup
from backends.structure.judged import BAD, GOOD, End, end_prompt, ends_of, p_good
from backends.structure.paths import question_of
from harness.types import Completion, Request

if TYPE_CHECKING:
    from backends.rewards.scorers import Scorers

Aggregate = Literal["mean", "min", "last"]
_OF_STEPS: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "mean": lambda values: sum(values) / len(values),
    "min": min,
    "last": lambda values: values[-1],
}
MOST = 64
"""Steps of one completion that are asked about; of more, as many at even distances, the last one among them."""


@dataclass(frozen=True)
class Process(Reward):
    """How good a process reward model finds the steps of a completion and all of it, from 0 to 1.

    Its steps are paragraphs of the path; lines where there is one paragraph, sentences where there is one line. An
    empty path is worth 0 and is not asked about. A text that does not fit the model, or a model that cannot score a
    given text: no value.
    """

    prm: str = ""
    """Whom to ask: trained:<id> of a model that `prm` trained (needed)."""
    aggregate: Aggregate = "mean"
    """What becomes of the steps: their mean, the worst, or the last."""
    trajectory: float = 0.5
    """Share of the value that is what the model says of the whole; 0: it is not asked."""

    name: ClassVar[str] = "process"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        if not self.prm:
            raise ValueError("prm must say whom to ask: reward.process.prm=trained:ID")
        must_be(self, "from 0 to 1", "trajectory")

    def models(self) -> Sequence[str]:
        """The process reward model."""
        return (self.prm,)

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """One asking about all ends of all completions."""
        asked = [self._ends(ends_of(one.text, one.opened_think)) for one in group.rollouts]
        question = question_of(group.record)
        requests = [_request(question, end) for ends in asked for end in ends]
        replies = iter(scorers.likelihoods(self.prm, requests, (GOOD, BAD)) if requests else ())
        return [self._part(ends, [next(replies) for _ in ends]) for ends in asked]

    def _ends(self, ends: Sequence[End]) -> list[End]:
        steps, whole = ends[:-1], ends[-1:]
        if len(steps) > MOST:
            steps = [steps[(place + 1) * len(steps) // MOST - 1] for place in range(MOST)]
        return [*(steps if self.trajectory < 1 else ()), *(whole if self.trajectory > 0 else ())]

    def _part(self, ends: Sequence[End], replies: Sequence[Completion]) -> Part:
        if not ends:
            return Part(0.0)
        said: list[tuple[End, float]] = []
        for end, reply in zip(ends, replies, strict=True):
            if reply.finish == "error" or reply.alternatives is None:
                return Part(None, f"the process reward model failed: {reply.error}"[:300])
            said.append((end, p_good(reply.alternatives)))
        steps = [good for end, good in said if end.kind == "step"]
        more = {"worst": min(steps)} if steps else {}
        value = _OF_STEPS[self.aggregate](steps) * (1 - self.trajectory) if steps else 0.0
        for end, good in said:
            if end.kind == "end":
                more["trajectory"] = good
                value += self.trajectory * good
        return Part(min(1.0, value), more=more)


def _request(question: str, end: End) -> Request:
    messages = end_prompt(question, end)
    digest = hashlib.sha256(messages[0].content.encode("utf-8", "replace")).hexdigest()
    return Request(digest, messages, 0.0, 1.0, 1, (), 0)
