"""Traces and dual chains: what they keep, drop and count, against teachers whose replies are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from data_fakes import CUT, FAILED, RIGHT, WRONG, nonzero, record, says
from hypothesis import given
from hypothesis import strategies as st

from backends.losses.edit import edit_distance
from backends.makers.asking import Query
from backends.makers.base import has_chain, in_form_of, plain
from backends.makers.dual import Dual, edit_share, without_hints
from backends.makers.shorten import Shorten
from backends.makers.traces import Traces, response_of
from backends.records.inputs import noted, problem_of
from backends.records.record import require
from backends.records.spans import split_response
from backends.records.synth import synth_records
from harness.errors import DataError
from harness.grading import Pending, score_completion
from harness.reasoning import with_answer
from harness.types import Completion

# --- traces ---------------------------------------------------------------------------------------------------------


def test_traces_keep_right_ones_and_say_what_became_of_the_rest() -> None:
    replies = {
        "a": [RIGHT, RIGHT, WRONG, "<think>\n5 times 4\n</think>\nThe answer is 20."],
        "b": [WRONG, FAILED, CUT, "I do not know"],
        "c": [FAILED] * 4,
    }
    records = [record(name, task="math", meta={"grader": "integer", "level": 2}) for name in replies]
    made = Traces(records, "t", n=4, per_problem=1).run(says(lambda q: replies[q.problem.id][q.attempt]))
    (kept,) = made.records
    assert (kept.id, kept.response, kept.rejected, kept.task) == ("a#0", RIGHT, WRONG, "math")
    assert kept.meta == {
        "grader": "integer", "level": 2, "teacher": "t", "problem": "a", "attempt": 0, "verified": True,
    }  # fmt: skip
    assert made.others["pairs"] == (kept,)
    (unsolved,) = made.others["unsolved"]
    assert (unsolved.id, unsolved.response, unsolved.rejected, unsolved.negatives) == ("b", None, WRONG, (WRONG,))
    assert unsolved.meta["grader"] == "integer" and unsolved.gold == "20"
    assert nonzero(made.counts) == {
        "prompts": 3, "completions": 12, "right": 3, "wrong": 2, "no_answer": 1, "truncated": 1, "teacher_error": 5,
        "duplicates": 1, "surplus": 1, "kept": 1, "unsolved": 2,
    }  # fmt: skip


def test_right_completions_are_kept_and_wrong_ones_become_negatives() -> None:
    replies = [
        "<think>\nadd\n</think>\nThe answer is 4.",
        "<think>\nsum\n</think>\nThe answer is 4.",
        "<think>\nno\n</think>\nThe answer is 5.",
        "<think>\nadd\n</think>\nThe answer is 4.",
        Completion("<think>\nThe answer is 4", "length"),
        FAILED,
        "I do not know",
        "The answer is 7.",
        "<think>\nwell\n</think>\nThe answer is 4.",
        Completion("<think>\nx\n</think>\nIt is \\boxed{4}. And", "length"),
    ]
    records = [record("p1", gold="4"), record("p2", gold="6", meta={"grader": "integer", "dataset": "toy"})]
    ask = says(lambda q: replies[q.attempt] if q.problem.id == "p1" else "The answer is 7.")
    made = Traces(records, "mock:gold", n=10, per_problem=2).run(ask)
    assert nonzero(made.counts) == {
        "prompts": 2, "completions": 20, "right": 4, "wrong": 12, "truncated": 2, "teacher_error": 1, "no_answer": 1,
        "duplicates": 1, "surplus": 1, "kept": 2, "unsolved": 1,
    }  # fmt: skip
    first, second = made.records
    assert (first.id, second.id) == ("p1#0", "p1#1")
    assert (first.response, first.think, first.answer, first.gold) == (replies[0], "add", "The answer is 4.", "4")
    assert first.negatives == ("<think>\nno\n</think>\nThe answer is 5.", "The answer is 7.")
    assert (first.rejected, second.rejected) == first.negatives
    assert first.meta == {
        "grader": "integer", "teacher": "mock:gold", "problem": "p1", "attempt": 0, "verified": True,
    }  # fmt: skip
    (unsolved,) = made.others["unsolved"]
    assert unsolved.negatives == ("The answer is 7.",) and unsolved.meta["dataset"] == "toy"
    every = Traces(records, "t", n=10).run(ask)
    assert [one.id for one in every.records] == ["p1#0", "p1#1", "p1#8"] and every.counts["surplus"] == 0
    assert [one.rejected for one in every.records] == [*first.negatives, first.negatives[0]]
    assert Traces([], "t").run(ask).records == ()


def test_graders_that_need_a_worker_get_one() -> None:
    replies = [f"So it is $\\boxed{{{answer}}}$." for answer in ("0.5", "2^{-1}", "2")]
    half = record("p3", gold="\\frac{1}{2}", meta={"grader": "math"})
    verdicts = [score_completion(problem_of(half), Completion(text, "stop")) for text in replies]
    assert any(isinstance(verdict, Pending) for verdict in verdicts), "nothing needs a worker: the case tests nothing"
    made = Traces([half], "t", n=3).run(says(lambda q: replies[q.attempt]))
    assert [one.id for one in made.records] == ["p3#0", "p3#1"] and made.counts["wrong"] == 1


@pytest.mark.parametrize(
    ("completion", "response"),
    [
        (Completion("<think>\na\n</think>\n4", "stop"), "<think>\na\n</think>\n4"),
        (Completion("a\n</think>\n4", "stop", opened_think=True), "<think>\na\n</think>\n4"),
        (Completion("4", "stop", reasoning="a"), "<think>\na\n</think>\n4"),
        (Completion("a. The answer is 4. ", "stop"), "a. The answer is 4."),
    ],
)
def test_a_response_has_its_think_block_whole(completion: Completion, response: str) -> None:
    assert response_of(with_answer(completion)) == response
    assert Traces([record(gold="4")], "t").run(says(lambda q: completion)).records[0].response == response


def test_traces_without_an_answer_are_kept_whole_and_marked() -> None:
    replies = ["one", "one", "<think>\nhm", FAILED, "two", "three", " "]
    made = Traces([record("a", gold=None)], "t", n=7, per_problem=2).run(says(lambda q: replies[q.attempt]))
    assert [(one.id, one.response, one.meta["verified"]) for one in made.records] == [
        ("a#0", "one", False), ("a#4", "two", False),
    ]  # fmt: skip
    assert nonzero(made.counts) == {
        "prompts": 1, "completions": 7, "teacher_error": 1, "cut": 1, "duplicates": 1, "surplus": 1, "empty": 1,
        "unverified": 2, "kept": 2,
    }  # fmt: skip


def test_traces_keep_a_think_block_that_the_server_separated() -> None:
    reply = Completion("The answer is 20.", "stop", reasoning="2 + 3 = 5. 5 * 4 = 20.")
    made = Traces([record()], "t").run(says(lambda q: reply))
    assert made.records[0].response == RIGHT


@pytest.mark.parametrize(("n", "per_problem"), [(0, None), (1, 0), (-1, 1)])
def test_traces_of_nothing(n: int, per_problem: int | None) -> None:
    with pytest.raises(DataError, match="at least 1"):
        Traces([record()], "t", n=n, per_problem=per_problem)


# --- dual -----------------------------------------------------------------------------------------------------------


def test_dual_pairs_both_ways() -> None:
    records = [record("r", response=RIGHT), record("w", rejected=WRONG, negatives=(WRONG,)), record("n")]
    seen: list[Query] = []

    def reply(query: Query) -> str:
        if query.maker == "dual:corrupt":
            return "Wrong Response: 2 + 3 = 6. 6 * 4 = 24. The answer is 24."
        return "We are given the answer 20 as a hint. 2 + 3 = 5. So 5 * 4 = 20. Therefore, the answer is 20."

    maker = Dual(records, "t")
    made = maker.run(says(reply, seen))
    assert [query.request("").id for query in seen] == [query.request("").id for query in maker.first()]
    right, wrong = made.records
    assert (right.id, right.response, right.rejected) == ("r", RIGHT, WRONG)
    assert right.meta["pair"] == "corrupted" and 0 < right.meta["edit_share"] <= 0.6  # type: ignore[operator]
    assert wrong.response == "<think>\n2 + 3 = 5. So 5 * 4 = 20.\n</think>\nTherefore, the answer is 20."
    assert (wrong.rejected, wrong.meta["pair"], wrong.think) == (WRONG, "rectified", "2 + 3 = 5. So 5 * 4 = 20.")
    assert [one.id for one in made.others["stage1"]] == ["r", "w"]
    assert nonzero(made.counts) == {
        "right_given": 1, "corrupt_asked": 1, "corrupt_kept": 1, "wrong_given": 1, "rectify_asked": 1,
        "rectify_kept": 1, "rectify_hint_removed": 1, "unusable": 1,
    }  # fmt: skip
    require(made.records, ("response", "rejected"), "krsl")
    assert all(split_response(record.response or "") for record in made.records)
    prompts = {query.maker: query.problem.messages[-1].content for query in seen}
    assert "H: The correct answer is 20." in prompts["dual:rectify"] and "<think>" not in prompts["dual:corrupt"]
    assert "Right Response: 2 + 3 = 5. 5 * 4 = 20.\nThe answer is 20." in prompts["dual:corrupt"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("2 + 3 = 5. 5 * 4 = 20. The answer is 20.", "answer_right"),
        ("I refuse.", "no_answer"),
        ("The answer is 24.", "no_chain"),
        ("Something else entirely, with many words that the right one never had in it. The answer is 7.", "too_far"),
        (FAILED, "teacher_error"),
        (CUT, "cut"),
        ("", "empty"),
    ],
)
def test_why_a_twin_is_dropped(reply: str | Completion, reason: str) -> None:
    made = Dual([record(response=RIGHT)], "t").run(says(lambda q: reply))
    assert not made.records and made.counts[f"corrupt_{reason}"] == 1
    assert [one.id for one in made.others["stage1"]] == ["a"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("2 + 3 = 6. 6 * 4 = 24. The answer is 24.", "answer_wrong"),
        ("No idea.", "no_answer"),
        ("The answer is 20.", "no_chain"),
        ("2 + 3 = 5. So the correct answer is 20.", "hint"),
        (FAILED, "teacher_error"),
    ],
)
def test_why_a_rectified_chain_is_dropped(reply: str | Completion, reason: str) -> None:
    made = Dual([record(rejected=WRONG)], "t").run(says(lambda q: reply))
    assert not made.records and made.counts[f"rectify_{reason}"] == 1 and not made.others["stage1"]


def test_further_tries_only_for_what_was_not_kept() -> None:
    records = [record("x", response=RIGHT), record("y", response=RIGHT)]

    def reply(query: Query) -> str:
        late = query.problem.id == "y" and query.attempt < 2
        return plain(RIGHT if late else WRONG)

    made = Dual(records, "t", tries=4).run(says(reply))
    assert len(made.records) == 2 and made.counts["corrupt_asked"] == 4 and made.counts["corrupt_answer_right"] == 2


def test_dual_refuses_what_it_cannot_check() -> None:
    with pytest.raises(DataError, match="1 of 2 records have no 'gold' or no grader, the first 'b'"):
        Dual([record("a", response=RIGHT), record("b", response=RIGHT, gold=None)], "t")
    with pytest.raises(DataError, match="nothing to work on"):
        Dual([record("a")], "t")
    with pytest.raises(DataError, match="does not exist"):
        Dual([record("a", response=RIGHT, meta={"grader": "intger"})], "t")


FACTS = ("Add 2 and 3.", "It is 5!", "A known fact.", "The answer is 20.")
MENTIONS = (
    "By the hint, 20.",
    "The given answer is 20.",
    "H: it is 3",
    "The correct final answer is so.",
    "Hints help.",
)


@given(st.lists(st.sampled_from((*FACTS, *MENTIONS))), st.sampled_from(("\n", "\n\n")))
def test_no_mention_of_a_hint_survives_and_nothing_else_goes(parts: list[str], joint: str) -> None:
    cleaned = without_hints(joint.join(parts))
    assert cleaned.split() == " ".join(part for part in parts if part in FACTS).split()
    assert without_hints(cleaned) == cleaned


def test_a_mention_may_run_over_a_line_break() -> None:
    assert "correct" not in without_hints("Add. The correct\nanswer is 20. So it is 20.")
    assert without_hints("Add. By the hint it is 20. So it is.") == "Add. So it is."


def test_text_without_a_hint_is_untouched() -> None:
    for text in (RIGHT, plain(WRONG), "a\n\n  b. c"):
        assert without_hints(text) == text


WORDS = st.lists(st.sampled_from("abc"), max_size=12)


@given(WORDS, WORDS)
def test_edit_share_is_the_whole_distance(one: list[str], other: list[str]) -> None:
    first, second = ([ord(word) for word in words] for words in (one, other))
    whole = edit_distance(first, second) / max(len(one), len(other), 1)
    assert edit_share(" ".join(one), " ".join(other)) == whole


def test_edit_share_by_hand() -> None:
    assert edit_share("a b c d", "a x c d") == 0.25
    assert edit_share("a b", "a b") == 0 and edit_share("", "") == 0 and edit_share("a", "") == 1


# --- forms ----------------------------------------------------------------------------------------------------------


def test_a_text_takes_the_form_of_what_it_stands_for() -> None:
    assert in_form_of(WRONG, plain(RIGHT)) == RIGHT
    assert in_form_of(plain(WRONG), plain(RIGHT)) == plain(RIGHT)
    assert in_form_of(WRONG, RIGHT) == RIGHT and in_form_of(WRONG, "no split") == "no split"
    assert in_form_of(WRONG, "The answer is 20.") == "The answer is 20." and in_form_of("", RIGHT) == RIGHT
    assert plain("\n 20 \n") == "20" and plain("<think>\n\n</think>\n20") == "20"
    assert has_chain(RIGHT) and has_chain(plain(RIGHT)) and not has_chain("The answer is 20.") and not has_chain("20")


def test_records_of_the_embedded_world_go_through_every_maker() -> None:
    records = [noted(one, grader="integer") for one in synth_records(0, 4, (1, 2), style="plain")]
    by_id = {one.id: one for one in records}

    def reply(query: Query) -> str:
        one = by_id[query.problem.id]
        if query.maker == "shorten:judge":
            return "1"
        return plain(one.rejected or "") if query.maker == "dual:corrupt" else plain(one.response or "")

    ask = says(reply)
    pairs = Dual(records, "t").run(ask)
    assert len(pairs.records) == len(records) and all(one.rejected == by_id[one.id].rejected for one in pairs.records)
    unsolved = [replace(one, response=None, answer=None) for one in records]
    rectified = Dual(unsolved, "t").run(ask)
    assert [one.response for one in rectified.records] == [one.response for one in records]
    assert Shorten(records, "t").run(ask).counts["not_shorter"] == len(records)
    assert all(problem_of(one).target == one.gold for one in records)
