"""How people get one sum wrong: procedures that are nearly right, as school children's errors show them.

Each takes an operation, its operands and its result, and gives the wrong results that it leads to. After Brown and
Burton 1978 (columns: carrying and borrowing), Siegler 1988 (tables: the result of a neighbouring product).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from harness.synth.expressions import Op
from harness.synth.records import ErrorKind

Bug = Callable[[Op, int, int, int], list[int]]


def carry(op: Op, left: int, right: int, result: int) -> list[int]:
    """Column by column without a carry: 47 + 38 = 75, 52 - 38 = 26 (the smaller from the larger), 47 * 8 = 326."""
    if op == "/" or (op == "*" and min(left, right) > 9):
        return []
    if op == "*":
        many, one = max(left, right), min(left, right)
        *inner, last = [int(digit) * one for digit in reversed(str(many))]
        columns = [product % 10 for product in inner]
        return _other(int(f"{last}{''.join(map(str, reversed(columns)))}"), result)
    width = len(str(max(left, right)))
    pairs = zip(str(left).zfill(width), str(right).zfill(width), strict=True)
    digits = [abs(int(a) - int(b)) if op == "-" else (int(a) + int(b)) % 10 for a, b in pairs]
    if op == "+" and int(str(left).zfill(width)[0]) + int(str(right).zfill(width)[0]) > 9:
        digits.insert(0, 1)
    return _other(int("".join(map(str, digits))), result)


def table(op: Op, left: int, right: int, result: int) -> list[int]:
    """The neighbour in the table: 7 * 8 = 63, 48 / 6 = 7."""
    if op == "*":
        return sorted({n for n in (result - left, result + left, result - right, result + right) if n > 0} - {result})
    return [n for n in (result - 1, result + 1) if n > 0] if op == "/" else []


def place(op: Op, left: int, right: int, result: int) -> list[int]:
    """A zero too many or too few: 20 * 30 = 60, 90 / 3 = 300."""
    if op not in "*/" or result == 0:
        return []
    return [*([result // 10] if result % 10 == 0 else []), result * 10]


def _other(found: int, result: int) -> list[int]:
    return [] if found == result else [found]


BUGS: Mapping[ErrorKind, Bug] = {"carry": carry, "table": table, "place": place}
