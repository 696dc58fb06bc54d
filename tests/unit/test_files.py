"""The door to files of a results folder: what was planted there makes nothing hang and changes nothing elsewhere."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import files
from harness.redact import MASK

SECRET = "sk-proj-0123456789abcdefghij"


def link(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere)


def dangling(path: Path, elsewhere: Path) -> None:
    path.symlink_to(elsewhere.with_name("not-there"))


def endless(path: Path, elsewhere: Path) -> None:
    path.symlink_to("/dev/zero")


def pipe(path: Path, elsewhere: Path) -> None:
    os.mkfifo(path)


def listening(path: Path, elsewhere: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path has to be short
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def folder(path: Path, elsewhere: Path) -> None:
    path.mkdir()


PLANTED = [link, dangling, endless, pipe, listening, folder]
READERS: list[Callable[[Path], object]] = [
    files.read_bytes,
    files.read_text,
    files.read_json,
    lambda path: list(files.iter_lines(path)),
    lambda path: files.open_binary(path).close(),
]
WRITERS_IN_PLACE: list[Callable[[Path], object]] = [
    lambda path: files.append_text(path, "text"),
    lambda path: files.open_append(path).close(),
    lambda path: files.truncate(path, 0),
    lambda path: files.open_lock(path).close(),
]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    path = tmp_path / "home" / "precious.txt"
    path.write_text("precious", encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


def untouched(elsewhere: Path) -> bool:
    return elsewhere.read_text(encoding="utf-8") == "precious" and os.listdir(elsewhere.parent) == [elsewhere.name]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("plant", PLANTED)
def test_what_is_no_regular_file_is_refused_by_every_reader_and_writer(
    plant: Callable[[Path, Path], None], run: Path, elsewhere: Path
) -> None:
    path = run / "result.json"
    plant(path, elsewhere)
    for use in READERS + WRITERS_IN_PLACE:
        with pytest.raises(OSError) as caught:
            use(path)
        assert caught.value.strerror
    assert untouched(elsewhere)


@pytest.mark.parametrize("plant", [link, dangling, endless, pipe, listening])
def test_an_atomic_write_takes_the_place_of_what_was_planted(
    plant: Callable[[Path, Path], None], run: Path, elsewhere: Path
) -> None:
    path = run / "result.json"
    plant(path, elsewhere)
    files.write_atomically(path, "mine")
    assert path.read_text(encoding="utf-8") == "mine" and not path.is_symlink()
    assert os.listdir(run) == ["result.json"] and untouched(elsewhere)


def test_nothing_is_written_into_a_folder_that_is_a_link(tmp_path: Path, elsewhere: Path) -> None:
    run = tmp_path / "run"
    run.symlink_to(elsewhere.parent)
    for write in (
        lambda: files.write_atomically(run / "precious.txt", "mine"),
        lambda: files.append_text(run / "precious.txt", "mine"),
        lambda: files.append_text(run / "new.txt", "mine"),
    ):
        with pytest.raises(OSError, match="symbolic link"):
            write()
    assert untouched(elsewhere)


def test_a_lock_keeps_what_is_in_its_file_and_keeps_others_out(run: Path) -> None:
    path = run / ".lock"
    path.write_text("somebody's", encoding="utf-8")
    with files.open_lock(path):
        with pytest.raises(BlockingIOError):
            files.open_lock(path)
        assert path.read_text(encoding="utf-8") == "somebody's"
    files.open_lock(path).close()


def test_a_place_that_is_not_there_is_named_as_it_was_asked_for(tmp_path: Path) -> None:
    wanted = tmp_path / "none" / "page.html"
    with pytest.raises(OSError) as told:
        files.write_output(wanted, "text")
    assert told.value.filename == str(wanted)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(run: Path) -> None:
    path = run / "result.json"
    files.write_atomically(path, "old")
    with pytest.raises(RuntimeError), files.replacing(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old" and os.listdir(run) == ["result.json"]


def test_what_killed_writers_left_is_removed_and_nothing_else(run: Path) -> None:
    for name in (".a.bin.0123456789abcdef.tmp", ".b.bin.0123456789abcdef.tmp", "a.bin"):
        (run / name).touch()
    files.remove_leftovers(run / "a.bin")
    assert sorted(os.listdir(run)) == [".b.bin.0123456789abcdef.tmp", "a.bin"]


def test_temporary_names_cannot_be_guessed(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = set()
    real = os.replace

    def replace(source: Path, target: Path) -> None:
        names.add(Path(source).name)
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    for _ in range(8):
        files.write_atomically(run / "result.json", "x")
    assert len(names) == 8


@pytest.mark.parametrize("write", [files.write_atomically, files.write_output, files.append_text])
def test_every_writer_masks_secrets(write: Callable[[Path, str], None], run: Path) -> None:
    write(run / "file.txt", f"it said {SECRET}\ud800")
    assert (run / "file.txt").read_text(encoding="utf-8") == f"it said {MASK}?"


def test_deleting_removes_links_and_never_follows_them(run: Path, elsewhere: Path) -> None:
    (run / "deep").mkdir()
    (run / "deep" / "link").symlink_to(elsewhere.parent)
    (run / "top").symlink_to(elsewhere.parent)
    for path in (run / "top", run / "deep", run / "absent"):
        files.delete(path)
    assert os.listdir(run) == [] and untouched(elsewhere)


def test_sizes_are_bounded(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run / "big.json"
    path.write_text("[" + "1," * 500 + "1]", encoding="utf-8")
    with pytest.raises(OSError, match="more than 100 bytes"):
        files.read_bytes(path, 100)
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    with pytest.raises(ValueError, match="a line of more than 100 bytes"):
        list(files.iter_lines(path))


@pytest.mark.parametrize("text", ["9" * 400, "-" + "9" * 20, str(2**63), "[" * 100_000, "", "{", '"\ud800'])
def test_json_that_could_hurt_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        files.parse_json(text)


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63), 1e300, {"a": [None, "é"]}])
def test_json_is_read_as_it_was_written_with_or_without_a_byte_order_mark(value: object) -> None:
    for text in (json.dumps(value), "\ufeff" + json.dumps(value, ensure_ascii=False)):
        assert files.parse_json(text.encode("utf-8")) == value


def test_an_output_that_the_user_named_may_be_a_device(tmp_path: Path) -> None:
    path = tmp_path / "null"
    path.symlink_to(os.devnull)
    files.write_output(path, "text")
    assert path.is_symlink() and os.listdir(tmp_path) == ["null"]
