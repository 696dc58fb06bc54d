"""`vote:<n>:<model>`: self-consistency, the majority's answer over n samples of a model (Wang et al. 2022).

    harness run --suite synth --model vote:5:openai:qwen --model-arg temperature=0.7 --model-arg model.base_url=http://…

The answer is the first sample that gave the answer which most samples gave; of equal answers the one that came first.
Answers are one where the problem's grader says so. A sample without an answer has no vote. `model.` stands before the
options of the model.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import ConfigError
from harness.systems.base import MAIN, Asking, Assembly, System, assemble, calls_of
from harness.systems.votes import Voting, first_of_largest, refuse_graders
from harness.types import Completion, Sampling


@dataclass(frozen=True, slots=True)
class VoteOptions:
    """How the samples of a vote are drawn."""

    temperature: float | None = None
    """Of the samples; None is the run's."""
    top_p: float | None = None
    """Of the samples; None is the run's."""

    def __post_init__(self) -> None:
        if self.temperature is not None and not 0 < self.temperature <= 10:
            raise ValueError(f"temperature must be above 0, not {self.temperature:g}: else all samples are one answer")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, not {self.top_p:g}")

    def drawn(self, temperature: float, top_p: float) -> dict[str, Any]:
        """Temperature and top-p of the samples, where the system is asked with these."""
        own = {"temperature": self.temperature, "top_p": self.top_p}
        return {"temperature": temperature, "top_p": top_p} | {key: one for key, one in own.items() if one is not None}


def build(rest: str, options: Mapping[str, str]) -> Vote:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the model raises."""
    return Vote(assemble("vote", rest, options, VoteOptions, number=("samples", 5, 2)))


class Vote(System[VoteOptions]):
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
        drawn = replace(sampling, **self.options.drawn(sampling.temperature, sampling.top_p))
        refuse_greedy(self.name, self.number, drawn.temperature)
        super().check(graders, drawn)

    async def compose(self, asking: Asking) -> Completion:
        """Draw all samples at once, and count."""
        drawn = self.options.drawn(asking.request.temperature, asking.request.top_p)
        refuse_greedy(self.name, self.number, drawn["temperature"])
        samples = await asking.draw(MAIN, self.number, **drawn)
        votes = await self._voting.count(asking.request, samples)
        asking.facts["votes"] = [len(voters) for voters in votes]
        return samples[first_of_largest(votes)]

    async def close(self) -> None:
        """Stop what counts, then close the model."""
        self._voting.close()
        await super().close()


def refuse_greedy(name: str, samples: int, temperature: float) -> None:
    """Raise `ConfigError` for samples that would all be the same."""
    if temperature == 0:
        raise ConfigError(
            f"{name}: {samples} samples at temperature 0 are {samples} copies of one answer; say --model-arg "
            "temperature=0.7, of the samples alone, or --temperature 0.7"
        )
