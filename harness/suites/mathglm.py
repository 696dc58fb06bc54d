"""MathGLM's Chinese word problems, answered as one JSON object with the steps and the answer.

The data give "x=<equation>=<value>"; the value is the gold answer. It may be a whole number, a decimal, a
fraction "(3/8)" or a mixed number "4(4/5)", which are compared as exact numbers; a percentage (172 rows), compared as
written; or an expression (51 rows, mostly "which equation is right?"), compared as text. Values are as the authors
rounded them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from harness.datasets import clean_text
from harness.suites._render import text, user
from harness.types import DataRef, Json, Problem, Sampling, Suite

INSTRUCTION = (
    "In the problem, 4(1/2) means the mixed number four and a half, and (1/2) the fraction.\n"
    'Reply with exactly one JSON object and nothing else: {"process": [one string for each step of the solution], '
    '"answer": "the final value, without its unit, a fraction as 3/8"}.'
)
_FRACTION = re.compile(r"(\d*)\((\d+)/(\d+)\)")


def gold_value(answer: str) -> str:
    """The value of "x=<equation>=<value>": a mixed number "4(4/5)" as "24/5", a fraction "(3/8)" as "3/8"."""
    value = answer.rpartition("=")[2].strip()
    if not value:
        raise ValueError("no value after '='")
    mixed = _FRACTION.fullmatch(value)
    if mixed is None:
        return value
    whole, numerator, denominator = int(mixed[1] or 0), int(mixed[2]), int(mixed[3])
    return f"{whole * denominator + numerator}/{denominator}"


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "id": f"mathglm-{int(str(raw['id']))}",
        "question": clean_text(raw["question"]),
        "answer": clean_text(raw["answer"]),
    }


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    worked = text(row, "answer")
    return Problem(
        id=text(row, "id"),
        messages=user(text(row, "question"), INSTRUCTION),
        target=json.dumps({"answer": gold_value(worked)}, ensure_ascii=False),
        grader="json",
        reference=worked,
    )


MATHGLM = Suite(
    name="mathglm",
    version="1",
    summary="MathGLM word problems in Chinese, JSON replies with steps and answer",
    data=DataRef(
        files=("mathglm_mwp_test.jsonl",),
        rows=5000,
        sha256="c0e1169fc8beed508a5df09b2e0907b2509dd23c9b06d6d4d57d6a900489b496",
        from_local=_local,
    ),
    render=_render,
    grader="json",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "em", "format:json", "pass@4", "maj@4"),
    formats=("json", "think"),
    reply_schema=(("process", "array"), ("answer", "string")),
    licence="not stated by the authors; research use",
    paper="Yang et al. 2023, arXiv 2309.03241",
)
