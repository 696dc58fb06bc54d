"""A problem under construction: a story adds sentences and sub-problems, and the draft keeps the values.

Numbers that make a sentence wrong English or a sum unnatural ("1 marbles", a negative rest, a remainder) raise
`Redraw`; the generator then draws again. That keeps every story function free of special cases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from harness.synth.expressions import BadExpression, Op, apply
from harness.synth.records import Level, Operand, SubProblem
from harness.synth.rng import Rng


class Redraw(Exception):
    """These numbers do not make a good problem. Control flow inside this package, never an error of the user's."""


@dataclass(frozen=True, slots=True)
class Size:
    """How hard a level is."""

    steps: tuple[int, int]
    """Least and most sub-problems."""
    addend: tuple[int, int]
    """Range of numbers that are added or subtracted."""
    factor: tuple[int, int]
    """Range of the smaller factor of a product, and of divisors."""
    unit: tuple[int, int]
    """Range of the other factor."""
    cap: int
    """No value of the problem is larger."""
    reach: int = 0
    """In a problem of one step, at least one given number is this large: keeps it out of the level below."""


SIZES: dict[Level, Size] = {
    1: Size((1, 1), (2, 9), (2, 9), (2, 9), 81),
    2: Size((1, 2), (2, 12), (2, 5), (2, 12), 60, reach=10),
    3: Size((3, 3), (5, 50), (2, 9), (3, 15), 400),
    4: Size((4, 5), (11, 99), (3, 15), (11, 40), 3_000),
    5: Size((6, 8), (101, 999), (12, 60), (21, 99), 60_000),
}


@dataclass
class Draft:
    """Mutable; lives only inside the generator."""

    rng: Rng
    size: Size
    least: int
    """Smallest value allowed: 2 in stories, so that plurals are right; 0 in bare arithmetic."""
    sentences: list[str] = field(default_factory=list)
    subs: list[SubProblem] = field(default_factory=list)
    values: dict[str, int] = field(default_factory=dict)

    def addend(self) -> int:
        """A number to add or subtract."""
        return self.rng.between(*self.size.addend)

    def factor(self) -> int:
        """A smaller factor or a divisor."""
        return self.rng.between(*self.size.factor)

    def unit(self) -> int:
        """A larger factor."""
        return self.rng.between(*self.size.unit)

    def divisor(self, operand: Operand) -> int:
        """A divisor in the level's range that leaves no remainder and a quotient of at least 2."""
        number = self.value(operand)
        low, high = self.size.factor
        fits = [n for n in range(max(low, 2), min(high, number // 2) + 1) if number % n == 0]
        if not fits:
            raise Redraw(f"{number} has no divisor in range")
        return self.rng.pick(fits)

    def say(self, sentence: str) -> None:
        """Add a sentence to the question."""
        self.sentences.append(sentence)

    def value(self, operand: Operand) -> int:
        """The number behind an operand."""
        return operand if isinstance(operand, int) else self.values[operand]

    def solve(self, question: str, statement: str, left: Operand, op: Op, right: Operand) -> str:
        """Add a sub-problem and return its id; raises `Redraw` if its answer is not usable."""
        try:
            answer = apply(op, self.value(left), self.value(right))
        except BadExpression as error:
            raise Redraw(str(error)) from error
        if not self.least <= answer <= self.size.cap:
            raise Redraw(f"{answer} is out of range")
        if any((sub.op, sub.left, sub.right) == (op, left, right) for sub in self.subs):
            raise Redraw("the same sum twice: its two steps could not be told apart")
        sub_id = f"s{len(self.subs) + 1}"
        self.subs.append(SubProblem(sub_id, question, statement, op, left, right, answer))
        self.values[sub_id] = answer
        return sub_id

    def total(self, parts: list[str], ask: Callable[[int], tuple[str, str]]) -> str:
        """Add up several sub-problems two at a time; `ask` gets how many parts are in the sum."""
        running = parts[0]
        for count, part in enumerate(parts[1:], start=2):
            running = self.solve(*ask(count), running, "+", part)
        return running


def listing(items: list[str]) -> str:
    """English list: "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
