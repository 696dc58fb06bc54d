"""CasCoD: first the rationale, then the answer given the rationale, each with its own mean (arXiv 2405.19842).

    L = (1 - alpha) * NLL(rationale | question) + alpha * NLL(answer | question, rationale)

A token mean over both would let a long rationale drown the answer: that is the difference to SFT, not what is read.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import TrainMethod
from backends.losses.cot_family import Views
from backends.methods._views import ViewOptions, chain_alone, chain_given, view_stages, whole
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 2e-4,
    "weight_decay": 0.05,
    "epochs": 15,
    "batch_size": 64,
    "scheduler": "epoch_decay",
    "decay": 0.95,
    "warmup": 0.0,
    "lora_rank": 64,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "lora_targets": "q_proj+v_proj",
}
"""The authors' script."""


def rows(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The response up to the end of its chain; the response of which only the answer is learnt."""
    response = whole(encoder, record)
    return chain_alone(response), chain_given(response)


VIEWS: Views = {"rationale": "rest", "answer": "alpha"}
"""In the order of `rows`."""

METHOD = TrainMethod(
    name="cascod",
    summary="the rationale, then the answer given the rationale, each with its own mean",
    paper="Dai et al. 2024, Improve Student's Reasoning Generalizability through Cascading Decomposed CoTs "
    "Distillation, arXiv 2405.19842",
    options=ViewOptions,
    stages=view_stages(rows, VIEWS, 0.1, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "one call at test time, not two: both views have the same prompt, the closing tag stands for the second "
        "call's cue and is learnt with the answer, and no end of sequence is learnt after the rationale",
        "alpha 0.1 is the authors' script's; the paper's was not found",
    ),
)
