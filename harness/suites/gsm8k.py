"""GSM8K: grade-school word problems with worked solutions; the answer is the whole number after `####`."""

from __future__ import annotations

from collections.abc import Mapping

from harness.datasets import INDEX, clean_text
from harness.suites._render import BOXED_NUMBER, open_problem, text
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite


def _row(index: int, question: Json, solution: Json) -> dict[str, Json]:
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


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    index = clean_text(raw["id"]).removeprefix("gsm8k-test-")
    return _row(int(index), raw["question"], raw["solution"])


def _hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _row(int(str(raw[INDEX])), raw["question"], raw["answer"])


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(
        row, grader="number", question="question", instruction=BOXED_NUMBER, reference=text(row, "solution")
    )


GSM8K = Suite(
    name="gsm8k",
    version="1",
    summary="GSM8K test split: grade-school word problems",
    data=DataRef(
        files=("gsm8k_test.jsonl",),
        rows=1319,
        sha256="bf6cfed5ee02c422fd881de631daf1c0a3db9f38823ae6eaf7933a62f87bb662",
        from_local=_local,
        hub=(HubRef("openai/gsm8k", "main", "test", "740312add88f781978c0658806c59bc2815b9866"),),
        from_hub=_hub,
    ),
    render=_render,
    grader="number",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "pass@4", "maj@4", "format:boxed"),
    formats=("boxed", "think"),
    licence="MIT",
    paper="Cobbe et al. 2021, arXiv 2110.14168",
)
