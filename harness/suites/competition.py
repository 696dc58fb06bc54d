"""Competition and college problems with one boxed answer: AIME, AMC 12, MATH-500, Minerva's science problems.

AIME 2024 and 2025: answers are whole numbers from 0 to 999. The default of 16 samples is what 30 or 60 problems need at
the least: one item is 1.7 to 3.3 points. Published scores are per year, so they stand with `aime24` and `aime25`.
AMC 12 of 2023: 40 problems of the A and B papers whose answer is a whole number, asked without their options.
MATH-500: the 500 test problems of MATH that Lightman et al. (2023) held out, answers in LaTeX.
Minerva's 272 undergraduate problems (OCWCourses): physics, chemistry, economics, differential equations. Targets are
LaTeX, with a few numbers in programming style ("1e-5", "-1./3", "np.arcsin(10/13)") that the normalisation rewrites as
LaTeX, because no grader could be expected to know them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from functools import partial

from harness.datasets import INDEX, clean_text
from harness.suites._published import published
from harness.suites._render import BOXED, BOXED_INTEGER, BOXED_NUMBER, open_problem, text
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite

_FEW = Sampling(n=16, temperature=0.6, top_p=0.95, max_tokens=32768)
"""Of suites with few problems."""
_MANY = Sampling(n=4, temperature=0.6, top_p=0.95, max_tokens=32768)
_suite = partial(Suite, version="1", formats=("boxed", "think"))


def _row(problem_id: str, problem: Json, answer: Json) -> dict[str, Json]:
    return {"id": problem_id, "problem": clean_text(problem), "answer": clean_text(answer)}


# --- AIME and AMC ----------------------------------------------------------------------------------------------------

_AIME_24 = HubRef("HuggingFaceH4/aime_2024", None, "train", "2fe88a2f1091d5048c0f36abc874fb997b3dd99a")
_AIME_25 = HubRef("math-ai/aime25", None, "test", "563bb8404243c5f09de6ec262f2db674fe5bce9b")
_AIME_URL = re.compile(r"(\d{4})_AIME_(I{1,2})_Problems/Problem_(\d{1,2})")


def _aime(problem_id: str, raw: Mapping[str, Json]) -> dict[str, Json]:
    # int(): answers stand as 33, "33" or "033", depending on the source.
    return _row(problem_id, raw["problem"], str(int(str(raw["answer"]))))


def _aime_local(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _aime(clean_text(raw["id"]), raw)


def _aime_hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    """AIME 2024 names the exam in its `url`; AIME 2025 has none and holds I 1-15, then II 1-15."""
    if "url" not in raw:
        exam, number = divmod(int(str(raw[INDEX])), 15)
        return _aime(f"2025-{('I', 'II')[exam]}-{number + 1}", raw)
    found = _AIME_URL.search(clean_text(raw["url"]))
    if found is None:
        raise ValueError(f"no exam in the url {raw['url']!r}")
    return _aime("-".join(found.groups()), raw)


def _amc(problem_id: str, problem: Json, answer: Json) -> dict[str, Json]:
    return _row(problem_id, problem, str(Fraction(str(answer).strip())))  # 27, 27.0 or "27", depending on the source


def _render_aime(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="integer", instruction=BOXED_INTEGER)


def _render_amc(row: Mapping[str, Json], seed: int) -> Problem:
    return open_problem(row, grader="number", instruction=BOXED_NUMBER)


_aime_suite = partial(
    _suite,
    render=_render_aime,
    grader="integer",
    sampling=_FEW,
    metrics=("avg@n", "pass@8", "pass@16", "pass@64", "maj@16", "maj@64", "format:boxed"),
    licence="problems copyright Mathematical Association of America; transcriptions MIT",
    paper="American Invitational Mathematics Examination, "
    "https://artofproblemsolving.com/wiki/index.php/AIME_Problems_and_Solutions",
)
_aime_data = partial(DataRef, from_local=_aime_local, from_hub=_aime_hub)
AIME24 = _aime_suite(
    name="aime24",
    summary="AIME 2024 I and II: 30 competition problems, whole-number answers",
    data=_aime_data(
        files=("aime24.jsonl",),
        rows=30,
        sha256="37320d523783180d1ed0e738cb415f6d968905ace6dfc3ecea650285d98668da",
        hub=(_AIME_24,),
    ),
    reference_scores=published("aime24"),
)
AIME25 = _aime_suite(
    name="aime25",
    summary="AIME 2025 I and II: 30 competition problems, whole-number answers",
    data=_aime_data(
        files=("aime25.jsonl",),
        rows=30,
        sha256="fc64dd6adbcab89ed4f4cb62447d3c14bb737bec7d2e72ba9afa30d2fadf1a7c",
        hub=(_AIME_25,),
    ),
    reference_scores=published("aime25"),
)
AIME = _aime_suite(
    name="aime",
    summary="AIME 2024 and 2025: 60 competition problems, whole-number answers",
    data=_aime_data(
        files=("aime24.jsonl", "aime25.jsonl"),
        rows=60,
        sha256="fdcbc50494371303d0ec33088a5cdccbb9e2d06937d891f95046e8a32b2ba85a",
        hub=(_AIME_24, _AIME_25),
    ),
)
AMC23 = _suite(
    name="amc23",
    summary="AMC 12 2023: 40 competition problems with whole-number answers",
    data=DataRef(
        files=("amc23.jsonl",),
        rows=40,
        sha256="b175f15d71171190d3ce0da2995074374a762a197c290d7aa5e9cd1d31d507f4",
        from_local=lambda raw: _amc(clean_text(raw["id"]), raw["problem"], raw["answer"]),
        hub=(HubRef("math-ai/amc23", None, "test", "80815d37005feb82cd7f8fbc6901d5d3eff43057"),),
        from_hub=lambda raw: _amc(f"amc23-{int(str(raw['id']))}", raw["question"], raw["answer"]),
    ),
    render=_render_amc,
    grader="number",
    sampling=_FEW,
    metrics=("avg@n", "pass@8", "pass@16", "maj@16", "format:boxed"),
    licence="problems copyright Mathematical Association of America; transcription MIT",
    paper="AMC 12 2023, https://artofproblemsolving.com/wiki/index.php/AMC_12_Problems_and_Solutions",
)

# --- MATH-500 and Minerva --------------------------------------------------------------------------------------------

_MINERVA_INSTRUCTION = (
    "Reason step by step, then give the final answer, without its unit if the problem names one, inside \\boxed{}."
)
_SCIENTIFIC = re.compile(r"([+-]?\d+(?:\.\d+)?)e([+-]?\d+)")


def _math500(raw: Mapping[str, Json], key: str) -> dict[str, Json]:
    row = _row(clean_text(raw[key]), raw["problem"], raw["answer"])
    row |= {name: clean_text(raw[name]) for name in ("solution", "subject")}
    return {**row, "level": int(str(raw["level"]))}


def _render_math500(row: Mapping[str, Json], seed: int) -> Problem:
    meta = {"subject": row["subject"], "level": row["level"]}
    return open_problem(row, grader="math", instruction=BOXED, reference=text(row, "solution"), meta=meta)


def latex_answer(answer: str) -> str:
    r"""A gold answer with programming notation rewritten: 4.5e33 -> 4.5 \times 10^{33}, -3./2 -> -3/2."""
    power = _SCIENTIFIC.fullmatch(answer)
    if power is not None:
        return rf"{power[1]} \times 10^{{{int(power[2])}}}"
    return re.sub(r"(\d)\./", r"\1/", answer.replace("np.arcsin", r"\arcsin"))


def _render_minerva(row: Mapping[str, Json], seed: int) -> Problem:
    written = {**row, "answer": latex_answer(str(row["answer"]))}
    return open_problem(written, grader="math", instruction=_MINERVA_INSTRUCTION)


_latex_suite = partial(_suite, grader="math", sampling=_MANY, metrics=("avg@n", "pass@4", "maj@4", "format:boxed"))
MATH500 = _latex_suite(
    name="math500",
    summary="MATH-500: competition mathematics at five levels, LaTeX answers",
    data=DataRef(
        files=("math500.jsonl",),
        rows=500,
        sha256="0421f8b8ca00d0b1e7d5efd1391455dc75f0c10e8f0aa67f7100531d81cb1efc",
        from_local=lambda raw: _math500(raw, "id"),
        hub=(HubRef("HuggingFaceH4/MATH-500", None, "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),),
        from_hub=lambda raw: _math500(raw, "unique_id"),
    ),
    render=_render_math500,
    licence="MIT",
    paper="Hendrycks et al. 2021, arXiv 2103.03874; the split: Lightman et al. 2023, arXiv 2305.20050",
    reference_scores=published("math500"),
)
MINERVA_MATH = _latex_suite(
    name="minerva_math",
    summary="Minerva's undergraduate science problems, numbers and formulas",
    data=DataRef(
        files=("minerva_math.jsonl",),
        rows=272,
        sha256="d87a888e19d192916db43e1269c267f7b9289ab9a45149f63b47021fe668a66c",
        from_local=lambda raw: _row(clean_text(raw["id"]), raw["problem"], raw["answer"]),
        hub=(HubRef("math-ai/minervamath", None, "test", "ee46ddc498933b1977577953250ca5c66be64f96"),),
        from_hub=lambda raw: _row(f"minerva-{raw[INDEX]}", raw["question"], raw["answer"]),
    ),
    render=_render_minerva,
    licence="MIT (transcription); course material MIT OpenCourseWare, CC BY-NC-SA 4.0",
    paper="Lewkowycz et al. 2022, arXiv 2206.14858",
)
