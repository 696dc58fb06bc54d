r"""Numeric value of a piece of LaTeX by a small parser of its own: independent arithmetic behind the generated cases.

`harness check --deep` may call a changed formula wrong only if something other than the graders says so. This module
evaluates a formula at fixed, odd points for its variables; two formulas are told apart by their values there. It reads
numbers, fractions, roots, powers, elementary functions, letters with indices and juxtaposed factors. Everything else is
`NoFormula`, and then no case is made.
"""

from __future__ import annotations

import cmath
import hashlib
import math
import re
from collections.abc import Callable

POINTS = 4
"""How many points two formulas are compared at."""
_MAX_LENGTH = 400
_FUNCTIONS: dict[str, Callable[[complex], complex]] = {
    "sin": cmath.sin,
    "cos": cmath.cos,
    "tan": cmath.tan,
    "cot": lambda value: 1 / cmath.tan(value),
    "ln": cmath.log,
    "log": lambda value: cmath.log(value) / math.log(10),
    "exp": cmath.exp,
    "arcsin": cmath.asin,
    "arccos": cmath.acos,
    "arctan": cmath.atan,
}
_SPACE = re.compile(r"\\[,!;: ]|\\q?quad\b|\\left(?![a-z])|\\right(?![a-z])|\\displaystyle\b|[\s~]+")
_TOKEN = re.compile(r"\d+(?:\.\d+)?|\.\d+|\\[a-zA-Z]+|[a-zA-Z]|[-+*/^_(){}\[\]'!]")
_PRODUCT = frozenset({"*", "\\cdot", "\\times"})
_QUOTIENT = frozenset({"/", "\\div"})
_VARIABLES = re.compile(
    r"\\(?:alpha|beta|gamma|delta|epsilon|zeta|eta|theta|lambda|mu|nu|rho|sigma|tau|phi|chi|psi|omega|Delta|Omega"
    r"|Gamma|hbar|ell)"
)


class NoFormula(ValueError):
    """The text is outside what this module can evaluate."""


class _Evaluator:
    """Recursive descent over the tokens; every method returns a value."""

    def __init__(self, tokens: list[str], point: int, minus: bool) -> None:
        self.tokens, self.at, self.point = tokens, 0, point
        self.minus = minus
        """Whether a plus-minus sign counts as minus."""

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise NoFormula(f"{token!r} where {wanted or 'a value'!r} was expected")
        self.at += 1
        return token

    def total(self) -> complex:
        """Terms joined by plus and minus."""
        value = self._signed()
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            sign = self._sign(self.take())
            value += sign * self.product()
        return value

    def _sign(self, token: str) -> int:
        if token in ("+", "-"):
            return 1 if token == "+" else -1
        return -1 if self.minus == (token == "\\pm") else 1

    def _signed(self) -> complex:
        sign = 1
        while self.peek() in ("+", "-", "\\pm", "\\mp"):
            sign *= self._sign(self.take())
        return sign * self.product()

    def product(self) -> complex:
        """Factors joined by a sign or standing side by side."""
        value = self.power()
        while True:
            token = self.peek()
            if token in _PRODUCT:
                self.take()
                value *= self._factor()
            elif token in _QUOTIENT:
                self.take()
                value /= self._factor()
            elif self._starts_factor(token):
                value *= self.power()
            else:
                return value

    def _factor(self) -> complex:
        sign = 1
        while self.peek() in ("+", "-"):
            sign *= self._sign(self.take())
        return sign * self.power()

    @staticmethod
    def _starts_factor(token: str) -> bool:
        if token in ("", "+", "-", "}", ")", "]", "^", "_", "\\pm", "\\mp", "'", "!"):
            return False
        return token not in _PRODUCT and token not in _QUOTIENT

    def power(self) -> complex:
        """A base with its exponent, its factorial."""
        base = self.base()
        if self.peek() == "!":
            self.take()
            if base.imag or base.real < 0 or base.real > 30 or base.real != int(base.real):
                raise NoFormula("factorial of what is no small whole number")
            base = complex(math.factorial(int(base.real)))
        if self.peek() != "^":
            return base
        self.take()
        return base ** self.argument()

    def argument(self) -> complex:
        """What a command or an exponent takes: a group in braces, or one token."""
        if self.peek() == "{":
            return self.group("{", "}")
        if self.peek() == "-":
            self.take()
            return -self.argument()
        token = self.peek()
        if re.fullmatch(r"\d{2,}", token):  # \frac43 takes one digit at a time
            self.tokens[self.at : self.at + 1] = list(token)
        return self.base()

    def group(self, opening: str, closing: str) -> complex:
        self.take(opening)
        value = self.total()
        self.take(closing)
        return value

    def base(self) -> complex:
        token = self.peek()
        for opening, closing in (("{", "}"), ("(", ")"), ("[", "]")):
            if token == opening:
                return self.group(opening, closing)
        self.take()
        if token[0].isdigit() or token[0] == ".":
            return complex(float(token))
        if token in ("\\frac", "\\dfrac", "\\tfrac"):
            top = self.argument()
            return top / self.argument()
        if token == "\\sqrt":
            degree = self.group("[", "]") if self.peek() == "[" else 2
            return self.argument() ** (1 / degree)
        if token == "\\pi":
            return complex(math.pi)
        if token[1:] in _FUNCTIONS:
            return self._function(_FUNCTIONS[token[1:]])
        return self._variable(token)

    def _function(self, function: Callable[[complex], complex]) -> complex:
        exponent: complex = 1
        if self.peek() == "^":
            self.take()
            exponent = self.argument()
        opened = self.peek() in ("(", "{", "[")
        value = self.base() if opened else self._bare_product()
        return function(value) ** exponent

    def _bare_product(self) -> complex:
        value = self.power()
        while self._starts_factor(self.peek()) and self.peek()[1:] not in _FUNCTIONS and self.peek() != "(":
            value *= self.power()
        return value

    def _variable(self, token: str) -> complex:
        if token == "e":
            return complex(math.e)
        if not token.isalpha() and _VARIABLES.fullmatch(token) is None:
            raise NoFormula(f"{token!r} has no value")
        name = token
        if self.peek() == "_":
            self.take()
            if self.peek() == "{":
                close = self.tokens.index("}", self.at)
                name += "".join(self.tokens[self.at : close + 1])
                self.at = close + 1
            else:
                name += self.take()
        if name == "i":
            return 1j
        digest = hashlib.sha256(f"{name}:{self.point}".encode()).digest()
        return complex(0.3 + int.from_bytes(digest[:4], "big") / 2**32)


def value_at(text: str, point: int, minus: bool = False) -> complex:
    r"""The value of a formula at one point; `minus`: take `\pm` as minus. Raises `NoFormula`."""
    body = _SPACE.sub(" ", text).strip()
    tokens = _TOKEN.findall(body)
    if not tokens or len(body) > _MAX_LENGTH or "".join(tokens) != re.sub(r"\s+", "", body):
        raise NoFormula(f"{text[:60]!r} holds what has no value")
    parser = _Evaluator(tokens, point, minus)
    try:
        value = parser.total()
    except (ZeroDivisionError, OverflowError, ValueError, RecursionError, IndexError) as error:
        raise NoFormula(str(error)) from error
    if parser.at != len(tokens) or cmath.isnan(value) or cmath.isinf(value):
        raise NoFormula(f"{text[:60]!r} is no formula to its end")
    return value


def values(text: str) -> list[complex]:
    r"""The values of a formula at all points, those with `\pm` as minus behind. Raises `NoFormula`."""
    signs = (False, True) if "\\pm" in text or "\\mp" in text else (False,)
    return [value_at(text, point, minus) for minus in signs for point in range(POINTS)]


def close(left: complex, right: complex, tolerance: float = 1e-9) -> bool:
    """Equal up to a relative tolerance."""
    return abs(left - right) <= tolerance * max(abs(left), abs(right))


def same(left: str, right: str) -> bool:
    """Whether two formulas have the same value at every point; False where one of them cannot be read."""
    try:
        a, b = values(left), values(right)
    except NoFormula:
        return False
    return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b, strict=True))


def differ(left: str, right: str, tolerance: float = 1e-6) -> bool:
    """Whether two formulas surely differ: at every point and in every sign; False where one of them cannot be read."""
    try:
        a, b = values(left), values(right)
    except NoFormula:
        return False
    return all(not close(x, y, tolerance) for x in a[::POINTS] for y in b[::POINTS]) and all(
        not close(x, y, tolerance) for x, y in zip(a, b, strict=False)
    )


def equations_differ(left: str, right: str) -> bool:
    """Whether two equations surely say different things: neither is the other times a factor."""
    ratios = _ratios(left, right)
    return ratios is not None and not all(close(ratios[0], ratio, 1e-6) for ratio in ratios)


def equations_agree(left: str, right: str) -> bool:
    """Whether one equation is the other times a factor; False where one of them cannot be read."""
    ratios = _ratios(left, right)
    return ratios is not None and all(close(ratios[0], ratio, 1e-9) for ratio in ratios)


def _ratios(left: str, right: str) -> list[complex] | None:
    """Left minus right side of one equation over that of another, at every point; None where that says nothing."""
    sides = [text.split("=") for text in (left, right)]
    if any(len(pair) != 2 for pair in sides):
        return None
    try:
        a, b = ([x - y for x, y in zip(values(one), values(two), strict=True)] for one, two in sides)
    except (NoFormula, ValueError):
        return None
    if any(abs(x) < 1e-9 for x in (*a, *b)):
        return None
    return [x / y for x, y in zip(a, b, strict=True)]
