"""SCOTT: the answer must follow from the rationale, also from a wrong one (Wang et al. 2023, arXiv 2305.01879).

    L = (1 - alpha) * NLL(rationale, answer | question)
        + alpha * NLL(answer' | "[Counterfactual]", question, rationale')

The counterfactual rationale argues for a wrong answer, and the student learns to give that answer to it: the record's
wrong twin (`rejected`). Records without one are trained on by the first term alone, which is Std-CoT.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import TrainMethod
from backends.losses.cot_family import Views
from backends.methods._views import ViewOptions, chain_given, tagged, view_stages, whole
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 3e-5,
    "batch_size": 16,
    "epochs": 10,
    "scheduler": "linear",
    "warmup": 0.06,
}


def rows(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The response; if there is a wrong twin, it as the answer to the tagged question, its chain given."""
    factual = whole(encoder, record)
    if not record.rejected:
        return (factual,)
    return factual, chain_given(whole(encoder, tagged(record, before="[Counterfactual]"), record.rejected))


VIEWS: Views = {"factual": "rest", "counterfactual": "alpha"}
"""In the order of `rows`."""

METHOD = TrainMethod(
    name="scott",
    summary="rationale and answer, and the answer that a counterfactual rationale leads to",
    paper="Wang et al. 2023, SCOTT: Self-Consistent Chain-of-Thought Distillation, arXiv 2305.01879",
    options=ViewOptions,
    stages=view_stages(rows, VIEWS, 0.5, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "the teacher's contrastive decoding is the data's matter: any wrong twin is a counterfactual rationale",
        'the factual view has no tag "[Factual]": it is asked as evaluation asks it',
        "a step without counterfactual rows is Std-CoT: the shares are those of the views that are there",
    ),
)
