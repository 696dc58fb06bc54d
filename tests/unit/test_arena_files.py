"""Arena-Hard's file layouts: read, written, scored; and rows that do not fit, refused by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets.local import Raw
from harness.errors import DataError
from judges.protocols.arena.files import (
    answer_row,
    pair_of,
    pair_row,
    read_answer,
    read_answers,
    read_pair,
)
from judges.protocols.arena.results import read_verdicts, score_judgments, score_with_style
from judges.protocols.stored_rows import Answer, read_rows
from judges.types import Judgment, Order, Task, Verdict

NEW_ANSWER = {
    "uid": "u1",
    "ans_id": "x",
    "model": "m",
    "messages": [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": {"answer": "Because.", "thought": "hm"}},
    ],
    "tstamp": 1.5,
    "metadata": {"token_len": 3, "header_count": {"h1": 0}},
}
OLD_ANSWER = {
    "question_id": "u1",
    "answer_id": "x",
    "model_id": "m",
    "choices": [{"index": 0, "turns": [{"content": "Because.", "token_len": 3}]}],
    "tstamp": 1.5,
}


def game(label: str | None, text: str = "") -> dict[str, Any]:
    prompt = [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}]
    return {"score": label, "judgment": {"answer": text}, "prompt": prompt}


def judgment(uid: str = "u1", first: str | None = "B>A", second: str | None = "A>>B", **other: Any) -> dict[str, Any]:
    row = {"uid": uid, "category": "hard_prompt", "judge": "j", "model": "m", "baseline": "b"}
    return {**row, "games": [game(first), game(second)], **other}


def raws(*rows: Mapping[str, Any]) -> list[Raw]:
    return [Raw(row, f"file:{number}") for number, row in enumerate(rows, start=1)]


@pytest.mark.parametrize("row", [NEW_ANSWER, OLD_ANSWER, {"uid": "u1", "model": "m", "answer": "Because."}])
def test_every_layout_of_answers_is_read(row: dict[str, Any]) -> None:
    answer = read_answer(row)
    assert (answer.question, answer.model, answer.turns) == ("u1", "m", ("Because.",))


def test_an_answer_is_written_and_read_back() -> None:
    answer = Answer("u1", "m", ("Because.",), {"token_len": 3})
    row = answer_row(answer, "Why?", 1.0)
    assert set(row) == set(NEW_ANSWER)
    assert read_answer(json.loads(json.dumps(row))) == answer
    assert row == answer_row(answer, "Why?", 1.0)
    assert row["ans_id"] != answer_row(Answer("u1", "m", ("No.",)), "Why?", 1.0)["ans_id"]


@pytest.mark.parametrize(
    "row",
    [
        {},
        {"uid": "u"},
        {"uid": 3, "model": "m", "answer": "a"},
        {"uid": "", "model": "m", "answer": "a"},
        {"uid": "u", "model": "m", "answer": None},
        {"uid": "u", "model": "m", "messages": []},
        {"uid": "u", "model": "m", "messages": "text"},
        {"uid": "u", "model": "m", "messages": ["text"]},
        {"uid": "u", "model": "m", "messages": [{"role": "assistant", "content": {"text": "a"}}]},
        {"uid": "u", "model": "m", "choices": []},
        {"uid": "u", "model": "m", "choices": [{"turns": []}]},
        {"uid": "u", "model": "m", "choices": [{"turns": "ab"}]},
    ],
)
def test_answers_that_do_not_fit_are_told(row: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        read_answer(row)


def test_answer_rows_that_do_not_fit_are_named() -> None:
    assert [answer.question for answer in read_answers(raws(NEW_ANSWER, OLD_ANSWER))] == ["u1", "u1"]
    for row, message in (({"uid": "u"}, "no field 'model'"), ({**NEW_ANSWER, "messages": []}, "'messages' should be")):
        with pytest.raises(DataError, match=rf"^file:2: {message}"):
            read_answers(raws(NEW_ANSWER, row))


def test_a_judgment_is_read_and_written_back() -> None:
    for games in ([game("B>A"), game("A>>B")], [None, game("A>B", "said [[A>B]]")]):
        row = judgment(games=games)
        kept = [None if one is None else {**one, "prompt": []} for one in games]  # not what the judge was shown
        assert pair_row(read_pair(raws(row)[0])) == {**row, "games": kept}


def test_the_old_layout_has_the_old_baseline() -> None:
    games = [{"user_prompt": "U", "judgment": "so [[A>B]]", "score": "A>B"}] * 2
    pair = read_pair(raws({"question_id": "u1", "model": "m", "judge": "j", "games": games})[0])
    assert (pair.baseline, pair.category) == ("gpt-4-0314", "")
    assert pair.texts[0] == "so [[A>B]]"
    found = score_judgments([Raw({"question_id": "u1", "model": "m", "judge": "j", "games": games}, "x")], rounds=5)
    assert found[0].mean[0].score == 0.5
    assert not found[0].warnings


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (judgment(games=[game("A>B")]), "two games"),
        (judgment(games="AB"), "two games"),
        (judgment(games=[game("A>B"), "x"]), "not an object"),
        (judgment(first="A>C"), "'A>C' is no verdict"),
        (judgment(games=[{"judgment": {}}, None]), "no field 'score'"),
        (judgment(games=[{"score": 3}, None]), "neither a verdict"),
        ({"uid": "u"}, "no field 'games'"),
        (judgment(uid=""), "empty"),
        (judgment(baseline=None), "'baseline' should be text"),
        ({"question_id": "u", "model_a": "b", "model_b": "m", "winner": "model_c"}, "'model_c' is none of"),
        ({"question_id": "u", "model_a": "b", "winner": "tie"}, "no field 'model_b'"),
    ],
)
def test_judgments_that_do_not_fit_are_refused_with_their_row(row: dict[str, Any], message: str) -> None:
    good = (
        {"question_id": "v", "model_a": "b", "model_b": "m", "winner": "tie"} if "winner" in row else judgment(uid="v")
    )
    with pytest.raises(DataError, match=rf"^file:2.*{message}"):
        score_judgments(raws(good, row))


def test_a_pair_with_a_failed_game_is_left_out_and_named() -> None:
    rows = raws(
        judgment("u1"), judgment("u2", first=None), judgment("u3", games=[game("A>B"), None]), judgment("u4", "A=B")
    )
    [found] = score_judgments(rows, rounds=5)
    assert [(pair.uid, why) for pair, why in found.dropped] == [
        ("u2", "game 1 has no verdict"),
        ("u3", "game 2 failed"),
    ]
    assert found.mean[0].n_problems == 2
    assert found.mean[0].score == pytest.approx((1 + 3 + 0.5 + 3) / 8)
    assert "2 of 4 pairs are left out" in found.warnings[0]
    assert "u3" in found.warnings[0]
    with pytest.raises(DataError, match="none of the 1 pairs"):
        score_judgments(raws(judgment(first=None)))


def test_recorded_verdicts_are_held_against_their_text() -> None:
    agreeing = judgment("u1", games=[game("B>A", "first [[A>B]], finally [[B>A]]"), game("A=B", "[[a=b]]")])
    wrong = judgment("u2", games=[game("B>A", "clearly [[A>>B]]"), game(None, "so [[A=B]]")])
    [found] = read_verdicts(raws(agreeing, wrong))
    assert len(found.disagreements) == 2
    assert "file:2 game 1: recorded B>A, its text says A>>B" in found.disagreements[0]
    assert "recorded nothing" in found.disagreements[1]
    assert found.votes[0].won == 1.0  # the recorded one


def test_what_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"file:3 repeats file:1 \('m' on 'u1'\)"):
        score_judgments(raws(judgment("u1"), judgment("u2"), judgment("u1", "A=B")))
    assert len(score_judgments(raws(judgment("u1"), judgment("u1", judge="k")), rounds=5)) == 2
    battle = {"question_id": "u", "model_a": "b", "model_b": "m", "winner": "tie"}
    with pytest.raises(DataError, match="score them apart"):
        score_judgments(raws(judgment(), battle))
    with pytest.raises(DataError, match="no judgments"):
        score_judgments([])


def test_models_on_different_questions_are_warned_about() -> None:
    rows = raws(judgment("u1"), judgment("u2"), judgment("u1", model="n"))
    [found] = score_judgments(rows, rounds=5)
    assert "1 in common of up to 2" in found.warnings[0]


def test_battles_and_judgments_give_the_same_votes() -> None:
    rows = raws(judgment("u1"), judgment("u2", "A=B", "B>A"), judgment("u3", "A>>B", "B>>A"))
    battles = []
    for vote in read_verdicts(rows)[0].votes:
        for winner, count in (("model_b", vote.won), ("tie", vote.tied), ("model_a", vote.lost)):
            battles += [{"question_id": vote.uid, "model_a": "b", "model_b": "m", "winner": winner}] * int(count)
    one, other = score_judgments(rows, rounds=50)[0].mean[0], score_judgments(raws(*battles), rounds=50)[0].mean[0]
    assert (one.score, one.low, one.high, one.n_votes) == (other.score, other.low, other.high, other.n_votes)


def test_our_judgments_go_out_and_come_back(tmp_path: Path) -> None:
    task = Task("u1", 0, ("Why?",), ("Because.",), ("No.",), meta={"category": "hard_prompt"})

    def said(order: Order, value: float, label: str, raw: str) -> Judgment:
        return Judgment("u1", 0, "judge", "r", order, 0, Verdict(value, label, 3), raw)

    judgments = [
        said("opponent_first", 1.0, "B>>A", '{"verdict": "B>>A"}'),
        said("candidate_first", 0.0, "B>A", "so [[B>A]]"),
    ]
    pair = pair_of(task, judgments, model="m", baseline="b")
    path = tmp_path / "m.jsonl"
    path.write_text(json.dumps(pair_row(pair)) + "\n", encoding="utf-8")
    [found] = read_verdicts(read_rows([path]))
    assert not found.disagreements
    assert (found.judge, found.votes[0].won, found.votes[0].lost) == ("judge", 3.0, 1.0)
    assert pair.texts[1] == "so [[B>A]]"
    lost = pair_of(task, [judgments[0]], model="m", baseline="b")
    assert lost.texts[1] is None


def test_style_needs_the_answers() -> None:
    rows = raws(*(judgment(f"u{i}", "A>B" if i % 3 else "B>A", "A=B") for i in range(30)))
    answers = [
        Answer(f"u{i}", model, ("word " * (20 + i * (7 if model == "m" else 3) % 50),), {"token_len": 10 + i})
        for model in ("m", "b")
        for i in range(30)
    ]
    [(judge, scores)] = score_with_style(rows, answers, rounds=20)
    assert (judge, scores.tokens, scores.scores[0].category) == ("j", "recorded", "hard_prompt")
    plain = [*answers[:-1], Answer("u29", "b", ("x",))]
    assert score_with_style(rows, plain, rounds=20)[0][1].tokens == "words and marks"
    with pytest.raises(DataError, match="b on u29"):
        score_with_style(rows, answers[:-1])
    with pytest.raises(DataError, match="stands twice"):
        score_with_style(rows, [*answers, answers[0]])


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"uid": 1}\n[1]\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"x\.jsonl:2"):
        read_rows([path])
    with pytest.raises(DataError, match="not in"):
        read_rows([tmp_path / "absent.jsonl"])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["", "A>B", "u1", "model_a"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["games", "score", "judgment", "answer", "prompt", "role", "content"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["uid", "question_id", "games", "model", "baseline", "judge", "category", "winner", "model_a"]),
        JSON,
    )
)
def test_any_row_is_scored_or_refused(row: dict[str, Any]) -> None:
    try:
        score_judgments(raws(row), rounds=2)
    except DataError as error:
        assert str(error)
