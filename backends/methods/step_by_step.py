"""Distilling step-by-step: the label, and the rationale as a task beside it (Hsieh et al. 2023, arXiv 2305.02301).

    L = alpha * NLL(label | question) + (1 - alpha) * NLL(rationale | "explain:", question)

The student answers at once; explaining is only learnt, to learn to answer.
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import TrainMethod
from backends.losses.cot_family import Views
from backends.methods._views import ViewOptions, answer_only, chain_only, tagged, view_stages
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder
from harness.types import Json

SETTINGS: dict[str, Json] = {"learning_rate": 5e-5, "batch_size": 64, "scheduler": "linear", "warmup": 0.0}


def rows(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer; the rationale of the tagged question."""
    return answer_only(encoder, record), chain_only(encoder, tagged(record, before="explain:"))


VIEWS: Views = {"label": "alpha", "rationale": "rest"}
"""In the order of `rows`."""

METHOD = TrainMethod(
    name="step_by_step",
    summary="the label, and the rationale as a second task that is not needed at test time",
    paper="Hsieh et al. 2023, Distilling Step-by-Step, arXiv 2305.02301",
    options=ViewOptions,
    stages=view_stages(rows, VIEWS, 0.5, SETTINGS),
    needs=("teacher text",),
    deviations=(
        'the label\'s task has no prefix "predict:": it is asked as evaluation asks it',
        "the paper trains T5 for 10,000 steps whatever the data; here the epochs or the budget count",
    ),
)
