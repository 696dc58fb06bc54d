"""Terms that read a teacher's whole distributions, on what the student wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from backends.losses.divergence import Kind, token_divergence
from backends.losses.entropy import token_entropy
from backends.losses.policy import Norm
from backends.losses.selection import entropy_gate, most_uncertain, opener, ranking_nll
from backends.methods._terms import Seen, Term, Want, Weight


@dataclass(frozen=True)
class DivergenceTerm(Term):
    """D(teacher, student) of whole distributions, each position perhaps weighed."""

    kind: Kind
    beta: float = 0.5
    coefficient: float = 1.0
    gate: Callable[[Seen], Tensor] | None = None
    """Weight of each position, (R, T), without gradient."""
    by_value: Callable[[Tensor, Tensor], Tensor] | None = None
    """A further weight, of the values themselves and the mask, (R, T)."""
    top_k: int | None = None
    """Only the student's k likeliest tokens, and one bucket for the rest."""
    most: float | None = None
    """Each token of the vocabulary counts this much at most."""

    name: ClassVar[str] = "divergence"
    wants: ClassVar[tuple[Want, ...]] = ("teacher states",)

    @property
    def weight(self) -> Weight:
        """The coefficient."""
        return self.coefficient

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """At temperature 1, times the gate."""
        teacher, mask_RT = seen.beside.teacher, seen.beside.compared_RT
        assert teacher is not None and mask_RT is not None
        compare = partial(
            token_divergence,
            seen.logits,
            teacher,
            mask_RT,
            kind=self.kind,
            beta=self.beta,
            vocabulary=seen.beside.vocabulary(seen.logits),
            top_k=self.top_k,
            top_k_of="student",
            mass="tail",
        )
        found_RT, log = compare(most=self.most), dict[str, Tensor]()
        if self.most is not None:
            with torch.no_grad():
                log["clipped"] = (compare() > found_RT).float()
        if self.by_value is not None:
            found_RT = found_RT * self.by_value(found_RT.detach(), mask_RT)
        if self.gate is None:
            return found_RT, log
        gate_RT = self.gate(seen)
        return gate_RT * found_RT, log | {"gate": gate_RT}


def certainty_gate(tau: float) -> Callable[[Seen], Tensor]:
    """TSD-KD's: more where the student is less certain than the teacher."""

    def gate(seen: Seen) -> Tensor:
        assert seen.beside.teacher is not None
        with torch.no_grad():
            teacher_RT = token_entropy(seen.beside.teacher, seen.batch.mask_RT)
        return entropy_gate(seen.entropy_RT, teacher_RT, tau)

    return gate


@dataclass(frozen=True)
class OpenerTerm(Term):
    """TSD-KD's indirect term: in the opener, the student's candidates ranked as the teacher ranks them."""

    share: float
    top_k: int
    coefficient: float

    name: ClassVar[str] = "opener"
    wants: ClassVar[tuple[Want, ...]] = ("teacher states",)

    @property
    def weight(self) -> Weight:
        """The coefficient."""
        return self.coefficient

    @property
    def norm(self) -> Norm:
        """A mean over completions of each one's mean over its opener."""
        return "sequence"

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Plackett-Luce, so weighed that a completion's mean is that over its opener."""
        mask_RT, teacher = seen.batch.mask_RT, seen.beside.teacher
        assert teacher is not None
        chosen_RT = opener(seen.entropy_RT, mask_RT, self.share)
        found_RT = ranking_nll(seen.logits, teacher, chosen_RT, top_k=self.top_k)
        return found_RT * _of_chosen(chosen_RT, mask_RT), {"opener_share": chosen_RT.float()}


@dataclass(frozen=True)
class UncertainTerm(Term):
    """TSD-KD's last term: the entropy of each completion's most uncertain tokens, which is to fall."""

    share: float
    coefficient: float

    name: ClassVar[str] = "uncertain"

    @property
    def weight(self) -> Weight:
        """The coefficient."""
        return self.coefficient

    @property
    def norm(self) -> Norm:
        """A mean over completions of each one's mean over these tokens."""
        return "sequence"

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The entropy, so weighed that a completion's mean is that over these tokens."""
        mask_RT = seen.batch.mask_RT
        chosen_RT = most_uncertain(seen.entropy_RT, mask_RT, self.share)
        return token_entropy(seen.logits, chosen_RT) * _of_chosen(chosen_RT, mask_RT), {}


def _of_chosen(chosen_RT: Tensor, mask_RT: Tensor) -> Tensor:
    """What makes a mean over a completion's tokens one over the chosen, (R, 1)."""
    return mask_RT.sum(1, keepdim=True) / chosen_RT.sum(1, keepdim=True).clamp(min=1)
