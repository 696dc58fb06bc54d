"""What a method is: a name, options, and stages, which turn records into examples and have something to minimise.

    METHOD = TrainMethod(name="emo", summary="…", paper="…", options=EmoOptions,
                         stages=one_stage(EmoObjective, tokenise, SETTINGS))

A method that trains nothing (merging) is a `MakeMethod`. A stage's `examples` runs once, before anything is spent. Its
`Objective` sees each micro-batch: `loss` gets the scores of the next tokens as `HeadLogits` (never built whole) and
returns this micro-batch's share of the optimiser step's loss. The trainer (`backends.trainers.trainer`) does everything
else: batches, gradients, checkpoints, budgets, logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from harness.catalog import load
from harness.errors import UsageError
from harness.types import Json

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from backends.losses.positions import HeadLogits
    from backends.records.record import TrainRecord
    from backends.records.segments import Encoder, Example, Tokenised
    from backends.rollouts.settings import RolloutSettings
    from backends.rollouts.types import Context, Credited, RolloutGroup
    from backends.trainers.batch import Batch

Need = Literal["teacher text", "teacher logits", "rewards", "models"]
"""What a method needs beyond a student and prompts with responses."""


@dataclass(frozen=True)
class Step:
    """Where training stands."""

    number: int
    """Optimiser step about to be made, 0 is the first."""
    total: int
    """Optimiser steps planned."""


@dataclass(frozen=True)
class Loss:
    """A micro-batch's share of the optimiser step's loss."""

    value: Tensor
    """Scalar. Already divided by the step's `counts`, so that the shares of micro-batches and processes add up."""
    log: Mapping[str, Tensor | float] = field(default_factory=dict)
    """Shares of numbers to log, which add up in the same way; without gradient."""
    largest: Mapping[str, Tensor] = field(default_factory=dict)
    """Numbers "…_max" to log of which the largest counts, of all micro-batches and processes; without gradient."""


class Pass(Protocol):
    """A forward pass of a model over a micro-batch."""

    def __call__(self, function: Callable[[HeadLogits], Any], batch: Batch, model: Any = None) -> Any:
        """`function(scores)` computed inside the model's forward pass, without gradient; None is the student itself."""


def _no_batch(examples: Sequence[Example]) -> Batch:
    raise NotImplementedError("nothing makes batches here")


@dataclass(frozen=True)
class Served:
    """A teacher as a training knows it whose weights are on servers."""

    servers: str
    """Their addresses, with commas."""
    location: str
    """Folder or hub id of the weights."""
    tokenizer: Callable[[], Any]
    parameters: int


@dataclass(frozen=True)
class Training:
    """What an objective may use of the training it is part of."""

    model: Any
    """The student, a transformers or peft model, before it is wrapped for several processes."""
    tokenizer: Any
    forward: Pass
    """For extra passes without gradient (a teacher, a reference, a moving average)."""
    batches: Callable[[], Any]
    """Iterates the whole data set in micro-batches, in order, on the student's device (for what is computed once)."""
    device: Any
    teacher: str | None
    """Spec of the teacher, where the method needs its weights."""
    load: Callable[[str], tuple[Any, Any]]
    """Loads (model, tokenizer) of a spec for passes without gradient, in the student's precision, on its device."""
    examples: int
    """Size of the data set."""
    spend: Callable[..., None] = lambda **tokens: None
    """Tells of tokens beside those of passes: `spend(generated=9, prefilled=4, judge_in=7, judge_out=1)`; with
    `teacher=13, of=model` those that another model read, or one of so many parameters: `of=1e9`."""
    rollout: RolloutSettings | None = None
    """How completions are drawn, `max_new` resolved; None where the responses are those of the records."""
    batch: Callable[[Sequence[Example]], Batch] = _no_batch
    """Examples as one micro-batch on the student's device, for a pass without gradient."""
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    """The precision that the student is trained in."""
    gather: Callable[[Any], list[Any]] = lambda own: [own]
    """What each process has, in the order of the processes; must be called by all of them."""
    served: Served | None = None
    """Where the teacher's weights are, if servers have them."""


class Objective:
    """What a stage minimises. Subclasses override `loss` and whatever else they need."""

    def __init__(self, options: Any = None) -> None:
        """`options` are the method's."""
        self.options = options

    def setup(self, training: Training) -> None:
        """Called once before the first step, with the student still untrained (also when training is resumed)."""

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """What the loss divides by, as integer tensors; added up over the optimiser step and all processes."""
        return {"tokens": batch.mask_RT.sum()}

    def prepare(self, batch: Batch, step: Step) -> Any:
        """Extra passes without gradient before the student's own; handed to `loss`."""
        return None

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the loss; runs inside the student's forward pass."""
        raise NotImplementedError

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """Called once a step, after its gradients and before the weights change, the same on every process."""

    def state_dict(self) -> dict[str, Any]:
        """State that a checkpoint must keep: tensors and numbers."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint."""


ExampleMaker = Callable[["Encoder", "Sequence[TrainRecord]"], "Tokenised"]
Credit = Callable[["Sequence[RolloutGroup]", Step], "Sequence[Sequence[Credited]]"]
"""What a method makes of all groups of a generation: one `Credited` for each completion of each group, in order."""


class TokenTeacher(Protocol):
    """A teacher that has a word on each drawn token: `backends.teachers.local.LocalTeacher`."""

    def logps(self, batch: Batch, temperature: float) -> Tensor:
        """Its log-probabilities of the tokens that are learnt, (R, T); 0 elsewhere."""

    def compared(self, batch: Batch) -> Tensor:
        """Where its word counts, (R, T) bool."""


class ReadingTeacher(Protocol):
    """A teacher whose weights are in memory: `backends.teachers.local.LocalTeacher`."""

    model: Any
    left_out: list[int]
    """Tokens that no mixture may take from it."""


@dataclass(frozen=True)
class Mixture:
    """Each token is drawn from the student's distribution and a teacher's, mixed."""

    share: float
    """Of the teacher, above 0 and below 1."""
    teacher: Callable[[Training], ReadingTeacher]
    """Loads it."""


@dataclass(frozen=True)
class Rolling:
    """What a stage needs whose responses the student writes while it is trained (`backends.rollouts`)."""

    credit: Credit
    """What is made of the completions once they are marked."""
    weights: str = ""
    """Rewards and how much each counts, "accuracy=1+format=0.5"; empty: nothing is marked."""
    settings: Mapping[str, Json] = field(default_factory=dict)
    """How the paper draws: fields of `backends.rollouts.settings.RolloutSettings`, before the user's."""
    context: Context | None = None
    """What a self-teacher is told more than the student."""
    teacher: Callable[[Training], TokenTeacher] | None = None
    """Loads a teacher whose word on each drawn token credit reads (`RolloutGroup.teacher`) and the loss gets as
    "teacher_logps"; None where the objective asks a teacher itself, or there is none."""
    revise: Context | None = None
    """What stands before a group's completions from the second on, once its first one is marked: they revise it."""
    begun: Callable[[TrainRecord], str] | None = None
    """What every completion of a prompt begins with: the end of its prompt, learnt where credit says so."""
    mixture: Mixture | None = None
    """Set where the student does not draw alone."""
    ratio: bool = True
    """Whether its loss compares the student with the policy that drew: then nothing may differ between the two."""
    compares: bool = True
    """Whether its credit compares completions of one prompt: then a group of one says nothing."""


@dataclass(frozen=True)
class Stage:
    """One training run of a method: most have one, some continue from the first with another loss."""

    name: str
    needs: tuple[str, ...]
    """Fields that every record must have (`backends.records.record.require`)."""
    examples: ExampleMaker
    objective: Callable[[], Objective]
    settings: Mapping[str, Json] = field(default_factory=dict)
    """What the paper trains this stage with: fields of `backends.config.Settings`, before the user's."""
    share: float = 1.0
    """Part of a token or time budget that this stage gets; the stages' shares add up to 1."""
    rolling: Rolling | None = None
    """Set where the student writes what it is trained on; `examples` then encodes the prompts alone."""


class Stages(Protocol):
    """Makes the stages from a method's options."""

    def __call__(self, options: Any) -> tuple[Stage, ...]:
        """The stages in order, at least one. Raises `ConfigError` for options that contradict."""


def one_stage(
    objective: Callable[[Any], Objective],
    examples: ExampleMaker,
    settings: Mapping[str, Json] | None = None,
    needs: tuple[str, ...] = ("response",),
) -> Stages:
    """The stages of a method that has one, whose objective is made from its options."""
    return lambda options: (Stage("train", needs, examples, partial(objective, options), settings or {}),)


class Make(Protocol):
    """Builds a model without training."""

    def __call__(self, options: Any, load: Callable[[str], tuple[Any, Any]], folder: Path) -> Mapping[str, Json]:
        """Write the model and its tokenizer to `folder` and return what the model's card should tell of it.

        `load` gives (model, tokenizer) of a spec in the checkpoint's own precision, adapters merged. Raises
        `ConfigError` before anything is loaded where the options show that it cannot work.
        """


@dataclass(frozen=True)
class NoOptions:
    """A method without options of its own."""


@dataclass(frozen=True)
class TrainMethod:
    """A published way to train a student."""

    name: str
    summary: str
    paper: str
    """Authors, title, year, arXiv id, and which equation."""
    stages: Stages
    options: type = NoOptions
    """A frozen dataclass of the method's own options, each with a default and a docstring."""
    needs: tuple[Need, ...] = ()
    reads_teacher: Callable[[Any], bool] | None = None
    """Whether these options read the teacher's weights; None: the method never does."""
    deviations: tuple[str, ...] = ()
    """Where this differs from the paper, one sentence each."""


@dataclass(frozen=True)
class MakeMethod:
    """A published way to make a model of others without training."""

    name: str
    summary: str
    paper: str
    make: Make
    reads: Callable[[Any], tuple[str, ...]]
    """The models that `make` reads, from its options."""
    options: type
    needs: tuple[Need, ...] = ("models",)
    deviations: tuple[str, ...] = ()


Method: TypeAlias = TrainMethod | MakeMethod


def load_method(name: str) -> Method:
    """The method of a name. Raises `UnknownName`, and `UsageError` for a plugin's object that is none."""
    found = load("method", name)
    if not isinstance(found, TrainMethod | MakeMethod):
        kind = type(found).__name__
        raise UsageError(f"method {name!r} is of type {kind}, no TrainMethod or MakeMethod of backends.base")
    return found


def student_writes(method: Method) -> bool:
    """Whether a stage trains on what the student writes meanwhile, with the method's default options."""
    return isinstance(method, TrainMethod) and any(stage.rolling for stage in method.stages(method.options()))
