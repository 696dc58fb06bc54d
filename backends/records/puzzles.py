"""Training records of the embedded world's logic puzzles: right chains, wrong twins, verified by graders of their own.

The prompts are those of the suites `synth_knights` and `synth_countdown`, whose puzzles are in no train split.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from backends.records.record import TrainRecord
from harness.errors import DataError
from harness.synth import STYLES, Level, Split, Style
from harness.synth.puzzles import INSTRUCTIONS, Puzzle, PuzzleChain, PuzzleKind, puzzles, render_puzzle
from harness.types import Json, Message


def puzzle_records(
    kind: PuzzleKind,
    seed: int,
    per_level: int,
    levels: Sequence[Level],
    *,
    split: Split = "train",
    style: Style = "plain",
    form: Literal["think", "plain"] = "think",
    positives: int = 0,
) -> list[TrainRecord]:
    """`per_level` records of each level, levels alternating, as `backends.records.synth.synth_records` makes them.

    "short" and "plain" chains come with a wrong twin as `rejected`; `meta["error_span"]` are the characters of its
    wrong step. `positives` asks for chains in that many other styles. Raises `DataError` for counts that make no sense
    and where puzzles run out.
    """
    if per_level < 1 or not levels or positives < 0:
        raise DataError(
            f"{per_level} puzzles of each of {len(levels)} levels and {positives} positives make no data set: at least "
            "1 puzzle and 1 level"
        )
    streams = [puzzles(kind, seed, level, per_level, split) for level in dict.fromkeys(levels)]
    return [_record(puzzle, style, form, positives) for row in zip(*streams, strict=True) for puzzle in row]


def _record(puzzle: Puzzle, style: Style, form: Literal["think", "plain"], positives: int) -> TrainRecord:
    right, wrong = puzzle.right[style], puzzle.wrong.get(style)
    meta: dict[str, Json] = {
        "dataset": "synth",
        "level": puzzle.level,
        "family": puzzle.kind,
        "split": puzzle.split,
        "style": style,
        "grader": puzzle.kind,
    }
    if wrong is not None:
        meta |= {"error_step": wrong.error_step, "error_kind": wrong.error_kind, "error_span": _span(wrong, form)}
    response = render_puzzle(right, form)
    others = dict.fromkeys(render_puzzle(puzzle.right[other], form) for other in STYLES)
    return TrainRecord(
        id=puzzle.id,
        prompt=(Message("user", f"{puzzle.question}\n\n{INSTRUCTIONS[puzzle.kind]}"),),
        task="logic",
        think=" ".join(right.steps),
        answer=f"The answer is {right.answer}.",
        gold=puzzle.target,
        response=response,
        rejected=render_puzzle(wrong, form) if wrong is not None else None,
        positives=tuple(text for text in others if text != response)[:positives],
        meta=meta,
    )


def _span(chain: PuzzleChain, form: str) -> list[int]:
    """The characters [start, end) of the wrong step in the rendered chain, whose steps are joined by one blank."""
    step = chain.error_step or 0
    start = (len("<think>\n") if form == "think" else 0) + sum(len(text) + 1 for text in chain.steps[:step])
    return [start, start + len(chain.steps[step])]
