"""Countdown: make a target of given numbers, each used exactly once, with + - * / and brackets.

A puzzle is drawn as its solution, so that it has one. The wrong chain takes a wrong way and makes it fit: either its
last equation claims the target (`false_equation`), or one number is used twice and another not at all (`number_twice`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from harness.synth.draft import listing
from harness.synth.expressions import BadExpression, Op, Tree, apply, write
from harness.synth.records import DrawnPuzzle, Level, Style
from harness.synth.rng import Rng

INSTRUCTION = (
    "You may use + - * / and brackets. Write your calculations, then 'The answer is' and the expression, "
    "with nothing behind it."
)
_SIZES: dict[Level, tuple[int, int]] = {1: (2, 40), 2: (3, 12), 3: (3, 30), 4: (4, 30), 5: (5, 50)}
"""How many numbers, and up to where."""
_CAP = 1_000
_OPS: tuple[Op, ...] = ("+", "-", "*", "/")
_TRIES = 40

Move = tuple[Op, int, int, int]
"""Operation, operands, result."""


def draw(rng: Rng, level: Level, fits: Callable[[str], bool]) -> DrawnPuzzle | None:
    """A puzzle whose key fits; None if the numbers drawn make none."""
    count, most = _SIZES[level]
    numbers = [rng.between(1, most) for _ in range(count)]
    way = _way(rng, numbers)
    if way is None:
        return None
    moves, tree = way
    target = moves[-1][3]
    key = f"{sorted(numbers)} {target}"
    if target in numbers or target < 2 or not fits(key):
        return None
    wrong = _wrong(rng, numbers, target)
    if wrong is None:
        return None
    error_kind, wrong_moves, wrong_tree = wrong
    shown = rng.shuffled(numbers)
    tries = [attempt for attempt in (_way(rng, numbers) for _ in range(2)) if attempt and attempt[0][-1][3] != target]
    right: dict[Style, tuple[str, ...]] = {
        "short": tuple(_short(moves)),
        "plain": tuple(_plain(moves, shown, target)),
        "long": (*(_failed(attempt[0], target) for attempt in tries), *_plain(moves, shown, target), _check(tree)),
    }
    wrong_steps: dict[Style, tuple[str, ...]] = {
        "short": tuple(_short(wrong_moves)),
        "plain": tuple(_plain(wrong_moves, shown, target)),
    }
    return DrawnPuzzle(
        key=key,
        question=f"Use each of the numbers {listing([str(n) for n in shown])} exactly once to make {target}.",
        target=f"{write(tree)} = {target}",
        answer=write(tree),
        right=right,
        wrong=wrong_steps,
        wrong_answer=write(wrong_tree),
        error_step=len(wrong_moves) - 1 if error_kind == "false_equation" else _first_twice(wrong_moves, numbers),
        error_kind=error_kind,
    )


def _way(rng: Rng, numbers: list[int]) -> tuple[list[Move], Tree] | None:
    """A random way through the numbers: its moves and the expression; None if a result is no use."""
    pool: list[tuple[int, Tree]] = [(number, number) for number in numbers]
    moves: list[Move] = []
    while len(pool) > 1:
        (a, left), (b, right) = (pool.pop(rng.below(len(pool))) for _ in range(2))
        op = rng.pick(_OPS)
        if a < b:
            (a, left), (b, right) = (b, right), (a, left)
        try:
            result = apply(op, a, b)
        except BadExpression:
            return None
        if not 0 < result <= _CAP:
            return None
        moves.append((op, a, b, result))
        pool.append((result, (op, left, right)))
    return moves, pool[0][1]


def _wrong(rng: Rng, numbers: list[int], target: int) -> tuple[str, list[Move], Tree] | None:
    """A natural mistake: its kind, the moves as written, and the expression that they amount to."""
    for kind in rng.shuffled(("number_twice", "false_equation")):
        for _ in range(_TRIES):
            found = _twice(rng, numbers, target) if kind == "number_twice" else _false(rng, numbers, target)
            if found is not None:
                return kind, *found
    return None


def _twice(rng: Rng, numbers: list[int], target: int) -> tuple[list[Move], Tree] | None:
    """A way to the target with one number in the place of another."""
    first, second = rng.some(range(len(numbers)), 2)
    taken = [numbers[first] if place == second else number for place, number in enumerate(numbers)]
    way = _way(rng, taken) if taken != numbers else None
    return way if way is not None and way[0][-1][3] == target else None


def _false(rng: Rng, numbers: list[int], target: int) -> tuple[list[Move], Tree] | None:
    """A way that misses the target by little, whose last equation says that it does not."""
    way = _way(rng, numbers)
    if way is None or not 0 < abs(way[0][-1][3] - target) <= max(10, target // 2):
        return None
    op, a, b, _ = way[0][-1]
    return [*way[0][:-1], (op, a, b, target)], way[1]


def _first_twice(moves: list[Move], numbers: list[int]) -> int:
    """The first move that takes what is not there."""
    left = list(numbers)
    for index, (_, a, b, result) in enumerate(moves):
        for taken in (a, b):
            if taken not in left:
                return index
            left.remove(taken)
        left.append(result)
    raise AssertionError("no number is used twice")  # pragma: no cover


def _short(moves: list[Move]) -> Iterator[str]:
    return (f"{a} {op} {b} = {result}." for op, a, b, result in moves)


def _plain(moves: list[Move], shown: list[int], target: int) -> Iterator[str]:
    """Each move with what it leaves."""
    left = list(shown)
    for op, a, b, result in moves:
        for taken in (a, b):
            if taken in left:
                left.remove(taken)
        left.append(result)
        told = "which is the target" if len(left) == 1 else f"which leaves {listing([str(n) for n in left])}"
        yield f"{a} {op} {b} = {result}, {told}."


def _failed(moves: list[Move], target: int) -> str:
    return f"Try {', '.join(f'{a} {op} {b} = {result}' for op, a, b, result in moves)}: that is not {target}."


def _check(tree: Tree) -> str:
    return f"So the expression is {write(tree)}."
