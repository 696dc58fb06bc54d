"""Harder questions from failed ones, by a teacher whose replies are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from data_fakes import ASKED, CUT, FAILED, WRONG, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.harder import Harder
from harness.errors import DataError
from harness.types import Completion, Message

NEW = "How much is 2 + 3, times 4, minus 1?"
SOLVED = "2 + 3 = 5. 5 * 4 = 20. 20 - 1 = 19. The answer is 19."
OTHER = (Message("user", "How much is 1 + 1?"),)


def teacher(question: str | Completion = f"**New question:**\n{NEW}", *solutions: str | Completion) -> object:
    def reply(query: Query) -> str | Completion:
        return solutions[query.attempt] if query.maker == "harder:solve" else question

    return reply


def test_a_question_whose_solutions_agree_is_kept_once() -> None:
    seen: list[Query] = []
    failed = record("a", rejected=WRONG)
    records = [failed, replace(failed, id="a#1"), replace(failed, id="b", prompt=OTHER)]
    made = Harder(records, "t").run(says(teacher(f"New question: {NEW}", SOLVED, f"It is so. {SOLVED}"), seen))  # type: ignore[arg-type]
    assert nonzero(made.counts) == {"given": 3, "same_question": 1, "asked": 2, "repeated": 1, "kept": 1}
    (new,) = made.records
    assert new.prompt == (Message("user", NEW),) and new.gold == "19" and new.response == SOLVED
    assert new.meta["grader"] == "integer" and new.meta["written_from"] == "a" and new.id.startswith("harder-")
    asked = seen[0].problem.messages[-1].content
    assert plain(WRONG) in asked and ASKED[0].content in asked
    assert [query.maker for query in seen] == ["harder"] * 2 + ["harder:solve"] * 2
    assert seen[2].problem.messages == new.prompt


@pytest.mark.parametrize(
    ("question", "solutions", "reasons"),
    [
        (FAILED, (), {"teacher_error": 1}),
        (CUT, (), {"cut": 1}),
        (NEW, (), {"no_question": 1}),
        ("New question:\n", (), {"no_question": 1}),
        (f"New question: {ASKED[0].content}", (), {"repeated": 1}),
        (f"New question: {NEW}", (SOLVED, "20 - 2 = 18. The answer is 18."), {"disputed": 1}),
        (f"New question: {NEW}", ("I do not know.", SOLVED), {"disputed": 1}),
        (f"New question: {NEW}", (SOLVED, "I do not know."), {"disputed": 1}),
        (f"New question: {NEW}", (SOLVED, CUT), {"solve_cut": 1, "disputed": 1}),
    ],
)
def test_why_a_question_is_dropped(
    question: str | Completion, solutions: tuple[str | Completion, ...], reasons: dict[str, int]
) -> None:
    made = Harder([record("a", rejected=WRONG)], "t").run(says(teacher(question, *solutions)))  # type: ignore[arg-type]
    assert made.records == () and nonzero(made.counts) == {"given": 1, "asked": 1, **reasons}


def test_what_it_refuses() -> None:
    with pytest.raises(DataError, match=r"1 records have no wrong solution .* first 'b'"):
        Harder([record("a", rejected=WRONG), record("b")], "t")
    with pytest.raises(DataError, match="no grader"):
        Harder([record("a", rejected=WRONG, meta={})], "t")
    with pytest.raises(DataError, match="'choices'"):
        Harder([record("a", rejected=WRONG, meta={"grader": "choice", "choices": ["x", "y"]})], "t")
