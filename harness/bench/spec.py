"""What is compared, and what a trainer must be able to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from harness.config import RunConfig
from harness.errors import ConfigError
from harness.registry import ModelCard
from harness.run.result import RunResult, warnings_of
from harness.spent import Counted

Kind = Literal["method", "student", "teacher", "model"]
_MOST_SEEDS = 1000
COUNTED: Mapping[Counted, str] = {"student": "", "all": ", teachers' and judges' tokens counted"}
"""For titles."""
STUDENT = "student"
"""Names the untrained student as the reference."""


@dataclass(frozen=True)
class BenchSpec:
    """One comparison."""

    methods: tuple[str, ...]
    """Training methods, in the order of the table."""
    seeds: int
    """Each method is trained with the seeds 0, 1, …"""
    student: str
    """Spec of the student; untrained it is the control."""
    evaluation: RunConfig
    """Suites, sampling and judges, the same for every model; its own `model` is not used."""
    teacher: str | None = None
    """Spec of the teacher, for a row of its own; None where it cannot be evaluated."""
    models: tuple[str, ...] = ()
    """Further models to evaluate beside them."""
    budget: str | None = None
    """What each training may take, as the user wrote it; for titles."""
    count: Counted = "student"
    """Which tokens the budget counts."""
    reference: str | None = None
    """Row that the others are held against: a method, or "student", the untrained one; None: the first method."""

    def __post_init__(self) -> None:
        if not self.methods:
            raise ConfigError("no methods: say --methods sft,emo (`harness list methods`)")
        if twice := sorted({name for name in self.methods if self.methods.count(name) > 1}):
            raise ConfigError(f"method {twice[0]!r} is named twice")
        if self.reference not in (None, STUDENT, *self.methods):
            raise ConfigError(f"--reference {self.reference!r} is neither {STUDENT!r} nor one of --methods")
        if not 1 <= self.seeds <= _MOST_SEEDS:
            raise ConfigError(f"--seeds {self.seeds} is out of range: 1 to {_MOST_SEEDS}")


@dataclass(frozen=True)
class Planned:
    """One training, before it begins."""

    model_id: str
    finished: bool
    """True if the registry has it already."""
    records: int
    steps: int
    """Optimiser steps."""
    tokens: int
    """Tokens that the student will read, about."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """How it is optimised, stage by stage where stages differ: what should be equal where methods are compared."""


class Trainer(Protocol):
    """Trains the student of one comparison; the command line makes one."""

    def plan(self, method: str, seed: int) -> Planned:
        """What a training would do; raises `HarnessError` for anything that can be known to fail before it begins."""

    def train(self, method: str, seed: int) -> ModelCard:
        """Train, go on with, or find a model."""


@dataclass(frozen=True)
class Member:
    """One model and what it scored."""

    model: str
    """Spec."""
    seed: int | None
    """Training seed; None for a model that was not trained here."""
    card: ModelCard | None = None
    runs: Mapping[str, RunResult] = field(default_factory=dict)
    """Suite -> graded run."""
    judged: Mapping[str, RunResult] = field(default_factory=dict)
    """Suite -> judged run."""


@dataclass(frozen=True)
class Arm:
    """One row of the comparison: a method with its seeds, or a single model."""

    name: str
    kind: Kind
    members: tuple[Member, ...]
    failures: tuple[str, ...] = ()
    """Why a training or an evaluation is missing."""

    def warnings(self, suite: str) -> list[str]:
        """What is stored as a warning with the runs of the row on a suite, each thing once."""
        runs = [runs.get(suite) for member in self.members for runs in (member.runs, member.judged)]
        return list(dict.fromkeys(warning for run in runs if run is not None for warning in warnings_of(run)))
