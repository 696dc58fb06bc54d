"""TSD-KD: distillation that knows which tokens to teach: openers by ranking, uncertain ones more, certain ones less.

    L = alpha L_opener + mean over tokens of sigma((H_S - H_T) / tau) JSD_beta + L_uncertain

The opener is the beginning in which a tenth of a completion's entropy is spent: there the student's ten likeliest
tokens are ranked as the teacher ranks them (Plackett-Luce), which corrects without forcing. The last term lowers the
entropy of the most uncertain tenth. With alpha 0, `gate=off` and `em=0` it is `gkd` with lam 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from backends.base import Rolling, Stage, TrainMethod
from backends.methods._distributions import DivergenceTerm, OpenerTerm, UncertainTerm, certainty_gate
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, keep_all
from backends.methods._terms import Term
from backends.options import must_be, refuse_unused
from backends.rollouts.prompts import prompts
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-6, "batch_size": 16, "epochs": 3, "scheduler": "cosine", "warmup": 0.1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 1, "temperature": 1.0}


@dataclass(frozen=True)
class TsdKdOptions:
    """Options of TSD-KD."""

    beta: float = 0.9
    """Of the divergence: from 0, the forward KL, to 1, the reverse one."""
    gate: Literal["on", "off"] = "on"
    """Whether the divergence counts more where the student is less certain than the teacher."""
    tau: float = 1.0
    """How soft that gate is."""
    alpha: float = 0.1
    """Weight of the ranking in the opener."""
    opener: float = 0.1
    """Share of a completion's entropy that its opener spends."""
    top_k: int = 10
    """The student's candidates that are ranked."""
    em: float = 1.0
    """Weight of the entropy of the most uncertain tokens."""
    em_top: float = 0.1
    """How many of a completion's tokens those are; the authors' code has, unlike the paper, 0.9."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "beta", "opener", "em_top")
        must_be(self, "above 0", "tau", "opener", "em_top")
        must_be(self, "0 or more", "alpha", "em")
        must_be(self, "at least 1", "top_k")
        refuse_unused(self, self.gate == "on", "gate=on", "tau")
        refuse_unused(self, self.alpha > 0, "alpha=…", "opener", "top_k")
        refuse_unused(self, self.em > 0, "em=…", "em_top")


def stages(options: TsdKdOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    gate = certainty_gate(options.tau) if options.gate == "on" else None
    terms: list[Term] = [DivergenceTerm("jsd", options.beta, gate=gate)]
    if options.alpha:
        terms.append(OpenerTerm(options.opener, options.top_k, options.alpha))
    if options.em:
        terms.append(UncertainTerm(options.em_top, options.em))
    objective = partial(OnPolicyObjective, "tsd_kd", PolicyOptions(weights=""), terms)
    rolling = Rolling(keep_all, "", ROLLOUT, ratio=False, compares=False)
    return (Stage("train", ("prompt",), prompts, objective, SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="tsd_kd",
    summary="openers by ranking, uncertain tokens more and certain ones less (token-selective dual distillation)",
    paper="Token-Selective Dual Knowledge Distillation, ICLR 2026; code kmswin1/TSD-KD",
    options=TsdKdOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        "The formulas are the paper's: in the authors' code the ranking's sum runs the other way, the entropy term has "
        "the upper 90 %, and openers are found over the flattened batch.",
        "The opener's and the entropy's terms are means over completions of each one's mean, so that passes add up.",
    ),
)
