"""The methods that see a record in two views: CasCoD, MT-CoT, MT-Re, MT-Ra, distilling step-by-step and SCOTT.

With alpha a method's share, c a chain (rationale), a its answer, q the question, and NLL the token mean of a view,

    CasCoD        L = (1 - alpha) * NLL(c | q) + alpha * NLL(a | q, c)
    MT-CoT        L = (1 - alpha) * NLL(c, a | q) + alpha * NLL(a | q, "[Answer Prediction]:")
    MT-Re         L = (1 - alpha) * NLL(c | q, "[Explanation Generation]:") + alpha * NLL(a | q)
    MT-Ra         L = (1 - alpha) * NLL(a, c | q, "[Explanation Generation]:") + alpha * NLL(a | q)
    step-by-step  L = (1 - alpha) * NLL(c | "explain:", q) + alpha * NLL(a | q)
    SCOTT         L = (1 - alpha) * NLL(c, a | q) + alpha * NLL(a' | "[Counterfactual]", q, c')

CasCoD: a token mean over both would let a long rationale drown the answer: that is the difference to SFT, not what is
read. Step-by-step: the student answers at once; explaining is only learnt, to learn to answer. SCOTT: the answer must
follow from the rationale, also from a wrong one. The counterfactual rationale c' argues for a wrong answer a', and the
student learns to give that answer to it: the record's wrong twin (`rejected`). Records without one are trained on by
the first term alone, which is Std-CoT.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from backends.base import TrainMethod
from backends.losses.cot_family import Views
from backends.methods._views import (
    RowMaker,
    ViewOptions,
    answer_only,
    chain_alone,
    chain_and_answer,
    chain_given,
    chain_only,
    in_words,
    tagged,
    view_stages,
    whole,
)
from backends.records.record import TrainRecord
from backends.records.segments import Encoded, Encoder
from harness.types import Json


def _cascod(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The response up to the end of its chain; the response of which only the answer is learnt."""
    response = whole(encoder, record)
    return chain_alone(response), chain_given(response)


def _mt_cot(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer to the tagged question; the whole response."""
    return answer_only(encoder, tagged(record, after="[Answer Prediction]:")), whole(encoder, record)


_EXPLAIN = "[Explanation Generation]:"


def _mt_re(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer; the rationale of the tagged question."""
    return answer_only(encoder, record), chain_only(encoder, tagged(record, after=_EXPLAIN))


def _mt_ra(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer; the answer and then the rationale, to the tagged question."""
    chain, answer = chain_and_answer(record)
    return answer_only(encoder, record), in_words(
        encoder, tagged(record, after=_EXPLAIN), f"{answer}\n\nExplanation: {chain}"
    )


def _step_by_step(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The answer; the rationale of the tagged question."""
    return answer_only(encoder, record), chain_only(encoder, tagged(record, before="explain:"))


def _scott(encoder: Encoder, record: TrainRecord) -> Sequence[Encoded]:
    """The response; if there is a wrong twin, it as the answer to the tagged question, its chain given."""
    factual = whole(encoder, record)
    if not record.rejected:
        return (factual,)
    return factual, chain_given(whole(encoder, tagged(record, before="[Counterfactual]"), record.rejected))


def _method(
    name: str,
    summary: str,
    paper: str,
    rows: RowMaker,
    views: Views,
    alpha: float,
    settings: Mapping[str, Json],
    deviations: tuple[str, ...],
) -> TrainMethod:
    """A method of two views; `views` are in the order of `rows`."""
    return TrainMethod(
        name=name,
        summary=summary,
        paper=paper,
        options=ViewOptions,
        stages=view_stages(rows, views, alpha, settings),
        needs=("teacher text",),
        deviations=deviations,
    )


CASCOD_SETTINGS: dict[str, Json] = {
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

CASCOD = _method(
    "cascod",
    "the rationale, then the answer given the rationale, each with its own mean",
    "Dai et al. 2024, Improve Student's Reasoning Generalizability through Cascading Decomposed CoTs "
    "Distillation, arXiv 2405.19842",
    _cascod,
    {"rationale": "rest", "answer": "alpha"},
    0.1,
    CASCOD_SETTINGS,
    (
        "one call at test time, not two: both views have the same prompt, the closing tag stands for the second "
        "call's cue and is learnt with the answer, and no end of sequence is learnt after the rationale",
        "alpha 0.1 is the authors' script's; the paper's was not found",
    ),
)
MT_COT = _method(
    "mt_cot",
    "two tasks: the answer alone; the rationale and its answer",
    "Li et al. 2022, Explanations from Large Language Models Make Small Reasoners Better, arXiv 2210.06726",
    _mt_cot,
    {"answer": "alpha", "explanation": "rest"},
    0.5,
    CASCOD_SETTINGS,
    (
        "only the answer's task has a tag: the other one is asked as evaluation asks it",
        "tag and training settings are those of CasCoD's code, which compares with it; alpha 0.5 is ours",
    ),
)
_LI = (
    "Li et al. 2022, Explanations from Large Language Models Make Small Reasoners Better, arXiv 2210.06726; "
    "Hase et al. 2020, arXiv 2010.04119"
)
_AS_MT_COT = (
    "the answer's task has no tag: it is the one that is used at test time, and is asked as evaluation asks it",
    "tag, training settings and alpha 0.5 are those of `mt_cot` here",
)
MT_RE = _method(
    "mt_re",
    "two tasks: the answer alone; the rationale alone (reasoning)",
    _LI,
    _mt_re,
    {"answer": "alpha", "explanation": "rest"},
    0.5,
    CASCOD_SETTINGS,
    (
        *_AS_MT_COT,
        "The second task is the explanation alone: with the answer behind it, it would be mt_cot.",
    ),
)
MT_RA = _method(
    "mt_ra",
    "two tasks: the answer alone; the answer and then its rationale (rationalisation)",
    _LI,
    _mt_ra,
    {"answer": "alpha", "explanation": "rest"},
    0.5,
    CASCOD_SETTINGS,
    (*_AS_MT_COT, 'The answer stands as the record has it, without "The answer is" before it.'),
)
STEP_BY_STEP = _method(
    "step_by_step",
    "the label, and the rationale as a second task that is not needed at test time",
    "Hsieh et al. 2023, Distilling Step-by-Step, arXiv 2305.02301",
    _step_by_step,
    {"label": "alpha", "rationale": "rest"},
    0.5,
    {"learning_rate": 5e-5, "batch_size": 64, "scheduler": "linear", "warmup": 0.0},
    (
        'the label\'s task has no prefix "predict:": it is asked as evaluation asks it',
        "the paper trains T5 for 10,000 steps whatever the data; here the epochs or the budget count",
    ),
)
SCOTT = _method(
    "scott",
    "rationale and answer, and the answer that a counterfactual rationale leads to",
    "Wang et al. 2023, SCOTT: Self-Consistent Chain-of-Thought Distillation, arXiv 2305.01879",
    _scott,
    {"factual": "rest", "counterfactual": "alpha"},
    0.5,
    {"learning_rate": 3e-5, "batch_size": 16, "epochs": 10, "scheduler": "linear", "warmup": 0.06},
    (
        "the teacher's contrastive decoding is the data's matter: any wrong twin is a counterfactual rationale",
        'the factual view has no tag "[Factual]": it is asked as evaluation asks it',
        "a step without counterfactual rows is Std-CoT: the shares are those of the views that are there",
    ),
)
