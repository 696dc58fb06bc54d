"""GRPO: completions of a prompt compared with one another, by what a verifier says of them.

    A_i = (r_i - mean r) / (std r + 1e-4),   L = mean over i of mean over t of -min(rho A, clip(rho) A)

`variant` makes the choices of its relatives: `dapo` (upper clip .28, token mean; with `rollout.truncated=mask` and the
reward `length`), `dr_grpo` (no deviation, constant length), `gspo` (one ratio a completion), `cispo` (clipped weights
instead of clipped gradients). The first update of a generation has ratio 1 in all of them.
"""

from __future__ import annotations

from backends.base import Stage, TrainMethod
from backends.methods._policy_options import PolicyOptions
from backends.methods._teacher_rl import policy_stage
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 256, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 8, "temperature": 1.0}


def stages(options: PolicyOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    return (policy_stage("grpo", options, SETTINGS, ROLLOUT),)


METHOD = TrainMethod(
    name="grpo",
    summary="completions of a prompt, each weighed by its reward beside the others' (and DAPO, Dr. GRPO, GSPO)",
    paper="Shao et al. 2024, DeepSeekMath, arXiv 2402.03300, equation 3; variants arXiv 2503.14476, 2503.20783, "
    "2507.18071, 2506.13585",
    options=PolicyOptions,
    stages=stages,
    deviations=(
        "No distance to a reference by default (kl_coef); the paper has 0.04 of k3.",
        "dapo draws other prompts in place of flat groups with rollout.flat=resample alone, in three tries at most.",
        "cispo's upper bound is ours; the batch is ours.",
    ),
)
