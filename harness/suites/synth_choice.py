"""SYNTH as multiple choice: the wrong options are what natural mistakes in the same problem lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from harness.suites._render import choice_problem, texts
from harness.suites.synth import SEED, SPLIT, SYNTH
from harness.synth import Level, generate, wrong_chain
from harness.types import DataRef, Json, Problem, Sampling

_LEVELS: tuple[Level, ...] = (2, 3, 4, 5)
_PER_LEVEL = 25
_VARIANTS = 200
"""Mistakes looked at for three different wrong answers; problems with fewer are left out."""


@cache
def _rows() -> tuple[Mapping[str, Json], ...]:
    rows: list[Mapping[str, Json]] = []
    for level in _LEVELS:
        fitting: list[Mapping[str, Json]] = []
        for problem in generate(SEED, level, 2 * _PER_LEVEL, SPLIT):
            wrong: dict[int, None] = {}
            for variant in range(_VARIANTS):
                if len(wrong) == 3:
                    break
                wrong.setdefault(wrong_chain(problem, variant).answer)
            if len(wrong) == 3:
                options = [str(answer) for answer in (problem.answer, *wrong)]
                fitting.append({"id": problem.id, "level": level, "question": problem.question, "options": options})
        rows += fitting[:_PER_LEVEL]
    return tuple(rows)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return choice_problem(row, seed, options=texts(row, "options"), correct=0, meta={"level": row["level"]})


SYNTH_CHOICE = replace(
    SYNTH,
    name="synth_choice",
    summary="100 problems of levels 2 to 5, wrong options from natural mistakes",
    data=DataRef(
        files=(),
        rows=len(_LEVELS) * _PER_LEVEL,
        sha256="0c0d3f6d64b72430b2fb76b3714117577a854f8d64947a558d38e851075fe6f4",
        generate=_rows,
    ),
    render=_render,
    grader="choice",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=512),
)
