"""Training data as other tools keep them: every shape in every format is read, or one line says what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from foreign_records import PAIRED, SHAPES, UNREAD, examples, write_file

from backends.records.inputs import read_prompts
from backends.records.record import response_text
from backends.records.source import read_records
from harness.errors import DataError

FORMATS = [".jsonl", ".json", ".parquet", ".csv", ".tsv", ".ndjson"]
PAIRS = examples()


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_in_every_format_says_the_same(tmp_path: Path, shape: str, ending: str) -> None:
    for bom in (False, True):
        for crlf in (False, True):
            path = write_file(tmp_path / f"d{bom}{crlf}{ending}", SHAPES[shape](PAIRS), bom=bom, crlf=crlf)
            records = read_records(path)
            assert [record.prompt[-1].content for record in records] == [pair.question for pair in PAIRS]
            assert [response_text(record) for record in records] == [pair.response for pair in PAIRS]
            assert len({record.id for record in records}) == len(PAIRS)
            prompts, repeated = read_prompts(path)
            assert [record.prompt[-1].content for record in prompts] == [pair.question for pair in PAIRS]
            assert repeated == 0


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("shape", PAIRED)
def test_pairs_are_read_too(tmp_path: Path, shape: str, ending: str) -> None:
    records = read_records(write_file(tmp_path / f"d{ending}", PAIRED[shape](PAIRS)))
    assert [record.prompt[-1].content for record in records] == [pair.question for pair in PAIRS]
    assert [(record.response, record.rejected) for record in records] == [(p.response, p.rejected) for p in PAIRS]


@pytest.mark.parametrize("what", UNREAD)
def test_what_is_not_read_is_told_in_one_line(tmp_path: Path, what: str) -> None:
    row, message = UNREAD[what]
    for ending in (".jsonl", ".json"):
        path = write_file(tmp_path / f"d{ending}", [row])
        with pytest.raises(DataError) as caught:
            read_records(path)
        told = str(caught.value)
        assert message in told and told.startswith(str(path)) and "\n" not in told and "did you mean" not in told


@pytest.mark.parametrize("ending", [".jsonl", ".json", ".parquet", ".csv"])
def test_the_command_that_is_told_makes_a_file_that_is_read(tmp_path: Path, ending: str) -> None:
    import shutil
    import subprocess
    import sys

    rows = [{"q": pair.question, "a": pair.response} for pair in PAIRS]
    path = write_file(tmp_path / f"d{ending}", rows)
    with pytest.raises(DataError) as caught:
        read_records(path)
    _, _, command = str(caught.value).partition("question and response: ")
    if ending == ".csv":
        assert command == "write prompt for q and completion for a in its first line"
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("q,a", "prompt,completion", 1), encoding="utf-8")
        made = path
    elif command.startswith("jq") and shutil.which("jq") is None:
        pytest.skip("jq is not installed here")
    else:
        command = command.replace("python -c", f"{sys.executable} -c", 1)
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
        (made,) = tmp_path.glob("train.*")
    assert [response_text(record) for record in read_records(made)] == [pair.response for pair in PAIRS]


def test_system_turns_history_and_parts(tmp_path: Path) -> None:
    turns = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "a"},
        {"from": "gpt", "value": "b"},
        {"from": "human", "value": "c"},
        {"from": "gpt", "value": "d"},
    ]
    rows = [
        {"id": 1, "conversations": turns},
        {"id": 2, "system": "Be brief.", "conversations": turns[1:]},
        {"id": 3, "messages": [{"role": t["from"], "content": [{"type": "text", "text": t["value"]}]} for t in turns]},
    ]
    for record in read_records(write_file(tmp_path / "d.jsonl", rows)):
        assert [turn.role for turn in record.prompt] == ["system", "user", "assistant", "user"]
        assert [turn.content for turn in record.prompt] == ["Be brief.", "a", "b", "c"] and record.response == "d"


def test_thoughts_answers_and_golds(tmp_path: Path) -> None:
    rows = [
        {"id": "gsm8k", "question": "q", "answer": "Half is 36. So 72 in all.\n#### 1,072"},
        {"id": "math", "problem": "q", "solution": "so \\boxed{3}", "answer": "3", "level": 5},
        {"id": "number", "question": "q", "answer": 72},
        {"id": "think", "question": "q", "reasoning": "because", "answer": "4"},
        {"id": "chat", "messages": [
            {"role": "user", "content": "q"}, {"role": "assistant", "reasoning_content": "because", "content": "4"},
        ]},
        {"id": "letters", "Question": "q", "Complex_CoT": "because", "Response": "4"},
        {"id": "dolly", "instruction": "Sum up.", "context": "Haus", "response": "house", "category": "x"},
        {"id": "flan", "inputs": "q", "targets": "r"},
        {"id": "input", "instruction": "Translate.", "input": "Haus", "output": "house"},
        {"id": "gold", "prompt": "q", "completion": "r", "gold": 7, "task": "math", "source": "web"},
    ]  # fmt: skip
    found = {record.id: record for record in read_records(write_file(tmp_path / "d.jsonl", rows))}
    assert found["gsm8k"].gold == "1072" and str(response_text(found["gsm8k"])).endswith("#### 1,072")
    assert (found["math"].response, found["math"].gold, found["math"].meta) == ("so \\boxed{3}", "3", {"level": 5})
    assert found["number"].answer == "72"
    assert response_text(found["think"]) == response_text(found["chat"]) == response_text(found["letters"])
    assert response_text(found["letters"]) == "<think>\nbecause\n</think>\n4"
    assert found["input"].prompt[0].content == "Translate.\n\nHaus"
    assert found["dolly"].prompt[0].content == "Sum up.\n\nHaus" and found["dolly"].meta == {"category": "x"}
    assert (found["flan"].prompt[0].content, found["flan"].response) == ("q", "r")
    assert (found["gold"].gold, found["gold"].task, found["gold"].meta) == ("7", "math", {"source": "web"})


def test_equal_rows_without_ids_are_further_records(tmp_path: Path) -> None:
    records = read_records(write_file(tmp_path / "d.jsonl", [{"prompt": "a", "completion": "b"}] * 3))
    first = records[0].id
    assert [record.id for record in records] == [first, f"{first}-2", f"{first}-3"]


@pytest.mark.parametrize("shape", ["prompt and completion", "messages", "instruction and output"])
def test_the_same_rows_are_the_same_data_in_every_format(tmp_path: Path, shape: str) -> None:
    from backends.records.record import data_hash

    rows = SHAPES[shape](PAIRS)
    hashes = {data_hash(read_records(write_file(tmp_path / f"d{ending}", rows))) for ending in FORMATS}
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("d.csv", b"", "first line must name the columns"),
        ("d.csv", b"prompt,prompt\na,b\n", "each once"),
        ("d.csv", b"prompt,completion\na\n", r"d.csv:2: 1 cells, but 2 columns"),
        ("d.csv", b"prompt,completion\na,b,c\n", r"d.csv:2: 3 cells, but 2 columns"),
        ("d.csv", b'prompt,completion\n"a,b\n', "not valid CSV"),
        ("d.csv", b"prompt,completion\n\xff,b\n", "not UTF-8"),
        ("d.csv", b"prompt,completion\n", "holds no records"),
        ("d.csv", b"messages\nuser: hello\n", "must be a list of turns, not str"),
        ("d.parquet", b"", "damaged or no parquet"),
        ("d.parquet", b"PAR1" + b"\x00" * 64 + b"PAR1", "damaged or no parquet"),
        ("d.parquet", b'{"prompt": "a"}', "damaged or no parquet"),
        ("d.json", b'{"a": [1, 2]', "not valid JSON"),
    ],
)
def test_damaged_tables_are_data_errors(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_records(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_values_that_json_lacks_are_kept_as_text(tmp_path: Path) -> None:
    import datetime
    import decimal

    rows = [
        {
            "prompt": "a",
            "completion": "b",
            "when": datetime.datetime(2026, 1, 2),
            "price": decimal.Decimal("1.50"),
            "raw": b"\x00",
            "none": float("nan"),
        }
    ]
    (record,) = read_records(write_file(tmp_path / "d.parquet", rows))
    assert record.meta == {"when": "2026-01-02T00:00:00", "price": "1.50", "raw": "b'\\x00'"}
    json.dumps(dict(record.meta))


def test_a_plain_row_says_in_its_meta_what_checks_it(tmp_path: Path) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"prompt": "3 + 4?", "gold": "7", "meta": {"grader": "integer", "note": "x"}}\n', encoding="utf-8")
    (record,), _ = read_prompts(path)
    assert record.meta == {"grader": "integer"}
    (record,), _ = read_prompts(path, grader="math")
    assert record.meta == {"grader": "math"}
