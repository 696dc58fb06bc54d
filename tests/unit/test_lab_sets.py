"""Labelled pairs: the official forms, a file of one's own, and every way in which it can be wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError, UnknownName, UsageError
from judges.lab.label_agreement import human_agreement
from judges.lab.labelled_pair import LabelledPair, majority
from judges.lab.sets import load_set

GOOD = {"question": "q", "a": "x", "b": "yy", "label": "a"}


def write(path: Path, *rows: Mapping[str, Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_file_of_pairs_keeps_what_it_says(tmp_path: Path) -> None:
    path = write(
        tmp_path / "mine.jsonl",
        GOOD,
        {**GOOD, "id": 7, "label": " TIE ", "subset": "s", "model_a": "m", "votes": ["a", "b"], "cluster": "c"},
        {"question": ["one", "two"], "a": ["1", "2"], "b": ["3", "4"], "label": "b"},
    )
    pairs = load_set(str(path), None).pairs
    assert pairs[0] == LabelledPair("line-1", ("q",), ("x",), ("yy",), "a")
    assert pairs[1] == LabelledPair("7", ("q",), ("x",), ("yy",), "tie", "s", "m", "", ("a", "b"), "c")
    assert pairs[2].turns == ("one", "two") and pairs[2].b == ("3", "4")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([GOOD, {**GOOD, "label": "A>B"}], ":2: label must be"),
        ([{**GOOD, "label": 1}], ":1: label must be"),
        ([{key: GOOD[key] for key in ("question", "a", "label")}], ":1: no field 'b'"),
        ([{**GOOD, "answer": "z"}], ":1: unknown field 'answer'"),
        ([{**GOOD, "a": 3}], ":1: a must be text, not int"),
        ([{**GOOD, "a": ["x", "y"]}], ":1: 1 questions, 2 answers in a and 1 in b"),
        ([{**GOOD, "question": "  "}], ":1: question is empty"),
        ([{**GOOD, "votes": "a"}], ":1: votes must be a list"),
        ([{**GOOD, "votes": ["c"]}], ":1: label must be"),
        ([{**GOOD, "id": "x"}, {**GOOD, "id": "x"}], ":2: id 'x' is that of"),
        ([], "holds no pairs"),
    ],
)
def test_a_broken_file_is_told_by_line(tmp_path: Path, rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(DataError, match=r"mine\.jsonl") as caught:
        load_set(str(write(tmp_path / "mine.jsonl", *rows)), None)
    assert says in str(caught.value)


@pytest.mark.parametrize("content", [b'{"question": ', b"[1, 2]\n", b"\xff\xfe\n", b'{"a": NaN}\n'])
def test_what_is_no_jsonl_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"mine\.jsonl:1"):
        load_set(str(path), None)


def test_llmbar_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)
    for folder in (None, tmp_path):
        with pytest.raises(DataError, match="clone princeton-nlp/LLMBar"):
            load_set("llmbar", folder)


def test_unknown_sets_files_and_subsets(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="llmbar"):
        load_set("lmbar", None)
    with pytest.raises(DataError, match="there is no file"):
        load_set(str(tmp_path / "absent.jsonl"), None)
    path = write(tmp_path / "mine.jsonl", {**GOOD, "subset": "easy"}, {**GOOD, "subset": "easier"})
    with pytest.raises(UnknownName, match="easy"):
        load_set(str(path), None, subset="hard")
    with pytest.raises(UsageError, match="--limit 0"):
        load_set(str(path), None, limit=0)
    assert len(load_set(str(path), None, subset="EAS").pairs) == 2
    assert [pair.subset for pair in load_set(str(path), None, subset="easy").pairs] == ["easy"]


def test_a_limit_is_nested_seeded_and_keeps_the_order(tmp_path: Path) -> None:
    path = str(write(tmp_path / "mine.jsonl", *({**GOOD, "id": str(i)} for i in range(50))))
    ten, twenty = (load_set(path, None, limit=n).pairs for n in (10, 20))
    assert set(ten) < set(twenty)
    assert [int(pair.id) for pair in twenty] == sorted(int(pair.id) for pair in twenty)
    assert load_set(path, None, limit=10, seed=1).pairs != ten
    assert load_set(path, None, limit=99).content == load_set(path, None).content


def test_what_a_reader_should_know_about_the_data_is_noted(tmp_path: Path) -> None:
    rows = ({**GOOD, "b": "x"}, GOOD)
    notes = load_set(str(write(tmp_path / "mine.jsonl", *rows)), None).notes
    assert "1 pair has two identical answers" in notes[0] and "every label is 'a'" in notes[1]


@pytest.mark.parametrize(
    ("votes", "label"),
    [(["a"], "a"), (["a", "b"], "tie"), (["a", "tie"], "tie"), (["a", "a", "b"], "a"), (["tie", "tie", "b"], "tie")],
)
def test_the_majority_of_votes(votes: list[Any], label: str) -> None:
    assert majority(votes) == label


# --- MT-Bench human judgments: the official columns, made-up content ---


def vote(question: int, a: str, b: str, winner: str, turn: int = 1, judge: str = "expert_0") -> dict[str, Any]:
    def talk(model: str) -> list[dict[str, str]]:
        says = ((f"q{question}", f"{model} first"), ("go on", f"{model} second"))
        return [
            {"content": t, "role": role} for two in says for t, role in zip(two, ("user", "assistant"), strict=True)
        ]

    return {
        "question_id": question,
        "model_a": a,
        "model_b": b,
        "winner": winner,
        "judge": judge,
        "conversation_a": talk(a),
        "conversation_b": talk(b),
        "turn": turn,
    }


def test_votes_of_people_meet_in_one_pair_whichever_model_was_named_first(tmp_path: Path) -> None:
    rows = [
        vote(81, "alpaca", "gpt-4", "model_b"),
        vote(81, "gpt-4", "alpaca", "model_a", judge="author_1"),
        vote(81, "alpaca", "gpt-4", "tie", judge="expert_2"),
        vote(81, "alpaca", "gpt-4", "model_a", turn=2),
        vote(82, "alpaca", "gpt-4", "tie (inconsistent)"),
    ]
    write(tmp_path / "mt_bench_human.jsonl", *rows)
    pairs = {pair.id: pair for pair in load_set("mt_bench_human", tmp_path).pairs}
    first = pairs["81-1-alpaca-gpt-4"]
    assert (first.votes, first.label) == (("b", "b", "tie"), "b")
    assert (first.turns, first.a, first.b) == (("q81",), ("alpaca first",), ("gpt-4 first",))
    assert (first.model_a, first.model_b, first.cluster, first.subset) == ("alpaca", "gpt-4", "81", "turn1")
    second = pairs["81-2-alpaca-gpt-4"]
    assert second.turns == ("q81", "go on") and second.b == ("gpt-4 first", "gpt-4 second") and second.label == "a"
    assert pairs["82-1-alpaca-gpt-4"].label == "tie"
    assert len(load_set("mt_bench_human", tmp_path, subset="turn1").pairs) == 2
    humans = human_agreement(list(pairs.values()), ties=True)
    decided = human_agreement(list(pairs.values()), ties=False)
    assert humans is not None and humans.value == pytest.approx(1 / 3) and humans.n_problems == 1
    assert decided is not None and decided.value == 1.0 and decided.low < 1.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"winner": "both"}, "winner must be"),
        ({"turn": 3}, "turn must be 1 or 2"),
        ({"model_b": "alpaca"}, "same model"),
        ({"conversation_b": [{"content": "else", "role": "user"}, {"content": "x", "role": "assistant"}]}, "not ask"),
        ({"conversation_a": []}, "fewer than 2 messages"),
        ({"conversation_a": [{"content": "x", "role": "assistant"}] * 2}, "is not by the user"),
    ],
)
def test_votes_in_another_form_are_refused(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    write(tmp_path / "mt_bench_human.jsonl", {**vote(81, "alpaca", "gpt-4", "tie"), **change})
    with pytest.raises(DataError, match=says):
        load_set("mt_bench_human", tmp_path)


# --- JudgeBench: the official fields, made-up content ---


def judged(number: int, label: str = "A>B", source: str = "mmlu-pro-law", model: str = "gpt-4o-2024-05-13") -> Any:
    return {
        "pair_id": f"id-{number}",
        "original_id": number // 2,
        "source": source,
        "question": "which?",
        "response_model": model,
        "response_A": "right",
        "response_B": "wrong",
        "label": label,
    }


def test_judgebench_reads_the_official_files_of_either_name(tmp_path: Path) -> None:
    write(tmp_path / "judgebench_gpt.jsonl", judged(0), judged(1, "B>A", "livebench-math"))
    write(
        tmp_path / "dataset=judgebench,response_model=claude-3-5-sonnet-20240620.jsonl",
        judged(2, source="livecodebench", model="claude-3-5-sonnet-20240620"),
    )
    pairs = load_set("judgebench", tmp_path).pairs
    assert [(pair.subset, pair.label) for pair in pairs] == [
        ("gpt:knowledge", "a"),
        ("gpt:math", "b"),
        ("claude:coding", "a"),
    ]
    assert pairs[0].model_a == pairs[0].model_b == "gpt-4o-2024-05-13"
    assert len(load_set("judgebench", tmp_path, subset="gpt").pairs) == 2


def test_judgebench_in_another_form_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"judgebench_gpt\.jsonl or judgebench_claude\.jsonl"):
        load_set("judgebench", tmp_path)
    write(tmp_path / "judgebench_gpt.jsonl", judged(0, "A=B"))
    with pytest.raises(DataError, match="label must be A>B or B>A"):
        load_set("judgebench", tmp_path)
