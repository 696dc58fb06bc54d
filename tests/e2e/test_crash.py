"""Kill the process for real, at many moments, and show that nothing generated is lost or made twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.run.folder import COMPACTED, RECORDS, SCORES, RunFolder

COMMAND = [
    sys.executable,
    "-m",
    "harness",
    "run",
    "--suite",
    "synth",
    "--limit",
    "40",
    "--n",
    "4",
    "--temperature",
    "1",
]
SLOW, QUICK = 0.2, 0.01
"""Seconds of an answer: where a run is killed in time, and where none is. They are no part of a run's name."""


def model(latency: float) -> list[str]:
    return ["--model", "mock:slow", "--model-arg", f"latency={latency}", "--model-arg", "concurrency=8", "--quiet"]


def start(results: Path, *extra: str, latency: float = SLOW) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *model(latency), "--results-dir", str(results), *extra],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run_directory(results: Path) -> Path:
    (directory,) = (results / "runs").iterdir()
    return directory


def lines(results: Path) -> int:
    """Complete lines in the records file so far."""
    found = list((results / "runs").glob(f"*/{RECORDS}")) if (results / "runs").is_dir() else []
    return found[0].read_bytes().count(b"\n") if found else 0


def wait_for_lines(process: subprocess.Popen[str], results: Path, count: int) -> int:
    deadline = time.monotonic() + 200
    while lines(results) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return lines(results)


def finish(results: Path, *extra: str) -> dict[str, object]:
    process = start(results, "--json", *extra, latency=QUICK)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return json.loads(out)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run, never interrupted."""
    results = tmp_path_factory.mktemp("untouched")
    finish(results)
    return run_directory(results)


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 30, 90, 140])
def test_kill_9_loses_nothing_that_was_on_disk(after: int, tmp_path: Path, untouched: Path) -> None:
    process = start(tmp_path)
    on_disk = wait_for_lines(process, tmp_path, after)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the run ended before it could be killed"
    survived = {(r.problem_id, r.attempt): r for r in RunFolder(run_directory(tmp_path)).records}
    assert len(survived) >= on_disk >= after

    outcome = finish(tmp_path)
    records = list(RunFolder(run_directory(tmp_path)).records)
    keys = [(r.problem_id, r.attempt) for r in records]
    assert len(keys) == len(set(keys)) == 160, "every sample once, none twice"
    for record in records:  # what survived was kept, not made again
        before = survived.get((record.problem_id, record.attempt))
        assert before is None or before == record
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded
    rows = outcome["rows"]
    assert isinstance(rows, list)
    assert rows[0]["n_samples"] == 160


@pytest.mark.slow
@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_stop_is_clean_and_resumable(kind: signal.Signals, tmp_path: Path, untouched: Path) -> None:
    process = start(tmp_path)
    wait_for_lines(process, tmp_path, 20)
    process.send_signal(kind)
    _, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    assert "run the same command again to resume" in err
    assert "8 unfinished replies were dropped" in err  # the slow model answers eight at once
    assert "Traceback" not in err
    assert len(list(RunFolder(run_directory(tmp_path)).records)) >= 20
    finish(tmp_path)
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded


@pytest.mark.slow
def test_raising_n_makes_only_what_is_missing(tmp_path: Path) -> None:
    finish(tmp_path, "--n", "1")
    first = {(r.problem_id, r.attempt): r for r in RunFolder(run_directory(tmp_path)).records}
    assert len(first) == 40
    dry = subprocess.run(
        [*COMMAND, *model(QUICK), "--results-dir", str(tmp_path), "--n", "4", "--dry-run", "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(dry.stdout)["rows"][0]
    assert (plan["requests"], plan["stored"]) == (120, 40)
    finish(tmp_path, "--n", "4")
    now = {(r.problem_id, r.attempt): r for r in RunFolder(run_directory(tmp_path)).records}
    assert len(now) == 160
    assert all(now[key] == record for key, record in first.items())


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for_lines(process, tmp_path, 5)
    second = start(tmp_path)
    _, err = second.communicate(timeout=200)
    assert second.returncode == 2, err
    assert "another process" in err
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err


@pytest.mark.slow
def test_a_finished_run_is_compact_and_asks_nothing_again(tmp_path: Path) -> None:
    finish(tmp_path)
    directory = run_directory(tmp_path)
    assert (directory / COMPACTED).exists()
    assert not (directory / RECORDS).exists()
    stamp = (directory / COMPACTED).stat().st_mtime_ns
    finish(tmp_path)
    assert (directory / COMPACTED).stat().st_mtime_ns == stamp
    assert (directory / SCORES).read_bytes().count(b"\n") == 160


@pytest.mark.slow
def test_a_disk_that_fills_up_stops_the_run_and_loses_nothing(tmp_path: Path, untouched: Path) -> None:
    """A file-size limit of 16 KiB stands for the full disk: the write that crosses it fails halfway through a line."""
    command = [*COMMAND, *model(QUICK), "--results-dir", str(tmp_path)]
    limited = ["bash", "-c", 'ulimit -f 16; exec "$@"', "bash", *command]
    done = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    assert done.returncode == 3, done.stderr
    assert "free some space and run the same command again" in done.stderr
    assert "Traceback" not in done.stderr
    survived = len(list(RunFolder(run_directory(tmp_path)).records))
    assert 0 < survived < 160
    finish(tmp_path)
    assert RunFolder(run_directory(tmp_path)).graded == RunFolder(untouched).graded
