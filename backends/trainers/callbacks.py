"""What happens beside the steps: numbers to metrics.jsonl, budgets, when to save, and which checkpoint is whole."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from backends.trainers.signals import StopRequest
from harness.files import append_text, delete, parse_json, read_bytes, read_json, write_atomically
from harness.spent import Counted, Spent

COMPLETE = "COMPLETE"
"""Written into a checkpoint last, with each file's size: without it, or with a file cut short, none is whole."""
SAVE_SECONDS = 600.0
"""Between checkpoints, where no number of steps is asked for."""


@dataclass(frozen=True)
class TrainStatus:
    """One line for whoever watches."""

    stage: str
    step: int
    total: int
    tokens: int
    seconds: float
    """Of this process, since the stage's first step."""
    loss: float
    alarms: tuple[str, ...] = ()
    """New since the last time."""
    reward: float | None = None
    """Of what the student wrote: a policy's loss says nothing."""


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers is untyped here
    """Logs, stops at a budget, marks checkpoints."""

    def __init__(
        self,
        stage: str,
        metrics: Path,
        watch: Callable[[TrainStatus], None] | None,
        budget_tokens: float | None,
        budget_seconds: float | None,
        save_steps: int | None,
        stop: StopRequest | None = None,
        count: Counted = "student",
    ) -> None:
        """`budget_seconds` counts from now; `watch` is only called on the first process; `stop` is what a user asks.

        `count`: which tokens the budget counts.
        """
        self.count: Counted = count
        self.stage, self.metrics, self.watch = stage, metrics, watch
        self.budget_tokens, self.budget_seconds, self.save_steps = budget_tokens, budget_seconds, save_steps
        self.stop = stop or StopRequest()
        self.interrupted = False
        """Saved and stopped before its end because `stop` was asked for."""
        self.trainer: Any = None
        """Set once the trainer exists."""
        self.stopped = "finished"
        self.started = self.saved = time.monotonic()
        self._logged = (0, time.monotonic())
        self._alarms = 0
        """How many have been told."""

    @property
    def seconds(self) -> float:
        """Wall time since this process began the stage."""
        return time.monotonic() - self.started

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Speeds count from the first step; alarms of a checkpoint were told before it."""
        self._alarms = 0 if self.trainer.alarms is None else len(self.trainer.alarms.lines)
        self._logged = (self.trainer.account.total.read, time.monotonic())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Stop at a budget; save after so many steps or so much time, and before stopping."""
        over_time = False
        if self.budget_seconds is not None:
            # One clock decides for all processes: they must stop at the same step.
            over_time = bool(self.trainer.any_process(self.seconds >= self.budget_seconds))
        if self.budget_tokens is not None and self.trainer.account.total.counted(self.count) >= self.budget_tokens:
            self.stopped, control.should_training_stop = "token budget", True
        elif over_time and state.global_step < state.max_steps:
            self.stopped, control.should_training_stop = "time budget", True
        elif self.trainer.feed.stopped:
            self.stopped, control.should_training_stop = "early stopping", True
        elif self.trainer.alarms is not None and self.trainer.alarms.stopped is not None:
            self.stopped, control.should_training_stop = f"{self.trainer.alarms.stopped} alarm", True
        due = state.global_step % self.save_steps == 0 if self.save_steps is not None else False
        if self.save_steps is None and args.world_size == 1:
            due = time.monotonic() - self.saved >= SAVE_SECONDS
        elif self.save_steps is None:
            due = bool(self.trainer.any_process(time.monotonic() - self.saved >= SAVE_SECONDS))
        control.should_save = due and not control.should_training_stop
        if control.should_training_stop or state.global_step >= state.max_steps:
            control.should_log = True  # the last steps too
        elif self.trainer.any_process(self.stop.asked):
            self.interrupted = control.should_save = control.should_training_stop = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The checkpoint is whole."""
        self.saved = time.monotonic()
        self.trainer.accelerator.wait_for_everyone()  # each process writes its own part
        if args.should_save:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            write_atomically(folder / COMPLETE, json.dumps(_sizes(folder)))
        self.trainer.feed.saved()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:
        """One line of metrics.jsonl."""
        if not state.is_world_process_zero or "loss" not in logs:
            return
        spent: Spent = self.trainer.account.total
        tokens, now = spent.read, time.monotonic()
        before, since = self._logged
        self._logged = (tokens, now)
        row = {
            "stage": self.stage,
            "step": state.global_step,
            **logs,
            "tokens": tokens,
            "spent": asdict(spent),
            "tokens_per_second": round((tokens - before) / max(now - since, 1e-9), 1),
            "memory_mb": _memory_mb(),
        }
        alarms = () if self.trainer.alarms is None else tuple(self.trainer.alarms.lines[self._alarms :])
        self._alarms += len(alarms)
        if alarms:
            row["alarms"] = list(alarms)
        append_text(self.metrics, json.dumps(row) + "\n")
        if self.watch is not None:
            self.watch(
                TrainStatus(
                    self.stage,
                    state.global_step,
                    state.max_steps,
                    tokens,
                    self.seconds,
                    float(logs["loss"]),
                    alarms,
                    logs.get("reward"),
                )
            )


def _memory_mb() -> float:
    """Peak memory of the GPU, or of the process, in MiB."""
    if torch.cuda.is_available():
        return round(float(torch.cuda.max_memory_allocated()) / 2**20, 1)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)


def last_checkpoint(folder: Path, clean: bool) -> Path | None:
    """The newest whole checkpoint of a folder; `clean` deletes those that were cut off while being written."""
    found = []
    for path in folder.glob("checkpoint-*"):
        if path.name.removeprefix("checkpoint-").isdigit() and _is_whole(path):
            found.append(path)
        elif clean:
            with suppress(OSError):
                delete(path)
    return max(found, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def _sizes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}


def _is_whole(checkpoint: Path) -> bool:
    """Whether every file has the size that it was written with: a power cut can leave one short after all."""
    try:
        written = read_json(checkpoint / COMPLETE)
    except (OSError, ValueError):
        return False
    return isinstance(written, dict) and written.items() <= _sizes(checkpoint).items()


def drop_after(metrics: Path, stage: str, step: int) -> None:
    """Forget what was logged after a checkpoint: those steps will be made again."""
    if not os.path.lexists(metrics):
        return
    kept = []
    for line in read_bytes(metrics).decode("utf-8", "replace").splitlines():
        try:
            row = parse_json(line)
            if row["stage"] != stage or row["step"] <= step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue  # the line that was being written when the process died, or none of ours
    write_atomically(metrics, "".join(f"{line}\n" for line in kept))
