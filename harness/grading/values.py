r"""The values of a plain sentence, each as a maximal expression: `5/12`, `2 1/2`, `3√7`, `3.2 x 10^5`, `y = 4x`.

A value is never a part of what stands there: the sign, the fraction, the power, the unknown and the scale word belong
to it, whether they stand before or after the digits. What cannot be read as one value ("7-9", "5 out of 8", "7 hours 20
minutes", "3 times the width") is a value with `readable` False, so that no digits of it can be taken for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.grading.following import MIXED, completed_number, improper, spoiling, unit_after
from harness.grading.lexer import Token, tokens
from harness.sentences import math_segments

_DEPTH = 12
"""Deepest nesting of brackets that is followed."""


_ROOT_GROUP = re.compile(r"(\\sqrt(?:\[\d\])?)\s?\(([^()]*)\)")
_BRACKETED = re.compile(r"^[\[(]\s*([^\[\](),]*=[^\[\](),]*?)\s*[\])]$")
"""An equation in brackets, "[ 3 + 4 = 7 ]": a display that lost its backslashes."""
_ROOT_ARGUMENT = re.compile(r"(\\sqrt(?:\[\d\])?)\s?(\d+(?:\.\d+)?|[a-z](?![a-z]))")
_EQUALITIES = frozenset(("=", r"\approx ", r"\approx", "≡", "∼", r"\sim", "->", "=>", r"\to", r"\equiv", "∈", r"\in "))
_CONNECTIVE = re.compile(r"\b(?:and|or|if|where|for|with|since|when|so|is|are|otherwise)\b")
_UNIT_LETTERS = frozenset("mgshLlKCFVWNJ")
"""Letters that are units when a space stands between them and a number."""


@dataclass(frozen=True, slots=True)
class FoundValue:
    """One maximal expression of a sentence."""

    start: int
    end: int
    tex: str
    """LaTeX, or plain notation that the math grader reads, without dollars."""
    readable: bool = True
    """False: digits stand there, but no single value."""
    named: bool = False
    """Whether it is an equation or another relation."""
    formula: bool = False
    """Whether all of it stands between dollars."""
    numeric: bool = True
    """Whether it holds a digit."""
    unit: str = ""
    """A known unit that follows, as it is written; `end` is behind it."""


def values(text: str, formulas: Sequence[tuple[int, int]] | None = None, *, formula: bool = False) -> list[FoundValue]:
    """All values of a sentence, in order. `formula`: it is no sentence, but what a box holds."""
    return _Reader(text, tokens(text, math_segments(text) if formulas is None else formulas), formula).values()


_OPERANDS = frozenset(
    ("number", "fraction", "formula", "command", "constant", "function", "root", "letter", "name", "open")
)
_IMPLICIT = frozenset(("function", "root", "constant", "command"))
_ARTICLES = frozenset("aAI")


class _Reader:
    """A grammar of one pass; positions are indices of tokens, None means "does not fit"."""

    def __init__(self, text: str, found: list[Token], formula: bool) -> None:
        self.text = text
        self.tokens = found
        self.formula = formula
        self.closing: dict[int, int] = {}
        self.words: list[int] = []
        waiting: list[int] = []
        words = 0
        for index, token in enumerate(found):
            words += token.kind == "word" and (len(token.tex) > 3 or not token.tex.isascii())
            self.words.append(words)
            if token.kind == "open":
                waiting.append(index)
            elif token.kind == "close" and waiting:
                self.closing[waiting.pop()] = index

    def at(self, index: int, *kinds: str) -> bool:
        return index < len(self.tokens) and self.tokens[index].kind in kinds

    def glued(self, index: int) -> bool:
        return index < len(self.tokens) and self.tokens[index].glued

    def tex(self, start: int, end: int) -> str:
        parts: list[str] = []
        for index in range(start, end):
            token = self.tokens[index]
            if token.glued and parts and not token.tex[:1].isalpha():
                parts[-1] = parts[-1].rstrip()
            parts.append(token.tex if index == start or token.glued else f" {token.tex}")
        whole = MIXED.sub(improper, "".join(parts))
        return _BRACKETED.sub(r"\1", _ROOT_ARGUMENT.sub(r"\1{\2}", _ROOT_GROUP.sub(r"\1{\2}", whole)).strip())

    def values(self) -> list[FoundValue]:
        found: list[FoundValue] = []
        index = 0
        while index < len(self.tokens):
            end = self.expression(index, 0) if self.begins(index) else None
            if end is None:
                index += 1
                continue
            bounded = index > 0 and self.at(index - 1, "relation") and self.tokens[index - 1].tex not in _EQUALITIES
            start = index - 1 if bounded and (not found or found[-1].end <= self.tokens[index - 1].start) else index
            value, end = self.completed(start, end)
            if value is not None:
                found.append(value)
            index = max(end, index + 1)
        return found

    def begins(self, index: int) -> bool:
        """Whether an expression may begin here: an operand, or a sign or a currency before one."""
        token = self.tokens[index]
        before = self.tokens[index - 1] if index else None
        if (
            token.kind in ("letter", "name")
            and token.glued
            and before is not None
            and before.kind in ("word", "number")
        ):
            return before.kind == "word" and not before.tex.isascii()
        if token.kind == "operator":
            return self.is_sign(index)
        if token.kind == "text":
            return _CONNECTIVE.search(token.tex) is None and (before is None or before.kind in ("word", "mark"))
        return token.kind in _OPERANDS or (
            token.kind == "currency" and self.at(index + 1, "number", "operator", "formula")
        )

    def is_sign(self, index: int) -> bool:
        """A plus or minus of its own: glued to what follows, or behind something that announces a value."""
        token = self.tokens[index]
        if token.tex not in ("-", "+", "\\pm ", "\\pm", "\\mp") or not self.at(index + 1, *_OPERANDS, "currency"):
            return False
        before = self.tokens[index - 1] if index else None
        if self.glued(index + 1) and self.text[token.start] != "—":
            foreign = before is not None and before.kind == "word" and not before.tex.isascii()
            leading = foreign or (
                before is not None and before.kind in ("open", "mark", "relation", "currency", "operator")
            )
            return before is None or not token.glued or leading
        announced = (
            before is None
            or before.kind in ("relation", "open")
            or before.tex in (":", "is", "are", "equals", "be", "是", "为")
        )
        return announced and self.text[token.start] in "-+−±\\"

    def expression(self, index: int, depth: int) -> int | None:
        """The end of sides joined by relations."""
        end = self.side(index, depth)
        while end is not None and self.at(end, "relation"):
            after = self.side(end + 1, depth) if end + 1 < len(self.tokens) else None
            if after is None:
                break
            end = after
        return end

    def side(self, index: int, depth: int) -> int | None:
        """The end of terms joined by operators; ranges of two numbers ("7-9") too, which `completed` finds out."""
        while index < len(self.tokens) and self.is_sign(index):
            index += 1
        end = self.term(index, depth)
        while end is not None:
            after = self.operand_after(end, depth)
            if after is None:
                break
            end = after
        return end

    def operand_after(self, index: int, depth: int) -> int | None:
        """The end of an operator and its right operand, if the operator is evenly spaced."""
        if index + 1 >= len(self.tokens):
            return None
        token = self.tokens[index]
        ratio = (
            token.kind == "mark" and token.tex == ":" and self.at(index - 1, "number") and self.at(index + 1, "number")
        )
        times = (
            token.tex in ("x", "X")
            and self.at(index - 1, "number", "formula", "close")
            and self.at(index + 1, "number")
        )
        if token.kind != "operator" and not ratio and not times:
            return None
        spaced = not token.glued and self.tokens[index - 1].kind != "command"
        if spaced != (not self.glued(index + 1)) and token.tex[0] in "-+:" and not self.formula:
            return None
        if ratio and not token.glued and self.text[token.end : token.end + 1] == "\n":
            return None
        if self.text[token.start] == "—" or (
            self.text[token.start] == "–" and not token.glued and not self.at(index + 1, "number", "currency")
        ):
            return None
        return self.term(index + 2 if self.is_sign(index + 1) and self.glued(index + 2) else index + 1, depth)

    def term(self, index: int, depth: int) -> int | None:
        """The end of factors that follow each other directly: `4x`, `3√7`, `16 pi`, `2 1/2`, `2(x+1)`."""
        end = self.factor(index, depth)
        while end is not None and end < len(self.tokens):
            last, here = self.tokens[end - 1], self.tokens[end]
            if not here.glued and not self.follows_spaced(end):
                break
            if here.kind == "number" and here.glued and last.kind == "number":
                break
            if here.kind not in _OPERANDS or (here.kind == "name" and last.kind != "number"):
                break
            after = self.factor(end, depth)
            if after is None:
                break
            end = after
        return end

    def follows_spaced(self, index: int) -> bool:
        """Whether the token at `index` multiplies what stands before it, or completes a mixed number."""
        last, here = self.tokens[index - 1], self.tokens[index]
        if here.kind == "fraction":
            return last.kind == "number"
        if here.kind in _IMPLICIT:
            return last.kind in ("number", "command", "constant", "close", "letter", "formula", "superscript")
        if here.kind == "number" and last.kind == "number":
            slash = (
                index + 2 < len(self.tokens)
                and self.tokens[index + 1].tex in ("/", "⁄")
                and self.at(index + 2, "number")
            )
            whole = last.tex.isdigit() and here.tex.isdigit() and slash and self.tokens[index + 2].tex.isdigit()
            return whole and self.glued(index + 1) and self.glued(index + 2)
        if here.kind == "letter" and self.text[here.end : here.end + 1] == "&":
            return False
        if here.kind == "letter" and last.kind == "number" and here.tex in _UNIT_LETTERS:
            return self.at(index + 1, "operator", "relation", "power") and self.tokens[index + 1].tex != "/"
        if here.kind == "letter" and last.kind == "letter" and here.tex not in _ARTICLES:
            return self.at(index - 2, "operator", "relation", "close") and last.tex not in _ARTICLES
        if here.kind == "letter" and here.tex not in _ARTICLES:
            return (last.kind in ("number", "command", "constant", "close") and here.tex not in ("x", "X")) or (
                last.kind in ("number", "command") and not self.at(index + 1, "number")
            )
        if here.kind == "formula" and last.kind == "formula":
            return re.search(r"[-+*/=^]\s*$|\\cdot\s*$|\\times\s*$", last.tex) is not None
        return here.kind in ("open", "number") and last.kind == "command" and "\\" in last.tex and last.tex.isascii()

    def factor(self, index: int, depth: int) -> int | None:
        """The end of an operand with what is raised, lowered or marked behind it."""
        if index >= len(self.tokens) or depth > _DEPTH:
            return None
        token = self.tokens[index]
        if token.kind == "currency":
            end = index + 1 if self.at(index + 1, "number", "formula") else None
            end = None if end is None else end + 1
        elif token.kind in ("function", "root"):
            end = self.argument(index + 1, depth)
        elif token.kind == "open":
            end = self.group(index, depth)
        elif token.kind in _OPERANDS or token.kind == "text":
            end = index + 1
        else:
            return None
        while end is not None and end < len(self.tokens):
            after = self.postfix(end, token.kind, depth)
            if after is None:
                break
            end = after
        return end

    def argument(self, index: int, depth: int) -> int | None:
        """The end of what a function is applied to, an exponent before it included: `sin^2(x)`, `√7`, `sqrt 2`."""
        if self.at(index, "power", "index") and self.glued(index):
            raised = self.raised(index, depth)
            return None if raised is None else self.argument(raised, depth + 1)
        if self.at(index, "superscript"):
            index += 1
        if self.at(index, "number", "letter", "open", "constant", "command", "formula", "function", "root", "name"):
            return self.factor(index, depth + 1)
        return None

    def postfix(self, index: int, kind: str, depth: int) -> int | None:
        """The end of one exponent, index, factorial, percent sign, degree, prime or argument list behind an operand."""
        token = self.tokens[index]
        if token.kind == "percent":
            return index + 1
        if not token.glued:
            return index + 1 if token.kind == "degree" and kind in ("number", "formula") else None
        if token.kind in ("power", "index"):
            return self.raised(index, depth)
        if token.kind == "open" and kind in ("letter", "name"):
            return self.group(index, depth)
        if token.kind == "bang":
            return index + 1 if self.is_factorial(index) else None
        return index + 1 if token.kind in ("superscript", "degree", "prime") else None

    def raised(self, index: int, depth: int) -> int | None:
        """The end of an exponent or index: a group, or one signed operand."""
        index += 1
        while index < len(self.tokens) and self.tokens[index].kind == "operator" and self.glued(index):
            index += 1
        if index >= len(self.tokens) or not self.glued(index):
            return None
        return self.group(index, depth) if self.at(index, "open") else self.factor(index, depth + 1)

    def group(self, index: int, depth: int) -> int | None:
        """The end of a bracket that holds mathematics only, no sentence."""
        closed = self.closing.get(index)
        if closed is None or depth > _DEPTH or self.words[closed] > self.words[index]:
            return None
        return closed + 1

    def is_factorial(self, index: int) -> bool:
        """An exclamation mark inside a formula, or before a word in lower case; at a sentence's end it is none."""
        after = self.text[self.tokens[index].end :][:24]
        if self.formula and not after.strip(" .$"):
            return True
        return re.match(r"\s?[-+*/×·^=)\]<>,;]|[\w(\\√]|\s[a-z]|\s?\\[a-z]", after) is not None

    def completed(self, index: int, end: int) -> tuple[FoundValue | None, int]:
        """The value of the tokens [index, end) and of what belongs to it behind them, and its end; None for a word."""
        if end - index == 3 and self.at(index, "number") and self.is_glued_unit(index + 1, end):
            end = index + 1
        part = self.tokens[index:end]
        kinds = {token.kind for token in part}
        numeric = any(token.kind in ("number", "fraction") or re.search(r"\d", token.tex) for token in part)
        symbolic = kinds & {"formula", "command", "constant", "text"} or (
            kinds & {"letter", "name"} and kinds & {"operator", "relation", "power", "open"} and len(part) > 2
        )
        if (kinds <= {"letter", "name", "open", "close", "index"} and not kinds & {"formula"}) or not (
            numeric or symbolic
        ):
            return (None, end)
        value = FoundValue(
            part[0].start,
            part[-1].end,
            self.tex(index, end),
            readable=not self.is_range(part) and "version" not in kinds,
            named="relation" in kinds
            or any(t.kind == "formula" and re.search(r"(?<![<>!\\])=|\\in\b", t.tex) for t in part),
            formula=kinds == {"formula"},
            numeric=numeric,
        )
        return self.with_following(value, end)

    def is_glued_unit(self, index: int, end: int) -> bool:
        """Whether a letter tight behind a number is a unit with a raised power ("9m²")."""
        return end == index + 2 and self.tokens[index].tex == "m" and self.tokens[index + 1].kind == "superscript"

    @staticmethod
    def is_range(part: list[Token]) -> bool:
        """Ranges and dates: numbers joined by tight dashes and nothing else, or by several slashes or colons."""
        if len(part) < 3 or any(token.kind != "number" for token in part[::2]):
            return False
        signs = [token.tex for token in part[1::2]]
        return (all(sign == "-" for sign in signs) and part[1].glued) or (len(signs) > 1 and set(signs) <= {"/", ":"})

    def with_following(self, value: FoundValue, index: int) -> tuple[FoundValue, int]:
        """The value with its scale word and unit, or made unreadable by what follows it."""
        number = completed_number(value.tex, self.text, value.end) if value.numeric and not value.named else None
        if number is not None:
            value = replace(value, tex=number[0], end=number[1])
        unit = unit_after(self.text, value.end) if value.numeric else ""
        spoiled = spoiling(self.text, value.end)
        behind = spoiling(self.text, value.end + len(unit)) if unit else None
        if spoiled is not None and not (unit and spoiled <= value.end + len(unit)):
            value = replace(value, readable=False, end=spoiled)
        elif behind is not None:
            value = replace(value, readable=False, end=behind)
        elif unit:
            value = replace(value, unit=unit, end=value.end + len(unit))
        while index < len(self.tokens) and self.tokens[index].start < value.end:
            index += 1
        return value, index
