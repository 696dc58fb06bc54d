"""Random formulas, spelled in LaTeX and in plain notation: both are equal, and a changed formula is not.

The oracle is this file's own: trees evaluated in floating point, not the grader's parser.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from harness.grading.math import GRADER, equivalent

Tree = tuple[Any, ...]
LETTERS = ("x", "y", "a", "n", "\\theta", "r_0", "x_{1}")
PRECEDENCE = {"+": 1, "-": 1, "neg": 1, "*": 2, "/": 2, "^": 4}
FUNCTIONS = {"sqrt": math.sqrt, "sin": math.sin, "ln": math.log, "exp": math.exp}


def grown(rng: random.Random, depth: int, letters: list[str]) -> Tree:
    if depth == 0 or rng.random() < 0.15:
        leaves: list[Tree] = [("n", str(rng.randrange(1, 30))), ("n", rng.choice(["0.5", "2.75", "12.4"])), ("pi",)]
        return rng.choice([*leaves, *(("v", letter) for letter in letters)])
    op = rng.choice(["+", "+", "-", "*", "*", "/", "/", "^", "neg", *FUNCTIONS])
    if op == "^":
        return (op, grown(rng, depth - 1, letters), ("n", str(rng.randrange(2, 5))))
    return (op, *(grown(rng, depth - 1, letters) for _ in range(2 if op in "+-*/" else 1)))


def value(tree: Tree, at: dict[str, float]) -> float:
    op, *args = tree
    if op in ("n", "v", "pi"):
        return math.pi if op == "pi" else float(args[0]) if op == "n" else at[args[0]]
    left, *right = (value(arg, at) for arg in args)
    if op in FUNCTIONS:
        return FUNCTIONS[op](left)
    binary = {"+": left.__add__, "-": left.__sub__, "*": left.__mul__, "/": left.__truediv__, "^": left.__pow__}
    return -left if op == "neg" else float(binary[op](right[0]))


def bracketed(text: str, own: int, outer: float) -> str:
    return f"({text})" if own < outer else text


def latex(tree: Tree, outer: float = 0) -> str:
    op, *args = tree
    if op in ("n", "v", "pi"):
        return "\\pi " if op == "pi" else f"{args[0]} "
    if op == "/":
        return f"\\frac{{{latex(args[0])}}}{{{latex(args[1])}}}"
    if op == "sqrt":
        return f"\\sqrt{{{latex(args[0])}}}"
    if op in FUNCTIONS:
        return f"\\{op}\\left({latex(args[0])}\\right)" if op != "exp" else f"{{e^{{{latex(args[0])}}}}}"
    own = PRECEDENCE[op]
    if op == "neg":
        return bracketed("-" + latex(args[0], 2), own, outer)
    if op == "^":
        return bracketed(f"{latex(args[0], 5).strip()}^{{{latex(args[1])}}}", own, outer)
    sign = " \\cdot " if op == "*" else op
    return bracketed(latex(args[0], own) + sign + latex(args[1], own + 1), own, outer)


def plain(tree: Tree, outer: float = 0) -> str:
    op, *args = tree
    if op in ("n", "v", "pi"):
        return "π" if op == "pi" else args[0].replace("{", "").replace("}", "").lstrip("\\")
    if op in FUNCTIONS:
        return f"{op}({plain(args[0])})"
    own = PRECEDENCE[op]
    if op == "neg":
        return bracketed("-" + plain(args[0], 2), own, outer)
    sign = "**" if op == "^" else op
    return bracketed(plain(args[0], own + (op == "^")) + sign + plain(args[1], own + 1), own, outer)


def changed(tree: Tree, rng: random.Random) -> Tree:
    op, *args = tree
    if op in ("n", "pi", "v"):
        return ("v", "w") if op == "v" else ("n", str(float(args[0] if op == "n" else 3) + rng.choice([1, -0.5, 10])))
    if rng.random() < 0.3 and op in "+-*/":
        return ("/", args[1], args[0]) if op == "/" else ({"+": "-", "-": "+", "*": "/"}[op], *args)
    if op == "^":
        return (op, args[0], ("n", str(int(args[1][1]) + 1)))
    place = rng.randrange(len(args))
    return (op, *args[:place], changed(args[place], rng), *args[place + 1 :])


def values(tree: Tree) -> list[float]:
    found = []
    for seed in range(6):
        rng = random.Random(seed)
        try:
            found.append(value(tree, {letter: rng.uniform(0.2, 2.5) for letter in (*LETTERS, "w")}))
        except (ValueError, ZeroDivisionError, OverflowError):
            found.append(math.nan)
    return found


@pytest.mark.parametrize("seed", range(150))
def test_spellings_of_one_tree_are_equal_and_of_another_are_not(seed: int) -> None:
    rng = random.Random(seed)
    tree = grown(rng, rng.randrange(1, 5), rng.sample(LETTERS, rng.randrange(0, 4)))
    other = changed(tree, rng)
    if sum(abs(number) < 1e30 for number in values(tree)) < 3:
        return
    assert equivalent(latex(tree), plain(tree)) and equivalent(plain(tree), latex(tree))
    pairs = [pair for pair in zip(values(tree), values(other), strict=True) if not math.isnan(sum(pair))]
    if len(pairs) > 2 and all(abs(a - b) > 1e-6 * max(abs(a), abs(b)) for a, b in pairs):
        assert not equivalent(latex(tree), plain(other))


@pytest.mark.parametrize("huge", [r"e^{e^{e^{10}}}", r"\pi^{\pi^{\pi^{100}}}", r"e^{10^{30}}", r"10^{10^{30}}"])
@pytest.mark.parametrize("form", ["{}", r"\frac{{1}}{{{}}}"])
def test_what_is_too_large_to_be_computed_differs_from_every_ordinary_number(huge: str, form: str) -> None:
    """Unscored, a wrong reply would raise the score."""
    answer = form.format(huge)
    for gold in (r"\frac{1}{2}", r"\sqrt{2}+\pi", "0", "1", "-7"):
        assert GRADER.grade(gold, answer).value == 0.0
        assert GRADER.grade(answer, gold).value == 0.0
    assert GRADER.grade(answer, answer).value == 1.0
