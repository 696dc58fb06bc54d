"""The records of the embedded world. All frozen, all plain data.

A problem is a small directed acyclic graph of sub-problems. A sub-problem is one operation on two operands, each a
number given in the question or the answer of an earlier sub-problem. A chain of thought is a walk through that graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from harness.synth.expressions import Op

Level = Literal[1, 2, 3, 4, 5]
LEVELS: tuple[Level, ...] = get_args(Level)
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
Family = Literal["arithmetic", "word"]
FAMILIES: tuple[Family, ...] = get_args(Family)
Style = Literal["short", "plain", "long"]
STYLES: tuple[Style, ...] = get_args(Style)
Role = Literal["solve", "part", "check"]
ErrorKind = Literal[
    "digit_slip", "wrong_operation", "wrong_operand", "skipped_step",
    "carry", "table", "place", "miscopied", "repeated_step",
]  # fmt: skip
ALL_ERROR_KINDS: tuple[ErrorKind, ...] = get_args(ErrorKind)
ERROR_KINDS: tuple[ErrorKind, ...] = ALL_ERROR_KINDS[:4]
"""Those that wrong chains have where nobody asks for others."""

Operand: TypeAlias = int | str
"""A number given in the question, or the id of a sub-problem whose answer it is."""


@dataclass(frozen=True, slots=True)
class SubProblem:
    """One node of the graph."""

    id: str
    """"s1", "s2", …: in the order in which the question tells them, which is one valid order."""
    question: str
    """Can be answered from the problem's text and the answers of `depends`."""
    statement: str
    """Sentence that answers it, with {} where "4 * 7 = 28" goes."""
    op: Op
    left: Operand
    right: Operand
    answer: int

    @property
    def depends(self) -> tuple[str, ...]:
        """Ids of the sub-problems whose answers are needed, without repeats."""
        return tuple(dict.fromkeys(item for item in (self.left, self.right) if isinstance(item, str)))


@dataclass(frozen=True, slots=True)
class Equation:
    """One equation of a chain."""

    sub: str
    """Id of the sub-problem it works on."""
    expression: str
    """Numbers only: "4 * 7"."""
    result: int
    """What the chain claims that it is."""
    text: str
    """The sentence; contains f"{expression} = {result}"."""
    role: Role = "solve"
    """"solve": settles the sub-problem. "part": an intermediate sum on the way. "check": the inverse operation."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of thought."""

    style: Style
    """"short": equations only; "plain": one sentence per sub-problem; "long": sub-questions, parts and a check."""
    steps: tuple[Equation, ...]
    answer: int
    """What the chain ends in."""
    error_step: int | None = None
    """0-based index of the first wrong step; None for a correct chain."""
    error_kind: ErrorKind | None = None

    @property
    def order(self) -> tuple[str, ...]:
        """Ids of the sub-problems in the order in which the chain settles them."""
        return tuple(step.sub for step in self.steps if step.role == "solve")


@dataclass(frozen=True, slots=True)
class SynthProblem:
    """One generated problem. Its chains follow from it: see `harness.synth.chains`."""

    id: str
    """Depends on the question only: the same question has the same id in every seed."""
    level: Level
    family: Family
    template: str
    """Which story, e.g. "products/shop"; "expression" for the arithmetic family."""
    split: Split
    question: str
    answer: int
    subproblems: tuple[SubProblem, ...]
    """Topologically sorted; the last one's answer is the gold answer."""

    def sub(self, sub_id: str) -> SubProblem:
        """The sub-problem of that id; raises KeyError if there is none."""
        for item in self.subproblems:
            if item.id == sub_id:
                return item
        raise KeyError(sub_id)


@dataclass(frozen=True, slots=True)
class DrawnPuzzle:
    """A drawn puzzle, before it is known whether its split is the one that is wanted (see `harness.synth.puzzles`)."""

    key: str
    question: str
    target: str
    answer: str
    right: Mapping[Style, tuple[str, ...]]
    """Steps of a right chain in each style."""
    wrong: Mapping[Style, tuple[str, ...]]
    """Steps of a wrong one; short and plain."""
    wrong_answer: str
    error_step: int
    error_kind: str
