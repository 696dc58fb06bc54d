"""GKD: the teacher's whole next-token distributions, on responses of which the student wrote a part.

    L = (1 - lam) E_data[D] + lam E_student[D],   D the generalised Jensen-Shannon divergence, mean over tokens

D is of whole distributions, so no policy gradient and no ratio: what the student drew is read like a given response.
With lam 0 nothing is drawn, and it is `kd`; beta 1 is the exact form of what `opd` estimates from the drawn tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from backends.base import Rolling, Stage, TrainMethod
from backends.losses.divergence import Mass
from backends.methods._policy_options import keep_all
from backends.methods.kd import DistillObjective, KdOptions
from backends.options import must_be, refuse_unused
from backends.records.segments import tokenise
from backends.rollouts.prompts import answered_prompts, prompts
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 64, "epochs": 1}
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 0.9, "max_new": 512}


@dataclass(frozen=True)
class GkdOptions:
    """Options of GKD."""

    lam: float = 0.5
    """Share of the prompts whose response the student writes; the others have the record's. 0 is kd with JSD."""
    beta: float = 0.5
    """From 0, the forward KL, to 1, the reverse one."""
    temperature: float = 1.0
    """Divides both sides' scores; of drawing it is rollout.temperature."""
    top_k: int | None = None
    """Compare only the teacher's k likeliest tokens; None: all there are."""
    mass: Mass = "tail"
    """Of what is compared: made to sum to 1, or with one bucket for each side's rest."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "lam", "beta")
        must_be(self, "from 0.001 to 1000", "temperature")
        must_be(self, "at least 1", "top_k")
        refuse_unused(self, self.top_k is not None, "top_k=…", "mass")

    def as_kd(self) -> KdOptions:
        """The divergence as `kd` calls it."""
        mass: Mass = "renormalise" if self.top_k is None else self.mass
        return KdOptions("jsd", beta=self.beta, temperature=self.temperature, top_k=self.top_k, mass=mass)


def stages(options: GkdOptions) -> tuple[Stage, ...]:
    """One: on the records' responses alone where the student writes none."""
    objective = partial(DistillObjective, options.as_kd(), "gkd")
    if options.lam == 0:
        return (Stage("train", ("response",), tokenise, objective, SETTINGS),)
    needs, examples = (("prompt",), prompts) if options.lam == 1 else (("prompt", "response"), answered_prompts)
    rolling = Rolling(keep_all, "", ROLLOUT | {"mix": options.lam}, ratio=False, compares=False)
    return (Stage("train", needs, examples, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="gkd",
    summary="the teacher's distributions on responses that the student wrote in part (JSD, lambda)",
    paper="Agarwal et al. 2023, On-Policy Distillation of Language Models, arXiv 2306.13649, algorithm 1",
    options=GkdOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "Each prompt has a coin of its own; the paper and TRL throw one for a whole batch.",
        "The training settings are ours; TRL's trainer draws at 0.9 and compares at 1, as here.",
    ),
)
