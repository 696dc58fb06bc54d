r"""Where the formulas and the sentences of a reply begin and end.

A dollar may open a formula, close one, or be money; a full stop may end a sentence, an abbreviation ("Rs. 350",
"approx. 42", "No. 14") or stand in a number. Both questions depend on each other, so they are answered in one place.
All of it is linear in the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

MAX_FORMULA = 4096
"""Longest formula between single dollars, in characters; what is longer is two unrelated dollars."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DELIMITER = re.compile(r"\\\\|\\\$|\$\$?|\\[()\[\]]|\n[ \t]{0,80}\n")
_CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_NOT_WORDS = re.compile(
    r"\\(?:text|textbf|textrm|textit|mathrm|mathbf|operatorname|mbox|begin|end)\s?\{[^{}]*\}|\\[a-zA-Z]+"
)
_FUNCTION_WORDS = _set(
    "sqrt sin cos tan cot sec csc log ln exp lim max min mod gcd lcm pi arcsin arccos arctan inf det dim ker"
)
_LOWER_WORD = re.compile(r"(?<![A-Za-z\\_^{])[a-z]{2,}(?![A-Za-z({])")


def math_segments(text: str) -> list[tuple[int, int]]:
    r"""Contents of `$…$`, `$$…$$`, `\(…\)` and `\[…\]`, in order: (start, end); dollars that are money open none."""
    found: list[tuple[int, int]] = []
    opener: tuple[str, int] | None = None
    for token in _DELIMITER.finditer(text):
        mark = token[0] if token[0][0] != "\n" else "\n"
        if mark in ("\\\\", "\\$"):
            continue
        if opener is None:
            opener = _opened(text, mark, token.start(), token.end())
        elif mark == _CLOSING[opener[0]]:
            if mark != "$" or _is_formula(text, opener[1], token.start()):
                found.append((opener[1], token.start()))
                opener = None
            else:
                opener = _opened(text, mark, token.start(), token.end())
        elif mark == "\n" and opener[0] in ("$", "\\("):
            opener = None
        elif opener[0] == "$" and mark in ("\\(", "\\[", "$$"):
            opener = (mark, token.end())
    return found


def _opened(text: str, mark: str, start: int, end: int) -> tuple[str, int] | None:
    """The formula that a delimiter opens; None for a closing one and for a dollar behind an amount ("8$")."""
    if mark not in _CLOSING:
        return None
    if mark == "$" and text[start - 1 : start].isdigit() and re.match(r"[\s.,;:!?)*]|$", text[end : end + 1]):
        return None
    return mark, end


def _is_formula(text: str, start: int, end: int) -> bool:
    """Whether what stands between two single dollars is mathematics, and not the words between two amounts."""
    body = text[start : min(end, start + MAX_FORMULA + 1)]
    if len(body) > MAX_FORMULA or not body.strip() or (body.lstrip()[0] in ",;:.!?)" and len(body.strip()) > 1):
        return False
    words = [word for word in _LOWER_WORD.findall(_NOT_WORDS.sub(" ", body)) if word not in _FUNCTION_WORDS]
    if re.match(r"\s*[\d.]", body):
        lopsided = body[0].isspace() != body[-1].isspace()
        return not lopsided and not text[end + 1 : end + 2].isdigit() and len(words) < 2
    return len(words) < 4 and not (body[0].isspace() and not body[-1].isspace() and words)


_ABBREVIATIONS = _set(
    "approx appr cca vs etc e.g i.e eg ie cf dr mr mrs ms st prof jr sr dept inc ltd corp resp max w.r.t"
    " wrt a.k.a viz incl excl"
)
"""Words that a full stop shortens, in lower case and without it."""
_NUMBERED = _set(
    "No Nos nos nr num rs Rs RS Re US USD usd inr INR ca fig Fig figs eq Eq eqs eqn ch vol p pp thm prop ex"
)
"""Words that a full stop shortens where a number follows."""
_UNITS = _set("a.m p.m am pm in ft yd mi oz lb lbs hr hrs min mins sec secs sq cu cm mm km kg")
"""Units that are written with a full stop: the sentence goes on if the next word is in lower case."""
_STOP = re.compile(r"(?<!\\)[.!?](?=[)\]\"'”’*_`$]*(?:\s|$))|[。！？।]")
_LAST_WORD = re.compile(r"[A-Za-z][A-Za-z.]{0,8}$")


def sentence_stops(text: str, formulas: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """(start, end) of the marks that end sentences, none within formulas or after abbreviations."""
    starts = [start for start, _ in formulas]
    found: list[tuple[int, int]] = []
    for mark in _STOP.finditer(text):
        inside = bisect_right(starts, mark.start()) - 1
        if inside >= 0 and mark.start() < formulas[inside][1]:
            continue
        if mark[0] == "!" and re.match(r"[\w)]! [a-z]", text[mark.start() - 1 : mark.end() + 2]):
            continue
        if mark[0] == "." and _is_abbreviation(text, mark.start()):
            continue
        found.append((mark.start(), mark.end()))
    return found


def _is_abbreviation(text: str, stop: int) -> bool:
    """Whether the full stop at `stop` belongs to the word before it, and the sentence goes on."""
    word = _LAST_WORD.search(text[max(0, stop - 10) : stop])
    if word is None:
        return False
    after = text[stop + 1 : stop + 80].lstrip(" \t*_")
    name = word[0].lstrip(".")
    if name.lower() in _UNITS:
        return after[:1].islower()
    if name in _NUMBERED:
        return re.match(r"[$€£₹\\(]{0,3}[-−]?[\d.]", after) is not None
    return name.lower() in _ABBREVIATIONS and after[:1] not in ("", "\n")


def first_sentence(line: str) -> str:
    """The first sentence of a line without the stop that ends it."""
    stops = sentence_stops(line, math_segments(line))
    return line[: stops[0][0]] if stops else line


_SOFT_BREAK = re.compile(r"[ \t]{0,8}\n(?=[ \t]{0,8}(?:[a-z$≈=≤≥<>]|\\[(\[a-z]))(?![ \t]{0,8}\n)")


def sentences(text: str, formulas: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The sentences of a text in order, without their stops: a line ends one, unless the next goes on in lower case."""
    starts = [start for start, _ in formulas]
    soft = {match.end() - 1 for match in _SOFT_BREAK.finditer(text)}
    breaks = list(sentence_stops(text, formulas))
    for match in re.finditer(r"\n", text):
        inside = bisect_right(starts, match.start()) - 1
        if not (inside >= 0 and match.start() < formulas[inside][1]) and match.start() not in soft:
            breaks.append((match.start(), match.end()))
    breaks.sort()
    found: list[tuple[int, int]] = []
    begin = 0
    for start, end in [*breaks, (len(text), len(text))]:
        if text[begin:start].strip():
            found.append((begin, start))
        begin = max(begin, end)
    return found
