"""The objective of methods that train on what the student wrote: a sum of terms, each over its own count.

    stage.objective = partial(OnPolicyObjective, "kdrl", [PolicyTerm(options, rule), KlTerm(options)])

A term that counts half of the tokens is not weaker for it, and adding a term dilutes no other. A batch brings what
drawing and marking found (`backends.rollouts`): extras "old_logps", "sampler_logps", "advantages" and "teacher_logps"
by token, numbers "advantage", "correct", "dead", "weight" by completion. Every log-probability of a token is at the
temperature that it was drawn at.

Shapes: R completions, T positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, TokenTeacher, Training
from backends.losses.entropy import top_share_entropy
from backends.losses.nll import token_logps, token_logps_and_entropies
from backends.losses.policy import over_step
from backends.losses.positions import HeadLogits
from backends.methods._policy_options import PolicyOptions
from backends.methods._sampler import sampled_counts, sampler_gap
from backends.methods._terms import Beside, Seen, Term, at
from backends.schedules import ParameterMean
from backends.teachers.local import End, LocalTeacher
from backends.teachers.moving import SelfTeacher, SelfTeacherOptions, holding, trained_weights
from backends.teachers.server import token_teacher
from backends.trainers.batch import Batch


class OnPolicyObjective(Objective):
    """A sum of terms."""

    _training: Training | None = None
    _teacher: TokenTeacher | None = None
    _initial: ParameterMean | None = None

    def __init__(
        self,
        method: str,
        options: PolicyOptions,
        terms: Sequence[Term],
        *,
        end: End | None = None,
        own: SelfTeacherOptions | None = None,
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
            if self.own is not None:
                self._teacher = SelfTeacher(training, self.method, self.own)
            elif "teacher states" in self.wants:
                self._teacher = LocalTeacher(training, self.method, end=self.end)
            else:
                self._teacher = token_teacher(training, self.method, end=self.end)
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
            if isinstance(self._teacher, LocalTeacher | SelfTeacher) and "teacher states" in self.wants:
                found = replace(found, teacher=self._teacher.states(batch), tokens=self._teacher.tokens)
            if "teacher" in self.wants:
                found = replace(found, teacher_RT=self._teacher.logps(batch, self.temperature))
        return found if self._initial is None else self._with_reference(found, batch)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the sum; logs each term before its weight, entropies and the distance."""
        logps_RT, entropy_RT = token_logps_and_entropies(logits, batch.labels_RT, temperature=self.temperature)
        seen = Seen(batch, logits, step, self.temperature, self.options.surrogates(), logps_RT, entropy_RT, prepared)
        log = {"entropy": _mean(entropy_RT, batch.mask_RT, counts["tokens"])}
        log["entropy_top"] = top_share_entropy(entropy_RT, batch.mask_RT).sum() / counts["tokens"].clamp(min=1)
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
