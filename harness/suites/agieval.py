"""AGIEval, English multiple choice: seven sets from AQuA-RAT, LogiQA, the LSAT and the SAT, 2,340 questions.

Questions on one passage share a cluster. The set is read from files: its copies on the hub hold finished prompts, from
which passage and question cannot be taken apart.

Oddities of the data that the normalisation handles: options that print their letters out of order (A, C, B, D; the gold
label means the printed letter), and options whose letter lost its brackets in translation.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from harness.datasets import clean_text
from harness.suites._render import LETTERS, choice_problem, text, texts
from harness.types import DataRef, Json, Problem, Sampling, Suite

_PRINTED = re.compile(r"\(([A-E])\)\s*(.*)", re.DOTALL)


def split_options(options: list[str]) -> tuple[str, list[str]]:
    """The letters that options carry, in the order printed, and the options without them.

    Letters that are missing or not all different are those of the position.
    """
    found = [_PRINTED.fullmatch(option) for option in options]
    expected = LETTERS[: len(options)]
    printed = "".join(match[1] for match in found if match is not None)
    if sorted(printed) == list(expected):
        return printed, [match[2].strip() for match in found if match is not None]
    bare = [
        re.sub(rf"^(?:\({letter}\)|{letter}\?? )\s*", "", option)
        for letter, option in zip(LETTERS, options, strict=False)
    ]
    return expected, [option.strip() for option in bare]


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    letters, options = split_options([clean_text(option) for option in texts(raw, "options")])
    passage = "" if raw["passage"] is None else clean_text(raw["passage"])
    return {
        "id": clean_text(raw["id"]),
        "subset": clean_text(raw["subset"]),
        "passage": passage,
        "question": clean_text(raw["question"]),
        "choices": options,
        "correct": letters.index(clean_text(raw["label"])),
    }


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    passage = text(row, "passage")
    return choice_problem(
        row,
        seed,
        options=texts(row, "choices"),
        correct=int(str(row["correct"])),
        passage=passage,
        cluster="passage-" + hashlib.sha256(passage.encode()).hexdigest()[:16] if passage else "",
        meta={"subset": row["subset"]},
    )


AGIEVAL = Suite(
    name="agieval",
    version="1",
    summary="AGIEval English: AQuA-RAT, LogiQA, LSAT and SAT questions, 4 or 5 options",
    data=DataRef(
        files=("agieval_en.jsonl",),
        rows=2340,
        sha256="1275ea16f99de076df28151af2e5e00ac051c5493b29ac74919c1b4b38339e66",
        from_local=_local,
    ),
    render=_render,
    grader="choice",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "pass@4", "maj@4"),
    formats=("think",),
    licence="MIT (collection); each exam under its own licence",
    paper="Zhong et al. 2023, arXiv 2304.06364",
)
