"""What `directions.py` trains, and what was predicted of it before it was run: the plan of METHODS 14 on two cores.

Every arm has 3 seeds and the same budget of tokens as those that it is held against. A sign that was registered is not
changed afterwards; what a setting got wrong is said in docs/LOG.md. What the plan asks of larger machines, and what
other scripts here have measured, is at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PLAIN = "synth:levels=1+2,per_level=1000"
LONG = f"{PLAIN},style=long"
SHORT = f"{PLAIN},style=short"
SHARED = {
    "batch_size": "16",
    "micro_batch": "16",
    "lora_rank": "none",
    "scheduler": "cosine",
    "warmup": "0.03",
    "weight_decay": "0",
}
FIRST = {"learning_rate": "1e-3"}
"""Of what starts from the untrained student."""
SECOND = {"learning_rate": "1e-4"}
"""Of what goes on with a student that SFT has trained."""


@dataclass(frozen=True)
class Arm:
    """One way to train."""

    method: str
    data: str = PLAIN
    settings: Mapping[str, str] = field(default_factory=dict)
    student: Literal["tiny", "start"] = "tiny"
    """`start` is `tiny` after SFT with a seed of its own."""
    teacher: bool = False
    """Taught by `teacher`: `tiny12m` after SFT, of the same tokenizer."""
    budget: str = "120ktok"


ARMS: Mapping[str, Arm] = {
    "sft": Arm("sft", settings=FIRST),
    "sft_long": Arm("sft", LONG, FIRST),
    "sft_short": Arm("sft", SHORT, FIRST),
    "ta": Arm("thinkanswer", LONG, {**FIRST, "cot_ce_weight": "0.1"}),
    "ta_no_floor": Arm("thinkanswer", LONG, {**FIRST, "cot_ce_weight": "0"}),
    "emo": Arm("emo", settings={**FIRST, "variant": "detach_gold"}),
    "emo_plain": Arm("emo", settings={**FIRST, "variant": "plain"}),
    "curiosft": Arm("curiosft", settings=FIRST),
    "kd": Arm("kd", settings=FIRST, teacher=True),
    "more_sft": Arm("sft", settings=SECOND, student="start", budget="60ktok"),
    "krsl": Arm("krsl", settings={**SECOND, "sft_stage": "false"}, student="start", budget="60ktok"),
    "dpo": Arm("dpo", settings={**SECOND, "beta": "0.1"}, student="start", budget="60ktok"),
    "redi_0": Arm("redi", settings={**SECOND, "sft_stage": "false", "alpha": "0"}, student="start", budget="60ktok"),
    "redi": Arm("redi", settings={**SECOND, "sft_stage": "false", "alpha": "0.8"}, student="start", budget="60ktok"),
    "redi_1": Arm("redi", settings={**SECOND, "sft_stage": "false", "alpha": "1"}, student="start", budget="60ktok"),
}

Measure = Literal["accuracy", "format", "tokens", "nll", "rejected_nll", "entropy", "agreement"]
"""On problems of the dev split, which no arm is trained on: accuracy (share), closed think blocks (share), tokens of an
answer, nats per token of the right chain and of its wrong twin, entropy of the next token along the right chain (nats),
share of answers that are the teacher's."""


@dataclass(frozen=True)
class Claim:
    """A difference `arm` less `than`, and where it is said to lie."""

    plan: str
    """Its row in METHODS 14."""
    arm: str
    than: str
    measure: Measure
    sign: Literal["above", "below"]
    margin: float = 0.0
    """The difference is said to be above, or below, this."""
    ratio: bool = False
    """Of the logarithms of both: exp(margin) is a factor."""


CLAIMS = (
    # controls that every paper reports
    Claim("control", "sft", "untrained", "accuracy", "above"),
    Claim("control", "kd", "untrained", "accuracy", "above"),
    Claim("control", "kd", "sft", "accuracy", "above"),
    Claim("control", "teacher", "sft", "accuracy", "above"),
    Claim("control", "kd", "sft", "agreement", "above"),
    # R1: ThinkAnswer against SFT on long chains
    Claim("R1", "ta", "sft_long", "format", "above", -0.01),
    Claim("R1", "ta", "sft_long", "accuracy", "above", -0.01),
    Claim("R1", "ta", "sft_long", "tokens", "below"),
    Claim("R1", "ta", "sft_long", "nll", "above"),
    # R2: without a floor of likelihood on the chain it falls apart; with one it stays within 1.3x of SFT's perplexity
    Claim("R2", "ta_no_floor", "sft_long", "nll", "above"),
    Claim("R2", "ta_no_floor", "ta", "nll", "above"),
    Claim("R2", "ta", "sft_long", "nll", "below", 0.262),
    # R3: EMO within two points of SFT, either way of differentiating
    Claim("R3", "emo", "sft", "accuracy", "above", -0.02),
    Claim("R3", "emo", "sft", "accuracy", "below", 0.02),
    Claim("R3", "emo_plain", "sft", "accuracy", "above", -0.02),
    Claim("R3", "emo_plain", "sft", "accuracy", "below", 0.02),
    # R4: twins that differ in one step
    Claim("R4", "krsl", "more_sft", "accuracy", "above"),
    Claim("R4", "krsl", "dpo", "accuracy", "above"),
    Claim("R4", "dpo", "more_sft", "accuracy", "below"),
    Claim("R4", "dpo", "start", "nll", "above"),
    Claim("R4", "dpo", "start", "rejected_nll", "above"),
    # R12: entropy
    Claim("R12", "curiosft", "sft", "entropy", "above"),
    # R13: negatives
    Claim("R13", "redi", "redi_0", "accuracy", "above"),
    Claim("R13", "redi_1", "redi", "nll", "above"),
    # R16: short chains against long ones
    Claim("R16", "sft_short", "sft_long", "accuracy", "above", -0.02),
    Claim("R16", "sft_short", "sft_long", "tokens", "below", -0.693, ratio=True),
)

PROVENANCE = ("kd", "untrained", "teacher")
"""R19: of the answers of these models, the share of the teacher's sentences is said to be larger in the first half of
an answer than in the second (`harness analyze provenance`; a t test over the seeds). Registered after the arms above
were trained and measured, before anything of this was computed."""
ELSEWHERE = """\
R5: rlkd_direction.py. R7 to R9, R11 (grpo, kdrl, trrd, opd, gkd, lightning_opd): on_policy_directions.py. R10:
self_teacher_directions.py. R6 and R18 need a reward model of text and a model with lengths to lose; R14, R15, R17 and
R20 to R22 students that write more than sums, or 64 samples each: for a GPU.
"""
