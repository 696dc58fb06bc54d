"""MATH-500: the 500 test problems of MATH that Lightman et al. (2023) held out, answers in LaTeX."""

from __future__ import annotations

from collections.abc import Mapping

from harness.datasets import clean_text
from harness.suites._published import published
from harness.suites._render import BOXED, open_problem, text
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite


def _normalised(raw: Mapping[str, Json], key: str) -> dict[str, Json]:
    return {
        "id": clean_text(raw[key]),
        "problem": clean_text(raw["problem"]),
        "answer": clean_text(raw["answer"]),
        "solution": clean_text(raw["solution"]),
        "subject": clean_text(raw["subject"]),
        "level": int(str(raw["level"])),
    }


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    meta = {"subject": row["subject"], "level": row["level"]}
    return open_problem(row, grader="math", instruction=BOXED, reference=text(row, "solution"), meta=meta)


MATH500 = Suite(
    name="math500",
    version="1",
    summary="MATH-500: competition mathematics at five levels, LaTeX answers",
    data=DataRef(
        files=("math500.jsonl",),
        rows=500,
        sha256="0421f8b8ca00d0b1e7d5efd1391455dc75f0c10e8f0aa67f7100531d81cb1efc",
        from_local=lambda raw: _normalised(raw, "id"),
        hub=(HubRef("HuggingFaceH4/MATH-500", None, "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),),
        from_hub=lambda raw: _normalised(raw, "unique_id"),
    ),
    render=_render,
    grader="math",
    sampling=Sampling(n=4, temperature=0.6, top_p=0.95, max_tokens=32768),
    metrics=("avg@n", "pass@4", "maj@4", "format:boxed"),
    formats=("boxed", "think"),
    licence="MIT",
    paper="Hendrycks et al. 2021, arXiv 2103.03874; the split: Lightman et al. 2023, arXiv 2305.20050",
    reference_scores=published("math500"),
)
