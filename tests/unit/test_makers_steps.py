"""The maker `steps`: what is asked from where, shares of right continuations, and what leaves a record out."""

from __future__ import annotations

import pytest
from data_fakes import CUT, FAILED, RIGHT, WRONG, nonzero, record, says

from backends.makers.asking import Query
from backends.makers.base import load_maker
from backends.makers.steps import Steps, beginnings
from backends.structure.judged import labelled_ends
from harness.errors import DataError
from harness.types import Completion

OWN, TWIN = record("a", response=RIGHT), record("b", response=WRONG)
DONE, LOST = "\n</think>\nThe answer is 20.", "\n</think>\nThe answer is 24."


def reply(query: Query) -> str | Completion:
    """One in eight is right behind the mistake of the wrong chain; elsewhere 5 of 6, one fails, one is cut."""
    begun = query.problem.messages[-1].content
    if "6 * 4" in begun:
        return LOST
    if "2 + 3 = 6" in begun:
        return DONE if query.attempt == 0 else LOST
    return {4: FAILED, 5: CUT}.get(query.attempt, DONE if query.attempt else LOST)


def test_beginnings_are_the_response_up_to_each_step() -> None:
    assert beginnings(RIGHT) == ["<think>\n2 + 3 = 5.", "<think>\n2 + 3 = 5. 5 * 4 = 20."]
    assert beginnings("The answer is 20.") == ["The answer is 20."]
    assert beginnings("<think>\n</think>\n20") == []


def test_a_label_is_the_share_of_the_continuations_that_could_be_graded() -> None:
    seen: list[Query] = []
    made = Steps([OWN, TWIN], "s", k=8).run(says(reply, seen))
    assert len(seen) == 32 and len({query.request("m").id for query in seen}) == 32
    assert all(query.problem.messages[-1].role == "assistant" and query.draw.temperature == 1 for query in seen)
    right, wrong = made.records
    assert right.meta["step_labels"] == pytest.approx([5 / 6, 5 / 6]) and right.meta["outcome"] == 1
    assert wrong.meta["step_labels"] == [1 / 8, 0] and wrong.meta["outcome"] == 0
    assert (wrong.response, wrong.meta["labelled_by"], wrong.meta["continuations"]) == (WRONG, "s", 8)
    assert nonzero(made.counts) == {
        "given": 2, "steps": 4, "asked": 32, "kept": 2, "right": 1, "wrong": 1, "teacher_error": 2, "cut": 2,
    }  # fmt: skip


def test_what_it_makes_is_what_prm_trains_on() -> None:
    made = Steps([OWN, TWIN], "s", k=2).run(says(reply))
    assert [[one.good for one in labelled_ends(each)] for each in made.records] == [[0.5, 0.5, 1], [0.5, 0, 0]]


def test_a_step_that_no_continuation_speaks_of_leaves_its_record_out() -> None:
    empty = record("c", response="<think>\n</think>\n20")
    made = Steps([OWN, TWIN, empty], "s", k=2).run(
        says(lambda query: FAILED if "5 * 4" in query.problem.messages[-1].content else reply(query))
    )
    assert [one.id for one in made.records] == ["b"]
    assert (made.counts["no_label"], made.counts["no_step"], made.counts["teacher_error"]) == (1, 1, 2)


def test_an_engine_that_cannot_go_on_is_shown_the_beginning() -> None:
    seen: list[Query] = []
    maker = Steps([OWN], "s", k=1, continues=False)
    made = maker.run(says(lambda query: RIGHT if query.maker == "steps:1" else WRONG, seen))
    assert made.records[0].meta["step_labels"] == [0, 1] and made.records[0].meta["continued"] is False
    assert [query.problem.messages[-1].role for query in seen] == ["user"] * 2
    assert "2 + 3 = 5." in seen[0].problem.messages[-1].content and "5 * 4" not in seen[0].problem.messages[-1].content
    assert seen == list(maker.first())


def test_records_without_a_response_or_gold_are_refused() -> None:
    with pytest.raises(DataError, match="1 records have none, the first 'x'"):
        Steps([OWN, record("x", response=" ")], "s")
    with pytest.raises(DataError, match="'x'"):
        Steps([record("x", gold=None, response=RIGHT)], "s")
    assert load_maker("steps") is Steps
