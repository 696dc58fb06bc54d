"""`gate:<model>`: answer where it is worth it, else abstain (the core of PRISM, arXiv 2602.01532).

    harness run --suite synth --model gate:openai:small --model-arg cost_false_alarm=1 --model-arg cost_missed=3

The model answers; then it, or `by`, says how likely the question needs an answer (p_need) and how likely this answer is
right (p_accept). The answer is given if p_accept reaches C_FA / (C_FA + p_need C_FN), with what a false alarm and a
missed answer cost; else the reply is `abstain`. Where p_accept is within `delta` of the threshold, both are asked for
once more, with reasoning, and those count. Both are calibrated by a temperature of their log odds: run the gate on
problems that you do not report, read the fitted temperatures in its result (`totals.gate`), and say them here. The
result has F1, precision, false alarms, ECE, Brier score and the share of slow passes (docs/systems.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from backends.templates import load_template
from harness.files import is_number
from harness.reasoning import with_answer
from harness.systems.base import MAIN, Asking, Assembly, PartFailed, System, assemble, calls_of
from harness.types import Completion, Json, Message
from judges.prompts.fencing import fence
from judges.replies.jsonfind import find_objects
from judges.types import Malformed

BY = "by"
NEED, ACCEPT = "need", "accept"
SCHEMA: Mapping[str, Json] = {
    "type": "object",
    "properties": {NEED: {"type": "number"}, ACCEPT: {"type": "number"}},
    "required": [NEED, ACCEPT],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class GateOptions:
    """What mistakes cost, how sure is sure, and who says so."""

    cost_false_alarm: float = 1.0
    """What an answer costs that is wrong, or that nobody needs."""
    cost_missed: float = 1.0
    """What it costs to withhold a right answer that is needed."""
    delta: float = 0.1
    """How near p_accept is to the threshold for a slow pass; 0: never, 1: always."""
    temperature_need: float = 1.0
    """The log odds of p_need are divided by it."""
    temperature_accept: float = 1.0
    """The same of p_accept."""
    by: str = ""
    """Spec of who says how likely; empty: the model itself."""
    fast_tokens: int = 64
    """Most tokens of the two probabilities."""
    slow_tokens: int = 1024
    """Most tokens of a slow pass, reasoning included."""
    abstain: str = "I do not know."
    """The reply where no answer is given."""

    def __post_init__(self) -> None:
        for name in ("cost_false_alarm", "cost_missed", "temperature_need", "temperature_accept"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be more than 0, not {getattr(self, name):g}")
        if not 0 <= self.delta <= 1:
            raise ValueError(f"delta must be from 0 to 1, not {self.delta:g}")
        if min(self.fast_tokens, self.slow_tokens) < 1:
            raise ValueError("fast_tokens and slow_tokens must be at least 1")

    def threshold(self, p_need: float) -> float:
        """Least p_accept with which an answer is worth giving."""
        return self.cost_false_alarm / (self.cost_false_alarm + p_need * self.cost_missed)


def build(rest: str, options: Mapping[str, str]) -> Gate:
    """The engine's entry; asks nothing. Raises `ConfigError`, and what making the models raises."""
    return Gate(assemble("gate", rest, options, GateOptions, others=Gate.roles))


class Gate(System[GateOptions]):
    """See the module's docstring."""

    engine = "gate"
    roles = (BY,)

    def __init__(self, parts: Assembly[GateOptions]) -> None:
        super().__init__(parts)
        file = Path(__file__).with_name("prompts") / "gate_ask.toml"
        self._template = load_template("gate_ask", ("question", "answer", "variant"), file)
        self._by = BY if BY in self.models else MAIN

    def most(self) -> int:
        """The answer, the fast and the slow pass."""
        return calls_of(self.models[MAIN]) + 2 * calls_of(self.models[self._by])

    def settings(self) -> dict[str, Json]:
        """The options, and what is asked."""
        return {**super().settings(), "template": self._template.id}

    async def compose(self, asking: Asking) -> Completion:
        """Answer, look at the answer, and give it or not."""
        answer = await asking.ask(MAIN)
        told = self.options
        p_need, p_accept = await self._look(asking, answer, "fast")
        slow = told.delta > 0 and abs(p_accept - told.threshold(p_need)) <= told.delta
        if slow:
            p_need, p_accept = await self._look(asking, answer, "slow")
        acts = p_accept >= told.threshold(p_need)
        asking.facts |= {"p_need": p_need, "p_accept": p_accept, "slow": slow, "acts": acts}
        if acts:
            return answer
        asking.facts["withheld"] = 0  # the first of the replies
        return replace(answer, text=told.abstain, reasoning=None, opened_think=False, finish="stop", logprob=None)

    async def _look(self, asking: Asking, answer: Completion, variant: str) -> tuple[float, float]:
        """The calibrated probabilities of need and acceptance."""
        told, slow = self.options, variant == "slow"
        written = with_answer(answer).answer_text
        values = {
            "question": fence(asking.request.messages[-1].content),
            "answer": fence(written if written is not None else "(none was given)"),
            "variant": self._template.variants[variant],
        }
        reply = await asking.ask(
            self._by,
            2 if slow else 1,
            messages=(Message("user", self._template.fill(values)),),
            temperature=0.0,
            max_tokens=told.slow_tokens if slow else told.fast_tokens,
            stop=(),
            schema=None if slow else SCHEMA,
        )
        try:
            said = probabilities(with_answer(reply).answer_text or "")
        except Malformed as why:
            name = self.models[self._by].name
            raise PartFailed(f"{self._by} ({name}) gave no probabilities in the {variant} pass: {why}") from None
        return tempered(said[0], told.temperature_need), tempered(said[1], told.temperature_accept)


def probabilities(text: str) -> tuple[float, float]:
    """p_need and p_accept of the last object of a reply that has both; raises `Malformed`."""
    said = find_objects(text, ACCEPT)[-1].value
    found = []
    for name in (NEED, ACCEPT):
        value = said.get(name)
        if not is_number(value) or not 0 <= float(str(value)) <= 1:
            raise Malformed(f"{name!r} is {str(value)[:40]!r}, no number from 0 to 1")
        found.append(float(str(value)))
    return found[0], found[1]


def tempered(p: float, temperature: float) -> float:
    """The probability whose log odds are those of p divided by the temperature."""
    if p in (0.0, 1.0) or temperature == 1.0:
        return p
    return 1 / (1 + math.exp(-math.log(p / (1 - p)) / temperature))
