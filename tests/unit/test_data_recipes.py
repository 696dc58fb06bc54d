"""The asking recipes: what they keep, drop and count, against teachers whose replies are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.data.asking import Ask, Query
from backends.data.inputs import noted, problem_of
from backends.data.recipes.base import has_chain, in_form_of, plain
from backends.data.recipes.cotd import Candidates, Rationales, grader_reward, together
from backends.data.recipes.dual import Dual, edit_share, without_hints
from backends.data.recipes.perspectives import Perspectives, word_jaccard
from backends.data.recipes.shorten import Shorten, count_pieces, read_level
from backends.data.recipes.traces import Traces
from backends.data.records import TrainRecord, require
from backends.data.spans import require_split, split_response
from backends.data.synth import synth_records
from harness.errors import DataError
from harness.types import Completion, Message

ASKED = (Message("user", "How much is 2 + 3, times 4?"),)
RIGHT = "<think>\n2 + 3 = 5. 5 * 4 = 20.\n</think>\nThe answer is 20."
WRONG = "<think>\n2 + 3 = 6. 6 * 4 = 24.\n</think>\nThe answer is 24."


def record(record_id: str = "a", **more: object) -> TrainRecord:
    fields: dict[str, object] = {"gold": "20", "meta": {"grader": "integer"}, **more}
    return TrainRecord(record_id, ASKED, **fields)  # type: ignore[arg-type]


def says(reply: Callable[[Query], str | Completion], seen: list[Query] | None = None) -> Ask:
    def ask(queries: Sequence[Query]) -> list[Completion]:
        if seen is not None:
            seen.extend(queries)
        replies = [reply(query) for query in queries]
        return [Completion(one, "stop") if isinstance(one, str) else one for one in replies]

    return ask


FAILED = Completion("", "error", error="timeout")
CUT = Completion("2 + 3", "length")


def nonzero(counts: object) -> dict[str, int]:
    assert isinstance(counts, dict)
    return {name: count for name, count in counts.items() if count}


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
    (unsolved,) = made.others["unsolved"]
    assert (unsolved.id, unsolved.response, unsolved.rejected, unsolved.negatives) == ("b", None, WRONG, (WRONG,))
    assert unsolved.meta["grader"] == "integer" and unsolved.gold == "20"
    assert nonzero(made.counts) == {
        "prompts": 3, "completions": 12, "right": 3, "wrong": 2, "no_answer": 1, "truncated": 1, "teacher_error": 5,
        "duplicates": 1, "surplus": 1, "kept": 1, "unsolved": 2,
    }  # fmt: skip


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


# --- dual -----------------------------------------------------------------------------------------------------------


def test_dual_pairs_both_ways() -> None:
    records = [record("r", response=RIGHT), record("w", rejected=WRONG, negatives=(WRONG,)), record("n")]
    seen: list[Query] = []

    def reply(query: Query) -> str:
        if query.recipe == "dual:corrupt":
            return "Wrong Response: 2 + 3 = 6. 6 * 4 = 24. The answer is 24."
        return "We are given the answer 20 as a hint. 2 + 3 = 5. So 5 * 4 = 20. Therefore, the answer is 20."

    recipe = Dual(records, "t")
    made = recipe.run(says(reply, seen))
    assert [query.key("") for query in seen] == [query.key("") for query in recipe.first()]
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
    require_split(made.records, "krsl")
    prompts = {query.recipe: query.problem.messages[-1].content for query in seen}
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


def test_edit_share_by_hand() -> None:
    assert edit_share("a b c d", "a x c d") == 0.25
    assert edit_share("a b", "a b") == 0 and edit_share("", "") == 0 and edit_share("a", "") == 1


# --- shorten --------------------------------------------------------------------------------------------------------

LONG = f"<think>\n{'Let me see. ' * 20}2 + 3 = 5. 5 * 4 = 20.\n</think>\nThe answer is 20."


def test_shortening_accepts_what_is_right_and_shorter() -> None:
    replies = {
        "ok": "2 + 3 = 5. 5 * 4 = 20. The answer is 20.",
        "wrong": "2 + 3 = 6. The answer is 24.",
        "long": plain(LONG),
        "bare": "The answer is 20.",
        "cut": CUT,
    }
    records = [record(name, response=LONG, rejected=WRONG) for name in (*replies, "level", "failed")]
    seen: list[Query] = []

    def reply(query: Query) -> str | Completion:
        name = query.problem.id
        if query.recipe == "shorten:judge":
            return {"level": "somewhere between 1 and 3", "failed": FAILED}.get(name, "2" if name == "ok" else "**3**")
        return replies[name]

    made = Shorten(records, "t").run(says(reply, seen))
    by_id = {one.id: one for one in made.records}
    assert by_id["ok"].response == RIGHT and by_id["ok"].rejected is None
    assert by_id["ok"].meta["difficulty"] == 2 and by_id["ok"].meta["tokens_after"] == count_pieces(RIGHT)
    kept = {name: one.meta["not_shortened"] for name, one in by_id.items() if not one.meta["shortened"]}
    assert kept == {
        "wrong": "answer_wrong", "long": "not_shorter", "bare": "no_chain", "cut": "cut",
        "level": "difficulty_unreadable", "failed": "teacher_error",
    }  # fmt: skip
    assert all(by_id[name].response == LONG and by_id[name].rejected == WRONG for name in kept)
    assert made.counts["tokens_after"] < made.counts["tokens_before"]
    budgets = {q.problem.id: q.problem.messages[-1].content for q in seen if q.recipe == "shorten:rewrite"}
    assert "about 700 tokens" in budgets["ok"] and "about 1500 tokens" in budgets["wrong"] and "level" not in budgets
    dropped = Shorten(records, "t", otherwise_drop=True).run(says(reply))
    assert [one.id for one in dropped.records] == ["ok"] and dropped.counts["left_out"] == 6


def test_shortening_refuses_bad_settings() -> None:
    with pytest.raises(DataError, match="have none"):
        Shorten([record()], "t")
    with pytest.raises(DataError, match="difficulties"):
        Shorten([record(response=LONG)], "t", budgets={1: 3})


@pytest.mark.parametrize(
    ("reply", "level"),
    [("2", 2), ("**3**", 3), ("Difficulty: 1.", 1), ("10", None), ("1 or 2", None), ("", None), ("1.5", None),
     ("4", None), ("3\n3", 3), ("123", None)],
)  # fmt: skip
def test_reading_a_difficulty(reply: str, level: int | None) -> None:
    assert read_level(reply) == level


# --- perspectives ---------------------------------------------------------------------------------------------------


def test_perspectives_are_right_different_and_named() -> None:
    replies: dict[str, str | Completion] = {
        "formal": "Let s be the sum, so s = 5 and 4 s = 20. The answer is 20.",
        "intuitive": "let s be the sum so s = 5 and 4 s = 20! The answer is 20.",
        "decompose": "1) add: 5. 2) multiply five by four: twenty. The answer is 20.",
        "plan": WRONG,
        "analogy": "The answer is 20.",
        "socratic": "no idea",
        "contrast": FAILED,
        "counterfactual": plain(RIGHT),
    }
    records = [record("a", response=RIGHT), record("b", meta={"grader": "integer"})]

    def reply(query: Query) -> str | Completion:
        return replies[query.recipe.partition(":")[2]]

    made = Perspectives(records, "t").run(says(reply))
    first, second = made.records
    assert first.meta["perspectives"] == ["formal", "decompose"] and first.response == RIGHT
    assert all(split.rule == "think" for split in map(split_response, first.positives) if split)
    assert second.response == replies["formal"] and second.meta["response_perspective"] == "formal"
    assert second.meta["perspectives"] == ["decompose", "counterfactual"]
    assert nonzero(made.counts) == {
        "given": 2, "asked": 16, "right": 10, "wrong": 2, "no_answer": 2, "no_chain": 2, "near_duplicate": 3,
        "teacher_error": 2, "positives": 4, "kept": 2,
    }  # fmt: skip
    require(made.records, ("response", "positives"), "mcc_kd")
    few = Perspectives(records, "t", names=("plan", "formal"), at_least=1).run(says(reply))
    assert [one.id for one in few.records] == ["a"] and few.counts["too_few"] == 1


def test_perspectives_that_do_not_exist() -> None:
    for names in (("formal", "formal"), ("formall",)):
        with pytest.raises(DataError, match="formal, intuitive"):
            Perspectives([record()], "t", names=names)


@given(st.text(), st.text())
def test_jaccard_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert 0 <= word_jaccard(one, other) == word_jaccard(other, one) <= 1
    assert word_jaccard(one, one) == 1


def test_jaccard_by_hand() -> None:
    assert word_jaccard("A b c.", "a B, d") == 0.5 and word_jaccard("", "!") == 1 and word_jaccard("a", "") == 0


# --- CoTD-PO --------------------------------------------------------------------------------------------------------


def test_rationales_are_thoughts_without_answers() -> None:
    replies = {"a": "My thought: add, then multiply.", "b": "Add. My answer: 20", "c": FAILED, "d": "My thought:"}
    records = [record(name, response=RIGHT, think="old", answer="20") for name in replies]
    made = Rationales(records, "t").run(says(lambda q: replies[q.problem.id]))
    (kept,) = made.records
    assert (kept.think, kept.response, kept.answer, kept.gold) == ("add, then multiply.", None, None, "20")
    assert kept.prompt[-1].content.startswith(ASKED[0].content + "\n\nUse the format 'My thought:")
    assert nonzero(made.counts) == {"given": 4, "kept": 1, "answers": 1, "teacher_error": 1, "cut": 1}


def test_candidates_share_the_thought_and_have_rewards() -> None:
    records = [record(name, think="add, then multiply.") for name in ("a", "b", "c")]
    replies = {
        "a": ["It is 20.", "It is 24.", "My answer: It is 20.", FAILED],
        "b": ["20"] * 4,
        "c": ["7", "8", "9", CUT],
    }
    seen: list[Query] = []
    recipe = Candidates(records, "s", grader_reward(records), k=4)
    made = recipe.run(says(lambda q: replies[q.problem.id][q.attempt], seen))
    first, equal = made.records
    assert [(one.text, one.reward, one.source) for one in first.candidates] == [
        (together("add, then multiply.", "It is 20."), 1.0, "s"),
        (together("add, then multiply.", "It is 24."), 0.0, "s"),
    ]
    split = split_response(first.candidates[0].text)
    assert split is not None and split.rule == "markers"
    assert equal.id == "c" and {one.reward for one in equal.candidates} == {0.0}
    assert nonzero(made.counts) == {
        "given": 3, "asked": 12, "kept": 2, "candidates": 5, "duplicates": 4, "too_few": 1, "all_equal": 1,
        "teacher_error": 1, "cut": 1,
    }  # fmt: skip
    temperatures = [query.draw.temperature for query in seen]
    assert len(set(temperatures)) == 12 and all(0.6 <= one <= 1.2 for one in temperatures)
    assert temperatures == [query.draw.temperature for query in recipe.first()]
    assert seen[0].problem.messages[-1] == Message("assistant", "My thought: add, then multiply.\nMy answer:")
    told = Candidates(records, "s", grader_reward(records), k=2, continues=False).first()[0]
    assert told.problem.messages[-1].role == "user" and "add, then multiply." in told.problem.messages[-1].content


def test_rewards_may_be_missing_and_must_be_as_many() -> None:
    records = [record("a", think="x")]
    ask = says(lambda q: f"answer {q.attempt}")
    made = Candidates(records, "s", lambda pairs: [None, float("nan"), 0.5, 2.0], k=4).run(ask)
    assert [one.reward for one in made.records[0].candidates] == [0.5, 2.0] and made.counts["unrewarded"] == 2
    with pytest.raises(DataError, match="1 numbers for 4"):
        Candidates(records, "s", lambda pairs: [1.0], k=4).run(ask)
    with pytest.raises(DataError, match="no 'think'"):
        Candidates([record("a")], "s", lambda pairs: [], k=4)
    with pytest.raises(DataError, match="at least 2"):
        Candidates(records, "s", lambda pairs: [], k=1)


# --- forms ----------------------------------------------------------------------------------------------------------


def test_a_text_takes_the_form_of_what_it_stands_for() -> None:
    assert in_form_of(WRONG, plain(RIGHT)) == RIGHT
    assert in_form_of(plain(WRONG), plain(RIGHT)) == plain(RIGHT)
    assert in_form_of(WRONG, RIGHT) == RIGHT and in_form_of(WRONG, "no split") == "no split"
    assert in_form_of(WRONG, "The answer is 20.") == "The answer is 20." and in_form_of("", RIGHT) == RIGHT
    assert has_chain(RIGHT) and has_chain(plain(RIGHT)) and not has_chain("The answer is 20.") and not has_chain("20")


def test_records_of_the_embedded_world_go_through_every_recipe() -> None:
    records = [noted(one, grader="integer") for one in synth_records(0, 4, (1, 2), style="plain")]
    by_id = {one.id: one for one in records}

    def reply(query: Query) -> str:
        one = by_id[query.problem.id]
        if query.recipe == "shorten:judge":
            return "1"
        return plain(one.rejected or "") if query.recipe == "dual:corrupt" else plain(one.response or "")

    ask = says(reply)
    pairs = Dual(records, "t").run(ask)
    assert len(pairs.records) == len(records) and all(one.rejected == by_id[one.id].rejected for one in pairs.records)
    unsolved = [replace(one, response=None, answer=None) for one in records]
    rectified = Dual(unsolved, "t").run(ask)
    assert [one.response for one in rectified.records] == [one.response for one in records]
    assert Shorten(records, "t").run(ask).counts["not_shorter"] == len(records)
    assert all(problem_of(one).target == one.gold for one in records)
