"""Summands of on-policy losses, and what they see of a micro-batch.

`_on_policy.OnPolicyObjective` divides each by its own count. Extras and numbers of a batch are as it tells.

Shapes: R completions, T positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from backends.base import Step
from backends.losses.divergence import sampled_divergence, token_divergence
from backends.losses.entropy import token_entropy
from backends.losses.nll import token_logps
from backends.losses.policy import Norm, correction_weights, log_ratio_of, spread_rows, surrogate
from backends.losses.positions import HeadLogits, vocabulary_size
from backends.methods._policy_options import Surrogates
from backends.trainers.batch import Batch

Want = Literal["teacher", "stored teacher", "teacher states", "reference", "reference states"]
"""What a term reads beside the student: log-probabilities of the drawn tokens, or whole distributions. Those of a
"stored teacher" came with the completions (`Rolling.teacher`), NaN where its word does not count."""
Weight = float | Callable[[Step], float]
Rule = Callable[["Seen"], tuple[Tensor, Tensor]]
"""(log ratio, advantage), each (R, T), of what is known: a row of the table of teachers in reinforcement learning."""


def at(weight: Weight, step: Step) -> float:
    """A weight's value at a step."""
    return weight(step) if callable(weight) else weight


@dataclass(frozen=True)
class Beside:
    """What passes without gradient found, and only what a term wants."""

    teacher_RT: Tensor | None = None
    """Log-probabilities of the drawn tokens."""
    compared_RT: Tensor | None = None
    """Where the teacher's opinion counts."""
    teacher: HeadLogits | None = None
    tokens: int | None = None
    """Rows of an output layer that are tokens; the rest is padding."""
    reference_RT: Tensor | None = None
    reference: HeadLogits | None = None

    def vocabulary(self, student: HeadLogits) -> int:
        """Rows of both output layers that are compared."""
        assert self.teacher is not None and self.tokens is not None
        return min(self.tokens, vocabulary_size(student), vocabulary_size(self.teacher))


@dataclass(frozen=True)
class Seen:
    """A micro-batch as terms see it."""

    batch: Batch
    logits: HeadLogits
    step: Step
    temperature: float
    surrogates: Surrogates
    logps_RT: Tensor
    """Of the drawn tokens, with gradient."""
    entropy_RT: Tensor
    """Without gradient."""
    beside: Beside = field(default_factory=Beside)

    @property
    def old_RT(self) -> Tensor:
        """Of the policy that this generation began with; the policy itself where each generation is one update."""
        found = self.batch.extras.get("old_logps")
        return self.logps_RT.detach() if found is None else found.to(self.logps_RT.dtype)

    @cached_property
    def log_ratio_RT(self) -> Tensor:
        """log(pi / old), with gradient."""
        return log_ratio_of(self.logps_RT, self.old_RT, self.batch.mask_RT, level=self.surrogates.level)

    @property
    def advantage_RT(self) -> Tensor:
        """What each token is worth by its completion's reward; 0 where nothing is marked."""
        by_token = self.batch.extras.get("advantages")
        return self.number("advantage") if by_token is None else spread_rows(by_token, self.logps_RT)

    @property
    def teacher_RT(self) -> Tensor:
        """Of the drawn tokens under pi_T; the student's own where the teacher is not asked, so that d is 0 there."""
        teacher_RT, compared_RT = self.beside.teacher_RT, self.beside.compared_RT
        assert teacher_RT is not None and compared_RT is not None
        return torch.where(compared_RT, teacher_RT.to(self.logps_RT.dtype), self.logps_RT.detach())

    @property
    def d_RT(self) -> Tensor:
        """The gap log pi_T - log pi, from the student of this very pass, without gradient."""
        return self.teacher_RT - self.logps_RT.detach()

    def number(self, name: str) -> Tensor:
        """A number of each completion at each of its positions, (R, T); 0 where there is none of that name."""
        found = self.batch.numbers.get(name)
        return torch.zeros_like(self.logps_RT) if found is None else spread_rows(found, self.logps_RT)


@dataclass(frozen=True)
class Term(ABC):
    """One summand of the loss."""

    name: ClassVar[str]
    wants: ClassVar[tuple[Want, ...]] = ()

    @property
    def weight(self) -> Weight:
        """How much it counts, or how much at a step."""
        return 1.0

    @property
    def norm(self) -> Norm:
        """What its sum is divided by."""
        return "token"

    def mask(self, batch: Batch) -> Tensor:
        """The tokens that it is about, (R, T) bool."""
        return batch.mask_RT

    @abstractmethod
    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """(its value at each token, further values at each token to log as means), all (R, T)."""


@dataclass(frozen=True)
class PolicyTerm(Term):
    """The policy gradient of advantages that come of rewards, of a teacher, or of both."""

    surrogates: Surrogates
    rule: Rule | None = None
    """None: the ratio and the advantage as they are."""
    reads: tuple[Want, ...] = ()

    name: ClassVar[str] = "policy"

    @property
    def wants(self) -> tuple[Want, ...]:  # type: ignore[override]
        """What the rule reads."""
        return self.reads

    @property
    def norm(self) -> Norm:
        """As the options say."""
        return self.surrogates.norm

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The surrogate, weighed where the sampler is another engine; logs ratio and clipped shares."""
        how, mask_RT = self.surrogates, seen.batch.mask_RT
        log_ratio_RT, advantage_RT = (seen.log_ratio_RT, seen.advantage_RT) if self.rule is None else self.rule(seen)
        own = seen.batch.numbers.get("clip")
        low, high = (how.low, how.high) if own is None else (seen.number("clip"), seen.number("clip"))
        found = surrogate(
            seen.logps_RT, log_ratio_RT, advantage_RT, mask_RT, clip=how.clip, low=low, high=high, most=how.most
        )
        log = {"ratio": found.ratio_RT, "clip_low": found.low_RT, "clip_high": found.high_RT}
        log |= {"advantage_abs": advantage_RT.abs(), "ratio_square": found.ratio_RT.square()}
        loss_RT, sampler_RT = found.loss_RT, seen.batch.extras.get("sampler_logps")
        if sampler_RT is not None and how.correction != "none":
            weight_RT = correction_weights(seen.old_RT, sampler_RT, mask_RT, how=how.correction, cap=how.cap)
            loss_RT, log = loss_RT * weight_RT, log | {"sampler_weight": weight_RT}
        return loss_RT, log


@dataclass(frozen=True)
class KlTerm(Term):
    """KL(pi || reference): the student as it began, which it should stay near."""

    estimator: Literal["k2", "k3", "exact"]
    coefficient: float

    name: ClassVar[str] = "kl_reference"

    @property
    def wants(self) -> tuple[Want, ...]:  # type: ignore[override]
        """Distributions for the exact one."""
        return ("reference states",) if self.estimator == "exact" else ("reference",)

    @property
    def weight(self) -> Weight:
        """The coefficient."""
        return self.coefficient

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """An estimate from the drawn tokens, or the exact value."""
        if self.estimator == "exact":
            assert seen.beside.reference is not None
            exact_RT = token_divergence(
                seen.logits, seen.beside.reference, seen.batch.mask_RT,
                kind="reverse_kl", temperature=seen.temperature,
            )  # fmt: skip
            return exact_RT, {}
        assert seen.beside.reference_RT is not None
        return sampled_divergence(seen.logps_RT, seen.beside.reference_RT, estimator=self.estimator), {}


@dataclass(frozen=True)
class TeacherKlTerm(Term):
    """k2 of KL(pi || teacher) as a loss, whose gradient is that of the reverse KL in expectation."""

    coefficient: Weight

    name: ClassVar[str] = "kl_teacher"
    wants: ClassVar[tuple[Want, ...]] = ("teacher",)

    @property
    def weight(self) -> Weight:
        """The coefficient, perhaps one that falls."""
        return self.coefficient

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Half of d squared."""
        return sampled_divergence(seen.logps_RT, seen.teacher_RT, estimator="k2"), {}


@dataclass(frozen=True)
class EntropyTerm(Term):
    """A bonus for undecided distributions: minus their mean entropy."""

    coefficient: float

    name: ClassVar[str] = "entropy_bonus"

    @property
    def weight(self) -> Weight:
        """The coefficient."""
        return self.coefficient

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Minus the entropy, at temperature 1."""
        return -token_entropy(seen.logits, seen.batch.mask_RT), {}


@dataclass(frozen=True)
class NllTerm(Term):
    """Likelihood of chosen completions: those whose number of a name is above 0, which is their weight."""

    number: str = "correct"

    name: ClassVar[str] = "nll"

    def mask(self, batch: Batch) -> Tensor:
        """The tokens of the chosen completions."""
        found = batch.numbers.get(self.number)  # absent where a prompt stands in for completions that were all dropped
        return torch.zeros_like(batch.mask_RT) if found is None else batch.mask_RT & (found > 0)[:, None]

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """-log pi at temperature 1, times the weight."""
        logps_RT = seen.logps_RT if seen.temperature == 1 else token_logps(seen.logits, seen.batch.labels_RT)
        return -logps_RT * seen.number(self.number), {}
