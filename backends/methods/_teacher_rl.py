"""Teachers in reinforcement learning: what a method makes of the ratio rho, the advantage A and d = log pi_T - log pi.

| method | ratio | advantage |
|---|---|---|
| GRPO | rho | A |
| OPD | rho | d |
| KDRL; with mask "response"; "group" | rho | A + b d; A + (1 - c) b d; A + W b d |
| SRPO | rho | c A + (1 - c) d |
| HDPO | rho | A + W b d |
| TRRD | rho^a (pi / pi_T)^(1 - a) | A |
| RLSD | rho | ((1 - l) + l clip(e^(sign(A) d), 1 - eps, 1 + eps)) A |
| OPD, then RL | rho | d until a step, then A |

c is 1 for a right completion, W is 1 where a whole group is wrong. d is of the student of this very pass and has no
gradient; TRRD's ratio has. The table is that of a comparison on one code base (StringNLPLAB/opd-rlvr).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from backends.base import ExampleMaker, Rolling, Stage
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions, group_credit, keep_all
from backends.methods._terms import EntropyTerm, KlTerm, PolicyTerm, Rule, Seen, Term, Weight, at
from backends.rewards.total import parse_weights
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Context
from backends.teachers.local import End
from backends.teachers.moving import SelfTeacherOptions
from harness.types import Json

Among = Literal["none", "response", "group"]
"""Which completions a mask leaves to the reward alone: none; the right ones; those of a group with a right one."""


@dataclass(frozen=True)
class TeacherOptions(PolicyOptions):
    """Options of methods with a policy gradient and a teacher."""

    end: End = "same"
    """Whether the teacher's end of sequence must be the student's, or is left out of every comparison."""


def d_alone(coefficient: float) -> Rule:
    """OPD: the advantage is d."""
    return lambda seen: (seen.log_ratio_RT, coefficient * seen.d_RT)


def d_added(b: Weight, mask: Among) -> Rule:
    """KDRL and HDPO: d beside the reward's advantage, on the completions that the mask leaves."""

    def rule(seen: Seen) -> tuple[Tensor, Tensor]:
        where = {
            "none": lambda: torch.ones_like(seen.d_RT),
            "response": lambda: 1 - seen.number("correct"),
            "group": lambda: seen.number("dead"),
        }[mask]()
        return seen.log_ratio_RT, seen.advantage_RT + where * at(b, seen.step) * seen.d_RT

    return rule


def d_for_wrong(seen: Seen) -> tuple[Tensor, Tensor]:
    """SRPO: the reward for what is right, the teacher for what is wrong."""
    right_RT = seen.number("correct")
    return seen.log_ratio_RT, right_RT * seen.advantage_RT + (1 - right_RT) * seen.d_RT


def towards_teacher(alpha: float, bound: float) -> Rule:
    """TRRD: the ratio to pi_old^alpha pi_T^(1 - alpha), with log(pi / pi_T) within the bound; both with gradient."""

    def rule(seen: Seen) -> tuple[Tensor, Tensor]:
        to_teacher_RT = (seen.logps_RT - seen.teacher_RT).clamp(-bound, bound)
        return alpha * seen.log_ratio_RT + (1 - alpha) * to_teacher_RT, seen.advantage_RT

    return rule


def scaled_by_d(lam: float, eps: float) -> Rule:
    """RLSD: the reward says where to, the teacher how far."""

    def rule(seen: Seen) -> tuple[Tensor, Tensor]:
        advantage_RT = seen.advantage_RT
        scale_RT = (advantage_RT.sign() * seen.d_RT).exp().clamp(1 - eps, 1 + eps)
        return seen.log_ratio_RT, ((1 - lam) + lam * scale_RT) * advantage_RT

    return rule


def d_until(step: int) -> Rule:
    """OPD for so many steps, then the reward."""
    return lambda seen: (seen.log_ratio_RT, seen.d_RT if seen.step.number < step else seen.advantage_RT)


def policy_stage(
    method: str,
    options: PolicyOptions,
    settings: Mapping[str, Json],
    rollout: Mapping[str, Json] | None = None,
    *,
    rule: Rule | None = None,
    teacher: bool = False,
    verified: bool = False,
    marked: bool = True,
    more: Sequence[Term] = (),
    own: SelfTeacherOptions | None = None,
    context: Context | None = None,
    examples: ExampleMaker = prompts,
) -> Stage:
    """A stage on completions that the student draws, with a policy term and what the options add to it.

    `rule` reads the `teacher`; `verified` methods must know what is right; a method that is not `marked` credits every
    completion alike. `own`: the teacher is the student itself, which reads completions behind what `context` tells.
    """
    surrogates, end = options.surrogates(), getattr(options, "end", None)
    terms: list[Term] = [PolicyTerm(surrogates, rule, ("teacher",) if teacher else ()), *more]
    if options.kl_coef:
        terms.append(KlTerm(options.kl, options.kl_coef))
    if options.entropy_coef:
        terms.append(EntropyTerm(options.entropy_coef))
    objective: Callable[[], OnPolicyObjective] = partial(OnPolicyObjective, method, options, terms, end=end, own=own)
    parts = parse_weights(options.weights) if options.total == "normalise_then_sum" else None
    credit = group_credit(surrogates.scale, verified=verified, parts=parts) if marked else keep_all
    rolling = Rolling(credit, options.weights, rollout or {}, compares=marked, context=context)
    return Stage("train", ("prompt",), examples, objective, settings, rolling=rolling)
