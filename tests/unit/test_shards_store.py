"""The files of shards: who may write them, what readers see, and a merge that is killed anywhere."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_store import make_record, make_spec

from harness.errors import PrerequisiteError, StoreError
from harness.run.folder import LOG, RECORDS, RunFolder
from harness.run.shards import Shard, shards_with
from harness.run.store import RunStore

# --- who may write ---------------------------------------------------------------------------------------------------


def test_shards_write_beside_each_other_and_nobody_else_does(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec(), Shard(1, 2)) as one, RunStore(tmp_path, make_spec(), Shard(2, 2)) as two:
        one.append(make_record("p1"))
        two.append(make_record("p2"))
        with pytest.raises(StoreError, match=r"shard 2/2 of .* is being written by another process"):
            RunStore(tmp_path, make_spec(), Shard(2, 2)).__enter__()
        with pytest.raises(StoreError, match="is being written by another process"):
            RunStore(tmp_path, make_spec()).__enter__()
    with RunStore(tmp_path, make_spec()) as store:
        with pytest.raises(StoreError, match="is being written by another process"):
            RunStore(tmp_path, make_spec(), Shard(1, 2)).__enter__()
        assert store.merge() == 2
        assert [record.problem_id for record in store.current()] == ["p1", "p2"]


def test_a_shard_of_another_run_is_refused(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec(), Shard(1, 2)):
        pass
    with pytest.raises(StoreError, match="another run"):
        RunStore(tmp_path, make_spec(model="mock:wrong"), Shard(2, 2)).__enter__()


# --- what a crash leaves ---------------------------------------------------------------------------------------------


def test_whoever_reads_sees_what_the_shards_have(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()) as store:
        store.append(make_record("p0"))
    for index, problem in ((10, "p2"), (9, "p1")):
        with RunStore(tmp_path, make_spec(), Shard(index, 12)) as store:
            store.append(make_record(problem))
    (tmp_path / "records.13of12.jsonl").write_text("nobody's")
    (tmp_path / "records.01of12.jsonl").write_text("nobody's")
    assert [record.problem_id for record in RunFolder(tmp_path).records] == ["p0", "p1", "p2"]
    assert set(RunFolder(tmp_path).usable()) == {("p0", 0), ("p1", 0), ("p2", 0)}
    assert shards_with(tmp_path / "nowhere", RECORDS) == []


def test_a_torn_line_of_a_shard_is_made_again(tmp_path: Path) -> None:
    shard = Shard(1, 2)
    with RunStore(tmp_path, make_spec(), shard) as store:
        store.append(make_record("p1"))
        store.append(make_record("p2"))
    path = tmp_path / shard.own(RECORDS)
    path.write_bytes(path.read_bytes()[:-7])
    with RunStore(tmp_path, make_spec(), shard) as store:
        assert store.done(("p1", 0), "abcd") and not store.done(("p2", 0), "abcd")
        store.append(make_record("p2"))
    assert "torn last line of records.1of2.jsonl" in (tmp_path / shard.own(LOG)).read_text()
    path.write_bytes(path.read_bytes()[:-7])
    with RunStore(tmp_path, make_spec()) as store:
        store.merge()
        assert [record.problem_id for record in store.current()] == ["p1"]


def test_damage_within_a_shard_is_named_and_nothing_is_deleted(tmp_path: Path) -> None:
    for index in (1, 2):
        with RunStore(tmp_path, make_spec(), Shard(index, 2)) as store:
            for attempt in range(3):
                store.append(make_record(f"p{index}", attempt))
    path = tmp_path / "records.2of2.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"half": \n' + lines[2])
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"records\.2of2\.jsonl, line 2"), RunStore(tmp_path, make_spec()) as store:
        store.merge()
    assert path.read_bytes() == before
    path.write_bytes(b"".join(lines))
    with RunStore(tmp_path, make_spec()) as store:
        store.merge()
        assert len(list(store.current())) == 6


def test_a_link_in_place_of_a_shard_is_not_followed(tmp_path: Path) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    for folder in (run, other):
        with RunStore(folder, make_spec(), Shard(1, 2)) as store:
            store.append(make_record("p1"))
    (run / "records.2of2.jsonl").symlink_to(other / "records.1of2.jsonl")
    with pytest.raises(StoreError, match="symbolic link"):
        list(RunFolder(run).records)
    with pytest.raises(StoreError, match="symbolic link"), RunStore(run, make_spec()) as store:
        store.merge()
    assert (other / "records.1of2.jsonl").exists()


class Killed(BaseException):
    """Stands for the death of the process: nothing that follows runs."""


OUTCOMES = ("stop", "error")
MADE = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.sampled_from(OUTCOMES)), min_size=1, max_size=12)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(made=MADE, kills=st.lists(st.integers(0, 14), max_size=3))
def test_a_merge_that_is_killed_anywhere_loses_and_doubles_nothing(
    made: list[tuple[int, int, str]], kills: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the shards hold, retries included, and however often the merge dies, the best of each key is there."""
    folder, best = tmp_path_factory.mktemp("run"), dict[tuple[str, int], str]()
    for index, problem, finish in made:
        key = (f"p{index}-{problem}", 0)  # a key is one shard's
        with RunStore(folder, make_spec(), Shard(index, 3)) as store:
            if store.done(key, "abcd"):
                continue
            store.append(make_record(key[0], text=finish, finish=finish))
        best[key] = finish
    for kill in kills:
        with pytest.MonkeyPatch.context() as patch:
            left = iter(range(kill))

            def dying(call: Callable[..., Any], left: Iterator[int] = left) -> Callable[..., Any]:
                def act(*arguments: Any, **named: Any) -> Any:
                    if next(left, None) is None:
                        raise Killed
                    return call(*arguments, **named)

                return act

            for owner, name in ((RunStore, "_append"), (RunStore, "sync"), (Path, "unlink")):
                patch.setattr(owner, name, dying(getattr(owner, name)))
            try:
                with RunStore(folder, make_spec()) as store:
                    store.merge()
            except Killed:
                pass
    with RunStore(folder, make_spec()) as store:
        store.merge()
        found = [((record.problem_id, record.attempt), record.completion.text) for record in store.current()]
    assert len(found) == len(best) and dict(found) == best
    assert not shards_with(folder, RECORDS)


def test_a_failure_of_a_shard_does_not_hide_an_answer(tmp_path: Path) -> None:
    """Two divisions at once, which nothing but a race allows."""
    with RunStore(tmp_path, make_spec()) as store:
        store.append(make_record("p1", text="good"))
    for shard, finish in ((Shard(1, 2), "error"), (Shard(2, 3), "stop")):
        lines = tmp_path / shard.own(RECORDS)
        with RunStore(tmp_path / str(shard.count), make_spec(), shard) as store:
            store.append(make_record("p1", text="other", finish=finish))
        os.rename(tmp_path / str(shard.count) / shard.own(RECORDS), lines)
    with RunStore(tmp_path, make_spec()) as store:
        assert store.merge() == 2
        assert [record.completion.text for record in store.current()] == ["good"]


def test_a_full_disk_on_a_merge_leaves_the_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with RunStore(tmp_path, make_spec(), Shard(1, 2)) as store:
        store.append(make_record("p1"))
    with monkeypatch.context() as patch:
        patch.setattr("harness.run.store.open_append", lambda path: open("/dev/full", "ab", buffering=0))  # noqa: SIM115
        with pytest.raises(PrerequisiteError, match="No space left"), RunStore(tmp_path, make_spec()) as store:
            store.merge()
    with RunStore(tmp_path, make_spec()) as store:
        store.merge()
        assert len(list(store.current())) == 1
