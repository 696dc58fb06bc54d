"""MT-Bench's own prompts: which one, filled how, and how replies to them are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mt_bench_rows import prompt_rows, said, write_lines

from harness.datasets import MissingData
from harness.errors import DataError
from judges.protocols.mt_bench.prompts import (
    FILES,
    find_letter,
    find_prompts,
    find_rating,
    official_prompts,
    prompt_name,
    read_letter,
    read_prompts,
    read_rating,
)
from judges.types import Malformed

RATINGS: list[tuple[str, float | None, float | str]] = [
    ("Fine. Rating: [[7]]", 7, 7),
    ("Rating: [[8.5]]", 8.5, 8.5),
    ("Rating: [[10]].", 10, 10),
    ("[[1]]", 1, 1),
    ("Rating: [[7.]]", 7, 7),
    ("Rating: [6]", 6, 6),
    ("See [1]. Rating: [[6]]", 6, 6),
    ("[[5]] and once more [[5]]", 5, 5),
    ("It says [[10]], but I say [[2]]", 10, "different ratings"),
    ("a[0] is wrong, a[3] right", None, "different ratings"),
    ("Rating: [[0]]", None, "not between"),
    ("Rating: [[11]]", None, "not between"),
    ("Rating: [[100000000000000000000]]", None, "missing"),
    ("Rating: [[-3]]", None, "missing"),
    ("Rating: [[seven]]", None, "missing"),
    ("Rating: 7/10", None, "missing"),
    ("Rating: [[ 7 ]]", None, "missing"),
    ("$ERROR$", None, "missing"),
    ("", None, "missing"),
]
"""(reply, what FastChat's two patterns find within 1 to 10, what we accept or why not)."""


@pytest.mark.parametrize(("text", "theirs", "ours"), RATINGS)
def test_ratings(text: str, theirs: float | None, ours: float | str) -> None:
    assert find_rating(text) == theirs
    if isinstance(ours, str):
        with pytest.raises(Malformed, match=ours):
            read_rating(said(text))
    else:
        verdict = read_rating(said(text))
        assert (verdict.value * 10, verdict.label, verdict.reason) == (ours, f"{ours:g}", text)


@pytest.mark.parametrize(
    ("text", "theirs", "value"),
    [
        ("so [[A]]", "A", 1.0),
        ("so [[B]]", "B", 0.0),
        ("so [[C]]", "C", 0.5),
        ("[[A]] it is: [[A]]", "A", 1.0),
        ("[[A]] or [[B]]", "A", None),
        ("[[a]]", None, None),
        ("[A]", None, None),
        ("", None, None),
    ],
)
def test_letters(text: str, theirs: str | None, value: float | None) -> None:
    assert find_letter(text) == theirs
    if value is None:
        with pytest.raises(Malformed, match="verdict"):
            read_letter(said(text))
    else:
        assert read_letter(said(text)).value == value


@given(st.text(alphabet="[]0123456789.AB \n", max_size=60))
def test_any_reply_is_a_rating_in_range_or_malformed(text: str) -> None:
    rating = find_rating(text)
    assert rating is None or 1 <= rating <= 10
    try:
        assert 0.1 <= read_rating(said(text)).value <= 1
    except Malformed as error:
        assert str(error)


def test_a_hostile_reply_is_read_in_linear_time() -> None:
    text = "[[" + "1" * 200_000 + "[" * 200_000
    assert find_rating(text) is None
    assert find_letter(text) is None


@pytest.mark.parametrize(
    ("pair", "guided", "turns", "name"),
    [
        (False, False, 1, "single-v1"),
        (False, True, 1, "single-math-v1"),
        (False, False, 2, "single-v1-multi-turn"),
        (False, True, 2, "single-math-v1-multi-turn"),
        (True, False, 1, "pair-v2"),
        (True, True, 1, "pair-math-v1"),
        (True, False, 2, "pair-v2-multi-turn"),
        (True, True, 2, "pair-math-v1-multi-turn"),
    ],
)
def test_names(pair: bool, guided: bool, turns: int, name: str) -> None:
    assert prompt_name(pair, guided, turns) == name


def test_filling_is_one_pass(tmp_path: Path) -> None:
    prompt = read_prompts(tmp_path, write_lines(tmp_path / FILES[1], prompt_rows()).name)["single-v1"]
    system, user = prompt.messages({"question": "{answer} {0} {", "answer": "{question!r}", "unused": "x"})
    assert (system.role, system.content) == ("system", "Judge by single-v1.")
    assert user.content == "answer: {question!r}\nquestion: {answer} {0} {"


@pytest.mark.parametrize("name", FILES)
def test_both_file_names_are_found(tmp_path: Path, name: str) -> None:
    assert find_prompts(tmp_path) is None
    write_lines(tmp_path / name, [*prompt_rows(), {**prompt_rows()[0], "name": "another-benchmark"}])
    prompts = find_prompts(tmp_path)
    assert prompts is not None
    assert len(prompts) == 8
    assert len({prompt.id for prompt in prompts.values()}) == 8


def test_another_text_is_another_id(tmp_path: Path) -> None:
    rows = prompt_rows()
    before = read_prompts(tmp_path, write_lines(tmp_path / "a.jsonl", rows).name)["pair-v2"].id
    rows[4]["system_prompt"] += " Be kind."
    assert rows[4]["name"] == "pair-v2"
    assert read_prompts(tmp_path, write_lines(tmp_path / "b.jsonl", rows).name)["pair-v2"].id != before


def without_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)


def test_prompts_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_folder(monkeypatch)
    assert find_prompts(None) is None
    for folder in (None, tmp_path):
        with pytest.raises(MissingData, match=r"judge_prompts\.jsonl.*--data-dir"):
            official_prompts(folder)


def changed(index: int, **fields: Any) -> list[Any]:
    rows: list[Any] = prompt_rows()
    rows[index] = {**rows[index], **fields}
    return rows


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (prompt_rows()[1:], "has no prompt 'single-v1'"),
        ([*prompt_rows(), prompt_rows()[2]], r":9: prompt 'single-v1-multi-turn' stands twice"),
        (changed(0, prompt_template="{question}"), ":1: the template of 'single-v1' lacks or adds 'answer'"),
        (changed(0, prompt_template="{question} {answer} {secret}"), "lacks or adds 'secret'"),
        (changed(0, prompt_template="{question} {answer.__class__}"), "lacks or adds"),
        (changed(0, prompt_template="{question!r} {answer}"), "lacks or adds 'formats'"),
        (changed(0, prompt_template="{question} {answer"), "unbalanced braces"),
        (changed(1, system_prompt=None), ":2: a judge prompt needs"),
        (changed(1, name=7), ":2: a judge prompt needs"),
        ([], "has no prompt"),
        (["single-v1"], "expected a JSON object"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, rows: list[Any], message: str) -> None:
    write_lines(tmp_path / FILES[0], rows)
    with pytest.raises(DataError, match=message):
        find_prompts(tmp_path)
