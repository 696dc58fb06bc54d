"""The stage of a method whose teacher is the student itself, told more: what they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from backends.base import ExampleMaker, Rolling, Stage, must_be, refuse_unused
from backends.methods._on_policy import OnPolicyObjective, Term
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Context, Credit
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


def self_stage(
    method: str,
    own: Own,
    terms: Sequence[Term],
    context: Context,
    settings: Mapping[str, Json],
    rollout: Mapping[str, Json],
    *,
    name: str = "train",
    examples: ExampleMaker = prompts,
    options: PolicyOptions | None = None,
    credit: Credit = keep_all,
    ratio: bool = False,
    compares: bool = False,
) -> Stage:
    """A stage whose teacher reads the student's completions behind what `context` tells.

    `options` are those of its policy term and rewards, if it has any; `ratio` and `compares` as of `Rolling`.
    """
    options = options or PolicyOptions(weights="")
    objective = partial(OnPolicyObjective, method, options, terms, own=own)
    rolling = Rolling(credit, options.weights, rollout, context, ratio=ratio, compares=compares)
    return Stage(name, ("prompt",), examples, objective, settings, rolling=rolling)
