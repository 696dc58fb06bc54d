"""Endings by a teacher of what a student began: where it is cut, what is kept, and why the rest is not."""

from __future__ import annotations

import pytest
from data_fakes import CUT, FAILED, RIGHT, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.endings import Endings, beginning
from backends.records.record import require
from harness.errors import DataError
from harness.types import Completion

LONG = "<think>\nFirst the sum is made. 2 + 3 = 6. Then times four. 6 * 4 = 24.\n</think>\nThe answer is 24."


def test_a_beginning_is_whole_words_beyond_half_and_within_the_thoughts() -> None:
    thoughts = LONG[: LONG.index("</think>")]
    seen = {beginning(LONG, seed, "a", 0.5) for seed in range(60)}
    assert len(seen) > 3
    for begun in seen:
        assert LONG.startswith(begun) and len(thoughts) / 2 <= len(begun) < len(thoughts.rstrip())
        assert LONG[len(begun)].isspace() and not begun[-1].isspace()
    assert beginning(LONG, 1, "a", 0.5) == beginning(LONG, 1, "a", 0.5)
    assert beginning("one", 0, "a", 0.5) == "" and beginning("", 0, "a", 0.5) == ""
    assert len(beginning(LONG, 0, "a", 0.9)) >= 0.9 * len(thoughts)


def test_the_whole_is_kept_where_it_is_right() -> None:
    """The known truth: a record's response is a student's prefix, then the teacher's suffix, and it verifies."""
    seen: list[Query] = []
    ending = " so it is not 24.\n</think>\nThe answer is 20."
    records = [record("a", rejected=LONG), record("b", response=RIGHT), record("c", rejected="no", response=None)]
    made = Endings(records, "t", n=2, earliest=0.5).run(says(lambda q: FAILED if q.attempt else ending, seen))
    first, second = made.records
    begun = seen[0].problem.messages[-1]
    assert begun.role == "assistant" and LONG.startswith(begun.content)
    assert first.response == begun.content + ending and first.rejected is None
    assert first.meta["student_characters"] == len(begun.content) and first.meta["ended_by"] == "t"
    assert second.id == "b" and second.response is not None and second.response.endswith(ending)
    assert nonzero(made.counts) == {"given": 3, "no_room": 1, "asked": 4, "teacher_error": 2, "kept": 2}
    require(made.records, ("response",), "sft")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (FAILED, "teacher_error"),
        (CUT, "cut"),
        (Completion("  ", "stop"), "empty"),
        ("\n</think>\nThe answer is 24.", "wrong"),
        ("\n</think>\nI do not know", "no_answer"),
    ],
)
def test_why_an_ending_is_dropped(reply: str | Completion, reason: str) -> None:
    made = Endings([record("a", rejected=LONG)], "t").run(says(lambda q: reply))
    assert made.records == () and made.counts[reason if reason != "empty" else "cut"] + made.counts["empty"] >= 1


def test_only_long_ones_are_cut_and_a_model_that_cannot_continue_is_shown_the_beginning() -> None:
    made = Endings([record("a", rejected=LONG)], "t", longer_than=100).run(says(lambda q: "x"))
    assert nonzero(made.counts) == {"given": 1, "short": 1}
    (query,) = Endings([record("a", rejected=LONG)], "t", continues=False).first()
    assert query.problem.messages[-1].role == "user" and "First the sum" in query.problem.messages[-1].content
    with pytest.raises(DataError, match="goes on from a student's response"):
        Endings([record("a")], "t")
