"""Format checks are strict: the shape that was asked for, nothing around it."""

from __future__ import annotations

import pytest

from harness import formats
from harness.errors import UsageError
from harness.reasoning import with_answer
from harness.types import Completion

SCHEMA = (("process", "array"), ("answer", "string"))


def reply(text: str, **changes: object) -> Completion:
    return with_answer(Completion(text=text, finish="stop", **changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "changes", "expected"),
    [
        ("<think>a</think>b", {}, True),
        ("a</think>b", {"opened_think": True}, True),
        ("b", {"reasoning": "a"}, True),
        ("b", {}, False),
        ("<think></think>b", {}, False),
        ("<think>a</think>", {}, False),
        ("<think>a", {}, False),
        ("<think>a</think>b<think>c</think>d", {}, False),
        ("<think>a</think></think>b", {}, False),
    ],
)
def test_think(text: str, changes: dict[str, object], expected: bool) -> None:
    assert formats.think(reply(text, **changes)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"so \boxed{4}", True),
        (r"\boxed{}", False),
        (r"\boxed{4", False),
        ("4", False),
        (r"<think>\boxed{4}</think>four", False),
        (r"<think>x</think>\boxed{\frac{1}{2}}", True),
    ],
)
def test_boxed_looks_only_at_the_answer(text: str, expected: bool) -> None:
    assert formats.boxed(reply(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"process": ["a"], "answer": "4"}', True),
        ('<think>x</think>\n {"process": [], "answer": "4"}\n', True),
        ('```json\n{"process": [], "answer": "4"}\n```', False),
        ('Here: {"process": [], "answer": "4"}', False),
        ('{"process": [], "answer": "4"} {"process": [], "answer": "5"}', False),
        ('{"process": [], "answer": 4}', False),
        ('{"process": "a", "answer": "4"}', False),
        ('{"process": [1], "answer": "4"}', False),
        ('{"process": [], "answer": "4", "more": 1}', False),
        ('{"answer": "4"}', False),
        ("[]", False),
        ("[" * 100_000, False),
        ("", False),
    ],
)
def test_json_is_one_object_with_exactly_the_keys(text: str, expected: bool) -> None:
    assert formats.json_object(reply(text), SCHEMA) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"process": ["a"], "answer": "4"}', True),
        ('{"answer": "4"}', True),
        ('{"process": ["a"]}', False),
        ('{"process": "a", "answer": "4"}', False),
        ('{"process": null, "answer": "4"}', False),
        ('{"answer": "4", "more": 1}', False),
    ],
)
def test_a_key_with_a_question_mark_may_be_missing(text: str, expected: bool) -> None:
    assert formats.json_object(reply(text), (("process", "array?"), ("answer", "string"))) is expected


def test_a_boolean_is_no_number() -> None:
    assert formats.json_object(reply('{"n": 1}'), (("n", "number"),))
    assert not formats.json_object(reply('{"n": true}'), (("n", "number"),))


def test_check_names_what_it_is_asked_and_nothing_of_a_failed_request() -> None:
    assert formats.check(["boxed", "think"], (), reply(r"\boxed{1}")) == {"boxed": True, "think": False}
    assert formats.check(["boxed"], (), Completion("", "error", error="503")) == {}
    with pytest.raises(UsageError, match="unknown format check"):
        formats.check(["box"], (), reply("x"))
