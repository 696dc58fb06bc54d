"""Distributions of a teacher with another vocabulary: ULD, GOLD and GLD.

ULD adds to the likelihood the distance of sorted probabilities at tokens that belong together: by position, as in the
paper, or by the bytes where both tokenizations meet. GOLD takes the latter, compares what both vocabularies have by its
divergence and only the rest sorted, on responses of which the student wrote a part; of one tokenizer it is `gkd`. GLD
(experimental: its formulas are a reconstruction) adds to both how the highest ranks go together over a response.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.base import Loss, Objective, Rolling, Stage, Step, Training, TrainMethod
from backends.losses.alignment import Alignment
from backends.losses.cross_tokenizer import (
    Distance,
    Hybrid,
    first_rows,
    graph_distance,
    group_distances,
    rank_features,
    sorted_l1,
)
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.losses.reduction import reduce_tokens
from backends.methods._policy_options import keep_all
from backends.methods._sampler import sampled_counts, sampler_gap
from backends.methods.gkd import ROLLOUT
from backends.options import must_be
from backends.records.segments import tokenise
from backends.rollouts.prompts import answered_prompts, prompts
from backends.teachers.foreign import Aligned, ForeignTeacher, Remembered
from backends.trainers.batch import Batch
from harness.errors import ConfigError
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 1e-5, "batch_size": 64, "epochs": 3}
GOLD_SETTINGS: dict[str, Json] = {"learning_rate": 1e-7, "batch_size": 64, "epochs": 1}
"""The learning rate is TRL's."""


@dataclass(frozen=True)
class UldOptions:
    """Options of ULD."""

    alignment: Alignment = "positions"
    """Which tokens belong together: the i-th with the i-th, or what ends at the same byte."""
    weight: float = 1.5
    """Of the distance of sorted probabilities."""
    nll_weight: float = 1.0
    """Weight of the likelihood of the response beside it."""
    temperature: float = 1.0
    """Divides both sides' scores."""

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "weight", "nll_weight")
        must_be(self, "from 0.001 to 1000", "temperature")


@dataclass(frozen=True)
class GldOptions:
    """Options of GLD."""

    alignment: Alignment = "positions"
    """Which tokens belong together in ULD's term: the i-th with the i-th, or what ends at the same byte."""
    top_k: int = 10
    """Nodes of a graph: a position's highest scores."""
    graph_weight: float = 0.1
    """Of the distance of the graphs."""
    weight: float = 0.1
    """Of the distance of sorted probabilities."""
    nll_weight: ClassVar[float] = 1.0
    temperature: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        must_be(self, "0 or more", "graph_weight", "weight")
        if self.top_k < 2:
            raise ValueError(f"top_k must be at least 2, not {self.top_k}: the last score is the zero of the others")


@dataclass(frozen=True)
class GoldOptions:
    """Options of GOLD."""

    alignment: Alignment = "bytes"
    """Which tokens belong together: what ends at the same byte, or the i-th with the i-th."""
    lam: float = 0.5
    """Share of the prompts whose response the student writes; the others have the record's."""
    beta: float = 0.5
    """Of the tokens that both vocabularies have: from 0, the forward KL, to 1, the reverse one."""
    temperature: float = 1.0
    """Divides both sides' scores; of drawing it is rollout.temperature."""
    matched: float | None = None
    """Weight of the tokens that both vocabularies have, the others' is 1 less it; None: their share of the teacher's.
    """
    nll_weight: float = 0.0
    """Weight of the likelihood of the response beside it."""
    weight: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "lam", "beta", "matched")
        must_be(self, "from 0.001 to 1000", "temperature")
        must_be(self, "0 or more", "nll_weight")


class CrossObjective(Objective):
    """The likelihood, and a distance from the teacher, mean over the groups of tokens that belong together."""

    options: UldOptions | GldOptions | GoldOptions
    _teacher: ForeignTeacher
    _drawn_at: float | None = None
    """Temperature; None where the responses are the records'."""

    def __init__(self, method: str, options: Any, asked: Remembered) -> None:
        """`asked` knows whose prompts are whose, once the examples are made."""
        super().__init__(options)
        self.method, self._asked = method, asked

    def setup(self, training: Training) -> None:
        """Load the teacher. Raises `ConfigError` or `DataError` where it cannot teach."""
        self._drawn_at = None if training.rollout is None else training.rollout.temperature
        self._teacher = ForeignTeacher(training, self.method, self.options.alignment, self._asked)

    def counts(self, batch: Batch) -> dict[str, Tensor]:
        """Tokens; groups, and responses that the teacher can and cannot read; tokens that the student drew."""
        drawn = sampled_counts(batch) if self._drawn_at is not None else {}
        return super().counts(batch) | self._teacher.count(batch) | drawn

    def prepare(self, batch: Batch, step: Step) -> Aligned | None:
        """The teacher's pass, in its own tokens."""
        return self._teacher.look(batch)

    def loss(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], step: Step, prepared: Any) -> Loss:
        """The micro-batch's share; logs the terms and the share of responses that the teacher cannot read."""
        o = self.options
        kept = logits if o.nll_weight else replace(logits, hidden_BTD=logits.hidden_BTD.detach())
        nll_RT = -token_logps(kept, batch.labels_RT)
        nll = reduce_tokens(nll_RT, batch.mask_RT, reduction="global", num_items=counts["tokens"])
        terms = self.terms(batch, logits, counts, prepared) if prepared is not None else {}
        value = o.nll_weight * nll + sum(self.weights[name] * term for name, term in terms.items())
        rows = counts["compared"] + counts["unread"]
        unread = self._teacher.count(batch)["unread"].to(rows.device) / rows.clamp(min=1)
        log = {"nll": nll.detach(), "unread": unread, **{name: term.detach() for name, term in terms.items()}}
        if self._drawn_at is not None:
            with torch.no_grad():
                drawn_RT = token_logps(logits, batch.labels_RT, temperature=self._drawn_at)
            log |= sampler_gap(batch, drawn_RT, counts)
        return Loss(value if value.requires_grad else logits.hidden_BTD.sum() * 0.0, log)

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each term counts."""
        return {"distance": self.options.weight}

    def terms(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], seen: Aligned) -> dict[str, Tensor]:
        """The micro-batch's shares of the terms."""
        found_G = group_distances(
            *self.plain(logits, seen), seen.ours, seen.theirs, self.distance(), temperature=self.options.temperature
        )
        return {"distance": found_G.sum() / counts["groups"].clamp(min=1)}

    def plain(self, logits: HeadLogits, seen: Aligned) -> tuple[HeadLogits, HeadLogits]:
        """Both sides' scores without the padding of their output layers."""
        ours, theirs = self._teacher.sizes
        return first_rows(logits, ours), first_rows(seen.logits, theirs)

    def distance(self) -> Distance:
        """How two distributions are compared."""
        return sorted_l1


class GldObjective(CrossObjective):
    """ULD's, and the distance of the graphs of ranks, mean over the responses that the teacher can read."""

    options: GldOptions

    def setup(self, training: Training) -> None:
        """Refuse graphs of more nodes than a vocabulary has tokens."""
        super().setup(training)
        if self.options.top_k > min(self._teacher.sizes):
            ours, theirs = self._teacher.sizes
            raise ConfigError(
                f"top_k is {self.options.top_k}, and the student has {ours} tokens, the teacher {theirs}: at most the "
                "fewer of both"
            )

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each term counts."""
        return {"distance": self.options.weight, "graph": self.options.graph_weight}

    def terms(self, batch: Batch, logits: HeadLogits, counts: Mapping[str, Tensor], seen: Aligned) -> dict[str, Tensor]:
        """Both terms."""
        sides = zip(self.plain(logits, seen), (batch.mask_RT, seen.mask_RT), strict=True)
        ours_RK, theirs_RK = (rank_features(*one, top_k=self.options.top_k) for one in sides)
        found_R = graph_distance(ours_RK[seen.rows_R], theirs_RK)
        found = super().terms(batch, logits, counts, seen)
        return found | {"graph": found_R.sum() / counts["compared"].clamp(min=1)}


class GoldObjective(CrossObjective):
    """The divergence of what both vocabularies have, and the rest sorted."""

    options: GoldOptions
    _distance: Hybrid

    def setup(self, training: Training) -> None:
        """Find what the vocabularies have in common."""
        super().setup(training)
        common = torch.tensor(self._teacher.common(), dtype=torch.int64, device=training.device)
        share = common.shape[1] / self._teacher.sizes[1] if self.options.matched is None else self.options.matched
        self._distance = Hybrid(common[0], common[1], self.options.beta, share, 1 - share)

    def distance(self) -> Distance:
        """GOLD's hybrid."""
        return self._distance


# --- methods ---------------------------------------------------------------------------------------------------------


def _offline(objective: type[CrossObjective], name: str, options: Any) -> tuple[Stage, ...]:
    asked = Remembered(tokenise)
    return (Stage("train", ("response",), asked, partial(objective, name, options, asked), SETTINGS),)


def _gold(options: GoldOptions) -> tuple[Stage, ...]:
    """As `gkd`'s: on the records' responses alone where the student writes none."""
    needs, maker = (("prompt",), prompts) if options.lam == 1 else (("prompt", "response"), answered_prompts)
    asked = Remembered(tokenise if options.lam == 0 else maker)
    objective = partial(GoldObjective, "gold", options, asked)
    if options.lam == 0:
        return (Stage("train", ("response",), asked, objective, GOLD_SETTINGS),)
    rolling = Rolling(keep_all, "", ROLLOUT | {"mix": options.lam}, ratio=False, compares=False)
    return (Stage("train", needs, asked, objective, GOLD_SETTINGS, rolling=rolling),)


_SHARED = (
    "The teacher reads the prompt by its own chat template; of a response that it cannot read (a control token of its "
    "own, longer than its context) only the likelihood counts, and their share is logged as `unread`.",
    "Distances are means over the groups of the optimiser step; the authors' code takes each response's mean first.",
)
ULD = TrainMethod(
    name="uld",
    summary="a teacher of any vocabulary: the likelihood, and the distance of sorted probabilities",
    paper="Boizard et al. 2024, Towards Cross-Tokenizer Distillation: the Universal Logit Distillation Loss for LLMs, "
    "arXiv 2402.12030",
    stages=partial(_offline, CrossObjective, "uld"),
    options=UldOptions,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        *_SHARED,
        "Ends of sequence are compared with each other, whatever the alignment.",
        "The training settings are ours.",
    ),
)
GLD = TrainMethod(
    name="gld",
    summary="uld, and how a teacher's highest scores go together over a response (InfiGFusion; a reconstruction)",
    paper="Wang et al. 2025, InfiGFusion: Graph-on-Logits Distillation via Efficient Gromov-Wasserstein for Model "
    "Fusion; abstract and figure alone",
    stages=partial(_offline, GldObjective, "gld"),
    options=GldOptions,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        *_SHARED,
        "Experimental: no formula or code is public. Nodes, features, their distance and both weights are ours.",
        "One teacher; the paper fuses several.",
        "The training settings are ours.",
    ),
)
GOLD = TrainMethod(
    name="gold",
    summary="a teacher of any vocabulary: divergence on tokens that both have, the rest sorted (GKD for any two)",
    paper="Hugging Face 2025, Unlocking On-Policy Distillation for Any Model Family (GOLD), as in TRL 1.16",
    stages=_gold,
    options=GoldOptions,
    needs=("teacher logits",),
    reads_teacher=lambda options: True,
    deviations=(
        *_SHARED,
        "Tokens of both vocabularies are those of the same bytes; TRL compares how they are written.",
        "A group's distribution is its last token's (TRL's \"bayesian\"); TRL's default takes the first one's.",
        "Ends of sequence are compared, and belong together whatever they are called; TRL leaves them out.",
        "Each prompt has a coin of its own; TRL throws one for a whole batch.",
    ),
)
