r"""Words, numbers, formulas and operators of a plain sentence, each with its spelling in LaTeX.

The grammar that joins them to values is in `harness.grading.values`. Nothing is evaluated; a sentence is read once,
from left to right, by one regular expression.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "number", "fraction", "formula", "command", "constant", "function", "root", "letter", "name", "word", "operator",
    "relation", "power", "index", "bang", "superscript", "percent", "degree", "prime", "open", "close", "currency",
    "text", "mark", "version",
]  # fmt: skip
"""What a token is; "mark" is punctuation, "text" is an upright `\text{}`."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a sentence."""

    kind: Kind
    start: int
    end: int
    tex: str
    """How it is written in LaTeX; of a formula, what stands between its delimiters."""
    glued: bool
    """Whether it follows the token before without white space."""


_DIGITS = (
    r"\d{1,3}(?:(?:,|\{,\}|,?\\!\s?|\\,|,\\,)\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:[\x20\u00a0\u202f]\d{3})+(?![\d,]|\.\d)"
)
_NAMES = "sqrt|cbrt|arcsin|arccos|arctan|sinh|cosh|tanh|sin|cos|tan|cot|sec|csc|log|ln|exp"
_TOKEN = re.compile(
    rf"""
    (?P<version>\d+(?:\.\d+){{2,}})
    |(?P<number>(?:{_DIGITS}|(?<!\d,)(?<!\d)\d+,\d{{1,2}}(?![\d,])|\d+(?:\.\d+)?(?:\.(?=[/*^]))?|\.\d+)(?:[eE][-+−]?\d{{1,3}}(?![\w.]))?)
    |(?P<text>\\(?:text|textbf|textrm|textit|mathrm|mathbf|mbox|operatorname)\s?\{{[^{{}}]{{0,200}}\}})
    |(?P<mark>\\[,;:!\ ]|\\(?:q?quad|left|right|displaystyle|big|Big|bigl|bigr)(?![a-zA-Z])
        |\\\$(?!\s?[\d.])|[.,;:?，、；：。！？“”"'’|&~#@])
    |(?P<currency>\\?\$|[€£¥₹]|(?:US|A|C)\$|(?:Rs|USD|EUR|INR|GBP|RMB|US)\b\.?(?=\s?[$\d.]))
    |(?P<percent>\\?%|(?:percent|per\scent|percentage|pct)(?![a-zA-Z]))
    |(?P<degree>\^\{{?\\circ\}}?|°|º|degrees?(?![a-zA-Z]))
    |(?P<relation><=|>=|==|!=|:=|->|=>|[=<>≤≥≠≈≡∈∼]|\\(?:approx|leq?|geq?|neq?|in|equiv|sim|to|lt|gt)(?![a-zA-Z]))
    |(?P<operator>\*\*|[-+*/×·÷−–—±∪∩∖⋅]|\\(?:times|cdot|div|pm|mp|cup|cap|setminus|mid)(?![a-zA-Z])|mod(?![a-zA-Z]))
    |(?P<open>\\(?:\{{|(?:langle|lfloor|lceil|lvert|lbrace)(?![a-zA-Z]))|[(\[{{（])
    |(?P<close>\\(?:\}}|(?:rangle|rfloor|rceil|rvert|rbrace)(?![a-zA-Z]))|[)\]}}）])
    |(?P<command>\\begin\{{(?P<env>\w{{1,16}}\*?)\}}.{{0,2000}}?\\end\{{(?P=env)\}}|\\[a-zA-Z]+)
    |(?P<function>(?:np\.)?(?:{_NAMES})(?![a-zA-Z]))
    |(?P<root>[√∛∜])
    |(?P<constant>[π∞]|(?:pi|infinity)(?![a-zA-Z]))
    |(?P<fraction>[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅐⅛⅜⅝⅞⅑⅒])
    |(?P<superscript>[⁻⁺]?[⁰¹²³⁴-⁹]+)
    |(?P<prime>[′″])
    |(?P<power>\^)|(?P<index>_)|(?P<bang>!)
    |(?P<name>[A-Z]{{2,5}}(?=\s?=)|(?:(?<==)|(?<==\s))[A-Z]{{2,5}}(?![A-Za-z])|[A-Za-z]\d[A-Za-z\d]*|[A-Za-z]{{2,}}\d[A-Za-z\d]*)
    |(?P<letter>[A-Za-zα-ωΓ-Ω](?![A-Za-zα-ωΓ-Ω]|['’][A-Za-z]|-(?!(?:{_NAMES}))[A-Za-z]{{2}}))
    |(?P<word>[A-Za-z]+(?:['’-](?=[A-Za-z]{{2}}|[A-Za-z]\b)[A-Za-z]+)*|[^\W\d_])
    """,
    re.VERBOSE | re.DOTALL,
)
_TEX = {
    "×": r"\times ", "·": r"\cdot ", "⋅": r"\cdot ", "÷": r"\div ", "−": "-", "–": "-", "—": "-", "±": r"\pm ",
    "∪": r"\cup ", "∩": r"\cap ", "π": r"\pi ", "pi": r"\pi ", "∞": r"\infty ", "infinity": r"\infty ", "≤": r"\le ",
    "≥": r"\ge ", "<=": r"\le ", ">=": r"\ge ", "≠": r"\ne ", "!=": r"\ne ", "≈": r"\approx ", "∈": r"\in ", "==": "=",
    "**": "^", "√": r"\sqrt", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]", "sqrt": r"\sqrt", "cbrt": r"\sqrt[3]", "（": "(",
    "）": ")", "°": r"^{\circ}", "º": r"^{\circ}", "′": "'", "″": "''", ":=": "=", "∖": r"\setminus ",
}  # fmt: skip
_FRACTIONS = {
    "½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅐": "1/7", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8", "⅑": "1/9", "⅒": "1/10",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_INVISIBLE = re.compile(r"\\(?:[,;:! ]|[a-zA-Z]+)")


def tokens(text: str, formulas: Sequence[tuple[int, int]]) -> list[Token]:
    r"""The tokens of a text whose formulas (contents of `$…$`) are known; a LaTeX command takes its arguments along."""
    found: list[Token] = []
    position, last_end = 0, -1
    pairs = _pairs(text)
    starts = [_outer(text, start, end)[0] for start, end in formulas]
    while position < len(text):
        number = bisect_left(starts, position)
        stop = starts[number] if number < len(starts) else len(text)
        if position == stop:
            start, end = formulas[number]
            outer_end = _outer(text, start, end)[1]
            body = text[start:end].strip().rstrip(".,;").strip()
            found.append(Token("formula", position, outer_end, body, position == last_end))
            position = last_end = outer_end
            continue
        match = _TOKEN.search(text, position, stop)
        if match is None:
            position = stop
            continue
        kind: Kind = match.lastgroup if match.lastgroup != "env" else "command"  # type: ignore[assignment]
        end = match.end()
        tex = match[0]
        if kind == "mark" and _INVISIBLE.fullmatch(tex):
            last_end = end if match.start() == last_end else last_end
            position = end
            continue
        if kind == "command" and match["env"] is None:
            end = _arguments(text, end, stop, pairs, fraction=tex.endswith("frac"))
            tex = text[match.start() : end]
        found.append(Token(kind, match.start(), end, _tex(kind, tex), match.start() == last_end))
        position = last_end = end
    return found


def _outer(text: str, start: int, end: int) -> tuple[int, int]:
    """A formula with its delimiters."""
    width = 2 if text[start - 2 : start] in ("$$", "\\(", "\\[") else 1
    return start - width, end + width


def _tex(kind: Kind, text: str) -> str:
    if kind == "fraction":
        over, under = _FRACTIONS[text].split("/")
        return rf"\frac{{{over}}}{{{under}}}"
    if kind == "superscript":
        return f"^{{{text.translate(_RAISED)}}}"
    if kind == "degree":
        return r"^{\circ}"
    if kind == "percent":
        return r"\%"
    if kind == "currency":
        return r"\$" if "$" in text else ""
    return _TEX.get(text, text)


def _arguments(text: str, position: int, stop: int, pairs: dict[int, int], *, fraction: bool) -> int:
    r"""Where the arguments of a command end: bracketed options, groups, indices, and the digits of `\frac12`."""
    for _ in range(8):
        opening = _ARGUMENT.match(text, position, stop)
        if opening is None:
            break
        if opening[0][-1] in "^_":
            position = min(opening.end() + 1, stop)
            continue
        closed = pairs.get(opening.end() - 1, stop)
        if closed >= stop:
            break
        position = closed + 1
    digits = _BARE_DIGITS.match(text, position, stop) if fraction else None
    return digits.end() if digits else position


_ARGUMENT = re.compile(r"\s?(?:\{|\[(?=[^\[\]]{0,40}\]\{)|[\^_]\{?)")
_BARE_DIGITS = re.compile(r"\s?\d{1,2}(?![\d.])")


def _pairs(text: str) -> dict[int, int]:
    """The closing bracket of each curly or square bracket that has one."""
    found: dict[int, int] = {}
    waiting: dict[str, list[int]] = {"}": [], "]": []}
    for bracket in re.finditer(r"[{}\[\]]", text):
        if bracket[0] in "{[":
            waiting["}" if bracket[0] == "{" else "]"].append(bracket.start())
        elif waiting[bracket[0]]:
            found[waiting[bracket[0]].pop()] = bracket.start()
    return found
