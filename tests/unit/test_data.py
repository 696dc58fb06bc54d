"""Reading, normalising and refusing benchmark data."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import INDEX, PART, MissingData, clean_text, content_hash, load_rows, local
from harness.datasets.local import read_list
from harness.errors import DataError, MissingExtra
from harness.types import DataRef, HubRef, Json


def convert(raw: Mapping[str, Json]) -> dict[str, Json]:
    return {"id": clean_text(raw["id"]), "question": clean_text(raw["question"])}


ROWS = [{"id": f"q{number}", "question": f"what is {number}?"} for number in range(12)]
REF = DataRef(files=("set.jsonl",), rows=12, sha256=content_hash(ROWS), from_local=convert)


@pytest.fixture(autouse=True)
def _no_folder_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HARNESS_DATA_DIR", raising=False)


def write(folder: Path, rows: list[dict[str, str]], name: str = "set.jsonl") -> Path:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_rows_come_sorted_by_id_whatever_their_order(tmp_path: Path) -> None:
    shuffled = list(ROWS)
    random.Random(1).shuffle(shuffled)
    assert [row["id"] for row in load_rows(REF, write(tmp_path, shuffled))] == [f"q{number}" for number in range(12)]


def test_several_files_are_one_set_and_know_their_part(tmp_path: Path) -> None:
    write(write(tmp_path, ROWS[:5], "a.jsonl"), ROWS[5:], "b.jsonl")
    seen: list[tuple[Json, Json]] = []

    def spy(raw: Mapping[str, Json]) -> dict[str, Json]:
        seen.append((raw[PART], raw[INDEX]))
        return convert(raw)

    assert len(load_rows(replace(REF, files=("a.jsonl", "b.jsonl"), from_local=spy), tmp_path)) == 12
    assert seen[:2] == [("a.jsonl", 0), ("a.jsonl", 1)]
    assert seen[5] == ("b.jsonl", 0)


def test_environment_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA_DIR", str(write(tmp_path, ROWS)))
    assert len(load_rows(REF)) == 12


def test_surface_differences_of_text_do_not_change_the_hash(tmp_path: Path) -> None:
    noisy = [{"question": f"  {row['question']}\r\n", "id": row["id"], "extra": "x"} for row in ROWS]
    assert len(load_rows(REF, write(tmp_path, noisy))) == 12


def test_generated_data_needs_no_file_but_meets_its_pin() -> None:
    ref = replace(REF, files=(), generate=lambda: ROWS)
    assert load_rows(ref) == sorted(ROWS, key=lambda row: int(row["id"][1:]))
    with pytest.raises(DataError, match="the generator: 11 rows"):
        load_rows(replace(ref, generate=lambda: ROWS[1:]))


REFUSALS = {
    "no rows": (b"", "no rows in set.jsonl"),
    "blank lines only": (b"\n\n", "no rows"),
    "not JSON": (b'{"id": "q0", "question": "x"}\n{"id": \n', r"set.jsonl:2: not valid JSON"),
    "not an object": (b"[1]\n", "set.jsonl:1: expected a JSON object, found list"),
    "not UTF-8": (b'{"id": "q\xff", "question": "x"}\n', "set.jsonl:1: not UTF-8"),
    "NaN": (b'{"id": "q0", "question": "x", "value": NaN}\n', "set.jsonl:1: not valid JSON .NaN"),
    "missing field": (b'{"id": "q0"}\n', "set.jsonl:1: no field 'question'"),
    "wrong type": (b'{"id": 7, "question": "x"}\n', "set.jsonl:1: a field has an unexpected form .expected text"),
    "empty id": (b'{"id": " ", "question": "x"}\n', "has no id"),
    "deep nesting": (b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", "set.jsonl:1: not valid JSON"),
    "huge integer": (b'{"id": "q0", "n": ' + b"9" * 10_000 + b"}\n", "set.jsonl:1: not valid JSON"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_no_data_is_refused_with_its_place(case: str, tmp_path: Path) -> None:
    content, message = REFUSALS[case]
    (tmp_path / "set.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_rows(REF, tmp_path)


def test_duplicate_ids_missing_rows_and_changed_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 ids occur more than once .* 'q3'"):
        load_rows(REF, write(tmp_path, [*ROWS, ROWS[3]]))
    with pytest.raises(DataError, match="11 rows, the suite is pinned to 12"):
        load_rows(REF, write(tmp_path, ROWS[:-1]))
    changed = [*ROWS[:-1], {**ROWS[-1], "question": "what is 110?"}]
    with pytest.raises(DataError, match=rf"content hash .* {REF.sha256}.*docs/suites.md"):
        load_rows(REF, write(tmp_path, changed))


def test_absent_data_says_where_and_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match=r"set\.jsonl is not in .*--data-dir"):
        load_rows(REF, tmp_path)
    with pytest.raises(DataError, match=r"nowhere.*is not a folder"):
        load_rows(REF, tmp_path / "nowhere")
    monkeypatch.setenv("HARNESS_DATA_DIR", str(tmp_path / "gone"))
    with pytest.raises(DataError, match="HARNESS_DATA_DIR"):
        load_rows(REF)
    monkeypatch.delenv("HARNESS_DATA_DIR")
    with pytest.raises(MissingData, match="not on the hub"):
        load_rows(REF)


def test_the_hub_without_its_extra_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    ref = replace(REF, hub=(HubRef("a/b", None, "test", "0" * 40),), from_hub=convert)
    with pytest.raises(MissingExtra, match=r"pip install -e .*\[hub\]"):
        load_rows(ref)


def test_a_line_without_end_is_refused_without_reading_it_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "MAX_LINE_BYTES", 1000)
    (tmp_path / "set.jsonl").write_bytes(b'{"id": "' + b"x" * 5000)
    with pytest.raises(DataError, match=r"set\.jsonl:1: a line of more than 1000 bytes"):
        load_rows(REF, tmp_path)


class TestZip:
    """The zip reader; the archives here are not encrypted, for the standard library cannot write encrypted ones."""

    REF = replace(REF, files=("set.zip",), password="open")

    def archive(self, folder: Path, member: str = "set.jsonl") -> Path:
        with zipfile.ZipFile(folder / "set.zip", "w", zipfile.ZIP_DEFLATED) as out:
            out.writestr(member, "".join(json.dumps(row) + "\n" for row in ROWS))
        return folder

    def test_it_is_read_in_memory(self, tmp_path: Path) -> None:
        assert len(load_rows(self.REF, self.archive(tmp_path))) == 12
        assert [path.name for path in tmp_path.iterdir()] == ["set.zip"]

    def test_another_member_or_no_zip_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no member set\.jsonl"):
            load_rows(self.REF, self.archive(tmp_path, "../set.jsonl"))
        (tmp_path / "set.zip").write_bytes(b"not a zip")
        with pytest.raises(DataError, match="damaged or not a zip"):
            load_rows(self.REF, tmp_path)

    def test_damaged_content_is_refused(self, tmp_path: Path) -> None:
        path = self.archive(tmp_path) / "set.zip"
        content = bytearray(path.read_bytes())
        for place in range(60, 80):
            content[place] ^= 0xFF
        path.write_bytes(content)
        with pytest.raises(DataError, match="damaged"):
            load_rows(self.REF, tmp_path)

    def test_a_bomb_is_not_unpacked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "MAX_MEMBER_BYTES", 100)
        with pytest.raises(DataError, match="unpacks to"):
            load_rows(self.REF, self.archive(tmp_path))

    def test_the_password_counts(self, shared_data: Path) -> None:
        from harness.suites import load_suite

        ref = load_suite("gpqa").data
        for password in ("wrong", None):
            with pytest.raises(DataError, match=r"published password|damaged"):
                load_rows(replace(ref, password=password), shared_data)
        assert len(load_rows(ref, shared_data)) == 198


json_rows = st.lists(
    st.dictionaries(st.text(max_size=5), st.one_of(st.text(max_size=8), st.integers(), st.none()), max_size=4),
    max_size=6,
)


@given(json_rows, st.randoms(use_true_random=False))
def test_content_hash_ignores_order_of_rows_and_keys(rows: list[dict[str, Json]], rng: random.Random) -> None:
    mixed = [dict(rng.sample(list(row.items()), len(row))) for row in rows]
    rng.shuffle(mixed)
    assert content_hash(mixed) == content_hash(rows)


@given(json_rows)
def test_content_hash_sees_an_added_row_and_an_added_field(rows: list[dict[str, Json]]) -> None:
    assert content_hash([*rows, {"id": "new"}]) != content_hash(rows)
    if rows:
        assert content_hash([{**rows[0], "a new key": 1}, *rows[1:]]) != content_hash(rows)


def test_content_hash_is_what_it_is() -> None:
    # sha256 of '{"a":"\u00e9","id":"1"}\n{"id":"2"}': a change of this value would unpin every suite.
    expected = "4b5a90e8c4ea0b15c893698a2a7f82eee82b889a2f1d06e0146adbc9dc1a1eee"
    assert content_hash([{"id": "2"}, {"id": "1", "a": "é"}]) == expected


@pytest.mark.parametrize("text", ['[{"a": 1}, {"a": 2}]', ' \n[{"a": 1},\n {"a": 2}]', '{"a": 1}\n\n{"a": 2}\n'])
def test_a_list_file_is_json_or_json_lines(tmp_path: Path, text: str) -> None:
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    assert [raw.fields for raw in read_list(tmp_path / "rows.json")] == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "words"), [("[1]", "entry 0: expected a JSON object"), ("[{]", "not valid JSON"), ("[NaN]", "NaN is not")]
)
def test_a_list_file_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "rows.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=words):
        list(read_list(tmp_path / "rows.json"))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_list(tmp_path / "absent.json"))
