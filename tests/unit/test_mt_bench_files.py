"""MT-Bench's own files: what is written is read back, and what does not fit is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from mt_bench_rows import pair, single, write_lines

from harness.errors import DataError
from judges.protocols.mt_bench.files import (
    PairRow,
    SingleRow,
    answer_row,
    pair_row,
    read_answers,
    read_pair,
    read_single,
    single_row,
)
from judges.protocols.stored_rows import Answer, read_rows


def answer(question: int = 101, model: str = "gpt-4", **fields: Any) -> dict[str, Any]:
    choices = [{"index": 0, "turns": ["me", "because"]}]
    row = {"question_id": question, "answer_id": "x", "model_id": model, "choices": choices, "tstamp": 1.5}
    return {**row, **fields}


def test_answers_there_and_back(tmp_path: Path) -> None:
    (found,) = read_answers(write_lines(tmp_path / "m.jsonl", [answer()]))
    assert found == Answer("101", "gpt-4", ("me", "because"))
    row = answer_row(found, tstamp=2.0)
    assert row == answer(answer_id=row["answer_id"], tstamp=2.0)
    assert row["answer_id"] == answer_row(found, tstamp=3.0)["answer_id"]
    assert row["answer_id"] != answer_row(Answer("101", "gpt-4", ("me", "so")), tstamp=2.0)["answer_id"]


def test_single_judgments_there_and_back(tmp_path: Path) -> None:
    rows = [
        SingleRow(81, 1, "m", "gpt-4", "single-v1", 7.0, "Rating: [[7]]"),
        SingleRow(81, 2, "m", "gpt-4", "single-v1-multi-turn", -1.0, "$ERROR$"),
    ]
    path = write_lines(tmp_path / "gpt-4_single.jsonl", [single_row(row, 1.0) for row in rows])
    back = [read_single(raw) for raw in read_rows([path])]
    assert [single_row(row, 1.0) for row in back] == [single_row(row, 1.0) for row in rows]
    assert back[1].where == f"{path}:2"
    assert single_row(rows[0], 1.0) == {
        "question_id": 81,
        "model": "m",
        "judge": ["gpt-4", "single-v1"],
        "user_prompt": "",
        "judgment": "Rating: [[7]]",
        "score": 7.0,
        "turn": 1,
        "tstamp": 1.0,
    }


def test_a_compact_row_without_texts_is_read(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "rows.jsonl", [single(score=..., source="somebody", dup=1), pair()])
    first, second = read_rows([path])
    assert read_single(first) == SingleRow(81, 1, "m", "gpt-4", "single-v1", None, dup=1, where=f"{path}:1")
    assert read_pair(second).judgments == ("", "")


def test_pair_judgments_there_and_back(tmp_path: Path) -> None:
    row = PairRow(81, 2, "a", "b", ("model_1", "tie"), "gpt-4", "pair-v2", ("[[A]]", "[[C]]"))
    path = write_lines(tmp_path / "gpt-4_pair.jsonl", [pair_row(row, 1.0)])
    (raw,) = read_rows([path])
    assert pair_row(read_pair(raw), 1.0) == pair_row(row, 1.0)
    assert set(pair_row(row, 1.0)) == {
        *("question_id", "model_1", "model_2", "g1_winner", "g2_winner", "judge", "turn", "tstamp"),
        *("g1_user_prompt", "g1_judgment", "g2_user_prompt", "g2_judgment"),
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (answer(choices=[]), "a list of one answer"),
        (answer(choices=[{"index": 0, "turns": ["a"]}, {"index": 1, "turns": ["b"]}]), "a list of one answer"),
        (answer(choices="no"), "a list of one answer"),
        (answer(choices=["a"]), "a choice should be an object"),
        (answer(choices=[{"turns": "ab"}]), "turns should be a list of texts"),
        (answer(choices=[{}]), "no field 'turns'"),
        (answer(question=7), "question_id 7 is not one of MT-Bench's"),
        (answer(model_id=3), "model_id should be a text"),
        ({}, "no field"),
    ],
)
def test_bad_answers_are_refused_by_name(tmp_path: Path, row: Any, message: str) -> None:
    with pytest.raises(DataError, match=rf"m\.jsonl:1: .*{message}"):
        read_answers(write_lines(tmp_path / "m.jsonl", [row]))


def test_rows_that_stand_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.jsonl: question 101 by gpt-4 stands twice"):
        read_answers(write_lines(tmp_path / "m.jsonl", [answer(), answer()]))


def test_a_file_that_is_not_there_or_broken(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not in"):
        read_answers(tmp_path / "nothing.jsonl")
    (tmp_path / "half.jsonl").write_text('{"question_id": 81', encoding="utf-8")
    with pytest.raises(DataError, match=r"half\.jsonl:1"):
        read_answers(tmp_path / "half.jsonl")
