"""The cache of judge replies: what goes in comes out, and a file that is not ours is refused with advice."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from harness.errors import StoreError
from harness.hashing import canonical_json
from harness.models.reply_cache import Cache
from harness.types import Completion, Message
from judges.ask import ask_request
from judges.types import Ask, Verdict

REPLIES = [
    Completion("plain", "stop"),
    Completion("", "length", tokens_in=0, tokens_out=0),
    Completion(
        "zwei\nZeilen, 中文 🙂 \x00 end", "stop", reasoning="because", opened_think=True, tokens_in=7, tokens_out=9
    ),
    Completion("A", "stop", alternatives={"A": -0.1, " B": -2.5, "\ufffd": -9.0, "": -11.0}),
]


def make_ask(text: str = "Rate this", **changes: object) -> Ask:
    ask = Ask((Message("system", "You judge."), Message("user", text)), lambda completion: Verdict(1.0, "1"))
    return dataclasses.replace(ask, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("on_disk", [False, True])
def test_what_goes_in_comes_out(tmp_path: Path, on_disk: bool) -> None:
    path = tmp_path / "deep" / "cache.sqlite" if on_disk else None
    with Cache(path) as cache:
        for number, completion in enumerate(REPLIES):
            cache.put(f"key {number}", "judge", completion)
        assert cache.count() == len(REPLIES)
        keys = [f"key {number}" for number in range(2000)]
        assert cache.get_many([*keys, *keys]) == dict(zip(keys, REPLIES, strict=False))
        assert cache.get("key 3") == REPLIES[3] and cache.get("no key") is None and cache.get_many([]) == {}
    if path is not None:
        with Cache(path) as cache:
            assert cache.get_many(keys) == dict(zip(keys, REPLIES, strict=False))


def test_a_failed_request_is_not_stored_and_the_first_reply_stays() -> None:
    with Cache(None) as cache:
        with pytest.raises(ValueError, match="not cached"):
            cache.put("key", "judge", Completion("", "error", error="HTTP 500"))
        cache.put("key", "judge", Completion("first", "stop"))
        cache.put("key", "judge", Completion("second", "stop"))
        assert cache.get("key") == Completion("first", "stop")


def test_secrets_and_half_characters_are_not_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_API_KEY", "s3cret-value-of-mine")
    reply = Completion("my key is s3cret-value-of-mine \ud83d", "stop", reasoning="s3cret-value-of-mine")
    with Cache(tmp_path / "c") as cache:
        cache.put("key", "judge", dataclasses.replace(reply, alternatives={"s3cret-value-of-mine": -1.0}))
        found = cache.get("key")
    assert found is not None and found.text.startswith("my key is [redacted]") and found.reasoning == "[redacted]"
    assert not any(b"s3cret" in file.read_bytes() for file in tmp_path.iterdir())


def test_the_key_is_everything_that_can_change_the_reply() -> None:
    judge = canonical_json({"engine": "fake", "model": "a"})
    changes: list[dict[str, object]] = [
        {},
        {"repeat": 1},
        {"temperature": 0.7},
        {"max_tokens": 1},
        {"schema": {"properties": {"reason": {}, "verdict": {}}}},
        {"schema": {"properties": {"verdict": {}, "reason": {}}}},
        {"top_logprobs": 5},
        {"messages": (Message("user", "You judge."), Message("user", "Rate this"))},
        {"messages": (Message("system", "You judge."), Message("user", "Rate this \ud83d"))},
    ]
    keys = {ask_request(judge, make_ask(**change)).id for change in changes}
    keys.add(ask_request(canonical_json({"engine": "fake", "model": "b"}), make_ask()).id)
    assert len(keys) == len(changes) + 1 and all(len(key) == 64 for key in keys)
    for same in ({"order": "opponent_first"}, {"temperature": 0}):
        assert ask_request(judge, make_ask(**same)).id == ask_request(judge, make_ask()).id
    seeds = {ask_request(judge, make_ask(repeat=repeat)).seed for repeat in range(100)}
    assert len(seeds) == 100 and all(0 <= seed < 2**31 for seed in seeds)
    # Stored with every reply: a change would ask everything again.
    assert ask_request(judge, make_ask()).id == "caabd7782e1d101277675c4822c43e6b2b38a70a6dc25b6ba63f7e22d171cb6b"


def write_foreign(path: Path) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE mine (x)")
    database.close()


def write_newer(path: Path) -> None:
    Cache(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()


def write_torn(path: Path) -> None:
    with Cache(path) as cache:
        for number in range(300):
            cache.put(f"key {number}", "judge", Completion("x" * 500, "stop"))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 3])


def write_odd_row(path: Path) -> None:
    with Cache(path) as cache:
        cache.put("key 7", "judge", Completion("x", "stop", alternatives={"a": -1.0}))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE replies SET alternatives = '[1'")
    database.close()


DAMAGE = [
    (lambda path: path.write_bytes(b"not a database, " * 100), "damaged or no judge cache.*move it away"),
    (write_foreign, "another program's database: move it away, or say another --results-dir"),
    (write_newer, "has schema 99, this version of harness reads 1"),
    (write_torn, "damaged or no judge cache.*move it away"),
    (write_odd_row, "damaged or no judge cache.*no table of numbers"),
    (lambda path: path.mkdir(), "cannot be used .it is not a regular file.: say another --results-dir"),
    (lambda path: path.symlink_to(path.with_name("elsewhere")), "symbolic link.*say another --results-dir"),
    (lambda path: os.mkfifo(path), "not a regular file"),
    (lambda path: path.with_name("cache.sqlite-wal").symlink_to("/dev/zero"), "symbolic link"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGE)
def test_a_file_that_cannot_be_used_is_told_with_what_to_do(tmp_path: Path, damage: object, message: str) -> None:
    path = tmp_path / "cache.sqlite"
    damage(path)  # type: ignore[operator]
    with pytest.raises(StoreError, match=message) as caught, Cache(path) as cache:
        cache.get_many([f"key {number}" for number in range(300)])
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot be used"):
        Cache(tmp_path / "file" / "cache.sqlite")


def fill(path: Path, start: int, count: int) -> None:
    """Work of another process: open at once with the others, write, read."""
    with Cache(path) as cache:
        for number in range(start, start + count):
            cache.put(f"key {number}", f"judge {os.getpid()}", Completion(f"text {number}", "stop"))


def test_several_processes_share_one_file(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(path, 100 * number, 200)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 3
    with Cache(path) as cache:
        found = cache.get_many(f"key {number}" for number in range(500))
    assert {key: one.text for key, one in found.items()} == {f"key {n}": f"text {n}" for n in range(400)}
