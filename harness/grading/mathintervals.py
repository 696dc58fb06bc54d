"""Intervals, memberships and inequalities for one letter as one thing: a set and the letter it is for."""

from __future__ import annotations

from harness.grading.mathclaim import MathItem
from harness.grading.mathnode import Node
from harness.grading.mathpoints import is_constant
from harness.grading.mathsame import STRUCTURES


def as_set(item: MathItem) -> tuple[str, Node] | None:
    r"""(variable, set) of an interval, of `x \in S`, and of inequalities for one letter; None for anything else."""
    nodes = [side.node for side in item.sides]
    if any(node is None for node in nodes) or any(side.unit for side in item.sides):
        return None
    sides = [node for node in nodes if node is not None]
    if not item.relations:
        return ("", sides[0]) if sides[0].op in ("interval", "cup", "tuple", "set") else None
    if item.relations == ("in",):
        return (sides[0].name, sides[1]) if sides[1].op in STRUCTURES and sides[0].op == "var" else None
    if len(sides) == 2 and item.relations[0] in ("<", "<=", ">", ">="):
        return _ray(sides[0], item.relations[0], sides[1])
    if len(sides) == 3 and sides[1].op == "var" and is_constant(sides[0]) and is_constant(sides[2]):
        low, high = item.relations
        if {low, high} <= {"<", "<="}:
            return sides[1].name, _interval(sides[0], sides[2], low, high)
        if {low, high} <= {">", ">="}:
            return sides[1].name, _interval(sides[2], sides[0], high, low)
    return None


def _ray(left: Node, relation: str, right: Node) -> tuple[str, Node] | None:
    if right.op == "var" and is_constant(left):
        mirrored = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
        left, relation, right = right, mirrored[relation], left
    if left.op != "var" or not is_constant(right):
        return None
    infinite = Node("const", name="inf")
    if relation in ("<", "<="):
        return left.name, _interval(Node("neg", (infinite,)), right, "<", relation)
    return left.name, _interval(right, infinite, relation, "<")


def _interval(low: Node, high: Node, first: str, second: str) -> Node:
    return Node("interval", (low, high), ("[" if "=" in first else "(") + ("]" if "=" in second else ")"))
