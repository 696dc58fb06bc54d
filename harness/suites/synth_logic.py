"""SYNTH's logic puzzles: knights and knaves, and countdown, 20 of each of five levels, with graders of their own.

Small puzzles repeat themselves under other names, so that those of one key are a cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from harness.hashing import short_hash
from harness.suites._render import open_problem, text
from harness.suites.synth import SEED, SPLIT, SYNTH
from harness.synth import LEVELS
from harness.synth.puzzles import INSTRUCTIONS, PuzzleKind, puzzles, render_puzzle
from harness.types import DataRef, Json, Problem, Sampling, Suite

_PER_LEVEL = 20


@cache
def _rows(kind: PuzzleKind) -> tuple[Mapping[str, Json], ...]:
    return tuple(
        {
            "id": puzzle.id,
            "level": puzzle.level,
            "question": puzzle.question,
            "answer": puzzle.target,
            "reference": render_puzzle(puzzle.right["plain"], "plain"),
            "key": puzzle.key,
        }
        for level in LEVELS
        for puzzle in puzzles(kind, SEED, level, _PER_LEVEL, SPLIT)
    )


def _suite(kind: PuzzleKind, summary: str, sha256: str) -> Suite:
    def render(row: Mapping[str, Json], seed: int) -> Problem:
        problem = open_problem(
            row,
            grader=kind,
            question="question",
            instruction=INSTRUCTIONS[kind],
            reference=text(row, "reference"),
            meta={"level": row["level"]},
        )
        return replace(problem, cluster=short_hash(text(row, "key")))

    rows = len(LEVELS) * _PER_LEVEL
    return replace(
        SYNTH,
        name=f"synth_{kind}",
        summary=summary,
        data=DataRef(files=(), rows=rows, sha256=sha256, generate=lambda: _rows(kind)),
        render=render,
        grader=kind,
        sampling=Sampling(n=1, temperature=0.0, max_tokens=1024),
    )


SYNTH_KNIGHTS = _suite(
    "knights",
    "100 puzzles of 2 to 6 knights and knaves, each with one solution",
    "eb409bdc4f5ca799e9133bc7f12d64f5c912bab2bd0681961b5285cb3fbed98b",
)
SYNTH_COUNTDOWN = _suite(
    "countdown",
    "100 targets to make of 2 to 5 numbers, each used exactly once",
    "6bc1b7edce0fd3c6100dd05b3963fd90679031012e7abfb15e317c679947a6e2",
)
