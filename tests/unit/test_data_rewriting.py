"""Shortening, perspectives and CoTD-PO data, against teachers and students whose replies are known."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_fakes import ASKED, CUT, FAILED, RIGHT, WRONG, nonzero, record, says
from hypothesis import given
from hypothesis import strategies as st

from backends.makers.asking import Query
from backends.makers.base import plain
from backends.makers.cotd import Candidates, Rationales
from backends.makers.perspectives import Perspectives
from backends.makers.shorten import Shorten, count_pieces, read_level
from backends.records.record import require
from backends.records.similar import word_jaccard
from backends.records.spans import split_response
from harness.errors import DataError
from harness.types import Completion, Message

# --- shorten --------------------------------------------------------------------------------------------------------

LONG = f"<think>\n{'Let me see. ' * 20}2 + 3 = 5. 5 * 4 = 20.\n</think>\nThe answer is 20."


def test_shortening_accepts_what_is_right_and_shorter() -> None:
    replies = {
        "ok": "\n2 + 3 = 5. 5 * 4 = 20. The answer is 20.\n",
        "wrong": "2 + 3 = 6. The answer is 24.",
        "long": plain(LONG),
        "bare": "The answer is 20.",
        "cut": CUT,
    }
    meta = {"grader": "integer", "level": 2, "error_span": [1, 2], "right_span": [1, 2]}
    records = [record(name, response=LONG, rejected=WRONG, meta=meta) for name in (*replies, "level", "failed")]
    seen: list[Query] = []

    def reply(query: Query) -> str | Completion:
        name = query.problem.id
        if query.maker == "shorten:judge":
            return {"level": "somewhere between 1 and 3", "failed": FAILED}.get(name, "2" if name == "ok" else "**3**")
        return replies[name]

    made = Shorten(records, "t").run(says(reply, seen))
    by_id = {one.id: one for one in made.records}
    assert by_id["ok"].response == RIGHT and by_id["ok"].rejected is None
    assert by_id["ok"].meta["difficulty"] == 2 and by_id["ok"].meta["tokens_after"] == count_pieces(RIGHT)
    assert by_id["ok"].meta["verified"] is True and by_id["ok"].meta["level"] == 2
    assert "error_span" not in by_id["ok"].meta and by_id["cut"].meta["error_span"] == [1, 2]
    kept = {name: one.meta["not_shortened"] for name, one in by_id.items() if not one.meta["shortened"]}
    assert kept == {
        "wrong": "answer_wrong", "long": "not_shorter", "bare": "no_chain", "cut": "cut",
        "level": "difficulty_unreadable", "failed": "teacher_error",
    }  # fmt: skip
    assert all(by_id[name].response == LONG and by_id[name].rejected == WRONG for name in kept)
    assert made.counts["tokens_after"] < made.counts["tokens_before"]
    assert (made.counts["shortened"], made.counts["kept_original"], made.counts["given"]) == (1, 6, 7)
    budgets = {q.problem.id: q.problem.messages[-1].content for q in seen if q.maker == "shorten:rewrite"}
    assert all(plain(LONG) in prompt and ASKED[0].content in prompt for prompt in budgets.values())
    assert "about 700 tokens" in budgets["ok"] and "about 1500 tokens" in budgets["wrong"] and "level" not in budgets
    dropped = Shorten(records, "t", otherwise="drop").run(says(reply))
    assert [one.id for one in dropped.records] == ["ok"] and dropped.counts["left_out"] == 6


def test_nine_tenths_is_not_short_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = says(lambda query: "1" if query.maker == "shorten:judge" else plain(RIGHT))
    for new, shortened in ((9, False), (8, True)):
        sizes = {LONG: 10, RIGHT: new}
        monkeypatch.setattr("backends.makers.shorten.count_pieces", lambda text, sizes=sizes: sizes.get(text))
        made = Shorten([record(response=LONG)], "t").run(reply)
        assert made.records[0].meta["shortened"] is shortened


def test_rationales_that_share_eight_tenths_are_two() -> None:
    response = "one two three four answer is 20. The answer is 20."
    eight = response.replace("four answer", "five answer")  # 7 of 9 words: less than 0.8
    assert word_jaccard("a b c d", "a b c d e") == 0.8
    made = Perspectives([record(response=response)], "t", only=("plan",)).run(says(lambda query: eight))
    assert made.records[0].positives == (eight,)
    ten = "a b c d The answer is 20."
    more = "a b c d e f The answer is 20."  # 8 of 10 words
    assert word_jaccard(ten, more) == 0.8
    made = Perspectives([record(response=ten)], "t", only=("plan",)).run(says(lambda query: more))
    assert made.records[0].positives == (more,)


def test_shortening_refuses_bad_settings() -> None:
    with pytest.raises(DataError, match="have none"):
        Shorten([record(response=" \n")], "t")
    with pytest.raises(DataError, match="have none"):
        Shorten([record()], "t")
    with pytest.raises(DataError, match="difficulties"):
        Shorten([record(response=LONG)], "t", tokens="1:3")


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
        return replies[query.maker.partition(":")[2]]

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
    few = Perspectives(records, "t", only=("plan", "formal"), at_least=1).run(says(reply))
    assert [one.id for one in few.records] == ["a"] and few.counts["too_few"] == 1


def test_perspectives_that_do_not_exist() -> None:
    for names in (("formal", "formal"), ("formall",)):
        with pytest.raises(DataError, match="formal, intuitive"):
            Perspectives([record()], "t", only=names)


@given(st.text(), st.text())
def test_jaccard_is_symmetric_and_bounded(one: str, other: str) -> None:
    assert 0 <= word_jaccard(one, other) == word_jaccard(other, one) <= 1
    assert word_jaccard(one, one) == 1


def test_jaccard_by_hand() -> None:
    assert word_jaccard("A b c.", "a B, d") == 0.5 and word_jaccard("", "!") == 1 and word_jaccard("a", "") == 0


# --- CoTD-PO --------------------------------------------------------------------------------------------------------


def test_rationales_are_thoughts_without_answers() -> None:
    replies = {
        "a": "\nMy thought: \n add, then multiply. \n",
        "b": "Add. My answer: 20",
        "c": FAILED,
        "d": "My thought:",
    }
    records = [record(name, response=RIGHT, think="old", answer="20") for name in replies]
    made = Rationales(records, "t").run(says(lambda q: replies[q.problem.id]))
    (kept,) = made.records
    assert (kept.think, kept.response, kept.answer, kept.gold) == ("add, then multiply.", None, None, "20")
    assert kept.prompt[-1].content.startswith(ASKED[0].content + "\n\nUse the format 'My thought:")
    assert nonzero(made.counts) == {"given": 4, "kept": 1, "answers": 1, "teacher_error": 1, "cut": 1}


def test_candidates_share_the_thought_and_have_rewards() -> None:
    records = [record(name, think=" add, then multiply.\n") for name in ("a", "b", "c")]
    replies = {
        "a": [" It is 20.\n", "It is 24.", "My answer: It is 20.", FAILED],
        "b": ["20"] * 4,
        "c": ["7", "8", "9", CUT],
    }
    seen: list[Query] = []
    maker = Candidates(records, "s", k=4)
    made = maker.run(says(lambda q: replies[q.problem.id][q.attempt], seen))
    first, equal = made.records
    assert [(one.text, one.reward, one.source) for one in first.candidates] == [
        ("My thought: add, then multiply.\nMy answer: It is 20.", 1.0, "s"),
        ("My thought: add, then multiply.\nMy answer: It is 24.", 0.0, "s"),
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
    assert temperatures == [query.draw.temperature for query in maker.first()]
    assert seen[0].problem.messages[-1] == Message("assistant", "My thought: add, then multiply.\nMy answer:")
    told = Candidates(records, "s", k=2, continues=False).first()[0]
    assert told.problem.messages[-1].role == "user" and "add, then multiply." in told.problem.messages[-1].content


def test_candidates_of_a_think_block_keep_its_form() -> None:
    """Else the student is trained to answer in a form in which it is not evaluated."""
    block = record("a", think="2 + 3 = 5.", answer="5", response="<think>\n2 + 3 = 5.\n</think>\nThe answer is 5.")
    seen: list[Query] = []
    made = Candidates([block], "s", k=2).run(says(lambda q: f"\nIt is {q.attempt}.", seen))
    assert seen[0].problem.messages[-1] == Message("assistant", "<think>\n2 + 3 = 5.\n</think>")
    assert [one.text for one in made.records[0].candidates] == [
        "<think>\n2 + 3 = 5.\n</think>\nIt is 0.",
        "<think>\n2 + 3 = 5.\n</think>\nIt is 1.",
    ]


def test_rewards_may_be_missing_and_must_be_as_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "my_rewards.py").write_text(
        "def some(pairs):\n    return [None, float('nan'), 0.5, 2.0]\ndef one(pairs):\n    return [1.0]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    records = [record("a", think="x")]
    ask = says(lambda q: f"answer {q.attempt}")
    made = Candidates(records, "s", reward="my_rewards:some", k=4).run(ask)
    assert [one.reward for one in made.records[0].candidates] == [0.5, 2.0] and made.counts["unrewarded"] == 2
    with pytest.raises(DataError, match="1 numbers for 4"):
        Candidates(records, "s", reward="my_rewards:one", k=4).run(ask)
    with pytest.raises(DataError, match="no 'think'"):
        Candidates([record("a")], "s")
    with pytest.raises(DataError, match="at least 2"):
        Candidates(records, "s", k=1)
