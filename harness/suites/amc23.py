"""AMC 12 of 2023: 40 problems of the A and B papers whose answer is a whole number, asked without their options."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from harness.datasets import clean_text
from harness.suites._render import BOXED_NUMBER, open_problem
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite


def _row(problem_id: str, problem: Json, answer: Json) -> dict[str, Json]:
    value = Fraction(str(answer).strip())  # 27, 27.0 or "27", depending on the source
    return {"id": problem_id, "problem": clean_text(problem), "answer": str(value)}


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="number", instruction=BOXED_NUMBER)


AMC23 = Suite(
    name="amc23",
    version="1",
    summary="AMC 12 2023: 40 competition problems with whole-number answers",
    data=DataRef(
        files=("amc23.jsonl",),
        rows=40,
        sha256="b175f15d71171190d3ce0da2995074374a762a197c290d7aa5e9cd1d31d507f4",
        from_local=lambda raw: _row(clean_text(raw["id"]), raw["problem"], raw["answer"]),
        hub=(HubRef("math-ai/amc23", None, "test", "80815d37005feb82cd7f8fbc6901d5d3eff43057"),),
        from_hub=lambda raw: _row(f"amc23-{int(str(raw['id']))}", raw["question"], raw["answer"]),
    ),
    render=_render,
    grader="number",
    sampling=Sampling(n=16, temperature=0.6, top_p=0.95, max_tokens=32768),
    metrics=("avg@n", "pass@8", "pass@16", "maj@16", "format:boxed"),
    formats=("boxed", "think"),
    licence="problems copyright Mathematical Association of America; transcription MIT",
    paper="AMC 12 2023, https://artofproblemsolving.com/wiki/index.php/AMC_12_Problems_and_Solutions",
)
