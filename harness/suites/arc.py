"""ARC Easy and ARC Challenge: grade-school science questions with three to five options.

Ids are content hashes, because the files in use do not keep the data set's own; the hub's rows get the same ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from harness.datasets import clean_text
from harness.suites._render import LETTERS, choice_problem, texts
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite


def _row(question: Json, options: list[str], correct: int) -> dict[str, Json]:
    stem = clean_text(question)
    choices = [clean_text(option) for option in options]
    if not 0 <= correct < len(choices):
        raise ValueError(f"the answer is option {correct + 1} of {len(choices)}")
    digest = hashlib.sha256("\x1f".join([stem, *choices]).encode()).hexdigest()[:16]
    return {"id": f"arc-{digest}", "question": stem, "choices": choices, "correct": correct}


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _row(raw["question"], texts(raw, "choices"), LETTERS.index(clean_text(raw["answer"])))


def _hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    """Options are {"text": [...], "label": [...]}; labels are letters or, in some rows, digits."""
    options = raw["choices"]
    if not isinstance(options, Mapping):
        raise TypeError("'choices' should hold texts and labels")
    return _row(raw["question"], texts(options, "text"), texts(options, "label").index(clean_text(raw["answerKey"])))


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return choice_problem(row, seed, options=texts(row, "choices"), correct=int(str(row["correct"])))


def _suite(name: str, config: str, rows: int, sha256: str, summary: str) -> Suite:
    hub = HubRef("allenai/ai2_arc", config, "test", "210d026faf9955653af8916fad021475a3f00453")
    return Suite(
        name=name,
        version="1",
        summary=summary,
        data=DataRef(
            files=(f"{name}_test.jsonl",), rows=rows, sha256=sha256, from_local=_local, hub=(hub,), from_hub=_hub
        ),
        render=_render,
        grader="choice",
        sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
        metrics=("avg@n", "pass@4", "maj@4"),
        formats=("think",),
        licence="CC BY-SA 4.0",
        paper="Clark et al. 2018, arXiv 1803.05457",
    )


ARC_EASY = _suite(
    "arc_easy",
    "ARC-Easy",
    2376,
    "c6b517b0abeb090d9783b8762c11a5de7ea139437d491423dc34f34deff967fd",
    "ARC Easy, test split: grade-school science, 3 to 5 options",
)
ARC_CHALLENGE = _suite(
    "arc_challenge",
    "ARC-Challenge",
    1172,
    "f128046f33ba0465a5c13c06a49509d6c5c464935f4232b3f2419b51d213e813",
    "ARC Challenge, test split: science questions that retrieval and word statistics got wrong",
)
