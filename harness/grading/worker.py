"""The worker process of `harness.grading.pool`: reads batches of comparisons, answers each on its own line.

Started as `python -P -c "from harness.grading.worker import main; main(…)"`, so that it shares nothing with the parent:
no memory, no CUDA context, no `__main__` to import again. It ignores Ctrl-C (the parent decides), its address space is
limited, and a processor-time alarm ends it even if the parent has gone away while a comparison never returns.

Protocol, one JSON value a line. In: a batch [[grader, target, answer], …]. Out: "ready" once at the start; for each
batch "loaded" when its graders are imported, then for each item [value, status, answer, why], in order.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import BinaryIO

from harness.errors import HarnessError
from harness.grading import get_grader
from harness.grading.base import BaseGrader
from harness.types import Json, Score

ALARM_SLACK = 10.0
"""Seconds of processor time beyond the parent's limit after which an orphaned worker ends itself."""


def main(timeout: float, memory_mb: int) -> None:
    """Serve until the input ends. `timeout` in seconds per item, `memory_mb` in MiB of address space."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    limit = memory_mb * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    results = os.fdopen(os.dup(1), "wb", 0)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    _send(results, "ready")
    os.dup2(silent, 2)
    for line in sys.stdin.buffer:
        batch = json.loads(line)
        for name in sorted({item[0] for item in batch}):
            _load(name)
        _send(results, "loaded")
        for name, target, answer in batch:
            signal.setitimer(signal.ITIMER_PROF, timeout + ALARM_SLACK)
            score = _grade(name, target, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            _send(results, [score.value, score.status, score.answer, score.why])


def _send(results: BinaryIO, value: Json) -> None:
    results.write(json.dumps(value).encode() + b"\n")


def _load(name: str) -> None:
    """Import a grader now, so that its import is on no item's clock; what fails here fails, and is told, there."""
    try:
        grader = get_grader(name)
        if isinstance(grader, BaseGrader):
            grader.preload()
    except (HarnessError, ImportError):
        return


def _grade(name: str, target: str, answer: str) -> Score:
    """One comparison. Whatever a grader raises makes its own item unscored, with the reason, and nothing else."""
    try:
        return get_grader(name).grade(target, answer)
    except MemoryError:
        return Score(None, "unscored", None, "grader ran out of memory")
    except Exception as error:  # a third party's grader may raise anything; it is counted and shown, never a 0
        return Score(None, "unscored", None, f"grader failed: {type(error).__name__}: {str(error)[:200]}")
