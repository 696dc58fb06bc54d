"""The objective of methods that train on what the student wrote: a sum of terms, each over its own count.

    stage.objective = partial(OnPolicyObjective, "kdrl", [PolicyTerm(options, rule), KlTerm(options)])

A term that counts half of the tokens is not weaker for it, and adding a term dilutes no other. A batch brings what
drawing and marking found (`backends.rollouts`): extras "old_logps", "sampler_logps", "advantages" and "teacher_logps"
by token, numbers "advantage", "correct", "dead", "weight" by completion. Every log-probability of a token is at the
temperature that it was drawn at.

Shapes: R completions, T positions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, Training
from backends.losses.divergence import sampled_divergence, token_divergence
from backends.losses.entropy import token_entropy
from backends.losses.nll import token_logps, token_logps_and_entropies
from backends.losses.policy import Norm, correction_weights, log_ratio_of, over_step, spread_rows, surrogate
from backends.losses.positions import HeadLogits, vocabulary_size
from backends.methods._policy_options import PolicyOptions, Surrogates
from backends.methods._sampler import sampled_counts, sampler_gap
from backends.schedules import ParameterMean
from backends.teachers.local import End, LocalTeacher
from backends.teachers.moving import Own, SelfTeacher, holding, trained_weights
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


class OnPolicyObjective(Objective):
    """A sum of terms."""

    _training: Training | None = None
    _teacher: LocalTeacher | SelfTeacher | None = None
    _initial: ParameterMean | None = None

    def __init__(
        self,
        method: str,
        options: PolicyOptions,
        terms: Sequence[Term],
        *,
        end: End | None = None,
        own: Own | None = None,
    ) -> None:
        """`method` is named in errors; `end` says what becomes of a teacher's other end of sequence.

        `own`: the teacher is the student at another time, which reads the rows aside.
        """
        super().__init__(options)
        self.method, self.terms, self.end, self.own = method, tuple(terms), end, own
        self.wants = frozenset(want for term in terms for want in term.wants)
        self.temperature = 1.0

    def setup(self, training: Training) -> None:
        """Load the teacher and keep the weights as they are, where a term reads them."""
        self._training = training
        if training.rollout is not None:
            self.temperature = training.rollout.temperature
        if self.wants & {"teacher", "teacher states"}:
            self._teacher = (
                LocalTeacher(training, self.method, end=self.end)
                if self.own is None
                else SelfTeacher(training, self.method, self.own)
            )
        if self.wants & {"reference", "reference states"}:
            weights = trained_weights(training.model, f"{self.method} keeps the weights that it began with")
            self._initial = ParameterMean(weights, rho=1.0)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens, and of each term the tokens and completions that it is about."""
        found = {"tokens": batch.mask_RT.sum()} | sampled_counts(batch)
        for term in self.terms:
            mask_RT = term.mask(batch)
            found |= {f"{term.name}.tokens": mask_RT.sum(), f"{term.name}.rows": mask_RT.any(1).sum()}
        return found

    def prepare(self, batch: Batch, step: Step) -> Beside:
        """The teacher's and the reference's passes, as far as a term wants them."""
        found = Beside()
        stored_RT = batch.extras.get("teacher_logps")
        if stored_RT is not None:
            found = replace(found, teacher_RT=stored_RT, compared_RT=batch.mask_RT & ~stored_RT.isnan())
        elif "stored teacher" in self.wants:  # only a prompt that stands in for completions that were all dropped
            found = replace(
                found, teacher_RT=torch.zeros_like(batch.mask_RT, dtype=torch.float32), compared_RT=batch.mask_RT
            )
        if isinstance(self._teacher, SelfTeacher):
            self._teacher.follow(step)
        if self._teacher is not None:
            found = replace(found, compared_RT=self._teacher.compared(batch))
            if "teacher states" in self.wants:
                found = replace(found, teacher=self._teacher.states(batch), tokens=self._teacher.tokens)
            if "teacher" in self.wants:
                found = replace(found, teacher_RT=self._teacher.logps(batch, self.temperature))
        return found if self._initial is None else self._with_reference(found, batch)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the sum; logs each term before its weight, the entropy and the distance."""
        logps_RT, entropy_RT = token_logps_and_entropies(logits, batch.labels_RT, temperature=self.temperature)
        seen = Seen(batch, logits, step, self.temperature, self.options.surrogates(), logps_RT, entropy_RT, prepared)
        log = {"entropy": _mean(entropy_RT, batch.mask_RT, counts["tokens"])}
        log |= sampler_gap(batch, logps_RT, counts)
        if prepared.teacher_RT is not None:
            log["teacher_k1"] = _mean(-seen.d_RT, batch.mask_RT, counts["tokens"])
            log["teacher_k3"] = _mean(seen.d_RT.exp() - 1 - seen.d_RT, batch.mask_RT, counts["tokens"])
        shares: list[Tensor] = []
        largest: dict[str, Tensor] = {}
        for term in self.terms:
            mask_RT, tokens, rows = term.mask(batch), counts[f"{term.name}.tokens"], counts[f"{term.name}.rows"]
            if not int(tokens):  # of the whole step: there is nothing that it could be about
                log[term.name] = logps_RT.new_zeros(())
                continue
            values_RT, more = term.values(seen)
            share = over_step(values_RT, mask_RT, norm=term.norm, tokens=tokens, rows=rows, width=self._longest())
            shares.append(at(term.weight, step) * share)
            log |= {term.name: share.detach()}
            log |= {name: _mean(found, mask_RT, tokens) for name, found in more.items()}
            if "ratio" in more and bool(mask_RT.any()):
                largest["ratio_max"] = more["ratio"][mask_RT].max()
        return Loss(sum(shares) if shares else logps_RT.sum() * 0.0, log, largest)

    def state_dict(self) -> dict[str, Any]:
        """A moving teacher's."""
        return {"own": self._teacher.state_dict()} if isinstance(self._teacher, SelfTeacher) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with a checkpoint's teacher."""
        if isinstance(self._teacher, SelfTeacher):
            self._teacher.load_state_dict(state["own"])

    def _with_reference(self, found: Beside, batch: Batch) -> Beside:
        assert self._training is not None and self._initial is not None

        def read(logits: HeadLogits) -> Beside:
            if "reference states" in self.wants:  # the head is the student's own, and holds its weights again later
                return replace(found, reference=logits.detached(copy=True))
            logps_RT = token_logps(logits, batch.labels_RT, temperature=self.temperature)
            return replace(found, reference_RT=logps_RT)

        weights = trained_weights(self._training.model, f"{self.method} keeps the weights that it began with")
        with holding(self._initial, weights):
            more: Beside = self._training.forward(read, batch)
        return more

    def _longest(self) -> int | None:
        rollout = None if self._training is None else self._training.rollout
        return None if rollout is None else rollout.max_new


def _mean(values_RT: Tensor, mask_RT: Tensor, tokens: Tensor) -> Tensor:
    kept = torch.where(mask_RT, values_RT.detach().float(), torch.zeros_like(mask_RT, dtype=torch.float32))
    return kept.sum() / tokens.clamp(min=1)
