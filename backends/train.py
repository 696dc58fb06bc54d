"""Training a student: plan, stages, checkpoints, model card. `harness train` is the command line of this.

    results/models/<id>/metrics.jsonl              one line per logged step
    results/models/<id>/checkpoints/<stage>/       to resume from, deleted at the end
    results/models/<id>/stages/<stage>/            what a finished stage hands to the next, deleted at the end
    results/models/<id>/model/                     the result; card.json is written after it

The same command goes on where it was stopped, to the same result: a stage from its newest whole checkpoint, a method
from its last finished stage. Several processes (`accelerate launch`) run this same function.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.config import TrainConfig
from backends.plan import Plan, StagePlan, plan_training
from backends.provenance import device_name, git_commit, versions
from harness.files import write_atomically
from harness.models.base import import_extra
from harness.models.hf_source import fingerprint_of
from harness.registry import CARD, MODEL, ModelCard, models_dir, read_card, write_card

if TYPE_CHECKING:
    from backends.trainers.callbacks import Progress

_STATE = "progress.json"
"""Seconds and tokens of finished parts."""


@dataclass(frozen=True)
class Runtime:
    """What changes how training runs, not what comes out."""

    save_steps: int | None = None
    """Optimiser steps between checkpoints; None: every ten minutes."""
    logging_steps: int = 10
    report_to: tuple[str, ...] = ()
    """"trackio", "wandb", "tensorboard": handed to the trainer."""


def train(
    config: TrainConfig,
    results_dir: Path,
    runtime: Runtime | None = None,
    watch: Callable[[Progress], None] | None = None,
    plan: Plan | None = None,
) -> ModelCard:
    """Train and register a model, or go on with it, or return the card of one that is finished.

    Raises what `plan_training` raises, `MissingExtra`, `TrainingStopped` for numbers that are not finite, `StoreError`
    where the disk is full; what was saved before is kept.
    """
    import_extra("trl", "training", "train")
    plan = plan or plan_training(config, results_dir)
    folder = models_dir(results_dir) / plan.model_id
    if (folder / CARD).is_file():
        return read_card(folder)
    folder.mkdir(parents=True, exist_ok=True)
    run = _Run(plan, folder, runtime or Runtime(), watch)
    return run.finish(run.stages())


class _Run:
    """One process's part in one training run."""

    def __init__(self, plan: Plan, folder: Path, runtime: Runtime, watch: Callable[[Progress], None] | None) -> None:
        self.plan, self.folder, self.runtime = plan, folder, runtime
        self.first = os.environ.get("RANK", "0") == "0"
        self.watch = watch if self.first else None
        self.state: dict[str, Any] = {"seconds": 0.0, "tokens": 0, "steps": 0, "stopped": "finished", "final": {}}
        self.results_dir = folder.parents[1]
        path = folder / _STATE
        if path.is_file():
            self.state |= json.loads(path.read_text(encoding="utf-8"))

    def stages(self) -> Path:
        """Run the stages that are not finished; returns the folder of the last one's model."""
        done: Path | None = None
        if (self.folder / MODEL).is_dir():
            return self.folder / MODEL  # killed between the last stage and the card
        for stage in self.plan.stages:
            folder = self.folder / "stages" / stage.stage.name
            if not folder.is_dir():
                self._stage(stage, folder, done)
                gc.collect()
            done = folder
        assert done is not None
        return done

    def _stage(self, plan: StagePlan, folder: Path, previous: Path | None) -> None:
        from backends.trainers.callbacks import Watch, drop_after, last_checkpoint
        from backends.trainers.setup import make_trainer, save_model

        checkpoints = self.folder / "checkpoints" / plan.stage.name
        metrics = self.folder / "metrics.jsonl"
        seconds = plan.budget_seconds
        watch = Watch(
            plan.stage.name,
            metrics,
            self.watch,
            plan.budget_tokens,
            None if seconds is None else max(0.0, seconds - self.state["seconds"]),
            self.runtime.save_steps,
        )
        trainer = make_trainer(self.plan, plan, self.runtime, watch, checkpoints, previous, self.results_dir)
        trainer.tokens_seen = self.state["tokens"]
        trainer.begin()
        checkpoint = last_checkpoint(checkpoints, clean=self.first)
        if checkpoint is not None:
            trainer.resume(checkpoint)
        if self.first:
            step = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
            drop_after(metrics, plan.stage.name, step)
        try:
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        finally:
            self._spent(watch.seconds)
        save_model(trainer, folder, self.plan.tokenizer)
        self.state |= {
            "tokens": trainer.tokens_seen,
            "steps": self.state["steps"] + trainer.state.global_step,
            "stopped": watch.stopped,
            "final": trainer.last_numbers,
        }
        self._write_state()
        if self.first:
            shutil.rmtree(checkpoints, ignore_errors=True)

    def _spent(self, seconds: float) -> None:
        self.state["seconds"] += seconds
        self._write_state()

    def _write_state(self) -> None:
        if self.first:
            write_atomically(self.folder / _STATE, json.dumps(self.state))

    def finish(self, done: Path) -> ModelCard:
        """Put the last stage's model in its place and write the card; every process returns it."""
        plan, config = self.plan, self.plan.config
        resolved = plan.resolved()
        card = ModelCard(
            id=plan.model_id,
            method=config.method,
            base=config.student,
            teacher=config.teacher,
            config=resolved,
            config_hash=config.hash(plan.data_hash),
            data=config.data,
            data_hash=plan.data_hash,
            seed=config.seed,
            records=plan.records,
            tokens=self.state["tokens"],
            steps=self.state["steps"],
            seconds=round(self.state["seconds"], 1),
            device=device_name(),
            commit=git_commit(),
            created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            kind="adapter" if (done / "adapter_config.json").is_file() else "full",
            stopped=self.state["stopped"],
            final=self.state["final"],
            versions=versions(),
            fingerprint=None,
        )
        if self.first:
            card = _register(card, self.folder, done)
        return card


def _register(card: ModelCard, folder: Path, done: Path) -> ModelCard:
    """Move the result to its place, write the card last, and remove what is only needed to go on."""
    if not (folder / MODEL).is_dir():
        done.rename(folder / MODEL)
    card = replace(card, fingerprint=fingerprint_of(folder / MODEL))
    write_card(folder, card)
    for left in ("checkpoints", "stages"):
        shutil.rmtree(folder / left, ignore_errors=True)
    (folder / _STATE).unlink(missing_ok=True)
    return card
