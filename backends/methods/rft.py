"""RFT: likelihood of the student's own right completions (rejection sampling fine-tuning, expert iteration).

With `updates` above 1, or all steps on one generation, it is the offline method; drawn anew at each step it follows
the student. The control of what a reward's negative side is worth: wrong completions are dropped, not pushed down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from backends.base import Rolling, Stage, Step, TrainMethod
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, group_credit
from backends.methods._terms import NllTerm
from backends.options import must_be
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 64, "epochs": 1}
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


@dataclass(frozen=True)
class RftOptions:
    """Options of RFT."""

    weights: str = "accuracy=1"
    """Rewards; what is right is trained on."""
    most: int = 4
    """Right completions of a prompt that are trained on, at most; the first drawn, each text once."""

    def __post_init__(self) -> None:
        must_be(self, "at least 1", "most")


def credit(options: RftOptions, groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """The right ones, each text once and at most so many of a prompt."""
    known = group_credit("off", verified=True)(groups, step)
    return [_chosen(group, credits, options.most) for group, credits in zip(groups, known, strict=True)]


def _chosen(group: RolloutGroup, credits: Sequence[Credited], most: int) -> list[Credited]:
    seen: set[str] = set()
    found = []
    for rollout, credit in zip(group.rollouts, credits, strict=True):
        keep = credit.numbers["correct"] > 0 and rollout.text not in seen and len(seen) < most
        if keep:
            seen.add(rollout.text)
        found.append(Credited(keep, {"correct": float(keep)}))
    return found


def stages(options: RftOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    objective = partial(OnPolicyObjective, "rft", PolicyOptions(weights=options.weights), [NllTerm()])
    rolling = Rolling(partial(credit, options), options.weights, ROLLOUT, ratio=False, compares=False)
    return (Stage("train", ("prompt",), prompts, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="rft",
    summary="likelihood of the student's own right completions (rejection sampling, expert iteration)",
    paper="Yuan et al. 2023, Scaling Relationship on Learning Mathematical Reasoning with Large Language Models, "
    "arXiv 2308.01825",
    options=RftOptions,
    stages=stages,
    deviations=(
        "Completions are drawn anew for every step, from the student as it is; the paper draws once.",
        "Two completions are one if their texts are; the paper compares their equations. Settings are ours.",
    ),
)
