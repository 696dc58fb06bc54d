"""Trees of whole numbers and fractions, computed exactly where that stays short."""

from __future__ import annotations

from fractions import Fraction

from harness.grading.mathnode import Node

LONG = 40_000
"""Bits of the longest fractions that are computed."""
LONG_WHOLE = 1_000_000
"""Bits of the longest whole numbers."""


def exact(node: Node) -> Fraction | None:
    """The value of a tree of whole numbers and fractions, if it is short enough to be computed exactly."""
    args = [exact(arg) for arg in node.args]
    if any(arg is None for arg in args):
        return None
    values = [arg for arg in args if arg is not None]
    bits = sum(value.numerator.bit_length() + value.denominator.bit_length() for value in values)
    if bits > (LONG_WHOLE if all(value.denominator == 1 for value in values) else LONG):
        return None
    match node.op:
        case "num":
            return node.value
        case "add":
            return sum(values, Fraction(0))
        case "neg":
            return -values[0]
        case "mul":
            product = Fraction(1)
            for value in values:
                product *= value
            return product
        case "div" | "ratio" if len(values) == 2:
            return values[0] / values[1] if values[1] else None
        case "pow":
            return _exact_power(*values)
        case "percent":
            return values[0] / 100
        case "fact" if values[0].denominator == 1 and 0 <= values[0] <= 1000:
            product = Fraction(1)
            for factor in range(2, int(values[0]) + 1):
                product *= factor
            return product
    return None


def _exact_power(base: Fraction, exponent: Fraction) -> Fraction | None:
    if exponent.denominator != 1 or (base == 0 and exponent <= 0):
        return None
    bits = max(base.numerator.bit_length(), base.denominator.bit_length()) * abs(int(exponent))
    return base ** int(exponent) if bits <= (LONG_WHOLE if base.denominator == 1 else LONG) else None
