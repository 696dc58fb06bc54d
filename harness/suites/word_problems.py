"""Word problems of grade school, whose answer is one number: GSM8K and SVAMP.

GSM8K has worked solutions; the answer is the whole number after `####`. SVAMP has 1,000 short problems, many with a
number that is not needed; all of it, not only its test split.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from harness.datasets import INDEX, clean_text
from harness.suites._render import BOXED_NUMBER, open_problem, text
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite

_suite = partial(
    Suite,
    version="1",
    grader="number",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "pass@4", "maj@4", "format:boxed"),
    formats=("boxed", "think"),
    licence="MIT",
)
_SVAMP_HUB = ("ChilleD/SVAMP", "5e0bf1e5e7c0e9c4bc39180d224f41f3f801b7ef")


def _gsm8k(index: int, question: Json, solution: Json) -> dict[str, Json]:
    worked = clean_text(solution)
    _, marker, answer = worked.rpartition("####")
    if not marker:
        raise ValueError("the solution has no '####' line")
    return {
        "id": f"gsm8k-test-{index}",
        "question": clean_text(question),
        "solution": worked,
        "answer": answer.strip().replace(",", ""),
    }


def _gsm8k_local(raw: Mapping[str, Json]) -> dict[str, Json]:
    index = clean_text(raw["id"]).removeprefix("gsm8k-test-")
    return _gsm8k(int(index), raw["question"], raw["solution"])


def _render_gsm8k(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(
        row, grader="number", question="question", instruction=BOXED_NUMBER, reference=text(row, "solution")
    )


def _svamp(problem_id: Json, body: Json, question: Json, answer: Json) -> dict[str, Json]:
    """The statement is the body, closed by a full stop if it has none, and the question."""
    story = clean_text(body)
    if not story.endswith((".", "?", "!", ",")):
        story += "."
    value = Fraction(str(answer).strip())
    return {"id": clean_text(problem_id), "problem": f"{story} {clean_text(question)}", "answer": str(value)}


def _render_svamp(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="number", instruction=BOXED_NUMBER)


GSM8K = _suite(
    name="gsm8k",
    summary="GSM8K test split: grade-school word problems",
    data=DataRef(
        files=("gsm8k_test.jsonl",),
        rows=1319,
        sha256="bf6cfed5ee02c422fd881de631daf1c0a3db9f38823ae6eaf7933a62f87bb662",
        from_local=_gsm8k_local,
        hub=(HubRef("openai/gsm8k", "main", "test", "740312add88f781978c0658806c59bc2815b9866"),),
        from_hub=lambda raw: _gsm8k(int(str(raw[INDEX])), raw["question"], raw["answer"]),
    ),
    render=_render_gsm8k,
    paper="Cobbe et al. 2021, arXiv 2110.14168",
)
SVAMP = _suite(
    name="svamp",
    summary="SVAMP: word problems of one or two steps with distracting numbers",
    data=DataRef(
        files=("svamp.jsonl",),
        rows=1000,
        sha256="cb07a1b3782afb28f82124895947651abd51d1b7acd8b46b4bbbd349735d622f",
        from_local=lambda raw: _svamp(raw["id"], raw["body"], raw["question"], raw["answer"]),
        hub=tuple(HubRef(_SVAMP_HUB[0], None, split, _SVAMP_HUB[1]) for split in ("train", "test")),
        from_hub=lambda raw: _svamp(raw["ID"], raw["Body"], raw["Question"], raw["Answer"]),
    ),
    render=_render_svamp,
    paper="Patel et al. 2021, arXiv 2103.07191",
)
