"""A trainer that registers cards and trains nothing, and models that answer without weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stored_runs import make_run

from harness.bench.spec import Arm, Kind, Member, Planned
from harness.config import RunConfig
from harness.errors import HarnessError
from harness.registry import CARD, ModelCard, models_dir, read_card, write_card
from harness.run.folder import RunFolder
from harness.run.pipeline import Outcome, run


def card(name: str, method: str, seed: int) -> ModelCard:
    return ModelCard(
        id=name, method=method, base="tiny", teacher=None, config={}, config_hash="0" * 16, data="synth",
        data_hash="1" * 64, seed=seed, records=10, tokens=1000 + seed, steps=5, seconds=2.0 + seed, device="cpu",
        commit=None, created="2026-01-02T03:04:05Z", kind="full", stopped="token budget", final={"loss": 0.5},
        versions={}, fingerprint=None,
    )  # fmt: skip


@dataclass
class FakeTrainer:
    results_dir: Path
    refuse: Mapping[str, HarnessError] = field(default_factory=dict)
    """Method -> what its plan raises."""
    stop: Mapping[tuple[str, int], BaseException] = field(default_factory=dict)
    """(method, seed) -> what its training raises."""
    trained: list[tuple[str, int]] = field(default_factory=list)
    """Trainings that were made, not those that were found."""

    def plan(self, method: str, seed: int) -> Planned:
        if method in self.refuse:
            raise self.refuse[method]
        name = f"tiny-{method}-{seed}"
        return Planned(name, (models_dir(self.results_dir) / name / CARD).is_file(), 10, 5, 1000)

    def train(self, method: str, seed: int) -> ModelCard:
        folder = models_dir(self.results_dir) / f"tiny-{method}-{seed}"
        if (folder / CARD).is_file():
            return read_card(folder)
        if (method, seed) in self.stop:
            raise self.stop[method, seed]
        self.trained.append((method, seed))
        write_card(folder, card(folder.name, method, seed))
        return read_card(folder)


class Quiet:
    def start(self, what: str, total: int, found: int, note: object) -> None: ...

    def advance(self, one: object) -> None: ...

    def beat(self, open_now: object) -> None: ...

    def finish(self) -> None: ...


def mock_evaluation(config: RunConfig, accuracy: Mapping[str, float]) -> Callable[[str], Outcome]:
    """Every model is a mock one whose accuracy follows the part of its name, and whose errors follow the whole."""

    def evaluate(model: str) -> Outcome:
        share = next((value for part, value in accuracy.items() if part in model), 0.3)
        options = {"accuracy": str(share), "variant": model, "own": "0.5"}
        chosen = replace(config, model=("mock:gold",), model_options=options, grading_workers=1)
        return run(chosen, Quiet)

    return evaluate


def stored_arm(results: Path, name: str, kind: Kind, columns: Sequence[Sequence[float | None]], **changes: Any) -> Arm:
    """An arm whose models (one column each) have stored runs of the suite "toy"."""
    members = []
    for seed, column in enumerate(columns):
        where = make_run(
            results, f"mock:{name}-{seed}", column, run_id=f"toy-{name.replace('/', '-')}-{seed}", **changes
        )
        trained = kind == "method"
        members.append(
            Member(
                f"trained:{name}-{seed}" if trained else name,
                seed if trained else None,
                card(f"{name}-{seed}", name, seed) if trained else None,
                {"toy": RunFolder(where).result},
            )
        )
    return Arm(name, kind, tuple(members))
