"""Kill a judging process for real: what it was told is kept, and the next one asks only for the rest."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from harness.models.reply_cache import Cache

pytestmark = pytest.mark.slow
ITEMS, REPEATS = 60, 2
PROGRAM = f"""
import asyncio, json, sys
from pathlib import Path
from harness.models import load_model
from judges.ask import judge_tasks
from harness.models.reply_cache import Cache
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Task

class Counting:  # the model, and how many replies it made
    def __init__(self, name, options):
        self.model, self.made = load_model(name, options), 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    async def answer(self, request):
        completion = await self.model.answer(request)
        self.made += 1
        return completion

async def main():
    judge = Counting("mock:judge", {{"latency": sys.argv[2], "concurrency": "8", "malformed": "0.2"}})
    judging = RubricJudging(load_rubric("rating_10"), repeats={REPEATS}, temperature=0.7)
    tasks = [Task(f"p{{i}}", 0, ("What is 2 + 2?",), (f"It is {{i}}.",)) for i in range({ITEMS})]
    with Cache(Path(sys.argv[1])) as cache:
        found = await judge_tasks(judge, judging, tasks, cache)
    rows = [[j.problem_id, j.repeat, j.verdict and j.verdict.label, j.raw, j.why, j.tries] for r in found for j in r]
    cached = sum(j.cached for r in found for j in r)
    print(json.dumps({{"rows": rows, "requests": judge.made, "cached": cached}}))

asyncio.run(main())
"""


SLOW, QUICK = 0.1, 0.005
"""Seconds of a reply: where a process is killed in time, and where none is. They are no part of a reply's key."""


def start(cache: Path, latency: float = SLOW) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(cache), str(latency)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


def stored(path: Path) -> int:
    """Replies in the file; read while the other process writes."""
    with Cache(path) as cache:
        return cache.count()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("undisturbed") / "cache"
    found = finish(start(path, QUICK))
    assert len(found["rows"]) == ITEMS * REPEATS and found["requests"] == stored(path) > ITEMS * REPEATS
    return found


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("moments", [(1,), (20, 60, 100)])
def test_the_next_process_asks_only_for_the_rest(
    tmp_path: Path, undisturbed: dict[str, Any], how: signal.Signals, moments: tuple[int, ...]
) -> None:
    path = tmp_path / "cache"
    for moment in moments:
        process = start(path)
        deadline = time.monotonic() + 200
        while (not path.exists() or stored(path) < moment) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.poll() is None, "it was to be killed in the middle"
        process.send_signal(how)
        process.communicate(timeout=200)
        assert process.returncode != 0
    kept = stored(path)
    assert moments[-1] <= kept < undisturbed["requests"]
    resumed = finish(start(path, QUICK))
    assert resumed["rows"] == undisturbed["rows"]
    assert resumed["requests"] == undisturbed["requests"] - kept
    again = finish(start(path, QUICK))
    assert again["rows"] == undisturbed["rows"] and (again["requests"], again["cached"]) == (0, ITEMS * REPEATS)


def test_two_processes_at_once_agree(tmp_path: Path, undisturbed: dict[str, Any]) -> None:
    path = tmp_path / "cache"
    processes = [start(path), start(path)]
    results = [finish(process) for process in processes]
    assert [result["rows"] for result in results] == [undisturbed["rows"]] * 2
    assert stored(path) == undisturbed["requests"]
