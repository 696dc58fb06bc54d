"""A tiny safe evaluator of integer arithmetic: `+ - * /` and brackets over whole numbers, division exact.

Why: chains are checked by recomputing them, and nothing that looks like text is ever handed to Python's own
evaluator. Input is bounded in length, and so are the numbers, so hostile text costs microseconds.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias, cast

from harness.errors import DataError

Op = Literal["+", "-", "*", "/"]
Tree: TypeAlias = "int | tuple[Op, Tree, Tree]"

MAX_LENGTH = 200
"""Characters of an expression; the longest of our own has about 60."""
_TOKEN = re.compile(r"\s*(?:([0-9]{1,18})|([-+*/()]))")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2}


class BadExpression(DataError):
    """Not an expression of this grammar, or a division that leaves a remainder."""


def apply(op: Op, left: int, right: int) -> int:
    """One operation on whole numbers; raises `BadExpression` for a division with a remainder or by zero."""
    if op == "+":
        return left + right
    if op == "-":
        return left - right
    if op == "*":
        return left * right
    if right == 0 or left % right != 0:
        raise BadExpression(f"{left} / {right} is not a whole number")
    return left // right


def _tokens(text: str) -> list[str]:
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"expression of {len(text)} characters; the limit is {MAX_LENGTH}")
    tokens, position = [], 0
    text = text.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadExpression(f"{text!r} is not an arithmetic expression at character {position}")
        tokens.append(match.group(1) or match.group(2))
        position = match.end()
    return tokens


def parse(text: str) -> Tree:
    """Text -> tree, by precedence climbing; a leading minus is allowed before a number or a bracket.

    Raises `BadExpression` for anything else.
    """
    tokens = _tokens(text)
    position = 0

    def atom() -> Tree:
        nonlocal position
        if position >= len(tokens):
            raise BadExpression(f"{text!r} ends too early")
        token = tokens[position]
        position += 1
        if token.isdigit():
            return int(token)
        if token == "-":
            inner = atom()
            return -inner if isinstance(inner, int) else ("-", 0, inner)
        if token == "(":
            inner = expression(1)
            if position >= len(tokens) or tokens[position] != ")":
                raise BadExpression(f"{text!r} has an open bracket")
            position += 1
            return inner
        raise BadExpression(f"{text!r} has {token!r} where a number belongs")

    def expression(least: int) -> Tree:
        nonlocal position
        left = atom()
        while position < len(tokens) and _PRECEDENCE.get(tokens[position], 0) >= least:
            op = cast(Op, tokens[position])
            position += 1
            left = (op, left, expression(_PRECEDENCE[op] + 1))
        return left

    tree = expression(1)
    if position != len(tokens):
        raise BadExpression(f"{text!r} has {tokens[position]!r} left over")
    return tree


def value(tree: Tree) -> int:
    """The value of a tree; raises `BadExpression` where a division is not exact."""
    if isinstance(tree, int):
        return tree
    op, left, right = tree
    return apply(op, value(left), value(right))


def evaluate(text: str) -> int:
    """The value of an expression such as "3 * (4 + 5)"."""
    return value(parse(text))


def write(tree: Tree) -> str:
    """A tree as text, with brackets where leaving them out would change the order of the operations."""
    if isinstance(tree, int):
        return str(tree)
    op, left, right = tree
    before = f"({write(left)})" if _rank(left) < _rank(tree) else write(left)
    behind = f"({write(right)})" if _rank(right) <= _rank(tree) else write(right)
    return f"{before} {op} {behind}"


def _rank(tree: Tree) -> int:
    return 3 if isinstance(tree, int) else _PRECEDENCE[tree[0]]
