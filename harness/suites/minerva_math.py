"""The 272 undergraduate problems of Minerva (OCWCourses): physics, chemistry, economics, differential equations.

Targets are LaTeX, with a few numbers in programming style ("1e-5", "-1./3", "np.arcsin(10/13)") that the normalisation
rewrites as LaTeX, because no grader could be expected to know them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.datasets import INDEX, clean_text
from harness.suites._render import open_problem
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite

INSTRUCTION = (
    "Reason step by step, then give the final answer, without its unit if the problem names one, inside \\boxed{}."
)
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)e([+-]?\d+)")


def latex_answer(answer: str) -> str:
    r"""A gold answer with programming notation rewritten: 4.5e33 -> 4.5 \times 10^{33}, -3./2 -> -3/2."""
    power = _SCIENTIFIC.fullmatch(answer)
    if power is not None:
        return rf"{power[1]} \times 10^{{{int(power[2])}}}"
    return re.sub(r"(\d)\./", r"\1/", answer.replace("np.arcsin", r"\arcsin"))


def _row(problem_id: str, problem: Json, answer: Json) -> dict[str, Json]:
    return {"id": problem_id, "problem": clean_text(problem), "answer": clean_text(answer)}


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem({**row, "answer": latex_answer(str(row["answer"]))}, grader="math", instruction=INSTRUCTION)


MINERVA_MATH = Suite(
    name="minerva_math",
    version="1",
    summary="Minerva's undergraduate science problems, numbers and formulas",
    data=DataRef(
        files=("minerva_math.jsonl",),
        rows=272,
        sha256="d87a888e19d192916db43e1269c267f7b9289ab9a45149f63b47021fe668a66c",
        from_local=lambda raw: _row(clean_text(raw["id"]), raw["problem"], raw["answer"]),
        hub=(HubRef("math-ai/minervamath", None, "test", "ee46ddc498933b1977577953250ca5c66be64f96"),),
        from_hub=lambda raw: _row(f"minerva-{raw[INDEX]}", raw["question"], raw["answer"]),
    ),
    render=_render,
    grader="math",
    sampling=Sampling(n=4, temperature=0.6, top_p=0.95, max_tokens=32768),
    metrics=("avg@n", "pass@4", "maj@4", "format:boxed"),
    formats=("boxed", "think"),
    licence="MIT (transcription); course material MIT OpenCourseWare, CC BY-NC-SA 4.0",
    paper="Lewkowycz et al. 2022, arXiv 2206.14858",
)
