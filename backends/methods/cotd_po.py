"""CoTD-PO: learn the teacher's rationale, and align the student's choice among its own K answers with a reward model.

Each record's candidates are the student's answers to one and the same chain, the teacher's, with their rewards. The
rationale's NLL is taken once a prompt and ends with the cue, `</think>` or "My answer:", as in the authors' labels and
where the candidates were sampled from; an answer's score is the log-probability of what follows, end of sequence
included. Iterations are offline: sample and score, train one stage, sample again with the
trained student. Loss: `backends.losses.apa`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from backends.base import Loss, Objective, Step, TrainMethod, one_stage
from backends.losses.apa import (
    RewardNorm,
    ScoreNorm,
    answer_scores,
    apa_loss,
    cotd_po_loss,
    cotd_po_pairwise_loss,
)
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.reduction import row_means
from backends.options import refuse_unused
from backends.records.record import TrainRecord
from backends.records.segments import (
    CODE,
    IGNORED,
    Encoder,
    Example,
    Tokenised,
    Unusable,
    encode_or_count,
    example_of,
)
from backends.trainers.batch import Batch
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 5e-5,
    "scheduler": "linear",
    "warmup": 0.1,
    "epochs": 5,
    "batch_size": 128,
}
"""The paper's; the epochs are those of the authors' code, which has 1e-5 and cosine otherwise."""


@dataclass(frozen=True)
class CotdPoOptions:
    """Options of CoTD-PO."""

    arm: Literal["apa", "pairwise"] = "apa"
    """pairwise: the paper's ablation, SimPO on the best and the worst answer with the NLL of the best."""
    alpha: float = 1.0
    """Weight of the answers' term; 0 is SFT on the rationales by sequence mean."""
    lam: float = 0.5
    """Scale of an answer's score in the student's softmax."""
    score_norm: ScoreNorm = "sum"
    """An answer's score: the sum of its tokens' log-probabilities over the length of the prompt's longest sequence, as
    in the authors' code; mean: over its own tokens, which is ours and forgives long answers their length."""
    reward_norm: RewardNorm = "minmax5"
    """minmax5: rewards scaled to 0 to 5 within each prompt; raw: as they are."""
    beta: float = 2.0
    gamma: float = 1.0
    """Of SimPO, in the arm "pairwise"."""

    def __post_init__(self) -> None:
        if self.alpha < 0 or not self.lam > 0 or not self.beta > 0 or self.gamma < 0:
            raise ValueError("lam and beta must be above 0, alpha and gamma 0 or more")
        refuse_unused(self, self.arm == "pairwise", "arm=pairwise", "beta", "gamma")
        refuse_unused(self, self.arm == "apa", "arm=apa", "lam", "score_norm", "reward_norm")


def examples(encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
    """All candidates of each record; a record whose candidates follow different chains is left out and counted."""
    return encode_or_count(partial(_one_chain, encoder), records)


def _one_chain(encoder: Encoder, record: TrainRecord) -> tuple[Example]:
    """All candidates are the same up to the end of the cue that ends the chain. Raises `Unusable` if not."""
    example = example_of(encoder, record, ("candidates",), need_split=True, cue="think")
    chains = [sequence.ids_T[sequence.segments_T != CODE["answer"]] for sequence in example.sequences]
    if not all(np.array_equal(chain, chains[0]) for chain in chains):
        raise Unusable("other_chain")
    return (example,)


class CotdPoObjective(Objective):
    """NLL of the rationale plus alpha times the answers' term, averaged over the prompts of the optimiser step."""

    options: CotdPoOptions

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """The prompts."""
        return {"prompts": torch.tensor(batch.examples)}

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share of the mean over prompts."""
        chain_RT, answer_RT = batch.part("think"), batch.part("answer")
        # The chain is the same in every row of a prompt: the first one's counts, the others' is not computed.
        chain_RT = chain_RT & (batch.slot_R == 0)[:, None]
        logps_RT = token_logps(logits, batch.labels_RT.masked_fill(~(chain_RT | answer_RT), IGNORED))
        first_B = batch.rows(0)
        rationale_B = row_means(logps_RT[first_B], chain_RT[first_B])
        term = self._answers(batch, logps_RT, answer_RT)
        loss_B = cotd_po_loss(rationale_B, term.pop("answers"), alpha=self.options.alpha)
        log = {"rationale_nll": -rationale_B.detach(), **term}
        prompts = counts["prompts"]
        return Loss(loss_B.sum() / prompts, {name: value.sum() / prompts for name, value in log.items()})

    def _answers(self, batch: Batch, logps_RT: Tensor, answer_RT: Tensor) -> dict[str, Tensor]:
        """Under "answers" the term's loss for each prompt; the rest is for the logs, without gradient."""
        options = self.options
        assert batch.rewards_R is not None  # candidates come with rewards
        mean_BK, valid_BK = batch.table(row_means(logps_RT, answer_RT))
        scores_R = answer_scores(logps_RT, answer_RT, _positions(batch), norm=options.score_norm)
        score_BK, _ = batch.table(scores_R)
        rewards_BK, _ = batch.table(batch.rewards_R.to(logps_RT.dtype))
        apa = apa_loss(score_BK, rewards_BK, lam=options.lam, reward_norm=options.reward_norm, valid_BK=valid_BK)
        found = {
            "answers": apa.loss_B,
            "apa": apa.loss_B.detach(),
            "entropy": apa.student_entropy_B,
            "reward": (apa.student_BK * rewards_BK).sum(-1),
        }
        if options.arm == "pairwise":
            pair = cotd_po_pairwise_loss(mean_BK, rewards_BK, beta=options.beta, gamma=options.gamma, valid_BK=valid_BK)
            found |= {"answers": pair.loss_P, "margin": pair.margin_P}
        return found


def _positions(batch: Batch) -> Tensor:
    """The predicted positions of the longest sequence of each row's prompt, (R,)."""
    lengths_R = batch.inputs["attention_mask"].sum(-1)
    longest_B = lengths_R.new_zeros(batch.examples).scatter_reduce(0, batch.example_R, lengths_R, "amax")
    return longest_B[batch.example_R] - 1


METHOD = TrainMethod(
    name="cotd_po",
    summary="the teacher's rationale, and a reward model's preferences among the student's own K answers to it",
    paper="Niu et al. 2025, CoTD-PO, EMNLP 2025 Findings 1087, Eqs. 4, 8, 9 and 11",
    stages=one_stage(CotdPoObjective, examples, SETTINGS, ("candidates",)),
    options=CotdPoOptions,
    needs=("teacher text", "rewards"),
    deviations=(
        "lam 0.5 and alpha 1 are the authors' code's; the paper does not give them.",
        "An answer's score is the sum over its tokens, as in equation and code, over its prompt's longest sequence: "
        "the code's padded length at one prompt a device.",
        "score_norm=mean, over the answer's own tokens, is ours.",
        "Equal answers to a prompt are one candidate (`harness data candidates`); the paper's K may repeat themselves.",
        "The rationale's NLL is a mean over its tokens, as in the code; the equation sums.",
        "The pairwise arm keeps the rationale's NLL and takes beta 2, gamma 1 and weight 1: the paper gives none.",
        "One run is one iteration over stored candidates.",
    ),
)
