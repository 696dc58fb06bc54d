"""What each training method learns from, by the taxonomy of A Survey of On-Policy Distillation (arXiv 2604.00626).

The survey is about methods whose student writes; its three questions are asked here of all. Feedback: "logit" (a
teacher's distributions or log-probabilities), "outcome" (a verifier or a reward), "self-play" (the student itself,
shown more or at another time); and for methods on stored records "text" (what a teacher wrote) and "preference"
(responses in order). Access to the teacher: "white-box" (its log-probabilities), "black-box" (its texts or verdicts),
"teacher-free". Granularity: whether a token or a whole response is credited, or both. Divergence: the one that is
minimised where it has a name; likelihood of given text is forward KL to whoever wrote it. What a method can be told to
do otherwise (`--set kind=…`) is not here: these are the defaults.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

Feedback: TypeAlias = Literal["logit", "outcome", "self-play", "text", "preference", "weights"]
Access: TypeAlias = Literal["white-box", "black-box", "teacher-free"]
Granularity: TypeAlias = Literal["token", "sequence", "hybrid"]


@dataclass(frozen=True)
class Taxonomy:
    """The answers for one method."""

    feedback: tuple[Feedback, ...]
    access: Access
    granularity: Granularity
    divergence: str
    """"forward_kl", "reverse_kl", "jsd", "tvd", "wasserstein", …; "-" where none is minimised."""


def _row(feedback: str, access: Access, granularity: Granularity, divergence: str) -> Taxonomy:
    return Taxonomy(tuple(feedback.split("+")), access, granularity, divergence)  # type: ignore[arg-type]


_TEXT = _row("text", "black-box", "token", "forward_kl")
_PAIRS = _row("preference", "black-box", "sequence", "-")
_OUTCOME = _row("outcome", "teacher-free", "sequence", "-")
_OPINION = _row("logit", "white-box", "token", "reverse_kl")
_BOTH = _row("logit+outcome", "white-box", "hybrid", "reverse_kl")
TAXONOMY: dict[str, Taxonomy] = {
    **dict.fromkeys(("sft", "cascod", "mt_cot", "mt_ra", "mt_re", "step_by_step", "lema", "gsrm"), _TEXT),
    "scott": _row("text+preference", "black-box", "token", "forward_kl"),
    "emo": _row("text", "black-box", "token", "wasserstein"),
    "mixce": _row("text", "black-box", "token", "forward_kl + reverse_kl"),
    "tailr": _row("text", "black-box", "token", "tvd"),
    "thinkanswer": _row("text", "black-box", "hybrid", "forward_kl + cosine of embeddings"),
    "krsl": _row("text+preference", "black-box", "token", "forward_kl"),
    "mcc_kd": _row("text+self-play", "black-box", "token", "forward_kl + symmetric kl"),
    "mind": _row("text+self-play", "black-box", "hybrid", "forward_kl + symmetric kl"),
    "qcrd": _row("text+preference", "black-box", "sequence", "forward_kl"),
    "tailored": _row("text+self-play", "black-box", "hybrid", "forward_kl + triplet"),
    "curiosft": _row("text+self-play", "black-box", "token", "forward_kl"),
    "curio_rl": _row("text+self-play+outcome", "black-box", "hybrid", "forward_kl"),
    "specialized_kd": _row("text+logit", "white-box", "token", "forward_kl"),
    **dict.fromkeys(("dpo", "simpo"), _PAIRS),
    **dict.fromkeys(("orpo", "zephyr", "redi"), _row("text+preference", "black-box", "sequence", "forward_kl")),
    "cotd_po": _row("text+preference+outcome", "black-box", "sequence", "forward_kl"),
    "cotd_rl": _row("text+preference+outcome", "black-box", "sequence", "forward_kl"),
    "rm": _PAIRS,
    "rjudge": _row("text+outcome", "black-box", "hybrid", "forward_kl"),
    "prm": _row("outcome", "black-box", "hybrid", "forward_kl"),
    "dear": _row("preference", "black-box", "sequence", "list-wise kl"),
    "kd": _row("logit", "white-box", "token", "forward_kl"),
    "gkd": _row("logit", "white-box", "token", "jsd"),
    "minillm": _row("logit", "white-box", "hybrid", "reverse_kl"),
    "uld": _row("text+logit", "white-box", "token", "wasserstein of sorted probabilities"),
    "gold": _row("logit", "white-box", "token", "jsd + distance of sorted probabilities"),
    "gld": _row("text+logit", "white-box", "hybrid", "wasserstein of sorted probabilities + graph distance"),
    "tsd_kd": _row("logit+preference", "white-box", "hybrid", "jsd"),
    **dict.fromkeys(("opd", "lightning_opd"), _OPINION),
    **dict.fromkeys(("kdrl", "trrd", "srpo", "hdpo", "rlsd", "opd_then_rl"), _BOTH),
    "scope": _row("logit+outcome", "white-box", "hybrid", "forward_kl + reverse_kl"),
    **dict.fromkeys(("grpo", "ppo", "mcq_rl"), _OUTCOME),
    "ssr": _row("self-play+outcome", "teacher-free", "sequence", "-"),
    "rft": _row("outcome", "teacher-free", "sequence", "forward_kl"),
    "rlkd": _row("outcome", "black-box", "sequence", "-"),
    "opsd": _row("self-play", "teacher-free", "token", "forward_kl"),
    "sdft": _row("self-play", "teacher-free", "token", "forward_kl"),
    "sd_zero": _row("self-play+outcome", "teacher-free", "token", "reverse_kl"),
    "sdpo": _row("self-play+outcome", "teacher-free", "token", "jsd"),
    "cord": _row("self-play+outcome", "teacher-free", "hybrid", "reverse_kl"),
    "merge": _row("weights", "white-box", "hybrid", "-"),
}
BY = tuple(field.name for field in fields(Taxonomy))
"""What methods can be listed by."""


def groups(by: str) -> dict[str, list[str]]:
    """Value -> methods of the catalog's own that have it, of one of `BY`; a method with two feedbacks is in both."""
    found: dict[str, list[str]] = {}
    for name, row in TAXONOMY.items():
        value = getattr(row, by)
        for one in value if isinstance(value, tuple) else (value,):
            found.setdefault(one, []).append(name)
    return {value: sorted(names) for value, names in sorted(found.items())}
