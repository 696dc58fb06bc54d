"""KD: the student's next-token distributions follow the teacher's, on the teacher's responses (Hinton et al. 2015).

The divergences are those of Agarwal et al. 2023 (arXiv 2306.13649, Eq. 1), whose supervised case (lambda 0) this is:

    L = mean over response tokens of D(p_T, p_S) + nll_weight * NLL

The teacher is a model with the student's tokenizer, read along (`--teacher`), or its likeliest tokens stored in the
records (`source=stored`, `backends.records.teacher_top`). Neither side's scores are ever built whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import Loss, Objective, Stage, Step, Training, TrainMethod
from backends.losses.divergence import Mass, stored_divergence, token_divergence
from backends.losses.nll import token_logps, weighted_nll
from backends.losses.positions import HeadLogits, vocabulary_size
from backends.losses.reduction import reduce_tokens
from backends.methods._sampler import sampled_counts, sampler_gap
from backends.options import must_be, refuse_unused
from backends.records.record import TrainRecord
from backends.records.segments import Encoder, Tokenised, tokenise
from backends.records.teacher_top import IDS, LOGPS, same_width, with_topk
from backends.teachers.local import LocalTeacher
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 64, "epochs": 3}


@dataclass(frozen=True)
class KdOptions:
    """Knowledge distillation's own options."""

    divergence: Literal["forward_kl", "reverse_kl", "jsd"] = "forward_kl"
    """KL(teacher, student), KL(student, teacher), or their generalised Jensen-Shannon divergence."""
    beta: float = 0.5
    """Of "jsd", from 0 (the forward KL) to 1 (the reverse one)."""
    temperature: float = 1.0
    """Divides both sides' scores."""
    tau2_scale: bool = False
    """Multiply by the square of the temperature, as Hinton et al. do."""
    source: Literal["teacher", "stored"] = "teacher"
    """A teacher model, or its stored likeliest tokens."""
    top_k: int | None = None
    """Compare only the teacher's k likeliest tokens; None: all there are."""
    mass: Mass = "renormalise"
    """Of what is compared: made to sum to 1, or with one bucket for each side's rest."""
    nll_weight: float = 0.0
    """Weight of the likelihood of the response beside the divergence."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "beta")
        must_be(self, "from 0.001 to 1000", "temperature")
        must_be(self, "at least 1", "top_k")
        must_be(self, "0 or more", "nll_weight")
        if self.source == "stored" and self.mass == "tail" and self.temperature != 1:
            raise ValueError("mass 'tail' of stored tokens needs temperature 1: their rest at another one is not known")
        refuse_unused(self, self.divergence == "jsd", "divergence=jsd", "beta")
        refuse_unused(self, self.source == "stored" or self.top_k is not None, "top_k=… or source=stored", "mass")


class DistillObjective(Objective):
    """Divergence from the teacher, mean over the tokens of the optimiser step."""

    options: KdOptions
    _teacher: LocalTeacher | None = None
    _drawn_at: float | None = None
    """Temperature; None where the responses are the records'."""

    def __init__(self, options: KdOptions, method: str = "kd") -> None:
        """`method` is named in errors."""
        super().__init__(options)
        self.method = method

    def setup(self, training: Training) -> None:
        """Load the teacher. Raises `ConfigError` if there is none, or if its tokens are not the student's."""
        self._drawn_at = None if training.rollout is None else training.rollout.temperature
        if self.options.source == "teacher":
            instead = ", or source=stored for stored distributions" if self.method == "kd" else ""
            self._teacher = LocalTeacher(training, self.method, instead=instead)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens, and of them those that the student drew."""
        return super().counts(batch) | (sampled_counts(batch) if self._drawn_at is not None else {})

    def prepare(self, batch: Batch, step: Step) -> HeadLogits | None:
        """The teacher's pass: its hidden states and output layer, of which the loss makes scores a few at a time."""
        return None if self._teacher is None else self._teacher.states(batch)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the token mean; logs the divergence and the likelihood."""
        mask_RT, tokens = batch.mask_RT, counts["tokens"]
        values_RT = self._divergence(batch, logits, prepared)
        value = reduce_tokens(values_RT, mask_RT, reduction="global", num_items=tokens)
        kept = logits if self.options.nll_weight else replace(logits, hidden_BTD=logits.hidden_BTD.detach())
        nll = weighted_nll(token_logps(kept, batch.labels_RT), mask_RT, reduction="global", num_items=tokens)
        log = {"divergence": value.detach(), "nll": nll.detach()}
        if self._drawn_at is not None:
            with torch.no_grad():
                drawn_RT = token_logps(logits, batch.labels_RT, temperature=self._drawn_at)
            log |= sampler_gap(batch, drawn_RT, counts)
        return Loss(value + self.options.nll_weight * nll if self.options.nll_weight else value, log)

    def _divergence(self, batch: Batch, logits: HeadLogits, teacher: HeadLogits | None) -> Tensor:
        """D at each response position, (R, T)."""
        o, mask_RT = self.options, batch.mask_RT
        how: dict[str, Any] = {"kind": o.divergence, "beta": o.beta, "mass": o.mass}
        how |= {"temperature": o.temperature, "tau2_scale": o.tau2_scale}
        if teacher is not None:
            assert self._teacher is not None
            size = min(self._teacher.tokens, vocabulary_size(logits), vocabulary_size(teacher))
            return token_divergence(logits, teacher, mask_RT, **how, vocabulary=size, top_k=o.top_k)
        logps_RTK, ids_RTK = (batch.extras[name][..., : o.top_k] for name in (LOGPS, IDS))
        return stored_divergence(logits, logps_RTK, ids_RTK.long(), mask_RT, **how)


def stored_examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """The responses with the teacher's stored distributions."""
    data, known = tokenise(encoder, records), {record.id: record for record in records}
    return replace(data, examples=same_width([with_topk(example, known[example.id]) for example in data.examples]))


def stages(options: KdOptions) -> tuple[Stage, ...]:
    """One stage on the response."""
    examples = stored_examples if options.source == "stored" else tokenise
    return (Stage("train", ("response",), examples, partial(DistillObjective, options), SETTINGS),)


METHOD = TrainMethod(
    name="kd",
    summary="the teacher's next-token distributions: forward or reverse KL, JSD",
    paper="Hinton et al. 2015, Distilling the Knowledge in a Neural Network, arXiv 1503.02531; "
    "Agarwal et al. 2023, arXiv 2306.13649, equation 1",
    options=KdOptions,
    stages=stages,
    needs=("teacher logits",),
    reads_teacher=lambda options: options.source == "teacher",
    deviations=(
        "on the records' responses only: nothing is sampled from the student (lambda 0 of GKD)",
        "the training settings are ours",
    ),
)
