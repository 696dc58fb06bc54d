"""The training record: what a file may hold, what is refused and how it is said, and that nothing gets lost."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.records.record import (
    MAX_ITEMS,
    Candidate,
    ChainStep,
    TrainRecord,
    data_hash,
    has,
    record_from_json,
    record_to_json,
    render_response,
    require,
    response_text,
    write_records,
)
from backends.records.source import read_records
from harness.errors import DataError, UnknownName
from harness.files import write_output
from harness.types import Message

TURN = {"role": "user", "content": "2 + 2?"}
FULL = TrainRecord(
    id="a1",
    prompt=(Message("system", "be brief"), Message("user", "2 + 2?")),
    task="math",
    think="2 + 2 = 4.",
    answer="4",
    gold="4",
    response="<think>\n2 + 2 = 4.\n</think>\n4",
    rejected="5",
    negatives=("5", "6"),
    positives=("4!",),
    candidates=(
        Candidate("4", 1.0, True, "student", (-0.5, -1.0), (-0.25,)),
        Candidate("5", 0.0, False),
        Candidate("", None, None, "teacher"),
    ),
    structure=(ChainStep("What is 2 + 2?", "4."),),
    privileged="it is 4",
    feedback="right",
    meta={"dataset": "toy", "difficulty": 1, "nested": {"list": [1, None, "ü"]}},
)


def line(path: Path, *rows: object) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def test_a_full_record_survives_the_file(tmp_path: Path) -> None:
    bare = TrainRecord("b", (Message("user", "?"),))
    assert write_records(tmp_path / "deep" / "data.jsonl", [FULL, bare]) == 2
    assert read_records(tmp_path / "deep" / "data.jsonl") == [FULL, bare]
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["data.jsonl"]
    assert set(record_to_json(bare)) == {"id", "prompt"}


def test_a_json_list_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    path.write_text(json.dumps([{"id": "a", "prompt": [TURN], "answer": "4", "think": None}]))
    assert read_records(path) == [TrainRecord("a", (Message("user", "2 + 2?"),), answer="4")]


texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
candidates = st.builds(
    Candidate,
    text=texts,
    reward=st.none() | numbers,
    correct=st.none() | st.booleans(),
    source=texts,
    logprobs_student=st.none() | st.lists(numbers, max_size=3).map(tuple),
)


@given(
    st.builds(
        TrainRecord,
        id=texts.filter(str.strip),
        prompt=st.just((Message("user", "q"),)),
        think=st.none() | texts.filter(bool),
        rejected=st.none() | texts.filter(bool),
        negatives=st.lists(texts, max_size=3).map(tuple),
        candidates=st.lists(candidates, max_size=3).map(tuple),
        meta=st.dictionaries(texts, st.none() | numbers | texts | st.lists(texts, max_size=2), max_size=3),
    )
)
def test_any_record_survives_json(record: TrainRecord) -> None:
    assert record_from_json(json.loads(json.dumps(record_to_json(record))), "here") == record


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "  ", "prompt": [TURN]}, "no id"),
        ({"id": [3], "prompt": [TURN]}, "no id"),
        ({"id": True, "prompt": [TURN]}, "no id"),
        ({"id": "x"}, "no text in a column 'question'"),
        ({"id": "x", "prompt": 4}, "column 'prompt' must be text, not int"),
        ({"id": "x", "prompt": []}, "is empty"),
        ({"id": "x", "prompt": [{"role": "user", "content": " "}]}, "is empty"),
        ({"id": "x", "prompt": [{"role": "human", "content": "?"}]}, r"'prompt'\[0\]: the role must be .*'human'"),
        ({"id": "x", "prompt": [TURN | {"name": "Bob"}]}, "unknown key 'name'"),
        ({"id": "x", "prompt": [{"role": "user"}]}, "the content must be text, not nothing"),
        ({"id": "x", "prompt": [TURN, {"role": "assistant", "content": "4"}]}, "belongs into 'response'"),
        ({"id": "x", "prompt": [TURN], "reponse": "4"}, "unknown field 'reponse': did you mean 'response'"),
        ({"id": "x", "prompt": [TURN], "answer": 4}, "'answer' must be text, not 4"),
        ({"id": "x", "prompt": [TURN], "negatives": ["a", 5]}, r"'negatives'\[1\] must be text"),
        ({"id": "x", "prompt": [TURN], "negatives": ["a"] * (MAX_ITEMS + 1)}, "4097 entries"),
        ({"id": "x", "prompt": [TURN], "meta": ["a"]}, "'meta' must be an object, not a list"),
        ({"id": "x", "prompt": [TURN], "candidates": [{"reward": 1}]}, r"'candidates'\[0\].text must be text"),
        ({"id": "x", "prompt": [TURN], "candidates": [{"text": "", "reward": True}]}, "a number, not true"),
        ({"id": "x", "prompt": [TURN], "candidates": [{"text": "", "correct": 1}]}, "true or false, not 1"),
        ({"id": "x", "prompt": [TURN], "candidates": [{"text": "", "score": 1}]}, "unknown key 'score'"),
        (
            {"id": "x", "prompt": [TURN], "candidates": [{"text": "", "logprobs_student": [-1, None]}]},
            r"logprobs_student\[1\] must be a number, not nothing",
        ),
        ({"id": "x", "prompt": [TURN], "structure": [{"meta": "m", "solve": ""}]}, "needs both 'meta' and 'solve'"),
        ({"id": "x", "prompt": [TURN], "answer": "\ud800"}, "surrogate"),
        (
            {"id": "x", "prompt": [TURN], "candidates": [{"text": "", "reward": 10**400}]},
            "reward is a number too large",
        ),
        ({"id": "x", "prompt": [TURN], "meta": {"a": json.loads("[" * 900 + "]" * 900)}}, "'meta' is nested more than"),
    ],
)
def test_what_is_refused_names_file_line_and_record(tmp_path: Path, row: dict[str, object], message: str) -> None:
    path = line(tmp_path / "data.jsonl", {"id": "good", "prompt": [TURN]}, "", row)
    with pytest.raises(DataError, match=message) as caught:
        read_records(path)
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "data.jsonl:1: not valid JSON"),
        ("[1]", "expected a JSON object"),
        ('{"id": "x", "candidates": [{"text": "", "reward": NaN}]}', "NaN"),
        ('{"id": "x", "prompt": [], "meta": {"d": 1e999}}', "record 'x': cannot be written"),
        ('{"id": "x", "meta": ' + '{"a":' * 5000 + "1" + "}" * 5001, "data.jsonl:1: "),
        ("", "holds no records"),
        ("\n\n", "holds no records"),
    ],
)
def test_a_damaged_file_is_a_data_error(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_records(line(tmp_path / "data.jsonl", text))


def test_an_id_may_occur_once(tmp_path: Path) -> None:
    row = {"id": "x", "prompt": [TURN]}
    path = line(tmp_path / "data.jsonl", row, {"id": "y", "prompt": [TURN]}, row)
    with pytest.raises(DataError, match=r"data.jsonl:3: record 'x' has the id of .*data.jsonl:1"):
        read_records(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a file"):
        read_records(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="is not a file"):
        read_records(tmp_path)


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    write_records(path, [FULL])
    before = path.read_bytes()
    for bad, message in [
        ([FULL, FULL], "occurs twice"),
        ([], "no records"),
        ([replace(FULL, rejected="\ud800")], "surrogate"),
        ([replace(FULL, candidates=(Candidate("", float("nan")),))], "'a1'"),
        ([replace(FULL, prompt=())], "prompt"),
    ]:
        with pytest.raises(DataError, match=message):
            write_records(path, bad)
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["data.jsonl"]
    with pytest.raises(DataError, match="cannot be written"):
        write_records(path / "below" / "a file.jsonl", [FULL])


def test_a_full_disk_is_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with pytest.raises(DataError, match="cannot be written"):
        write_records(Path("/dev/full/x.jsonl"), [FULL])


def test_a_device_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to(os.devnull)
    with pytest.raises(DataError, match="is a device, a pipe or a folder"):
        write_records(link, [FULL])
    write_output(link, "text")
    assert link.is_symlink() and list(tmp_path.iterdir()) == [link]


def test_needs_are_checked_at_once_with_first_id_and_count() -> None:
    some = [FULL, replace(FULL, id="b", rejected=None), replace(FULL, id="c", rejected="  \n"), replace(FULL, id="d")]
    require(some, ("prompt", "think", "response", "candidates"), "sft")
    with pytest.raises(DataError, match=r"method 'krsl' needs the field 'rejected', which 2 of 4 .* the first 'b'"):
        require(some, ("response", "rejected"), "krsl")
    with pytest.raises(UnknownName, match="Did you mean 'rejected'"):
        require(some, ("rejectd",), "krsl")
    with pytest.raises(DataError, match="no records"):
        require([], ("think",), "sft")
    with pytest.raises(DataError, match="'think', which 1 of 1"):
        require([replace(FULL, think=" ")], ("think",), "thinkanswer")


def test_a_response_is_rendered_where_it_is_absent() -> None:
    bare = replace(FULL, response=None)
    assert response_text(FULL) == FULL.response
    assert response_text(bare) == "<think>\n2 + 2 = 4.\n</think>\n4"
    assert response_text(replace(bare, think=None)) == "4"
    assert response_text(replace(bare, answer=None)) is None
    assert has(bare, "response") and not has(replace(bare, answer=None), "response")
    assert render_response("  ", "4") == "4"


def test_the_hash_is_of_the_content_and_not_of_the_order() -> None:
    other = replace(FULL, id="b")
    assert data_hash([FULL, other]) == data_hash([other, FULL])
    assert data_hash([FULL]) != data_hash([replace(FULL, rejected="7")])
    assert data_hash([FULL]) != data_hash([FULL, other])
