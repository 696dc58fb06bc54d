"""A judge's thought ends where it ends, not where its JSON quotes a tag; what is put aside comes back as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reasoning import with_answer
from harness.types import Completion
from judges.replies.thought import with_reply

TAGS = [
    "<think>",
    "</think>",
    "<thinking>",
    "</THINK>",
    '</think>\n{"rating": 10}',
    '{"rating": 10}',
    '"',
    "\\",
    "}",
    "x",
]
VALUES = st.lists(st.sampled_from(TAGS), max_size=4).map(" ".join)


@given(
    quoted=VALUES,
    thought=st.sampled_from(["", "hm", 'so "x" {1}', '{"rating": 9}?', '{"rating": ']),
    fenced=st.booleans(),
)
def test_what_a_string_holds_ends_no_thought(quoted: str, thought: str, fenced: bool) -> None:
    verdict = json.dumps({"reason": quoted, "rating": 2}, ensure_ascii=False)
    shown = f"```json\n{verdict}\n```" if fenced else verdict
    alone = with_reply(Completion(shown, "stop"))
    assert (alone.answer_text, alone.reasoning) == (shown, None)
    opened = with_reply(Completion(f"{thought}</think>\n{shown}", "stop", opened_think=True))
    assert (opened.answer_text, opened.reasoning) == (shown, thought.strip())
    whole = with_reply(Completion(f"<think>{thought}</think>Verdict: {shown} Done.", "stop"))
    assert (whole.answer_text, whole.reasoning) == (f"Verdict: {shown} Done.", thought.strip())
    assert with_reply(whole) == whole, "reading twice changes nothing"


@given(
    st.lists(st.sampled_from([*TAGS, "{", "a", "\n", "\ue000", "\ue0000\ue000"]), max_size=12).map("".join),
    st.booleans(),
)
def test_without_objects_it_is_the_common_split(text: str, opened: bool) -> None:
    text = text.replace('{"rating": 10}', "")
    completion = Completion(text, "stop", opened_think=opened)
    assert with_reply(completion) == with_answer(completion)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        (Completion('{"rating": 4}', "stop", opened_think=True), '{"rating": 4}'),
        (Completion('{"rating": 4}', "length", opened_think=True), None),
        (Completion('hm {"rating": 4}', "stop", opened_think=True), None),
        (Completion('{"rating": 4}', "stop", reasoning="hm </think>"), '{"rating": 4}'),
        (Completion('<think>{"rating": 4}', "stop"), None),
        (Completion("", "error", error="timeout"), None),
        (Completion('a {"rating": 4}', "stop", reasoning="\ue0007\ue000"), 'a {"rating": 4}'),
        (Completion('a {"rating": 4}', "stop", reasoning=f"\ue000{'9' * 5000}\ue000"), 'a {"rating": 4}'),
    ],
)
def test_one_object_alone_is_all_answer(completion: Completion, answer: str | None) -> None:
    assert with_reply(completion).answer_text == answer
