"""MT-CoT: the answer alone, and the rationale with its answer, as two tasks (Li et al. 2022, arXiv 2210.06726).

L = alpha * NLL(answer | question, "[Answer Prediction]:") + (1 - alpha) * NLL(rationale, answer | question)
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.base import TrainMethod
from backends.losses.cot_family import Views
from backends.methods._views import ViewOptions, answer_only, tagged, view_stages, whole
from backends.methods.cascod import SETTINGS
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder


def rows(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer to the tagged question; the whole response."""
    return answer_only(encoder, tagged(record, after="[Answer Prediction]:")), whole(encoder, record)


VIEWS: Views = {"answer": "alpha", "explanation": "rest"}
"""In the order of `rows`."""

METHOD = TrainMethod(
    name="mt_cot",
    summary="two tasks: the answer alone; the rationale and its answer",
    paper="Li et al. 2022, Explanations from Large Language Models Make Small Reasoners Better, arXiv 2210.06726",
    options=ViewOptions,
    stages=view_stages(rows, VIEWS, 0.5, SETTINGS),
    needs=("teacher text",),
    deviations=(
        "only the answer's task has a tag: the other one is asked as evaluation asks it",
        "tag and training settings are those of CasCoD's code, which compares with it; alpha 0.5 is ours",
    ),
)
