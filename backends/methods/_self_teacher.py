"""The stage of a method whose teacher is the student itself, told more: what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from backends.base import Credit, ExampleMaker, Rolling, Stage, must_be, refuse_unused
from backends.methods._on_policy import OnPolicyObjective, Term
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Context
from backends.teachers.moving import Own, Which
from harness.types import Json


@dataclass(frozen=True)
class SelfTeacherOptions:
    """Options of methods whose teacher is the student itself."""

    teacher: Which = "initial"
    """The student as it began, a running mean of it, or as it is."""
    rate: float = 0.05
    """Of teacher=ema: how much of itself the student gives to the mean at each step."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "rate")
        refuse_unused(self, self.teacher == "ema", "teacher=ema", "rate")

    @property
    def own(self) -> Own:
        """Whose weights the teacher has."""
        return Own(self.teacher, self.rate)


def told_more(stage: Stage, own: Own, context: Context, examples: ExampleMaker = prompts) -> Stage:
    """The stage with a teacher that is the student itself and reads its completions behind what `context` tells."""
    assert stage.rolling is not None
    objective: Any = stage.objective
    return replace(
        stage,
        examples=examples,
        objective=partial(objective, own=own),
        rolling=replace(stage.rolling, context=context),
    )


def self_stage(
    method: str,
    own: Own,
    terms: Sequence[Term],
    context: Context,
    settings: Mapping[str, Json],
    rollout: Mapping[str, Json],
    *,
    name: str = "train",
    share: float = 1.0,
    examples: ExampleMaker = prompts,
    options: PolicyOptions | None = None,
    credit: Credit = keep_all,
    ratio: bool = False,
    compares: bool = False,
) -> Stage:
    """A stage with such a teacher, whose terms are these alone.

    `options` are those of its policy term and rewards, if it has any; `ratio` and `compares` as of `Rolling`.
    """
    options = options or PolicyOptions(weights="")
    objective = partial(OnPolicyObjective, method, options, terms)
    rolling = Rolling(credit, options.weights, rollout, ratio=ratio, compares=compares)
    stage = Stage(name, ("prompt",), examples, objective, settings, share, rolling=rolling)
    return told_more(stage, own, context, examples)
