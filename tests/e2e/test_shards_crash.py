"""Shards that are killed for real, and the merge that is: nothing on disk is lost, and nothing is made twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_crash import COMMAND, QUICK, finish, lines, model, run_directory, start

from harness.run.folder import COMPACTED, RECORDS, RunFolder
from harness.run.shards import LOCK, Shard, shards_with
from harness.types import Record

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run by one process, never interrupted."""
    results = tmp_path_factory.mktemp("untouched")
    finish(results)
    return run_directory(results)


def kill(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it ended before it could be killed"


def end(process: subprocess.Popen[str]) -> str:
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return err


def wait_for(results: Path, file: str, count: int, process: subprocess.Popen[str]) -> int:
    """Complete lines of a file of the one run, once there are so many."""
    deadline, found = time.monotonic() + 200, -1
    while found < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
        paths = list((results / "runs").glob(f"*/{file}")) if (results / "runs").is_dir() else []
        found = paths[0].read_bytes().count(b"\n") if paths else -1
    return found


def stored(results: Path) -> dict[tuple[str, int], Record]:
    return RunFolder(run_directory(results)).latest


def test_a_killed_shard_is_finished_by_whoever_comes(tmp_path: Path, untouched: Path) -> None:
    """Of three that are killed one is started again and two never come back; a fourth is refused meanwhile."""
    # Slow enough that neither ends while the other is still starting.
    first, second = (start(tmp_path, "--shard", f"{index}/3", latency=1.5) for index in (1, 2))
    third = start(tmp_path, "--shard", "3/3", latency=300)
    wait_for(tmp_path, "records.1of3.jsonl", 12, first)
    on_disk = wait_for(tmp_path, "records.2of3.jsonl", 12, second)
    kill(first)
    kill(second)
    wait_for(tmp_path, Shard(3, 3).own(LOCK), 0, third)
    twice, whole = start(tmp_path, "--shard", "3/3"), start(tmp_path)
    for refused, said in ((twice, "shard 3/3"), (whole, "another process")):
        _, err = refused.communicate(timeout=200)
        assert refused.returncode == 2 and said in err and "Traceback" not in err
    kill(third)
    before = stored(tmp_path)
    assert len(before) >= 24 and on_disk >= 12
    end(start(tmp_path, "--shard", "1/3", latency=QUICK))
    finish(tmp_path)
    after = list(RunFolder(run_directory(tmp_path)).records)
    assert len(after) == len({(record.problem_id, record.attempt) for record in after}) == 160
    assert all(stored(tmp_path)[key] == record for key, record in before.items()), "what survived is kept"
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded


@pytest.mark.parametrize("after", [1, 100])
def test_a_killed_merge_loses_nothing(after: int, tmp_path: Path, untouched: Path) -> None:
    """The merge has half of the run to take over and half to make, and dies within either."""
    end(start(tmp_path, "--shard", "1/2", latency=QUICK))
    before = stored(tmp_path)
    merging = start(tmp_path)
    deadline = time.monotonic() + 200
    while lines(tmp_path) < after and merging.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    kill(merging)
    assert all(stored(tmp_path)[key] == record for key, record in before.items())
    finish(tmp_path)
    after_all = list(RunFolder(run_directory(tmp_path)).records)
    assert len(after_all) == len({(record.problem_id, record.attempt) for record in after_all}) == 160
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded
    assert not shards_with(run_directory(tmp_path), RECORDS) and (run_directory(tmp_path) / COMPACTED).exists()


def test_a_full_disk_on_one_shard_costs_the_others_nothing(tmp_path: Path, untouched: Path) -> None:
    """A file-size limit of 4 KiB stands for the full disk."""
    command = [*COMMAND, *model(QUICK), "--results-dir", str(tmp_path), "--shard", "1/2"]
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "bash", *command]
    full = subprocess.Popen(limited, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    end(start(tmp_path, "--shard", "2/2", latency=QUICK))
    _, err = full.communicate(timeout=120)
    assert full.returncode == 3 and "free some space and run the same command again" in err
    assert "Traceback" not in err
    assert 80 < len(stored(tmp_path)) < 160
    finish(tmp_path)
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded


def test_a_polite_stop_of_a_shard_is_resumed(tmp_path: Path, untouched: Path) -> None:
    process = start(tmp_path, "--shard", "2/2")
    wait_for(tmp_path, "records.2of2.jsonl", 10, process)
    process.send_signal(signal.SIGTERM)  # what a queue sends at the end of the time that a job was given
    _, err = process.communicate(timeout=200)
    assert process.returncode == 130 and "run the same command again to resume" in err
    kept = len(stored(tmp_path))
    assert "80 completions to make" not in err and 10 <= kept < 80
    for index in (1, 2):
        end(start(tmp_path, "--shard", f"{index}/2", latency=QUICK))
    assert len(stored(tmp_path)) == 160
    finish(tmp_path)
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded
