"""Mock models: deterministic stand-ins that need no weights, first-class like any other engine.

    mock:gold      answers right (a share `accuracy` of the time)
    mock:wrong     a near miss of the answer, in the right format
    mock:garbled   noise: mixed scripts, unbalanced braces, stray control words
    mock:silent    an empty reply
    mock:slow      as gold, after `latency` seconds
    mock:judge     judgments at random, in the form asked for: see `harness.models.mock_judge`

The same (problem, attempt, seed) always gets the same reply. They serve demos, tests and canaries: a suite on which
`mock:gold` does not score 1, or `mock:wrong` scores above 0, has a broken grader.

With `accuracy` below 1, whether an attempt is right follows a probit model: p = Phi(a - spread * d - own * e), where d
is the problem's difficulty, the same for every mock model, and e this `variant`'s own trouble with it, both standard
normal; a is chosen so that the mean of p over problems is `accuracy`. Two variants so agree on what is easy, as real
models do, which is what makes paired comparison worthwhile.
"""

from __future__ import annotations

import dataclasses
import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal, get_args

from harness.errors import UnknownName
from harness.grading import get_grader
from harness.markup import TABLE, parse_markup
from harness.models.base import markup_identity
from harness.models.mock_judge import MockJudge, build_judge
from harness.models.stand_in import StandIn
from harness.options import parse_options
from harness.types import Completion, Json, Problem, Request

Kind = Literal["gold", "wrong", "garbled", "silent", "slow"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NORMAL = NormalDist()
_WORD = re.compile(r"\s*\S+(?:\s+$)?")
"""A word with the white space before it (and what ends the text), so that joined words are the text again."""
_NOISE_TEXT = r"""{ } {{ }} \boxed{ \frac{1}{ [ ] ( \( $$ $ <think> </think> \text{ answer is boxed #### ; : , … — “ ” '
" null true 3.1.4 1/0 0x1F ½ π ∞ √ ≈ ナニ 答案 السلام שלום 🙂 é ß of x^2 lorem ```json"""
_NOISE = (*_NOISE_TEXT.split(), "\u200b", "\ufffd")


@dataclass(frozen=True, slots=True)
class MockOptions:
    """What a mock model can be told."""

    accuracy: float = 1.0
    """Expected share of right answers of gold and slow, over problems; the others are never right on purpose."""
    spread: float = 1.5
    """Standard deviation, in probits, of the difficulty that all mock models share."""
    own: float = 0.5
    """Standard deviation, in probits, of what this variant finds hard and others do not."""
    variant: str = ""
    """Two mock models with different variants err on different problems."""
    think: bool = False
    """Open with a think block."""
    think_markup: str = ""
    """Tags of that block in place of <think>: `<mull>…</mull>`. They are named to whoever reads the replies, too."""
    latency: float = 0.0
    """Seconds before each reply; `mock:slow` has 0.05 unless told."""
    concurrency: int = 64
    """Replies in flight."""
    error_rate: float = 0.0
    """Share of requests that fail for good (finish "error")."""

    def __post_init__(self) -> None:
        parse_markup(self.think_markup)
        for name in ("accuracy", "error_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        for name in ("spread", "own", "latency"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")


def build(rest: str, options: Mapping[str, str]) -> MockModel | MockJudge:
    """The engine's entry: "gold", "wrong", "garbled", "silent", "slow" or "judge"; `UnknownName` for any other."""
    if rest == "judge":
        return build_judge(options)
    if rest not in KINDS:
        raise UnknownName("mock model", rest, (*KINDS, "judge"))
    kind: Kind = rest
    if kind == "slow" and "latency" not in options:
        options = {**options, "latency": "0.05"}
    return MockModel(kind, parse_options(MockOptions, options, f"mock:{kind}"))


def _rng(*parts: object) -> random.Random:
    """A generator that depends on the parts alone, not on the process or the Python version's `hash`."""
    return random.Random(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest())


class MockModel(StandIn):
    """A stand-in model; see the module's docstring."""

    def __init__(self, kind: Kind, options: MockOptions) -> None:
        super().__init__(f"mock:{kind}", options.latency, options.concurrency)
        self.kind, self.options = kind, options

    def describe(self) -> Mapping[str, Json]:
        """Kind and every option that changes the replies."""
        speed_and_markup = ("latency", "concurrency", "think_markup")
        replies = {k: v for k, v in dataclasses.asdict(self.options).items() if k not in speed_and_markup}
        return {"engine": "mock", "kind": self.kind, **replies, **markup_identity(self.options.think_markup)}

    def environment(self) -> Mapping[str, Json]:
        """What changes the speed and not the replies."""
        return {"latency": self.options.latency, "concurrency": self.options.concurrency}

    def p_right(self, problem: Problem) -> float:
        """Probability that one attempt at the problem is right (see the module's docstring)."""
        options = self.options
        if options.accuracy in (0.0, 1.0):
            return options.accuracy
        difficulty = _rng("difficulty", problem.id).gauss()
        aptitude = _rng("aptitude", options.variant, problem.id).gauss()
        scale = (1.0 + options.spread**2 + options.own**2) ** 0.5
        return _NORMAL.cdf(
            _NORMAL.inv_cdf(options.accuracy) * scale - options.spread * difficulty - options.own * aptitude
        )

    def reply(self, request: Request) -> Completion:
        """The reply to one request; cut at `max_tokens` words, which is what a token is here."""
        problem, options = request.problem or Problem(request.id, request.messages, "", "exact"), self.options
        rng = _rng(self.kind, options.variant, problem.id, request.attempt, request.seed)
        tokens_in = sum(len(message.content.split()) for message in request.messages)
        if rng.random() < options.error_rate:
            return Completion(
                text="", finish="error", tokens_in=tokens_in, seconds=0.0, error="mock failure (error_rate)"
            )
        block = self._block(rng) if options.think and self.kind != "silent" else ""
        words = _WORD.findall(block + self._reply(problem, rng))
        cut = len(words) > request.max_tokens
        return Completion(
            text="".join(words[: request.max_tokens]),
            markup=options.think_markup,
            finish="length" if cut else "stop",
            tokens_in=tokens_in,
            tokens_out=min(len(words), request.max_tokens),
            seconds=0.0,
        )

    def _block(self, rng: random.Random) -> str:
        tags = (*parse_markup(self.options.think_markup), TABLE[0])[0]
        return f"{tags.opens[0]}\n{_thought(rng)}\n{tags.closes[0]}\n\n"

    def _reply(self, problem: Problem, rng: random.Random) -> str:
        if self.kind == "silent":
            return ""
        if self.kind == "garbled":
            return "".join(rng.choice(_NOISE) + rng.choice((" ", "", "\n")) for _ in range(rng.randint(5, 60)))
        grader = get_grader(problem.grader)
        right = self.kind != "wrong" and rng.random() < self.p_right(problem)
        return grader.gold_text(problem) if right else grader.wrong_text(problem)


def _thought(rng: random.Random) -> str:
    """Filler reasoning of 10 to 120 words, with nothing in it that a grader could pick up."""
    words = ("first", "consider", "then", "so", "we", "see", "that", "this", "follows", "check", "again", "hence")
    return " ".join(rng.choice(words) for _ in range(rng.randint(10, 120)))
