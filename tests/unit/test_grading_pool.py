"""The pool: hangs, crashes and memory cost one item; results are shared; nothing hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import Interrupted, UsageError
from harness.grading.pool import GradingPool

PLUGIN = """
import os, signal, time
from harness.types import Score
class Nasty:
    name = "nasty"
    def version(self): return "nasty/1"
    def grade(self, target, answer):
        if answer == "hang": time.sleep(600)
        if answer == "stubborn":
            while True:
                try: 9 ** 9 ** 9
                except BaseException: pass
        if answer == "exit": os._exit(3)
        if answer == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
        if answer == "memory": return Score(1.0, "scored", str(len(bytearray(2**34))))
        if answer == "raise": raise ValueError("no")
        if answer == "print": print("noise" * 10000, flush=True)
        if answer == "count":
            with open(target, "a") as f: f.write("x")
        return Score(1.0, "scored", answer)
GRADER = Nasty()
"""


@pytest.fixture
def nasty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A third party's grader, found through an entry point as an installed plugin would be."""
    (tmp_path / "nasty_grader.py").write_text(PLUGIN)
    info = tmp_path / "nasty-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nasty\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[harness.plugins]\ngrader.nasty = nasty_grader:GRADER\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path


@pytest.mark.parametrize(
    ("answer", "reason"),
    [("hang", "timed out after 1 s"), ("stubborn", "timed out"), ("exit", "exit status 3"), ("segfault", "signal 11"),
     ("memory", "out of memory"), ("raise", "ValueError: no")],
)  # fmt: skip
def test_a_deadly_item_costs_only_itself(nasty: Path, answer: str, reason: str) -> None:
    with GradingPool(workers=1, timeout=1.0) as pool:
        before = [pool.submit("nasty", "", f"a{n}") for n in range(20)]
        deadly = pool.submit("nasty", "", answer)
        after = [pool.submit("nasty", "", f"b{n}") for n in range(20)]
        score = deadly.result()
        assert (score.value, score.status) == (None, "unscored") and reason in score.why
        assert [future.result().value for future in before + after] == [1.0] * 40


def test_equal_submissions_are_graded_once_and_noise_is_ignored(nasty: Path) -> None:
    counter = nasty / "count.txt"
    with GradingPool(workers=2) as pool:
        futures = [pool.submit("nasty", str(counter), "count") for _ in range(50)]
        assert pool.submit("nasty", "", "print").result().value == 1.0
        assert {future.result().answer for future in futures} == {"count"}
    assert counter.read_text() == "x"


def test_unknown_grader_is_unscored_with_the_reason() -> None:
    with GradingPool(workers=1) as pool:
        score = pool.submit("nope", "1", "1").result()
    assert score.value is None and "unknown grader 'nope'" in score.why


def test_math_through_the_pool() -> None:
    with GradingPool(workers=1) as pool:
        right, wrong = pool.submit("math", "\\sqrt{12}", "2\\sqrt{3}"), pool.submit("math", "\\sqrt{12}", "3\\sqrt{2}")
        assert (right.result().value, wrong.result().value) == (1.0, 0.0)


def test_worker_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.grading.pool._PROGRAM", "raise SystemExit('broken installation')")
    with GradingPool(workers=1) as pool:
        score = pool.submit("math", "1", "x").result()
    assert score.value is None and "does not start: broken installation" in score.why


def test_leaving_by_an_exception_drops_what_is_queued(nasty: Path) -> None:
    with pytest.raises(KeyboardInterrupt), GradingPool(workers=1, timeout=3600) as pool:
        futures = [pool.submit("nasty", str(n), "hang") for n in range(5)]
        raise KeyboardInterrupt
    for future in futures:
        with pytest.raises(Interrupted):
            future.result(timeout=0)
    with pytest.raises(UsageError, match="closed"):
        pool.submit("math", "1", "2")


@pytest.mark.parametrize(("workers", "timeout", "memory"), [(0, 1, 4096), (1, 0, 4096), (1, 1, 10)])
def test_senseless_settings(workers: int, timeout: float, memory: int) -> None:
    with pytest.raises(UsageError):
        GradingPool(workers, timeout, memory)


def test_interpreter_exits_with_an_open_pool_and_needs_no_main_guard(nasty: Path) -> None:
    script = nasty / "script.py"
    script.write_text(
        textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(nasty)!r})
        from harness.grading.pool import GradingPool
        pool = GradingPool(workers=2, timeout=600)
        print(pool.submit("nasty", "", "ok").result().value)
        pool.submit("nasty", "", "hang")
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1.0\n", "")


def test_ctrl_c_in_the_terminal_reaches_no_worker(nasty: Path) -> None:
    with GradingPool(workers=1) as pool:
        pool.submit("nasty", "", "ok").result()
        worker = next(iter(pool._live))
        os.kill(worker._process.pid, signal.SIGINT)
        assert pool.submit("nasty", "", "still here").result().value == 1.0
        assert next(iter(pool._live)) is worker
