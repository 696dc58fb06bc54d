"""One part in a process group of its own: its numbers, or why there are none."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Literal

Number = float | int | str | bool
Numbers = Mapping[str, Number]


class Skipped(Exception):
    """A part cannot be done here; the message says why."""


@dataclass(frozen=True)
class Place:
    """Where the parts run and find the models."""

    folder: Path
    device: str
    tiny: bool
    vllm_python: str

    def model(self, number: int = 0) -> Path:
        """The student, 0, or its teacher, 1."""
        return self.folder / f"model{number}"


@dataclass(frozen=True)
class Part:
    """A function of this package that returns numbers, and how long it may take."""

    name: str
    seconds: float
    work: Callable[[Place], Numbers]
    against: str | None = None
    """The part whose numbers these are held against."""


@dataclass(frozen=True)
class Outcome:
    """What became of a part."""

    status: Literal["ok", "skipped", "failed", "timed out"]
    seconds: float = 0.0
    numbers: Numbers = field(default_factory=dict)
    why: str = ""
    against: str | None = None


def warm(device: str) -> BaseContext:
    """How the parts' processes start. On a CPU they share the imports; a process that forked must not use CUDA."""
    if device == "cuda":
        return multiprocessing.get_context("spawn")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers.models.qwen2", "peft", "trl.trainer.sft_trainer"])
    return context


def run_part(context: BaseContext, part: Part, place: Place, seconds: float) -> Outcome:
    """Do one part; when its time is up, it and all that it started are killed."""
    if seconds <= 0:
        return Outcome("timed out", why="no time was left for it", against=part.against)
    out, log = place.folder / f"{part.name}.json", place.folder / f"{part.name}.log"
    process = context.Process(target=_child, args=(part, place, out, log))  # type: ignore[attr-defined]
    started = time.monotonic()
    process.start()
    process.join(seconds)
    took, late = time.monotonic() - started, process.is_alive()
    with suppress(ProcessLookupError, PermissionError):  # all that it started; none, if it ended well
        os.killpg(process.pid, signal.SIGKILL)
    process.join()
    if out.is_file():
        found = json.loads(out.read_text(encoding="utf-8"))
        return Outcome(found["status"], took, found["numbers"], found["why"] or "hung when done" * late, part.against)
    said = log.read_text(encoding="utf-8", errors="replace").strip() if log.is_file() else ""
    print(said[-3000:], file=sys.stderr)
    why = f"not done after {seconds:.0f} s" if late else f"exit code {process.exitcode}"
    return Outcome("timed out" if late else "failed", took, why=why, against=part.against)


def _child(part: Part, place: Place, out: Path, log: Path) -> None:
    """In the part's own process: all that is said goes to its log."""
    os.setsid()
    file = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ["TMPDIR"] = tempfile.tempdir = str(place.folder)
    try:
        found = {"status": "ok", "numbers": dict(part.work(place)), "why": ""}
    except Skipped as skipped:
        found = {"status": "skipped", "numbers": {}, "why": str(skipped)}
    except BaseException:  # whatever it was is in the log, and the exit code tells the parent
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    half = out.with_suffix(".half")
    half.write_text(json.dumps(found), encoding="utf-8")
    half.rename(out)
