"""Kill `harness data traces` for real: every reply that came is kept, and the next call asks only for the rest."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backends.records.source import read_records

pytestmark = pytest.mark.slow
PROMPTS, N = 20, 4


def start(folder: Path, out: str, latency: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "data", "traces", "--teacher", "mock:slow", "--n", str(N)]
    options = [f"latency={latency}", "concurrency=4", "accuracy=0.7", "think=true"]
    command += [part for option in options for part in ("--teacher-arg", option)]
    command += ["--suite", "synth_easy", "--per-level", str(PROMPTS // 2), "-o", out]
    path = os.pathsep.join([str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    )


def stored(folder: Path, out: str) -> int:
    path = folder / f"{out}.cache.sqlite"
    if not path.exists():
        return 0
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            count: int = connection.execute("SELECT count(*) FROM replies").fetchone()[0]
        connection.close()
        return count
    except sqlite3.OperationalError:  # being made
        return 0


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_maker_loses_no_reply(tmp_path: Path, how: signal.Signals) -> None:
    process = start(tmp_path, "a.jsonl", 0.1)
    while stored(tmp_path, "a.jsonl") < 12:
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(how)
    error = process.communicate()[1]
    assert process.returncode == (-9 if how == signal.SIGKILL else 130), error
    assert not (tmp_path / "a.jsonl").exists()
    kept = stored(tmp_path, "a.jsonl")
    assert 12 <= kept < PROMPTS * N

    again = start(tmp_path, "a.jsonl", 0.0)
    assert "Traceback" not in again.communicate()[1] and again.returncode == 0
    asked = json.loads((tmp_path / "a.jsonl.report.json").read_text())["asked"]
    assert (asked["cached"], asked["requests"]) == (kept, PROMPTS * N - kept)

    whole = start(tmp_path, "b.jsonl", 0.0)  # never interrupted: the same records
    assert whole.communicate() and whole.returncode == 0
    assert read_records(tmp_path / "a.jsonl") == read_records(tmp_path / "b.jsonl")
    assert not [path for path in tmp_path.iterdir() if path.name.endswith((".part", ".tmp"))]
