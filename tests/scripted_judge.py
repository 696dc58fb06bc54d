"""A judge with a known error model, in process or behind the stub server: what the laboratory has to find again.

    judge = ScriptedJudge(pairs, ErrorModel(skill=2.0, length=0.5))
    server.choose = judge.choose            # as an OpenAI-compatible endpoint
    arm = Arm.of(judge.model(), rubric)     # or as a model
    judge.expected(pairs)["flips"]          # the truth, computed and not simulated

The log odds of preferring `a` are skill/2 for the labelled answer (minus that for the other), `length` per doubling of
the length, `lists` for the only list, and first/2 for being shown first. A share `shared` of the pairs draws one random
number for both orders (an opinion), the others one for each (a coin).
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.types import Completion, Json, Request
from judges.lab.bias import listed
from judges.lab.labelled_pair import Label, LabelledPair
from judges.lab.votes import PairVotes, Vote
from tests.stub_server import Reply

_FENCED = re.compile(r"^(~{5,})\n(.*?)\n\1$", re.MULTILINE | re.DOTALL)
_KEY = re.compile(r"\(key: (\w+)\)")


@dataclass(frozen=True)
class ErrorModel:
    """How the judge errs."""

    skill: float = 2.0
    length: float = 0.0
    lists: float = 0.0
    first: float = 0.0
    shared: float = 0.5
    tie: float = 0.0
    """Share of replies that see a tie, whatever the answers."""
    malformed: float = 0.0
    """Share of judgments whose first reply is prose; the second one is fine."""
    broken: float = 0.0
    """Share of judgments of which no reply can be read."""
    levels: Mapping[str, tuple[float, ...]] = field(
        default_factory=lambda: {"better": (0.0, 0.1, 0.2, 0.4, 0.3), "worse": (0.2, 0.4, 0.2, 0.1, 0.1)}
    )
    """Rubrics of points: chance of each level for the labelled answer and for the other."""
    variant: str = ""

    def log_odds(self, pair: LabelledPair, first: int) -> float:
        """Log odds for `a`; `first` is +1 if it is shown first, else -1."""
        ratio = math.log2((len(pair.a[-1]) + 1) / (len(pair.b[-1]) + 1))
        sign = {"a": 1, "b": -1, "tie": 0}[pair.label]
        return self.skill * sign / 2 + self.length * ratio + self.lists * listed(pair) + self.first * first / 2

    def p(self, pair: LabelledPair, first: int) -> float:
        """Probability of preferring `a` where it does not see a tie."""
        return 1 / (1 + math.exp(-self.log_odds(pair, first)))


class ScriptedJudge:
    """Replies to the prompts of this project's own rubrics about the given pairs."""

    def __init__(self, pairs: Sequence[LabelledPair], errors: ErrorModel) -> None:
        self.errors = errors
        self._sides: dict[tuple[str, str], tuple[LabelledPair, str]] = {}
        for pair in pairs:
            self._sides[pair.turns[-1], pair.b[-1]] = (pair, "b")
            self._sides[pair.turns[-1], pair.a[-1]] = (pair, "a")

    def reply(self, messages: Sequence[Mapping[str, str]], seed: int) -> str:
        """What it says to a conversation; a second try is told by its being one."""
        texts = [text for _, text in _FENCED.findall(messages[0]["content"] + "\n\n" + messages[1]["content"])]
        question, answers = texts[0], texts[1:]
        pair, side = self._sides[question, answers[0]]
        retry = len(messages) > 2
        repeat = random.Random(f"{self.errors.variant}/{seed}")
        broken, malformed = (repeat.random() < p for p in (self.errors.broken, self.errors.malformed))
        failing = random.Random(f"{self.errors.variant}/{pair.id}/{side}/{len(answers)}/fail").random()
        if failing < self.errors.broken or (malformed and not retry and not broken):
            return "I would rather not commit myself."
        if len(answers) == 1:
            return self._points(pair, side, _KEY.findall(messages[0]["content"] + messages[1]["content"]), repeat)
        first = 1 if side == "a" else -1
        if repeat.random() < self.errors.tie:
            return json.dumps({"reason": "no difference", "verdict": "A=B"})
        opinion = random.Random(f"{self.errors.variant}/{pair.id}/opinion")
        draw = opinion.random() if opinion.random() < self.errors.shared else repeat.random()
        prefers_a = draw < self.errors.p(pair, first)
        verdict = "A>B" if prefers_a == (first == 1) else "B>A"
        return json.dumps({"reason": f"{'a' if prefers_a else 'b'} of {pair.id} is better", "verdict": verdict})

    def _points(self, pair: LabelledPair, side: str, keys: Sequence[str], rng: random.Random) -> str:
        chances = self.errors.levels["better" if side == pair.label else "worse"]
        levels = {key: rng.choices(range(1, 6), chances)[0] for key in keys or ("rating",)}
        if not keys:
            return json.dumps({"reason": "so it seems", "rating": 2 * levels["rating"]})
        entries = {key: {"reason": "so it seems", "evidence": [], "level": level} for key, level in levels.items()}
        return json.dumps({"dimensions": entries, "overall": f"{side} of {pair.id}"})

    def choose(self, _: int, body: dict[str, Any]) -> Reply:
        """For `StubServer.choose`."""
        return Reply(content=self.reply(body["messages"], body["seed"]))

    def model(self, name: str = "scripted:judge") -> ScriptedModel:
        """The same judge without a server."""
        return ScriptedModel(name, self)

    def sample(self, pair: LabelledPair, rng: random.Random) -> PairVotes:
        """One pair judged in both orders, without prompts and replies: for simulations."""
        joint = self._joint(pair)
        first, second = rng.choices(list(joint), list(joint.values()))[0]
        votes = (Vote(first, "candidate_first", 0), Vote(second, "opponent_first", 0))
        return PairVotes(pair, votes, ("candidate_first", "opponent_first"))

    def expected(self, pairs: Sequence[LabelledPair]) -> dict[str, float]:
        """The true value of what the laboratory measures, averaged over the pairs: by enumeration, not simulation."""
        totals: dict[str, list[float]] = {name: [] for name in ("accuracy", "strict", "flips", "first", "ties")}
        for pair in pairs:
            joint = self._joint(pair)
            sign = {"a": 1, "b": -1, "tie": 0}
            right = sign[pair.label]
            totals["accuracy"].append(
                sum(p * (2 + right * (sign[x] + sign[y])) / 4 for (x, y), p in joint.items()) if right else math.nan
            )
            net = {key: (sign[key[0]] + sign[key[1]] > 0) - (sign[key[0]] + sign[key[1]] < 0) for key in joint}
            totals["strict"].append(sum(p for key, p in joint.items() if net[key] == right))
            totals["flips"].append(sum(p for (x, y), p in joint.items() if x != y))
            totals["first"].append(sum(p * (2 + sign[x] - sign[y]) / 4 for (x, y), p in joint.items()))
            totals["ties"].append(sum(p * ((x == "tie") + (y == "tie")) / 2 for (x, y), p in joint.items()))
        known = {name: [v for v in values if not math.isnan(v)] for name, values in totals.items()}
        return {name: math.fsum(values) / len(values) for name, values in known.items() if values}

    def _joint(self, pair: LabelledPair) -> dict[tuple[Label, Label], float]:
        """Probability of (choice with a first, choice with b first)."""
        e, p, q = self.errors, self.errors.p(pair, 1), self.errors.p(pair, -1)
        decided: dict[tuple[Label, Label], float] = {
            ("a", "a"): e.shared * min(p, q) + (1 - e.shared) * p * q,
            ("b", "b"): e.shared * (1 - max(p, q)) + (1 - e.shared) * (1 - p) * (1 - q),
            ("a", "b"): e.shared * max(p - q, 0) + (1 - e.shared) * p * (1 - q),
            ("b", "a"): e.shared * max(q - p, 0) + (1 - e.shared) * (1 - p) * q,
        }
        joint: dict[tuple[Label, Label], float] = {}
        for (x, y), chance in decided.items():
            for first, first_chance in ((x, 1 - e.tie), ("tie", e.tie)):
                for second, second_chance in ((y, 1 - e.tie), ("tie", e.tie)):
                    key = (first, second)
                    joint[key] = joint.get(key, 0.0) + chance * first_chance * second_chance
        return joint


@dataclass(frozen=True)
class ScriptedModel:
    """A `Model` that answers like the scripted judge; every reply is 100 tokens in and 20 out."""

    name: str
    judge: ScriptedJudge
    prices: Mapping[str, Json] = field(default_factory=dict)

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "scripted", "name": self.name, "errors": repr(self.judge.errors)}

    def environment(self) -> Mapping[str, Json]:
        return dict(self.prices)

    async def answer(self, request: Request) -> Completion:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        text = self.judge.reply(messages, request.seed)
        return Completion(text=text, finish="stop", tokens_in=100, tokens_out=20)

    async def close(self) -> None:
        """Nothing to release."""


def synthetic_pairs(count: int, seed: int = 0, *, ties: float = 0.0) -> list[LabelledPair]:
    """Pairs of answers of various lengths, some with lists; length, lists and label are independent."""
    rng = random.Random(seed)
    return [
        LabelledPair(
            id=f"pair-{number}",
            turns=(f"Question {number}?",),
            a=(_answer(rng, f"a{number}"),),
            b=(_answer(rng, f"b{number}"),),
            label="tie" if rng.random() < ties else rng.choice(("a", "b")),
            subset=("even", "odd")[number % 2],
        )
        for number in range(count)
    ]


def _answer(rng: random.Random, name: str) -> str:
    words = [name] + [rng.choice(("one", "two", "three", "four")) for _ in range(round(10 * 2 ** rng.gauss(0, 1)))]
    text = " ".join(words)
    return text if rng.random() < 0.7 else f"{text}\n- first\n- second"
