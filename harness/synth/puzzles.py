"""Logic puzzles of the embedded world, beside its sums: knights and knaves, and countdown.

A puzzle knows its answer, right chains in three styles and wrong ones whose wrong step is labelled. Unlike a sum's, its
answer is no number: each kind has a grader of its own (`harness.grading.knights`, `harness.grading.countdown`). What
decides the split is the puzzle without its names and wording, as for the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

from harness.errors import DataError, UnknownName
from harness.synth import countdown, knights
from harness.synth.generate import question_id, split_by
from harness.synth.records import LEVELS, SPLITS, DrawnPuzzle, Level, Split, Style
from harness.synth.rng import Rng

PuzzleKind = Literal["knights", "countdown"]
PUZZLE_KINDS: tuple[PuzzleKind, ...] = get_args(PuzzleKind)
INSTRUCTIONS: dict[PuzzleKind, str] = {"knights": knights.INSTRUCTION, "countdown": countdown.INSTRUCTION}
"""What follows a question in a prompt, after an empty line."""
_PATIENCE = 2_000
"""Puzzles in a row that are known, of another split or no good before a stream counts as exhausted."""
_DRAWS: dict[PuzzleKind, Callable[[Rng, Level, Callable[[str], bool]], DrawnPuzzle | None]] = {
    "knights": knights.draw,
    "countdown": countdown.draw,
}


@dataclass(frozen=True, slots=True)
class PuzzleChain:
    """A chain of thought about a puzzle."""

    steps: tuple[str, ...]
    answer: str
    """What the chain ends in, in the words of an answer."""
    error_step: int | None = None
    """0-based index of the first wrong step; None for a correct chain."""
    error_kind: str | None = None


@dataclass(frozen=True, slots=True)
class Puzzle:
    """One generated puzzle."""

    id: str
    """Depends on the question only."""
    kind: PuzzleKind
    level: Level
    split: Split
    key: str
    """The puzzle without its names and wording: two of one key are twins."""
    question: str
    target: str
    """The gold answer in its grader's form."""
    right: Mapping[Style, PuzzleChain]
    wrong: Mapping[Style, PuzzleChain]
    """Of the styles "short" and "plain": one labelled mistake, and what follows from it."""


def puzzles(kind: PuzzleKind, seed: int, level: Level, count: int, split: Split = "train") -> list[Puzzle]:
    """The first `count` distinct puzzles of one kind, level and split; a longer list begins with the shorter one.

    Raises `UnknownName` for a kind, level or split that does not exist, `DataError` for a negative count and where the
    puzzles run out.
    """
    for what, name, known in (("puzzle", kind, PUZZLE_KINDS), ("level", level, LEVELS), ("split", split, SPLITS)):
        if name not in known:
            raise UnknownName(what, str(name), map(str, known))
    if count < 0:
        raise DataError(f"count must be 0 or more, not {count}")
    return list(islice(_stream(kind, seed, level, split), count))


def _stream(kind: PuzzleKind, seed: int, level: Level, split: Split) -> Iterator[Puzzle]:
    rng = Rng("puzzles", kind, seed, level, split)
    seen: set[str] = set()
    misses = 0

    def fits(key: str) -> bool:
        return split_by("puzzle", kind, key) == split

    while misses < _PATIENCE:
        told = _DRAWS[kind](rng, level, fits)
        if told is None or told.question in seen:
            misses += 1
            continue
        misses = 0
        seen.add(told.question)
        right = {style: PuzzleChain(steps, told.answer) for style, steps in told.right.items()}
        wrong = {
            style: PuzzleChain(steps, told.wrong_answer, told.error_step, told.error_kind)
            for style, steps in told.wrong.items()
        }
        yield Puzzle(
            question_id(f"{kind}-{level}", told.question),
            kind,
            level,
            split,
            told.key,
            told.question,
            told.target,
            right,
            wrong,
        )
    raise DataError(f"no new {kind} puzzle of level {level} in split {split!r} after {len(seen)}: ask for fewer")


def render_puzzle(chain: PuzzleChain, form: Literal["think", "plain"] = "think") -> str:
    """A chain as a model would write it: in a think block or in front of the answer."""
    body, answer = " ".join(chain.steps), f"The answer is {chain.answer}."
    return f"<think>\n{body}\n</think>\n{answer}" if form == "think" else f"{body}\n{answer}"
