"""Every oddity of a reply or an error, as a row: what is an answer, what is asked again, what is given up."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.models.openai_reply import Failure, error_message, read_reply, retry_after, status_failure
from harness.types import Completion


def body(message: Any = None, finish: Any = "stop", **fields: Any) -> bytes:
    choice = {"message": {"content": "4"} if message is None else message, "finish_reason": finish}
    return json.dumps({"choices": [choice], **fields}).encode()


def choice_with(**fields: Any) -> bytes:
    return json.dumps({"choices": [{"message": {"content": "4"}, "finish_reason": "stop", **fields}]}).encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (body(), Completion("4", "stop")),
        (body({"content": ""}), Completion("", "stop")),
        (body(finish=None), Completion("4", "stop")),
        (body(finish="eos"), Completion("4", "stop")),
        (body(finish="length"), Completion("4", "length")),
        (body({"content": "4", "reasoning_content": "2+2"}), Completion("4", "stop", reasoning="2+2")),
        (body({"content": "4", "reasoning": "2+2"}), Completion("4", "stop", reasoning="2+2")),
        (body({"content": "4", "reasoning_content": None, "reasoning": "a"}), Completion("4", "stop", reasoning="a")),
        (body({"content": "4", "reasoning_content": ""}), Completion("4", "stop")),
        (body({"content": None, "reasoning_content": "2+"}, "length"), Completion("", "length", reasoning="2+")),
        (body({"content": None}, "length"), Completion("", "length")),
        (body({"content": None, "refusal": "I will not."}), Completion("I will not.", "stop")),
        (body({"content": "", "refusal": "I will not."}), Completion("I will not.", "stop")),
        (body({"content": "4", "refusal": "I will not."}), Completion("4", "stop")),
        (body({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}), Completion("ab", "stop")),
        (body({"content": "4", "tool_calls": [{}]}, "tool_calls"), Completion("4", "stop")),
        (body(usage={"prompt_tokens": 3, "completion_tokens": 0}), Completion("4", "stop", tokens_in=3, tokens_out=0)),
        (body(usage={"prompt_tokens": 2**31, "completion_tokens": 10**30}), Completion("4", "stop")),
        (body(usage={"prompt_tokens": "3", "completion_tokens": True}), Completion("4", "stop")),
        (body(usage=None), Completion("4", "stop")),
        (
            choice_with(logprobs={"content": [{"logprob": -0.5}, {"logprob": -1}]}),
            Completion("4", "stop", logprob=-1.5),
        ),
        (choice_with(logprobs={"content": [{"logprob": -0.5}, {}]}), Completion("4", "stop")),
        (choice_with(logprobs={"content": []}), Completion("4", "stop")),
        (choice_with(logprobs={"content": [{"logprob": -(10**400)}]}), Completion("4", "stop")),
        (choice_with(logprobs={"content": [{"logprob": True}]}), Completion("4", "stop")),
        (choice_with(logprobs={"content": [{"logprob": -1e308}, {"logprob": -1e308}]}), Completion("4", "stop")),
        (
            choice_with(
                logprobs={
                    "content": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": "b", "logprob": -(10**400)}]}]
                }
            ),
            Completion("4", "stop", logprob=-1.0, alternatives={"a": -1.0}),
        ),
        (b'{"choices": [{"message": {"content": "\\ud83d half"}}]}', Completion("\ufffd half", "stop")),
        (b'{"choices": [{"message": {"content": "\\ud83d\\ude42"}}]}', Completion("\U0001f642", "stop")),
    ],
)
def test_replies_that_are_answers(raw: bytes, expected: Completion) -> None:
    assert read_reply(raw)[0] == expected


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (body({"content": "part"}, "content_filter"), "stopped by the server's content filter"),
        (body({"content": None, "refusal": "no\nway"}, "content_filter"), "content filter: no way"),
        (body({"content": None}, "tool_calls"), "called a tool"),
        (body({"content": "4"}, "novel"), "unknown finish_reason 'novel'"),
    ],
)
def test_replies_that_would_be_the_same_again_are_errors_at_once(raw: bytes, error: str) -> None:
    completion = read_reply(raw)[0]
    assert completion.finish == "error"
    assert error in (completion.error or "")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"<html>busy</html>", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b"[]", "JSON list"),
        (b"{}", "no choices"),
        (b'{"choices": []}', "no choices"),
        (b'{"choices": null}', "no choices"),
        (b'{"choices": [null]}', "no choices"),
        (b'{"choices": [{"text": "completions API"}]}', "no message"),
        (b'{"error": {"message": "upstream died", "code": 502}}', "upstream died"),
        (body({"content": None}), "no content"),
        (body({}), "no content"),
        (body({"content": 7}), "no content"),
        (body({"content": None, "refusal": ""}), "no content"),
        (body({"content": None, "refusal": 7}), "no content"),
        (body({"content": "par"}, "abort"), "gave up"),
        (body({"content": ""}, "error"), "gave up"),
    ],
)
def test_replies_that_are_asked_again(raw: bytes, message: str) -> None:
    with pytest.raises(Failure, match=message) as caught:
        read_reply(raw)
    assert caught.value.kind == "transient"


KEYS = ["choices", "message", "content", "finish_reason", "usage", "logprobs", "error", "reasoning", "prompt_tokens"]
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_any_json_is_an_answer_or_a_failure(value: object) -> None:
    for raw in (json.dumps(value), json.dumps({"choices": [value]}), json.dumps({"choices": [{"message": value}]})):
        try:
            completion = read_reply(raw.encode())[0]
        except Failure as failure:
            assert "\n" not in failure.message
        else:
            completion.text.encode()


@pytest.mark.parametrize(
    ("status", "raw", "kind"),
    [
        (400, b'{"error": {"message": "too long"}}', "rejected"),
        (413, b"", "rejected"),
        (422, b'{"detail": [{"msg": "bad"}]}', "rejected"),
        (401, b"{}", "refused"),
        (402, b"{}", "refused"),
        (403, b"{}", "refused"),
        (404, b'{"message": "no such model"}', "refused"),
        (429, b'{"error": {"code": "insufficient_quota", "message": "pay"}}', "refused"),
        (429, b'{"error": {"code": "rate_limit_exceeded"}}', "transient"),
        (408, b"", "transient"),
        (409, b"", "transient"),
        (500, b"oops", "transient"),
        (502, b"<html>", "transient"),
        (529, b"", "transient"),
    ],
)
def test_statuses(status: int, raw: bytes, kind: str) -> None:
    failure = status_failure(status, {}, raw)
    assert failure.kind == kind
    assert failure.message.startswith(f"HTTP {status}")


def test_error_messages_are_found_and_are_one_redacted_line() -> None:
    assert error_message({"error": {"message": "a\n b"}}) == "a b"
    assert error_message({"error": "plain"}) == "plain"
    assert error_message({"detail": "gone"}) == "gone"
    assert error_message("text") == "text"
    assert "sk-abcd" not in error_message({"error": {"message": "bad key sk-abcdEFGH12345678"}})
    assert len(error_message("x" * 5000)) <= 240


def test_retry_after_in_each_form() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    assert retry_after({"retry-after": "2"}) == 2.0
    assert retry_after({"retry-after": "0.5"}) == 0.5
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after": format_datetime(soon, usegmt=True)}) == pytest.approx(30, abs=3)
    assert retry_after({"retry-after": format_datetime(soon - timedelta(hours=1), usegmt=True)}) == 0.0
    for nonsense in ({}, {"retry-after": "soon"}, {"retry-after": "-3"}, {"retry-after-ms": "nan"}):
        assert retry_after(nonsense) is None
