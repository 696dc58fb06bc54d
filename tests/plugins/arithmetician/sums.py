"""A suite of sums whose rows are made here; a suite with files names them in its `DataRef` instead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.types import DataRef, Json, Message, Problem, Sampling, Suite

ROWS = [{"id": f"{a}+{b}", "question": f"What is {a} + {b}?", "answer": str(a + b)} for a in range(8) for b in (2, 9)]


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    text = f"{row['question']} Put the number in \\boxed{{}}."
    return Problem(str(row["id"]), (Message("user", text),), target=str(row["answer"]), grader="integer")


SUITE = Suite(
    name="sums",
    version="1",
    summary="sums of two small numbers",
    data=DataRef(files=(), rows=len(ROWS), sha256="", generate=lambda: ROWS),
    render=_render,
    grader="integer",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=64),
    metrics=("avg@n",),
    licence="public domain",
    paper="none",
)
AUDITED = replace(SUITE, name="audited_sums", summary="the same, scored by a judge", judging="auditor")
