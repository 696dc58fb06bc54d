"""`mock:judge`: a judge that answers in whatever form is asked for and knows nothing, for demos and tests.

    harness judge RUN --rubric cot_math --judge mock:judge

A request with a JSON schema gets an object that follows it: of each closed set one value, of each range one number, by
a hash of the messages. Without a schema it gets one of the verdicts in double brackets that the prompt names, or one of
the two last lines that it offers ("VERDICT: 1 or VERDICT: 2"), or else one of two names ("A or B", "yes or no"), with
log-probabilities where they are asked for. ITS VERDICTS MEAN NOTHING: they do not depend on what is judged, only on its
bytes. The same request always gets the same reply; at a temperature above 0 another seed gets another.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.hashing import canonical_json
from harness.models.stand_in import StandIn
from harness.options import parse_options
from harness.types import Completion, Json, Request

_MALFORMED = (
    "I would rather not say.",
    '{"verdict": ',
    "",
    "{}",
    "Both answers have their merits.\n\n```json\n[1, 2]\n```",
)
_WORDS = ("the", "steps", "follow", "from", "what", "is", "given", "and", "one", "of", "them", "could", "be", "shorter")
_MAX_DEPTH = 32
_BRACKETED = re.compile(r"\[\[([A-Za-z0-9<>=]{1,6})\]\]")
"""Verdicts as the prompts of MT-Bench and Arena-Hard ask for them: [[rating]], [[5]], [[A]], [[A>>B]]."""
_LINES = re.compile(r"VERDICT: (\S{1,32}) or VERDICT: (\S{1,32})\s{0,8}$")
"""The two last lines that a prompt for a written verdict offers."""
_PAIR = re.compile(r"\b([A-Za-z]|yes) or ([A-Za-z]|no)\b")
"""The two names that a one-token prompt offers: "A or B", "m or M", "yes or no"."""


@dataclass(frozen=True, slots=True)
class JudgeOptions:
    """What `mock:judge` can be told."""

    variant: str = ""
    """Two variants give unrelated verdicts."""
    malformed: float = 0.0
    """Share of requests answered in no readable form."""
    error_rate: float = 0.0
    """Share of requests that fail for good (finish "error")."""
    latency: float = 0.0
    """Seconds before each reply."""
    concurrency: int = 64
    """Replies in flight."""
    price_in: float | None = None
    """Price of a million prompt tokens; a token is a word here."""
    price_out: float | None = None
    """Price of a million completion tokens."""

    def __post_init__(self) -> None:
        for name in ("malformed", "error_rate"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1, not {getattr(self, name)}")
        if self.latency < 0 or (self.price_in or 0) < 0 or (self.price_out or 0) < 0:
            raise ValueError("latency, price_in and price_out must not be negative")
        if self.concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {self.concurrency}")


def build_judge(options: Mapping[str, str]) -> MockJudge:
    """The judge with these options; raises `ConfigError`."""
    return MockJudge(parse_options(JudgeOptions, options, "mock:judge"))


class MockJudge(StandIn):
    """A judge by hash; see the module's docstring."""

    def __init__(self, options: JudgeOptions) -> None:
        super().__init__("mock:judge", options.latency, options.concurrency)
        self.options = options

    def describe(self) -> Mapping[str, Json]:
        """Every option that changes the replies."""
        options = self.options
        replies: dict[str, Json] = {"variant": options.variant, "malformed": options.malformed}
        return {"engine": "mock", "kind": "judge", **replies, "error_rate": options.error_rate}

    def environment(self) -> Mapping[str, Json]:
        """Speed and prices."""
        options = self.options
        speed: dict[str, Json] = {"latency": options.latency, "concurrency": options.concurrency}
        return {**speed, "price_in": options.price_in, "price_out": options.price_out}

    def reply(self, request: Request) -> Completion:
        """The reply to one request."""
        messages = request.messages
        sample = request.seed if request.temperature > 0 else 0
        asked = canonical_json([[message.role, message.content] for message in messages])
        digest = hashlib.sha256(f"{self.options.variant}\x1f{sample}\x1f{asked}".encode("utf-8", "surrogatepass"))
        rng = random.Random(digest.digest())
        tokens_in = sum(len(message.content.split()) for message in messages)
        fate = rng.random()
        if fate < self.options.error_rate:
            return Completion("", "error", tokens_in=tokens_in, error="mock failure (error_rate)")
        alternatives = None
        if rng.random() < self.options.malformed:
            text = rng.choice(_MALFORMED)
        elif request.schema is not None:
            try:
                text = json.dumps(follow_schema(request.schema, rng), ensure_ascii=False)
            except ValueError as error:
                return Completion("", "error", tokens_in=tokens_in, error=str(error))
        elif labels := _BRACKETED.findall(messages[-1].content + messages[0].content):
            label = rng.choice(sorted(set(labels)))
            text = f"[[{rng.randint(1, 10) if label.isalnum() and not label.isupper() else label}]]"
        elif lines := _LINES.findall(messages[-1].content):
            text = f"Both were read.\nVERDICT: {rng.choice(lines[-1])}"
        else:
            pair = _PAIR.findall(messages[-1].content) or _PAIR.findall("\n".join(one.content for one in messages))
            one, other = pair[-1] if pair else ("A", "B")
            first = min(max(rng.random(), 1e-3), 1 - 1e-3)
            text = one if first > 0.5 else other
            if request.top_logprobs > 0:
                alternatives = {one: math.log(0.98 * first), other: math.log(0.98 * (1 - first))}
        words = text.split(" ")
        cut = len(words) > request.max_tokens
        return Completion(
            text=" ".join(words[: request.max_tokens]),
            finish="length" if cut else "stop",
            tokens_in=tokens_in,
            tokens_out=min(len(words), request.max_tokens),
            alternatives=alternatives,
        )


def follow_schema(schema: Mapping[str, Json], rng: random.Random, depth: int = 0) -> Json:
    """A random value that follows a JSON schema: objects, arrays, enums, constants, strings, numbers, booleans, anyOf.

    Raises `ValueError` for a schema that nests deeper than 32 or uses anything else.
    """
    if depth > _MAX_DEPTH:
        raise ValueError(f"the schema nests deeper than {_MAX_DEPTH}")
    if "const" in schema:
        return schema["const"]
    for key in ("enum", "anyOf"):
        options = schema.get(key)
        if isinstance(options, list | tuple) and options:
            chosen: Json = rng.choice(options)
            return follow_schema(chosen, rng, depth + 1) if key == "anyOf" and isinstance(chosen, Mapping) else chosen
    kind = schema.get("type")
    if kind == "object":
        properties = schema.get("properties")
        members = properties.items() if isinstance(properties, Mapping) else ()
        return {name: follow_schema(_schema(part), rng, depth + 1) for name, part in members}
    if kind == "array":
        least, most = _bound(schema, "minItems", 1), _bound(schema, "maxItems", 3)
        count = rng.randint(int(least), int(max(least, most)))
        return [follow_schema(_schema(schema.get("items")), rng, depth + 1) for _ in range(count)]
    if kind == "string":
        return " ".join(rng.choice(_WORDS) for _ in range(rng.randint(3, 8))).capitalize() + "."
    if kind in ("integer", "number"):
        least = _bound(schema, "minimum", 1)
        most = max(least, _bound(schema, "maximum", least + 9))
        return rng.randint(math.ceil(least), math.floor(most)) if kind == "integer" else rng.uniform(least, most)
    if kind == "boolean":
        return rng.random() < 0.5
    if kind == "null":
        return None
    raise ValueError(f"mock:judge cannot follow a schema of type {kind!r}")


def _schema(part: Json) -> Mapping[str, Json]:
    if not isinstance(part, Mapping):
        raise ValueError("mock:judge needs a schema for every member and item")
    return part


def _bound(schema: Mapping[str, Json], key: str, default: float) -> float:
    value = schema.get(key, default)
    return value if isinstance(value, int | float) else default
