"""`lorid:<n>:<model>`: two ways to an answer, taken again until they meet (LoRID).

    harness run … --model lorid:trained:ir-1a --model-arg knowledge=trained:kg-2b --model-arg reason=trained:dr-3c

Three models, which in the paper are three adapters over one base. In every round `model` answers the question by
intuition; `knowledge` writes down what one has to know; `reason` answers with that before it. As soon as an answer of
the one way, of any round, is one of the other way, it is the answer: of several the one that was given most often, of
equals the earliest. After n rounds without one it is the majority's of `reason`. Answers are one where the problem's
grader says so, never its gold. `totals.lorid` has, beside the score, the scoring of the authors' code, which counts a
problem as solved if any answer that both ways gave is right.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.templates import Template, asked, load_template
from harness.reasoning import with_answer
from harness.systems.base import MAIN, Asking, Assembly, PartFailed, System, assemble, calls_of, together
from harness.systems.samples import SampleOptions
from harness.systems.votes import Voting, first_of_largest, refuse_graders
from harness.types import Completion, Json, Sampling
from judges.prompts.fencing import fence

KNOWLEDGE, REASON = "knowledge", "reason"


@dataclass(frozen=True, kw_only=True)
class LoridOptions(SampleOptions):
    """The two further models, and how all three draw."""

    knowledge: str
    """Spec of the model that writes down what one has to know."""
    reason: str
    """Spec of the model that answers with that knowledge."""
    temperature: float | None = 1.5
    """Of all three, the authors'; none is the run's."""
    top_p: float | None = 0.9
    """Of all three, the authors'; none is the run's."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.knowledge or not self.reason:
            raise ValueError("knowledge and reason must be specs of models")


def own_templates() -> tuple[Template, Template]:
    """How knowledge is asked for, and how a question is put with it: in training as here."""
    prompts = Path(__file__).with_name("prompts")
    about = load_template("lorid_knowledge", ("question",), prompts / "lorid_knowledge.toml")
    return about, load_template("lorid_reason", ("question", "knowledge"), prompts / "lorid_reason.toml")


def build(rest: str, options: Mapping[str, str]) -> Lorid:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the models raises."""
    return Lorid(assemble("lorid", rest, options, LoridOptions, number=("iterations", 20, 1), others=Lorid.roles))


class Lorid(System[LoridOptions]):
    """See the module's docstring."""

    engine = "lorid"
    counted = "iterations"
    roles = (KNOWLEDGE, REASON)

    def __init__(self, parts: Assembly[LoridOptions]) -> None:
        super().__init__(parts)
        self._about, self._with = own_templates()
        self._voting = Voting()

    def most(self) -> int:
        """Three requests a round."""
        return self.number * sum(calls_of(model) for model in self.models.values())

    def settings(self) -> dict[str, Json]:
        """The options, and what is asked."""
        return {**super().settings(), "templates": [self._about.id, self._with.id]}

    def check(self, graders: Collection[str], sampling: Sampling) -> None:
        """Answers that can be compared, of rounds that differ."""
        refuse_graders(self.name, graders)
        super().check(graders, self.options.of(sampling, self.name, self.number))

    async def compose(self, asking: Asking) -> Completion:
        """Go round until the two ways meet."""
        drawn = self.options.drawn(asking.request, self.name, self.number)
        prompt = asking.request.messages
        answers: list[Completion] = []
        for number in range(self.number):
            intuition, known = await together(
                [
                    asking.ask(MAIN, number, **drawn),
                    asking.ask(KNOWLEDGE, number, messages=asked(prompt, self._about, {}), **drawn),
                ]
            )
            if not (knowledge := with_answer(known).answer_text):
                raise PartFailed(f"{KNOWLEDGE} ({self.models[KNOWLEDGE].name}, request {number + 1}) gave no knowledge")
            told = {"knowledge": fence(knowledge)}
            reasoned = await asking.ask(REASON, number, messages=asked(prompt, self._with, told), **drawn)
            answers += [intuition, reasoned]  # even places are the one way, odd ones the other
            votes = await self._voting.count(asking, answers)
            met = [voters for voters in votes if len({place % 2 for place in voters}) == 2]
            if met:
                chosen = first_of_largest(met)
                asking.facts |= {"iterations": number + 1, "agreed": True}
                asking.facts["candidates"] = [_place(min(voters)) for voters in met]
                return answers[chosen]
        reasons = [{place for place in voters if place % 2} for voters in votes]
        chosen = first_of_largest([voters for voters in reasons if voters]) or 1
        asking.facts |= {"iterations": self.number, "agreed": False, "candidates": []}
        return answers[chosen]

    async def close(self) -> None:
        """Stop what counts votes, then close the models."""
        self._voting.close()
        await super().close()


def _place(answer: int) -> int:
    """Where an answer is among the replies: a round is intuition, knowledge, reason."""
    return 3 * (answer // 2) + 2 * (answer % 2)
