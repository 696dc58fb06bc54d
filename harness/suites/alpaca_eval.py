"""AlpacaEval 2: 805 instructions, each answer held against one by GPT-4 Turbo.

The instruction alone is what a model is sent. Text is kept exactly as published, trailing blanks included: instructions
are the key by which outputs and annotations of others are matched, and lengths in characters are part of the score.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.datasets import INDEX
from harness.suites._render import text
from harness.types import DataRef, HubRef, Json, Message, Problem, Sampling, Suite

_FILES = ("alpaca_eval_reference.jsonl",)
_HUB = (
    HubRef(
        "tatsu-lab/alpaca_eval",
        None,
        "eval",
        "2edc6fad8be6b14ea7230aabfd08188da6b8b814",
        file="alpaca_eval_gpt4_baseline.json",
    ),
)


def _question(raw: Mapping[str, Json], index: Json) -> dict[str, Json]:
    return {"id": _id(index), "dataset": text(raw, "dataset"), "instruction": text(raw, "instruction")}


def _answer(raw: Mapping[str, Json], index: Json) -> dict[str, Json]:
    return {"id": _id(index), "output": text(raw, "output")}


def _id(index: Json) -> str:
    if isinstance(index, bool) or not isinstance(index, int):
        raise TypeError(f"the index of a row should be a whole number, is {index!r}")
    return str(index)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    return Problem(
        id=text(row, "id"),
        messages=(Message("user", text(row, "instruction")),),
        target="",
        grader="exact",  # of no use here: the judge decides
        meta={"index": int(text(row, "id")), "dataset": text(row, "dataset")},
    )


ALPACA_EVAL = Suite(
    name="alpaca_eval",
    version="1",
    summary="AlpacaEval 2: 805 instructions judged against GPT-4 Turbo, length-controlled win rate",
    data=DataRef(
        files=_FILES,
        rows=805,
        sha256="6140ae57a253e0ec7a1637f5c364bb72316f088c136554e3bb1636b705f46f10",
        from_local=lambda raw: _question(raw, raw["index"]),
        hub=_HUB,
        from_hub=lambda raw: _question(raw, raw[INDEX]),
    ),
    baseline=DataRef(
        files=_FILES,
        rows=805,
        sha256="0a5108c3b44bbf5ce4029f24ed3935a15ef9f97712140f5c23ff6f7fc5d46805",
        from_local=lambda raw: _answer(raw, raw["index"]),
        hub=_HUB,
        from_hub=lambda raw: _answer(raw, raw[INDEX]),
    ),
    render=_render,
    grader="exact",
    judging="alpaca_eval",
    # No setting is prescribed. 0.7 is what most chat entries of the leaderboard were sampled with.
    sampling=Sampling(n=1, temperature=0.7, max_tokens=2048),
    metrics=("avg@n",),
    licence="CC BY-NC 4.0",
    paper="Li et al. 2023 (AlpacaEval); Dubois et al. 2024, arXiv 2404.04475 (length control)",
)
