"""A system of models that is killed in the middle of its answers asks nothing twice and ends as if it had not been."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.run.folder import RunFolder
from harness.systems.base import REPLIES
from harness.types import Completion

PARTS = {"model": "0.3", "reason": "0.4"}
"""Accuracy of the two ways of `lorid`: they meet after a few rounds."""


def start(results: Path, latency: float) -> subprocess.Popen[bytes]:
    told = ["knowledge=mock:wrong", "reason=mock:gold", "reason.variant=b"]
    told += [f"{role}.accuracy={accuracy}" for role, accuracy in PARTS.items()]
    told += [f"{role}.latency={latency}" for role in PARTS] + [f"{role}.concurrency=2" for role in PARTS]
    command = [sys.executable, "-m", "harness", "run", "--suite", "synth_easy", "--limit", "12", "--quiet"]
    command += ["--model", "lorid:6:mock:gold", "--results-dir", str(results)]
    return subprocess.Popen(
        [*command, *(part for one in told for part in ("--model-arg", one))], start_new_session=True
    )


def kept(results: Path) -> int:
    """Replies in the file of parts' replies."""
    path = results / REPLIES
    if not path.exists():
        return 0
    with closing(sqlite3.connect(path)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM replies").fetchone()[0])
        except sqlite3.OperationalError:  # the table is not there yet
            return 0


def untimed(completion: Completion) -> Completion:
    """Without seconds, which no two runs share."""
    if completion.composed is None:
        return replace(completion, seconds=None)
    replies = tuple((role, untimed(reply)) for role, reply in completion.composed.replies)
    return replace(completion, seconds=None, composed=replace(completion.composed, replies=replies))


def outcome(results: Path) -> tuple[Any, Any]:
    (folder,) = (RunFolder(path) for path in (results / "runs").iterdir())
    records = {(one.problem_id, one.attempt): untimed(one.completion) for one in folder.records}
    return records, {name: value for name, value in folder.result.totals.items() if name != "seconds"}


def test_killed_in_the_middle_of_its_answers(tmp_path: Path) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = start(killed, 0.25)
    deadline = time.monotonic() + 200
    while kept(killed) < 9 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = kept(killed)
    assert before >= 9
    assert start(whole, 0.0).wait(timeout=200) == 0
    asked = kept(whole)
    assert before < asked, "it was killed too late to show anything"
    assert start(killed, 0.0).wait(timeout=200) == 0
    assert kept(killed) == asked  # nothing beside what an undisturbed run asks
    assert outcome(killed) == outcome(whole)
