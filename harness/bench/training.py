"""Trains the students of a comparison with `backends.train`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from backends.assign import DRAWING, sort_assignments
from backends.base import load_method, student_writes
from backends.config import TrainConfig
from harness.bench.spec import Planned
from harness.registry import CARD, ModelCard, models_dir

if TYPE_CHECKING:
    from backends.plan import Plan
    from backends.trainers.callbacks import TrainStatus

_COMPARED = ("learning_rate", "scheduler", "weight_decay", "batch_size", "lora_rank")


@dataclass(frozen=True)
class BackendTrainer:
    """One training of a method with a seed: planned, then carried out."""

    base: TrainConfig
    """Everything that all trainings share; its method and seed are not used."""
    methods: tuple[str, ...]
    assignments: Mapping[str, str]
    """As `--set`: "learning_rate" is for all methods, "emo.weight" for one of them alone."""
    results_dir: Path
    watch: Callable[[], Callable[[TrainStatus], None]]
    """Makes the display of one training's progress."""

    def config(self, method: str, seed: int) -> TrainConfig:
        """The config of one training. Raises `ConfigError` for an assignment that does not fit.

        How a student draws is for those that do.
        """
        others = self.methods if student_writes(load_method(method)) else (*self.methods, *DRAWING)
        shared = {key: text for key, text in self.assignments.items() if key.partition(".")[0] not in others}
        prefix = f"{method}."
        own = {key.removeprefix(prefix): text for key, text in self.assignments.items() if key.startswith(prefix)}
        assigned = sort_assignments(method, {**shared, **own})
        return replace(self.base, method=method, seed=seed, **assigned)

    def plan(self, method: str, seed: int) -> Planned:
        """See `harness.bench.spec.Trainer`."""
        from backends.plan import plan_training

        plan = plan_training(self.config(method, seed), self.results_dir)
        return Planned(
            model_id=plan.model_id,
            finished=(models_dir(self.results_dir) / plan.model_id / CARD).is_file(),
            records=plan.records,
            steps=sum(stage.steps for stage in plan.stages),
            tokens=round(sum(stage.tokens_planned for stage in plan.stages)),
            settings={name: _of_stages(plan, name) for name in _COMPARED},
        )

    def train(self, method: str, seed: int) -> ModelCard:
        """See `harness.bench.spec.Trainer`."""
        from backends.train import train

        try:
            return train(self.config(method, seed), self.results_dir, watch=self.watch())
        finally:
            _free_memory()


def _of_stages(plan: Plan, name: str) -> str:
    """A setting's values stage by stage, once where they are the same."""
    values = [str(getattr(stage.settings, name)).lower() for stage in plan.stages]
    return " then ".join(value for value, _ in groupby(values))


def _free_memory() -> None:
    """Give the GPU's memory back: the next training, or the engine that evaluates, wants it."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
