"""`cascade:<n>:<student>`: a student answers, and its teacher where the student is unsure (arXiv 2512.02543).

    harness data traces --teacher openai:big --suite synth -o solved.jsonl
    harness run --suite synth --model cascade:3:openai:small --model-arg teacher=openai:big --model-arg temperature=0.7
    harness run … --model-arg items=solved.jsonl --model-arg demo_cost=1.50
    harness run … --model cascade:tiny --model-arg teacher=openai:big --model-arg by=confidence

By agreement, n samples are drawn, with the teacher's solutions of the nearest items as earlier turns; if all give one
answer it stands, else the teacher is asked, who sees the question alone. By confidence, one answer is drawn, and the
teacher asked where the mean probability of its tokens (geometric) is below the threshold. With prices (`model.price_in`
and so on), and with what making the items took (`demo_cost`), the run tells after how many answers the cascade has paid
for them: demo_cost / (cost of a teacher's answer - cost of an answer).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from backends.options import refuse_unused
from backends.records.record import data_hash
from harness.errors import ConfigError
from harness.models.base import gives_logprob
from harness.systems.base import MAIN, Asking, Assembly, System, assemble, calls_of
from harness.systems.retrieval import By, Library
from harness.systems.samples import SampleOptions
from harness.systems.shots import solved_items, with_shots
from harness.systems.votes import Voting, refuse_graders
from harness.types import Completion, Json, Sampling

TEACHER = "teacher"


@dataclass(frozen=True, kw_only=True)
class CascadeOptions(SampleOptions):
    """Who is asked when the student is unsure, and what the student is shown."""

    teacher: str
    """Spec of the model that is asked then."""
    by: Literal["agreement", "confidence"] = "agreement"
    """What tells that the student is sure: all samples give one answer, or the probability of one."""
    threshold: float = 0.9
    """By confidence: least mean probability of the answer's tokens with which it stands."""
    items: tuple[str, ...] = ()
    """Files of the teacher's solved items (`harness data traces`); none: the student sees no examples."""
    shots: int = 3
    """How many of them, the nearest, the student is shown."""
    retrieve: By = "bm25"
    """Nearest by words or by meaning (sentence-transformers)."""
    embedder: str = ""
    """By meaning: folder or hub id of the embedder; empty is the bundled one."""
    demo_cost: float | None = None
    """What making the items took, in the currency of the prices; for the break-even, no part of the identity."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.teacher:
            raise ValueError("teacher must be the spec of a model")
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is a probability, from 0 to 1, not {self.threshold:g}")
        if self.shots < 1:
            raise ValueError(f"shots must be at least 1, not {self.shots}: leave items out for none")
        if self.demo_cost is not None and self.demo_cost < 0:
            raise ValueError(f"demo_cost must not be negative, not {self.demo_cost:g}")
        refuse_unused(self, self.by == "confidence", "by=confidence", "threshold")
        refuse_unused(self, bool(self.items), "items=…", "shots", "retrieve", "demo_cost")
        refuse_unused(self, self.retrieve == "dense", "retrieve=dense", "embedder")


def build(rest: str, options: Mapping[str, str]) -> Cascade:
    """The engine's entry; reads the items and asks nothing.

    Raises `ConfigError`, `DataError` for items that cannot be shown, and what making the models raises.
    """
    number = ("samples", 1, 1) if options.get("by") == "confidence" else ("samples", 3, 2)
    parts = assemble("cascade", rest, options, CascadeOptions, number=number, others=Cascade.roles)
    if parts.options.by == "confidence" and parts.number != 1:
        raise ConfigError("cascade by confidence looks at one answer: leave the number out")
    return Cascade(parts)


class Cascade(System[CascadeOptions]):
    """See the module's docstring."""

    engine = "cascade"
    counted = "samples"
    roles = (TEACHER,)

    def __init__(self, parts: Assembly[CascadeOptions]) -> None:
        super().__init__(parts)
        told = parts.options
        self._items = solved_items(told.items) if told.items else []
        questions = [item.prompt[-1].content for item in self._items]
        name = ", ".join(told.items)
        self._library = Library(questions, told.retrieve, told.embedder, name) if told.items else None
        self._voting = Voting()

    def most(self) -> int:
        """Every sample, and the teacher."""
        return self.number * calls_of(self.models[MAIN]) + calls_of(self.models[TEACHER])

    def settings(self) -> dict[str, Json]:
        """What changes answers: of the items their content, of the settings those that this way of cascading reads."""
        told = asdict(self.options)
        names = ["by", "temperature", "top_p", *(["threshold"] if self.options.by == "confidence" else [])]
        found: dict[str, Json] = {name: told[name] for name in names}
        if self._library is not None:
            looked_up = {"data": data_hash(self._items), "shots": self.options.shots, **self._library.identity()}
            found["items"] = looked_up
        return found

    def environment(self) -> Mapping[str, Json]:
        """Beside what is known of the models, what making the items took."""
        return {**super().environment(), "demo_cost": self.options.demo_cost}

    def check(self, graders: Collection[str], sampling: Sampling) -> None:
        """By agreement answers that can be compared, of samples that differ; by confidence a model that tells it."""
        if self.options.by == "agreement":
            refuse_graders(self.name, graders)
        elif not gives_logprob(self.models[MAIN]):
            raise self._no_confidence()
        super().check(graders, self.options.of(sampling, self.name, self.number))

    async def compose(self, asking: Asking) -> Completion:
        """Ask the student, and the teacher where it is unsure."""
        changes: dict[str, Any] = self.options.drawn(asking.request, self.name, self.number)
        if self._library is not None:
            question = asking.request.messages[-1].content
            near = await self._library.nearest(question, self.options.shots)
            asking.facts["items"] = [self._items[place].id for place in near]
            changes["messages"] = with_shots(asking.request.messages, [self._items[place] for place in near])
        samples = await asking.draw(MAIN, self.number, **changes)
        sure = (
            await self._agree(asking, samples)
            if self.options.by == "agreement"
            else self._confident(asking, samples[0])
        )
        asking.facts["escalated"] = not sure
        return samples[0] if sure else await asking.ask(TEACHER)

    async def _agree(self, asking: Asking, samples: list[Completion]) -> bool:
        votes = await self._voting.count(asking, samples)
        asking.facts["votes"] = [len(voters) for voters in votes]
        return len(votes) == 1 and len(votes[0]) == len(samples)

    def _confident(self, asking: Asking, answer: Completion) -> bool:
        if answer.tokens_out == 0:
            asking.facts["confidence"] = 0.0
        elif answer.logprob is None or answer.tokens_out is None:
            raise self._no_confidence()
        else:
            asking.facts["confidence"] = math.exp(min(0.0, answer.logprob / answer.tokens_out))
        return float(str(asking.facts["confidence"])) >= self.options.threshold

    def _no_confidence(self) -> ConfigError:
        return ConfigError(
            f"cascade by confidence needs the log-probabilities of the answer, which {self.models[MAIN].name} does "
            "not give: of an openai server say --model-arg model.logprobs=true, or cascade by=agreement"
        )

    async def close(self) -> None:
        """Stop what counts votes, then close the models."""
        self._voting.close()
        await super().close()
