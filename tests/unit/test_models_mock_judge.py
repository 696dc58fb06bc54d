"""`mock:judge` follows any schema that rubrics use, knows nothing, and is the same every time."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from typing import Any

import pytest

from harness.errors import ConfigError, UnknownName
from harness.models import load_model
from harness.types import Completion, Message, Request
from tests import asking

NUMBERS = itertools.count()
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "reason": {"type": "string"},
        "level": {"type": "integer", "enum": [1, 2, 3, 4, 5]},
        "verdict": {"enum": ["A>>B", "B>>A"]},
        "quotes": {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 4},
        "score": {"type": "integer", "minimum": 1, "maximum": 10},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "sure": {"type": "boolean"},
        "version": {"const": 3},
        "nested": {"anyOf": [{"type": "object", "properties": {"x": {"type": "null"}}}, {"type": "null"}]},
    },
}


def make_request(
    text: str, schema: Any = SCHEMA, top_logprobs: int = 0, temperature: float = 0.0, seed: int = 1
) -> Request:
    messages = (Message("user", text),)
    return Request(str(next(NUMBERS)), messages, temperature, 1.0, 512, (), seed, schema, top_logprobs)


def ask(requests: list[Request], **options: str) -> list[Completion]:
    return asking.ask(load_model("mock:judge", options), requests)


def test_every_reply_follows_the_schema() -> None:
    for completion in ask([make_request(f"answer {i}") for i in range(100)]):
        value = json.loads(completion.text)
        assert list(value) == list(SCHEMA["properties"]) and completion.finish == "stop"
        assert value["level"] in range(1, 6) and value["score"] in range(1, 11) and 0 <= value["share"] <= 1
        assert value["verdict"] in ("A>>B", "B>>A") and 2 <= len(value["quotes"]) <= 4 and value["version"] == 3
        assert isinstance(value["sure"], bool) and value["nested"] in (None, {"x": None})


def test_verdicts_are_those_of_a_coin() -> None:
    levels = Counter(json.loads(c.text)["level"] for c in ask([make_request(f"answer {i}") for i in range(2000)]))
    assert set(levels) == {1, 2, 3, 4, 5} and min(levels.values()) > 320


def test_the_same_request_has_the_same_reply_and_another_variant_or_sample_another() -> None:
    requests = [make_request(f"answer {i}") for i in range(20)]
    first = [completion.text for completion in ask(requests)]
    assert first == [completion.text for completion in ask(requests[::-1])][::-1]
    assert first != [completion.text for completion in ask(requests, variant="b")]
    assert first == [completion.text for completion in ask([make_request(f"answer {i}", seed=2) for i in range(20)])]
    warm = ask([make_request("answer", temperature=0.7, seed=seed) for seed in range(20)])
    assert len({completion.text for completion in warm}) > 15


def test_a_token_request_gets_a_label_that_agrees_with_its_probabilities() -> None:
    for completion in ask([make_request(f"answer {i}", schema=None, top_logprobs=5) for i in range(50)]):
        found = completion.alternatives
        assert found is not None and set(found) == {"A", "B"}
        assert sum(map(math.exp, found.values())) == pytest.approx(0.98)
        assert completion.text == max(found, key=lambda label: found[label])


def test_shares_of_malformed_and_failed_requests() -> None:
    replies = ask([make_request(f"answer {i}") for i in range(2000)], malformed="0.2", error_rate="0.1")
    failed = sum(completion.finish == "error" for completion in replies)
    malformed = sum(completion.finish != "error" and '"level"' not in completion.text for completion in replies)
    assert 150 < failed < 250 and 300 < malformed < 420


def test_bad_options_and_schemas_are_told() -> None:
    with pytest.raises(ConfigError, match="malformed must lie between 0 and 1"):
        load_model("mock:judge", {"malformed": "2"})
    with pytest.raises(UnknownName, match="judge"):
        load_model("mock:jury", {})
    deep: dict[str, Any] = {"type": "null"}
    for _ in range(40):
        deep = {"type": "array", "items": deep, "minItems": 1, "maxItems": 1}
    replies = ask([make_request("x", deep), make_request("x", {"type": "tuple"}), make_request("x", {"type": "array"})])
    assert [completion.finish for completion in replies] == ["error"] * 3
    assert "deeper than 32" in (replies[0].error or "") and "'tuple'" in (replies[1].error or "")


@pytest.mark.parametrize(
    ("prompt", "allowed"),
    [
        ("Rate it from 1 to 10 in this form: [[rating]], for example [[5]].", {f"[[{n}]]" for n in range(1, 11)}),
        ("Say [[A]] if A is better, [[B]] if B is, [[C]] for a tie.", {"[[A]]", "[[B]]", "[[C]]"}),
        (
            "One of [[A>>B]] [[A>B]] [[A=B]] [[B>A]] [[B>>A]].",
            {"[[A>>B]]", "[[A>B]]", "[[A=B]]", "[[B>A]]", "[[B>>A]]"},
        ),
        ("Reply with the name of the best model: m or M.", {"m", "M"}),
        ("Which one is better?", {"A", "B"}),
    ],
)
def test_verdicts_in_the_form_that_a_prompt_without_a_schema_names(prompt: str, allowed: set[str]) -> None:
    replies = ask([make_request(f"item {number}. {prompt}", schema=None) for number in range(200)])
    assert {completion.text for completion in replies} == allowed
