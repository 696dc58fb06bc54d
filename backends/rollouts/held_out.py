"""Accuracy on prompts that are never trained on, looked at while training goes on; the best weights of those looks.

Every look draws the same completions' seeds, so that two looks differ by the weights alone. With patience, training
ends after so many looks without a better one, and the model is the best that was looked at, the last one included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backends.base import Training
from backends.records.record import TrainRecord
from backends.rollouts.drawing import Mark
from backends.rollouts.engine import Drawn, Engine
from backends.rollouts.order import completion_seed
from backends.rollouts.source import RolloutSource, WantedGroup
from backends.rollouts.types import RolloutGroup
from harness.errors import StoreError
from harness.files import check_folder, read_bytes, replacing

ACCURACY = "dev/accuracy"
BEST = "best.safetensors"
"""Beside the checkpoints: the trained weights of the best look."""


class HeldOut:
    """One stage's held-out prompts."""

    def __init__(
        self, source: RolloutSource, records: Sequence[TrainRecord], engine: Engine, mark: Mark, place: Path
    ) -> None:
        """`mark` grades; `place` is the folder of the stage's checkpoints."""
        self._source, self._engine, self._mark, self._path = source, engine, mark, place / BEST
        stage = f"{source.stage}/held out"
        self._wanted = [
            WantedGroup(
                record, 0, source.encoder.prompt(record), (completion_seed(source.seed, stage, record.id, 0, 0),), True
            )
            for record in records[source.rank :: source.processes]
        ]
        self._best: float | None = None
        self._best_step = self._since = 0

    def due(self, step: int) -> bool:
        """Whether it is time to look, before this step."""
        return step % self._source.settings.look_every == 0

    @property
    def stopped(self) -> bool:
        """Whether patience has run out."""
        patience = self._source.settings.patience
        return patience > 0 and self._since >= patience

    def look(self, step: int, policy: Training) -> dict[str, float]:
        """Accuracy of the student as it is; all processes must look together."""
        drawn: dict[int, Drawn] = {}
        self._engine.sync(policy, step)
        self._engine.draw([group.wanted(0) for group in self._wanted], lambda number, one: drawn.update({number: one}))
        right = scored = 0
        for number, group in enumerate(self._wanted):
            rollout = group.rollout(0, drawn[number], step)
            (mark,) = self._mark(RolloutGroup(group.record, (rollout,)))
            scored += mark.correct is not None
            right += mark.correct is True
        policy.spend(
            generated=sum(len(one.tokens_T) for one in drawn.values()),
            prefilled=sum(len(group.prompt.tokens) for group in self._wanted),
        )
        counts = policy.gather((right, scored))
        right, scored = (sum(one[place] for one in counts) for place in (0, 1))
        if not scored:
            return {}
        self._keep(right / scored, step, policy)
        return {ACCURACY: right / scored, "dev/scored": float(scored)}

    def settle(self, step: int, policy: Training) -> dict[str, float]:
        """A last look, and the best weights of all looks where there is patience for them."""
        if self._source.settings.patience == 0:
            return self.look(step, policy)
        self.look(step, policy)
        if self._best is None:
            return {}
        if self._best_step != step:
            _restore(policy.model, self._path)
        return {ACCURACY: self._best, "dev/best_step": float(self._best_step)}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"best": self._best, "best_step": self._best_step, "since": self._since}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self._best, self._best_step, self._since = state["best"], state["best_step"], state["since"]

    def _keep(self, accuracy: float, step: int, policy: Training) -> None:
        self._since += 1
        if self._best is None or accuracy > self._best:
            self._best, self._best_step, self._since = accuracy, step, 0
            if self._source.settings.patience and self._source.rank == 0:
                _save(policy.model, self._path)


def _save(model: Any, path: Path) -> None:
    from safetensors.torch import save

    trained = {name: weight.detach().cpu().contiguous() for name, weight in _trained(model)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        check_folder(path.parent)
        with replacing(path) as stream:
            stream.write(save(trained))
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written ({error.strerror or error}): make room, and run it again"
        ) from error


def _restore(model: Any, path: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        kept = load(read_bytes(path))
        with torch.no_grad():
            for name, weight in _trained(model):
                weight.copy_(kept[name])
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise StoreError(
            f"{path}, the best weights so far, cannot be read ({error}): set rollout.patience=0 for the last ones"
        ) from error


def _trained(model: Any) -> list[tuple[str, Any]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
