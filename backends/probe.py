"""`harness train --probe 8`: a few groups of the untrained student, before a training on what it writes is paid for.

A training that cannot learn is seen at once: groups in which every completion gets the same say nothing, completions
that are cut off never end. The probe is a training of one step, whose model nobody keeps,
so that what it shows and how long it takes is what the first step would.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from backends.config import Runtime, TrainConfig
from backends.plan import Plan, plan_training
from backends.rollouts.settings import MOST
from backends.train import check_scorers, enough_memory
from backends.world import processes
from harness.errors import UsageError


@dataclass(frozen=True)
class RolloutProbe:
    """What a few groups showed."""

    groups: int
    completions: int
    numbers: Mapping[str, float]
    """Of the generation, as they are logged."""
    seconds: float
    """Of the step."""
    scale: float
    """Completions of a planned step over those of the probe."""
    steps: int
    """Planned."""

    @property
    def tokens_per_second(self) -> float:
        """Drawn."""
        return self.numbers["generated"] / max(self.numbers["seconds/draw"], 1e-9)

    @property
    def step_seconds(self) -> float:
        """Of a planned step, about."""
        return self.seconds * self.scale

    @property
    def warnings(self) -> list[str]:
        """Why nothing, or something else than wanted, would be learnt."""
        numbers, found = self.numbers, []
        if numbers.get("flat") == 1.0:
            reward = numbers.get("reward")
            told = "no completion has a value" if reward is None else f"all groups are flat, mean reward {reward:.3g}"
            found.append(f"nothing to learn from: {told}: take easier or harder problems, or a reward with more values")
        if numbers["cut"] > 0.5:
            found.append(f"{numbers['cut']:.0%} of the completions are cut off: raise rollout.max_new or --max-length")
        if numbers.get("unscored", 0.0) > 0.2:
            found.append(f"{numbers['unscored']:.0%} of the completions have no value: look at the scorers first")
        return found

    def lines(self) -> list[str]:
        """For people."""
        n = self.numbers
        lines = [f"probe: {self.completions} completions of the untrained student in {self.groups} groups"]
        if "none/reward" in n:
            parts = [f"{name.removeprefix('reward/')} {n[name]:.3g}" for name in n if name.startswith("reward/")]
            mean = f"reward {n['reward']:.3g} (std {n['std/reward']:.2g})" if "reward" in n else "no rewards"
            lines.append(f"  {mean}: {', '.join(parts)}; without a value {n['none/reward']:.0%}")
        if "flat" in n:
            lines.append(f"  groups without signal: {round(n['flat'] * self.groups)} of {self.groups}")
        lines.append(f"  length {n['length']:.0f} tokens (95 % below {n['length_p95']:.0f}), cut off {n['cut']:.0%}")
        draw, mark = n["seconds/draw"], n["seconds/mark"]
        rest = max(0.0, self.seconds - draw - mark)
        shares = f"draw {draw * self.scale:.1f}, mark {mark * self.scale:.1f}, train {rest * self.scale:.1f}"
        minutes = self.step_seconds * self.steps / 60
        lines.append(
            f"  {self.tokens_per_second:,.0f} tokens/s drawn; about {self.step_seconds:.1f} s a step ({shares}), "
            f"{self.steps} steps {minutes:.0f} min"
        )
        return [*lines, *(f"  warning: {line}" for line in self.warnings)]


def probe(config: TrainConfig, results_dir: Path, groups: int, runtime: Runtime | None = None) -> RolloutProbe:
    """Draw so many groups with the student as it is. Raises what planning and training raise."""
    runtime = runtime or Runtime()
    plan = plan_training(config, results_dir)
    stage = next((stage for stage in plan.stages if stage.rolled is not None), None)
    if stage is None or stage.rolled is None:
        raise UsageError(
            f"--probe draws completions of the student, and that of {config.method} writes none in training"
        )
    if processes() > 1:
        raise UsageError("--probe is one process: run it without accelerate")
    size = groups * stage.rolled.settings.group
    if size > MOST:
        raise UsageError(
            f"--probe {groups} draws {size:,} completions, which are in memory at once: at most {MOST:,}, say fewer"
        )
    check_scorers(plan, runtime, results_dir)
    own = {"max_steps": 1, "batch_size": size, "micro_batch": None, "scheduler": "constant"}
    settings = {key: value for key, value in config.settings.items() if key.rpartition(".")[2] not in own}
    cut = ("updates", "passes")
    rollout = {key: value for key, value in config.rollout.items() if key.rpartition(".")[2] not in cut}
    changed = replace(
        config,
        settings={**settings, **own},
        rollout={**rollout, "updates": 1, "passes": 1},
        budget_tokens=None,
        budget_seconds=None,
        count="student",
    )
    with tempfile.TemporaryDirectory(prefix="harness-probe-") as folder:
        alone = plan_training(changed, results_dir)
        runtime = replace(runtime, logging_steps=1, save_steps=None, report_to=())
        numbers, seconds = _one_step(alone, stage.stage.name, Path(folder), results_dir, runtime)
    if stage.stage.rolling is None or not stage.stage.rolling.compares:
        numbers.pop("flat", None)  # its rewards are looked at and train nothing
    return RolloutProbe(
        groups=groups,
        completions=size,
        numbers=numbers,
        seconds=seconds,
        scale=stage.settings.batch_size * stage.rolled.settings.updates / size / stage.rolled.settings.steps,
        steps=stage.steps,
    )


def _one_step(
    plan: Plan, name: str, folder: Path, results_dir: Path, runtime: Runtime
) -> tuple[dict[str, float], float]:
    """(numbers, seconds) of the first step of a stage."""
    from backends.trainers.callbacks import Watch
    from backends.trainers.setup import make_trainer

    stage = next(stage for stage in plan.stages if stage.stage.name == name)
    watch = Watch(name, folder / "metrics.jsonl", None, None, None, None)
    with enough_memory(stage):
        trainer = make_trainer(plan, stage, runtime, watch, folder / "checkpoints" / name, None, results_dir)
        trainer.alarms = None  # one generation, in which scorers that fail are a warning
        with closing(trainer.feed):
            trainer.begin()
            began = time.monotonic()
            trainer.train()
            return dict(trainer.last_numbers), time.monotonic() - began
