"""AlpacaEval's files: what is read, what comes back as it was written, and what is refused with the rows named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import DataError
from judges.protocols.alpaca.files import (
    COLUMNS,
    align,
    annotation_rows,
    read_annotations,
    read_leaderboard,
    read_outputs,
    write_annotations,
    write_leaderboard,
    write_outputs,
)
from judges.protocols.alpaca.score import Annotation, score_annotations
from judges.types import Judged, Task

INSTRUCTIONS = ["Name a bird.", "Write a poem. ", "What is 2+2?", "Say\nhello"]


def outputs(**changed: Any) -> list[dict[str, Any]]:
    return [
        {"dataset": "koala", "instruction": text, "output": f"answer {n}", "generator": "m", **changed}
        for n, text in enumerate(INSTRUCTIONS)
    ]


def annotation(n: int, preference: Any = 1.25, **changed: Any) -> dict[str, Any]:
    return {
        "instruction": INSTRUCTIONS[n], "output_1": "base", "generator_1": "gpt4_1106_preview", "dataset": "koala",
        "output_2": "x" * (n + 1), "generator_2": "m", "annotator": "a", "preference": preference,
        "price_per_example": 0.01, "time_per_example": 0.5, "raw_completion": {"text": "m"}, **changed,
    }  # fmt: skip


def compact(n: int, preference: Any = 1.25, **changed: Any) -> dict[str, Any]:
    return {"model": "m", "index": n, "preference": preference, "len_1": 4, "len_2": n + 1, "p_m": 0.25, **changed}


def put(path: Path, rows: Any) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def put_lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_outputs_come_back_as_written(tmp_path: Path) -> None:
    rows = [Task(str(n), 0, (text,), (f"é{n} \n",), meta={"dataset": "koala"}) for n, text in enumerate(INSTRUCTIONS)]
    write_outputs(tmp_path / "model_outputs.json", rows, "m")
    found = read_outputs(tmp_path / "model_outputs.json", INSTRUCTIONS)
    assert [(one.question, one.model, one.turns) for one in found] == [
        (row.problem_id, "m", row.answers) for row in rows
    ]
    assert found[1].metadata == {"dataset": "koala", "instruction": INSTRUCTIONS[1]}
    raw = json.loads((tmp_path / "model_outputs.json").read_text(encoding="utf-8"))
    assert list(raw[0]) == ["dataset", "instruction", "output", "generator"]


def test_another_order_is_put_in_order(tmp_path: Path) -> None:
    found = read_outputs(put(tmp_path / "o.json", outputs()[::-1]), INSTRUCTIONS)
    assert [one.turns[-1] for one in found] == ["answer 0", "answer 1", "answer 2", "answer 3"]
    shuffled = [annotation(2), annotation(0)]
    assert [row.index for row in read_annotations(put(tmp_path / "a.json", shuffled), INSTRUCTIONS)] == [2, 0]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (INSTRUCTIONS[:2], ["2 missing: instruction 2, instruction 3"]),
        ([*INSTRUCTIONS[:3], "Say goodbye"], ["1 no instruction of AlpacaEval: row 3 ('Say goodbye')", "1 missing"]),
        ([INSTRUCTIONS[0], "Write a poem.", *INSTRUCTIONS[2:]], ["row 1 differs from instruction 1 in white space"]),
        ([*INSTRUCTIONS, INSTRUCTIONS[0]], ["1 more than once: instruction 0 (rows 0, 4)"]),
        (["a", "b", "c", "d", "e"], ["5 no instruction", "row 0 ('a')", "and 2 more", "4 missing"]),
        ([], ["4 missing"]),
    ],
)
def test_what_does_not_align_is_refused_by_name(texts: list[str], words: list[str]) -> None:
    with pytest.raises(DataError) as caught:
        align(texts, INSTRUCTIONS, "outputs.json", complete=True)
    for word in ["outputs.json does not align with the 4 instructions", *words]:
        assert word in str(caught.value)


def test_compact_outputs_go_by_index(tmp_path: Path) -> None:
    rows = [{"index": n, "model": "m", "output": str(n)} for n in (2, 0, 3, 1)]
    found = read_outputs(put_lines(tmp_path / "o.jsonl", rows), INSTRUCTIONS)
    assert [(int(one.question), one.metadata["instruction"], one.turns[-1]) for one in found] == [
        (n, text, str(n)) for n, text in enumerate(INSTRUCTIONS)
    ]
    with pytest.raises(DataError, match="1 missing: instruction 1"):
        read_outputs(put_lines(tmp_path / "p.jsonl", rows[:3]), INSTRUCTIONS)
    with pytest.raises(DataError, match="no instruction 4"):
        read_outputs(put_lines(tmp_path / "q.jsonl", [*rows, {**rows[0], "index": 4}]), INSTRUCTIONS)


def test_annotations_may_lack_rows_but_not_invent_them(tmp_path: Path) -> None:
    assert len(read_annotations(put(tmp_path / "a.json", [annotation(3)]), INSTRUCTIONS)) == 1
    with pytest.raises(DataError, match="no instruction of AlpacaEval"):
        read_annotations(put(tmp_path / "b.json", [annotation(3, instruction="other")]), INSTRUCTIONS)


@pytest.mark.parametrize(
    ("preference", "expected"), [(1, 1.0), (2, 2.0), (1.5, 1.5), (0, 1.5), (0.0, 1.5), (None, None), (1.75, 1.75)]
)
def test_preferences(tmp_path: Path, preference: Any, expected: float | None) -> None:
    official = read_annotations(put(tmp_path / "a.json", [annotation(1, preference)]), INSTRUCTIONS)
    lines = read_annotations(put_lines(tmp_path / "a.jsonl", [compact(1, preference)]), None)
    assert [row.preference for row in (*official, *lines)] == [expected, expected]
    assert [(row.model, row.index, row.len_1, row.len_2) for row in (*official, *lines)] == [("m", 1, 4, 2)] * 2


def test_nan_is_no_preference(tmp_path: Path) -> None:
    path = put_lines(tmp_path / "a.jsonl", [compact(0), compact(1, float("nan"))])
    assert [row.preference for row in read_annotations(path, None)] == [1.25, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing in it"),
        ("[]", "nothing in it"),
        ("[1]", "expected a JSON object"),
        ("{", "not valid JSON"),
        ('{"model": "m"}\n{"index"', "a.json:2"),
        (json.dumps([annotation(0, 2.5)]), "entry 0: a preference"),
        (json.dumps([annotation(0), annotation(1, "1")]), "entry 1: a preference"),
        (json.dumps([annotation(0, True)]), "a preference is 0"),
        (json.dumps([annotation(0, float("inf"))]), "Infinity is not JSON"),
        (json.dumps([{k: v for k, v in annotation(0).items() if k != "preference"}]), "no field 'preference'"),
        (json.dumps([annotation(0, output_2=None)]), "'output_2' should be text"),
        (
            json.dumps([{k: v for k, v in annotation(0).items() if k != "output_1"}]),
            "'output_1' should be text, is abs",
        ),
        (json.dumps(compact(0, index=-1)), "'index' should be a whole number"),
        (json.dumps(compact(0, len_2=3.5)), "'len_2' should be a whole number"),
        (json.dumps(compact(0, model=7)), "'model' should be text"),
        ("[" * 100000, "not valid JSON"),
    ],
)
def test_broken_annotations_are_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json") as caught:
        read_annotations(path, INSTRUCTIONS)
    assert words in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_outputs(tmp_path / "absent.json", INSTRUCTIONS)
    (tmp_path / "latin.json").write_bytes(b'[{"instruction": "\xe9"}]')
    with pytest.raises(DataError, match="not UTF-8"):
        read_outputs(tmp_path / "latin.json", INSTRUCTIONS)
    with pytest.raises(DataError, match="outputs of 2 generators"):
        read_outputs(put(tmp_path / "o.json", [*outputs()[:3], outputs(generator="n")[3]]), INSTRUCTIONS)


def test_our_judgments_are_written_as_annotations(tmp_path: Path) -> None:
    tasks = [
        Task(str(n), 0, (text,), ("mine",), ("base",), meta={"dataset": "koala", "index": n})
        for n, text in enumerate(INSTRUCTIONS)
    ]
    judged = [Judged(str(n), 0, value, "scored" if value is not None else "unscored")
              for n, value in enumerate((0.0, 0.25, None, 1.0))]  # fmt: skip
    write_annotations(tmp_path / "a.json", annotation_rows(tasks, judged, model="m", annotator="own"))
    back = read_annotations(tmp_path / "a.json", INSTRUCTIONS)
    assert [row.preference for row in back] == [1.0, 1.25, None, 2.0]
    assert {row.baseline for row in back} == {"gpt4_1106_preview"}
    with pytest.raises(DataError, match="no opponent"):
        annotation_rows([Task("0", 0, ("q",), ("a",))], judged[:1], model="m", annotator="own")


ROW = "m,50.0,1.5,2,1,1,4,62.5,community,100,48.0,0.5"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("m,50.0,1.5,2,1,1,4,62.5,community,100,48.0", "11 values under 12 columns"),
        ("m,0.337,50.0,1.5,2,1,1,4,community,100,48.0,0.5", "n_wins is '1.5'"),
        ("m,50.0,1.5,2,1,1,5,62.5,community,100,48.0,0.5", "are not 5"),
        ("m,150.0,1.5,2,1,1,4,62.5,community,100,48.0,0.5", "win_rate is '150.0'"),
        ("m,50.0,1.5,2,1,1,4,62.5,100,community,48.0,0.5", "mode is '100'"),
        ("m,,1.5,2,1,1,4,62.5,community,100,48.0,0.5", "win_rate is ''"),
        ("m,nan,1.5,2,1,1,4,62.5,community,100,48.0,0.5", "win_rate is 'nan'"),
        ("m,50.0,1.5,2,1,1,4,62.5,community,100,2048.0,0.5", "length_controlled_winrate is '2048.0'"),
    ],
)
def test_shifted_leaderboard_columns_are_refused(tmp_path: Path, row: str, words: str) -> None:
    path = tmp_path / "leaderboard.csv"
    path.write_text(f"{','.join(['', *COLUMNS])}\n{ROW}\n{row}\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_leaderboard(path)
    assert f"{path}:3: " in str(caught.value)
    assert words in str(caught.value)


def test_leaderboards_without_the_newer_columns(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.csv"
    path.write_text(",win_rate,standard_error,n_wins,n_wins_base,n_draws,n_total\nm,50,1,2,1,1,4\n", encoding="utf-8")
    (row,) = read_leaderboard(path)
    assert (row.model, row.win_rate, row.n_total, row.lc, row.avg_length) == ("m", 50.0, 4, None, None)
    path.write_text("model,score\nm,1\n", encoding="utf-8")
    with pytest.raises(DataError, match="no AlpacaEval leaderboard"):
        read_leaderboard(path)


def scored(**changed: Any) -> list[Annotation]:
    row = {"model": "m", "len_1": 4, "output": None, **changed}
    values = (1.0, 1.2, 1.5, None, 1.9)
    return [Annotation(index=n, preference=value, len_2=10 + n, **row) for n, value in enumerate(values)]


def test_scores_of_a_small_file(tmp_path: Path) -> None:
    (one,) = score_annotations(scored(), None)
    assert one.win_rate == pytest.approx(40.0)
    assert (one.n_wins, one.n_wins_base, one.n_draws, one.n_total, one.n_unscored) == (1, 2, 1, 4, 1)
    assert one.discrete_win_rate == pytest.approx(37.5)
    assert one.low < one.win_rate < one.high
    assert one.flags == ("missing_rows:800", "too_few_for_length_control", "unscored:1")
    assert (one.lc, one.formula) == (None, "")
    write_leaderboard(tmp_path / "l.csv", [one])
    assert read_leaderboard(tmp_path / "l.csv")[0].lc is None


def test_the_baseline_scores_fifty_against_itself() -> None:
    rows = [Annotation("gpt4_1106_preview", n, 1.5, 9, 9) for n in range(20)]
    (one,) = score_annotations(rows, None)
    assert (one.win_rate, one.lc, one.lc_se, one.lc_se_glm) == (50.0, 50.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "no annotations"),
        ([*scored(), scored()[0]], "annotated more than once, the first: 0"),
        (scored()[3:4], "none of its 1 annotations"),
        ([Annotation("m", 0, 2.5, 1, 1)], "not between 1 and 2"),
        ([*scored(), Annotation("m", 9, 1.0, 1, 1, baseline="other")], "several baselines"),
    ],
)
def test_annotations_that_cannot_be_scored(rows: list[Annotation], words: str) -> None:
    with pytest.raises(DataError, match=words):
        score_annotations(rows, None)


def test_constant_answers_are_flagged_by_text_or_by_length() -> None:
    def flags(texts: list[str | None], lengths: list[int]) -> tuple[str, ...]:
        rows = [
            Annotation("m", n, 1.1, 4, length, text)
            for n, (text, length) in enumerate(zip(texts, lengths, strict=True))
        ]
        return score_annotations(rows[:4], None)[0].flags

    assert "constant_answer" in flags(["a"] * 4, [1, 2, 3, 4])
    assert "constant_answer" not in flags(["a", "a", "a", "b"], [1] * 4)
    assert "constant_answer" in flags([None] * 4, [7] * 4)
    assert "constant_answer" not in flags([None] * 4, [7, 7, 7, 8])
