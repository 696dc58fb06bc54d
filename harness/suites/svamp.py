"""SVAMP: 1,000 short word problems, many with a number that is not needed; all of it, not only its test split."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from harness.datasets import clean_text
from harness.suites._render import BOXED_NUMBER, open_problem
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite

_REPO = "ChilleD/SVAMP"
_REVISION = "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef"


def _row(problem_id: Json, body: Json, question: Json, answer: Json) -> dict[str, Json]:
    """The statement is the body, closed by a full stop if it has none, and the question."""
    story = clean_text(body)
    if not story.endswith((".", "?", "!", ",")):
        story += "."
    value = Fraction(str(answer).strip())
    return {"id": clean_text(problem_id), "problem": f"{story} {clean_text(question)}", "answer": str(value)}


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="number", instruction=BOXED_NUMBER)


SVAMP = Suite(
    name="svamp",
    version="1",
    summary="SVAMP: word problems of one or two steps with distracting numbers",
    data=DataRef(
        files=("svamp.jsonl",),
        rows=1000,
        sha256="cb07a1b3782afb28f82124895947651abd51d1b7acd8b46b4bbbd349735d622f",
        from_local=lambda raw: _row(raw["id"], raw["body"], raw["question"], raw["answer"]),
        hub=(HubRef(_REPO, None, "train", _REVISION), HubRef(_REPO, None, "test", _REVISION)),
        from_hub=lambda raw: _row(raw["ID"], raw["Body"], raw["Question"], raw["Answer"]),
    ),
    render=_render,
    grader="number",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "pass@4", "maj@4", "format:boxed"),
    formats=("boxed", "think"),
    licence="MIT",
    paper="Patel et al. 2021, arXiv 2103.07191",
)
