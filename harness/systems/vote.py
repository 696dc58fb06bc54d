"""`vote:<n>:<model>`: self-consistency, the majority's answer over n samples of a model (Wang et al. 2022).

    harness run --suite synth --model vote:5:openai:qwen --model-arg temperature=0.7 --model-arg model.base_url=http://…

The answer is the first sample that gave the answer which most samples gave; of equal answers the one that came first.
Answers are one where the problem's grader says so. A sample without an answer has no vote. `model.` stands before the
options of the model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from harness.systems.base import MAIN, Asking, Assembly, System, assemble, calls_of
from harness.systems.samples import SampleOptions
from harness.systems.votes import Voting, first_of_largest, refuse_graders
from harness.types import Completion, Sampling


@dataclass(frozen=True)
class VoteOptions(SampleOptions):
    """How the samples of a vote are drawn."""


def build(rest: str, options: Mapping[str, str]) -> MajorityVote:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the model raises."""
    return MajorityVote(assemble("vote", rest, options, VoteOptions, number=("samples", 5, 2)))


class MajorityVote(System[VoteOptions]):
    """See the module's docstring."""

    engine = "vote"
    counted = "samples"

    def __init__(self, parts: Assembly[VoteOptions]) -> None:
        super().__init__(parts)
        self._voting = Voting()

    def most(self) -> int:
        """Every sample."""
        return self.number * calls_of(self.models[MAIN])

    def check(self, graders: Collection[str], sampling: Sampling) -> None:
        """Answers that can be compared, and samples that differ."""
        refuse_graders(self.name, graders)
        super().check(graders, self.options.of(sampling, self.name, self.number))

    async def compose(self, asking: Asking) -> Completion:
        """Draw all samples at once, and count."""
        samples = await asking.draw(MAIN, self.number, **self.options.drawn(asking.request, self.name, self.number))
        votes = await self._voting.count(asking, samples)
        asking.facts["votes"] = [len(voters) for voters in votes]
        return samples[first_of_largest(votes)]

    async def close(self) -> None:
        """Stop what counts, then close the model."""
        self._voting.close()
        await super().close()
