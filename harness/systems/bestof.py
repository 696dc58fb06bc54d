"""`bestof:<n>:<model>`: n samples of a model, of which a reward model chooses one (Fin-PRM; Cobbe et al. 2021).

    harness run --suite synth --model bestof:4:openai:qwen --model-arg by=trained:prm-1a --model-arg temperature=0.7
    harness run … --model-arg by=trained:tiny-rm-1a --model-arg trajectory=1 --model-arg scale=log_odds

`by` is a model that `harness train --method prm` or `rm` made, on any engine that scores a given text. It is asked
about the end of every step and about the whole, as the reward `process` asks (docs/training.md), never with the gold
in sight. The answer is the sample that it finds best; of equal ones the first. `by.` stands before its options.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from backends.makers.traces import response_of
from backends.rewards.asked import Likelihoods
from backends.rewards.process import Aggregate, Process, Scale
from backends.structure.judged import BAD, GOOD, End, end_request
from harness.errors import ConfigError
from harness.models.scoring import CannotScore
from harness.reasoning import with_answer
from harness.systems.base import MAIN, Asking, Assembly, PartFailed, System, assemble, calls_of, together
from harness.systems.samples import SampleOptions
from harness.types import Completion, Sampling

BY = "by"


@dataclass(frozen=True, kw_only=True)
class BestOfOptions(SampleOptions):
    """How samples are drawn and ranked."""

    by: str
    """Who ranks: trained:<id> of a model that `prm` or `rm` trained, or another spec of one."""
    aggregate: Aggregate = "mean"
    """What becomes of the steps: their mean, the worst, or the last."""
    trajectory: float = 0.5
    """Share of the value that is what the model says of the whole; 0: steps alone, 1: the whole alone."""
    scale: Scale = "p"
    """p: how likely it is good; log_odds: an `rm` model's own scale."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.by:
            raise ValueError("by must be the spec of a model, e.g. trained:<id>")
        self.process()

    def process(self) -> Process:
        """The same as the reward; raises `ValueError` for what that cannot be."""
        return Process(prm=self.by, aggregate=self.aggregate, trajectory=self.trajectory, scale=self.scale)


def build(rest: str, options: Mapping[str, str]) -> BestOf:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the models raises."""
    parts = assemble("bestof", rest, options, BestOfOptions, number=("samples", 4, 2), others=BestOf.roles)
    if isinstance(parts.models[BY], CannotScore):
        raise ConfigError(
            f"bestof ranks by the likelihood of a given text, which {parts.models[BY].name} cannot tell: say "
            "by=trained:<id> of a model that `harness train --method prm` or rm made"
        )
    return BestOf(parts)


class BestOf(System[BestOfOptions]):
    """See the module's docstring."""

    engine = "bestof"
    counted = "samples"
    roles = (BY,)
    unplanned = (
        "what ranks (by=…) reads every sample, once for the end of each step and once whole: as many as there are"
    )

    def __init__(self, parts: Assembly[BestOfOptions]) -> None:
        scorer = Likelihoods(parts.models[BY], (GOOD, BAD))
        super().__init__(replace(parts, models={**parts.models, BY: scorer}))
        self._process = parts.options.process()

    def most(self) -> int:
        """Every sample; what ranks them writes nothing."""
        return self.number * calls_of(self.models[MAIN])

    def check(self, graders: Collection[str], sampling: Sampling) -> None:
        """Samples that differ; any suite will do."""
        super().check(graders, self.options.of(sampling, self.name, self.number))

    async def compose(self, asking: Asking) -> Completion:
        """Draw all samples at once, rank them all at once."""
        samples = await asking.draw(MAIN, self.number, **self.options.drawn(asking.request, self.name, self.number))
        ends = [self._process.ends(response_of(with_answer(one))) for one in samples]
        flat = [end for one in ends for end in one]
        replies = iter(await together([self._judged(asking, number, end) for number, end in enumerate(flat)]))
        values: list[float] = []
        for part in self._process.parts(ends, [[next(replies) for _ in one] for one in ends]):
            if part.value is None:
                raise PartFailed(f"{BY} ({self.models[BY].name}) failed: {part.why}")
            values.append(part.value)
        asking.facts["values"] = values
        return samples[values.index(max(values))]

    async def _judged(self, asking: Asking, number: int, end: End) -> Completion:
        asked = end_request(asking.request.messages[-1].content, end)
        fixed = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 1, "stop": (), "seed": 0, "attempt": 0}
        return await asking.ask(BY, number, messages=asked.messages, problem=None, **fixed)
