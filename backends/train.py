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
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backends.config import Runtime, TrainConfig
from backends.load import finished
from backends.plan import Plan, StagePlan, plan_training
from backends.provenance import check_reporters, provenance
from backends.rewards.asked import AskedModels
from backends.rewards.scorers import refuse_unasked
from backends.world import is_first
from harness.errors import Interrupted, StoreError, TrainingStopped
from harness.files import check_folder, open_lock, read_json, write_atomically
from harness.models.base import import_extra
from harness.models.budget import Budget
from harness.models.hf_source import fingerprint_of
from harness.registry import CARD, MODEL, ModelCard, models_dir, write_card
from harness.spent import Spent, read_spent

if TYPE_CHECKING:
    from backends.trainers.callbacks import TrainStatus

_STATE = "progress.json"
"""Seconds and tokens of finished parts."""
_LOCK = ".lock"


def train(
    config: TrainConfig,
    results_dir: Path,
    runtime: Runtime | None = None,
    watch: Callable[[TrainStatus], None] | None = None,
    plan: Plan | None = None,
) -> ModelCard:
    """Train and register a model, or go on with it, or return the card of one that is finished.

    Raises what `plan_training` raises, `MissingExtra`, `PrerequisiteError` for a reporter that is not installed,
    `TrainingStopped` for numbers that are not finite or too little memory, `Interrupted` on Ctrl-C and SIGTERM once the
    step is saved, `StoreError` where the disk is full, files are damaged or another process trains the same model; what
    was saved before is kept.
    """
    import_extra("peft", "training", "train")
    runtime = runtime or Runtime()
    check_reporters(runtime.report_to)
    plan = plan or plan_training(config, results_dir)
    check_scorers(plan, runtime, results_dir)
    folder = models_dir(results_dir) / plan.model_id
    if (folder / CARD).is_file():
        return finished(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder), _nothing_left(folder):
        if (folder / CARD).is_file():  # written since, by who had the lock
            return finished(folder)
        run = _Run(plan, folder, runtime, watch)
        return run.finish(run.stages())


def check_scorers(plan: Plan, runtime: Runtime, results_dir: Path) -> None:
    """Make the models that the rewards ask and let them go, before anything is written: a card or a key may be missing.

    Raises what `load_model` raises, and `ConfigError` for options and a budget that do not fit them.
    """
    asked = [spec for stage in plan.stages if stage.rolled is not None for spec in stage.rolled.totals.models]
    refuse_unasked(asked, runtime.judge_options, runtime.judge_budget)
    if asked:
        budget = None if runtime.judge_budget is None else Budget.parse(runtime.judge_budget)
        with closing(AskedModels(None, results_dir, runtime.judge_options, budget)) as models:
            models.open(asked)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second training of the same model away; the processes of one launch are one."""
    if not is_first():
        yield
        return
    try:
        for place in (folder, folder / "checkpoints", folder / "stages", folder / MODEL):
            check_folder(place)
        lock = open_lock(folder / _LOCK)
    except BlockingIOError:
        raise StoreError(f"another process is training {folder.name}: wait for it or stop it") from None
    except OSError as error:
        raise StoreError(f"cannot write to {folder} ({error.strerror}): name another --results-dir") from error
    with lock:
        yield


@contextmanager
def _nothing_left(folder: Path) -> Iterator[None]:
    """Remove the folder of a training that was refused before it began: `harness models` would count it."""
    try:
        yield
    except BaseException:
        if is_first() and all(path.is_dir() or path.name == _LOCK for path in folder.rglob("*")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


class _Run:
    """One process's part in one training run."""

    def __init__(self, plan: Plan, folder: Path, runtime: Runtime, watch: Callable[[TrainStatus], None] | None) -> None:
        self.plan, self.folder, self.runtime = plan, folder, runtime
        self.first = is_first()
        self.watch = watch if self.first else None
        self.state: dict[str, Any] = {
            "done": [],  # stages whose numbers are in here
            "seconds": 0.0,
            "tokens": 0,
            "steps": 0,
            "stopped": "finished",
            "final": {},
        }
        self.results_dir = folder.parents[1]
        path = folder / _STATE
        if path.is_file():
            self.state |= _read_state(path)
        elif (folder / MODEL).is_dir():
            raise StoreError(
                f"{folder} holds a trained model, but neither {CARD} nor {_STATE} tells how it was trained: restore "
                "one, or remove the folder and train again"
            )

    @property
    def spent(self) -> Spent:
        """In the stages that are finished; a training that an earlier version began has told what was read alone."""
        told = self.state.get("spent")
        return Spent(read=self.state["tokens"]) if told is None else read_spent(told)

    def stages(self) -> Path:
        """Run the stages that are not finished; returns the folder of the last one's model."""
        done: Path | None = None
        if (self.folder / MODEL).is_dir():
            return self.folder / MODEL  # killed between the last stage and the card
        for stage in self.plan.stages:
            folder = self.folder / "stages" / stage.stage.name
            if stage.stage.name not in self.state["done"]:
                if self.first:  # killed before its numbers were written: its checkpoint is still there
                    shutil.rmtree(folder, ignore_errors=True)
                with enough_memory(stage):
                    self._stage(stage, folder, done)
                gc.collect()
            done = folder
        assert done is not None
        return done

    def _stage(self, plan: StagePlan, folder: Path, previous: Path | None) -> None:
        from backends.trainers.callbacks import Watch, drop_after, last_checkpoint
        from backends.trainers.setup import make_trainer, save_model
        from backends.trainers.signals import StopRequest

        stop = StopRequest()
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
            stop,
            self.plan.config.count,
        )
        trainer = make_trainer(self.plan, plan, self.runtime, watch, checkpoints, previous, self.results_dir)
        with closing(trainer.feed):  # also where the objective refuses: what marks has threads, which would not end
            trainer.account.total = self.spent
            trainer.begin()
            checkpoint = last_checkpoint(checkpoints, clean=self.first)
            if checkpoint is not None:
                trainer.resume(checkpoint)
            if self.first:
                step = 0 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
                drop_after(metrics, plan.stage.name, step)
            try:
                with stop:
                    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
                if not watch.interrupted:
                    trainer.settle()
            finally:
                self._spent(watch.seconds)
        if watch.interrupted:
            raise Interrupted(
                f"interrupted after step {trainer.state.global_step} of {plan.steps} of stage {plan.stage.name}, which "
                "is saved; run the same command again to go on"
            )
        save_model(trainer, folder, self.plan.tokenizer)
        self.state |= {
            "done": [*self.state["done"], plan.stage.name],
            "tokens": trainer.account.total.read,
            "spent": asdict(trainer.account.total),
            "steps": self.state["steps"] + trainer.state.global_step,
            "stopped": watch.stopped,
            "final": {**trainer.last_numbers, **_told(self.state, trainer)},
        }
        self._write_state()
        if self.first:
            shutil.rmtree(checkpoints, ignore_errors=True)
        trainer.feed.finished()

    def _spent(self, seconds: float) -> None:
        self.state["seconds"] += seconds
        self._write_state()

    def _write_state(self) -> None:
        if not self.first:
            return
        path = self.folder / _STATE
        try:
            write_atomically(path, json.dumps(self.state))
        except OSError as error:  # also while another error is on its way, which is likely to be the same one
            raise StoreError(
                f"{path} cannot be written ({error.strerror or error}): make room, and run the same command again, "
                "which goes on from what was written before"
            ) from error

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
            config_hash=config.hash(plan.data_hash, plan.data_order),
            data=config.data,
            data_hash=plan.data_hash,
            seed=config.seed,
            records=plan.records,
            tokens=self.state["tokens"],
            steps=self.state["steps"],
            seconds=round(self.state["seconds"], 1),
            **provenance(),
            kind="adapter" if (done / "adapter_config.json").is_file() else "full",
            stopped=self.state["stopped"],
            final=self.state["final"],
            fingerprint=None,
            base_fingerprint=plan.source.mark(),
            spent=self.spent,
        )
        if self.first:
            card = _register(card, self.folder, done)
        return card


def _told(state: Mapping[str, Any], trainer: Any) -> dict[str, list[str]]:
    """The alarms of all stages until now."""
    lines = [*state["final"].get("alarms", []), *(trainer.alarms.lines if trainer.alarms is not None else [])]
    return {"alarms": lines} if lines else {}


def _read_state(path: Path) -> dict[str, Any]:
    """Raises `StoreError` for a file that is not as `_write_state` leaves it."""
    try:
        state = read_json(path)
        counts = [state[name] for name in ("seconds", "tokens", "steps")]
        if "spent" in state:
            read_spent(state["spent"])
        if (
            min(counts) >= 0
            and isinstance(state["stopped"], str)
            and isinstance(state["final"], dict)
            and isinstance(state["done"], list)
        ):
            return dict(state)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise StoreError(f"{path} is damaged: restore it, or remove {path.parent} and train again from the beginning")


@contextmanager
def enough_memory(stage: StagePlan) -> Iterator[None]:
    """One line for the two ways in which torch says that memory ran out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first = str(error).partition("\n")[0]
        if not isinstance(error, MemoryError) and not re.search("out of memory|can't allocate memory", first):
            raise
        raise TrainingStopped(
            f"memory ran out in stage {stage.stage.name} ({first[:200]}): set micro_batch (now {stage.micro_batch}) "
            "lower, --gradient-checkpointing, --max-length or a small lora_rank; what was saved is kept"
        ) from error


def _register(card: ModelCard, folder: Path, done: Path) -> ModelCard:
    """Move the result to its place, write the card last, and remove what is only needed to go on."""
    if not (folder / MODEL).is_dir():
        done.rename(folder / MODEL)
    card = replace(card, fingerprint=fingerprint_of(folder / MODEL))
    write_card(folder, card)
    for left in ("checkpoints", "stages"):
        shutil.rmtree(folder / left, ignore_errors=True)
    for name in (_STATE, _LOCK):
        (folder / name).unlink(missing_ok=True)
    return card
