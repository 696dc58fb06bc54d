r"""Where the final mathematical answer of a reply stands: boxes, then a stated answer, then the last claim of its text.

What a sentence claims is decided in `harness.grading.claims`: the 5 of "the answer is not 5" is not returned, and of
"5/12" the whole. What is declared is passed on uncut too (`Extracted.readings`), for targets that are no mere value.
"""

from __future__ import annotations

import re

from harness.answers import boxes_and_rest
from harness.grading.base import MAX_ANSWER
from harness.grading.claims import Claim, claim, predicate, stated
from harness.grading.finding import corrected, declared_after_box, last_claim, plain
from harness.grading.rationals import read_number
from harness.grading.units import with_symbol
from harness.grading.values import values
from harness.types import Extracted


def find_answer(answer_text: str) -> Extracted | None:
    """The final mathematical answer of a reply; see the module docstring."""
    boxes, behind = boxes_and_rest(answer_text)
    group = [part for part in boxes if part]
    if group:
        later = declared_after_box(behind)
        return Extracted(_bounded(", ".join(dict.fromkeys(group)) if later is None else later.tex), True)
    phrases = stated(answer_text)
    for phrase, rest in phrases:
        turned = corrected(rest)
        if turned is not None:
            return _running(*turned, explicit=True)
        statement = plain(phrase).strip(' \t"“”')
        if not re.search(r"\w", statement):
            continue
        found = claim(statement, direct=True, formula=statement.endswith("!"))
        if found is not None:
            return _stated(statement, found)
        if not values(statement):
            return Extracted(_bounded(statement), True)
    rest = phrases[0][1] if phrases else answer_text
    if not phrases and _is_bare(rest):
        return _bare(plain(rest).strip())
    last = last_claim(rest)
    return None if last is None else _running(*last, explicit=False)


def _stated(statement: str, found: Claim) -> Extracted | None:
    """What a statement answers: itself if it is a formula without words, else its claim; None if that is not one."""
    if not found.readable:
        return None
    whole = not _words(statement) and "$" not in statement and "\\(" not in statement and not _LISTED.search(statement)
    return Extracted(
        _bounded(with_symbol(statement) if whole else _spelled(statement, found)), True, (_bounded(statement),)
    )


def _spelled(sentence: str, found: Claim) -> str:
    r"""A claim as LaTeX: where commands stand without dollars, the whole stretch without words around it."""
    start, end = found.values[0].start, found.values[-1].end
    meanings = {read_number(value.tex) for value in found.values}
    if len(found.values) > 1 and len(meanings) == 1 and None not in meanings:
        return found.values[0].tex
    if len(found.values) > 1 or "$" in sentence or "\\(" in sentence or "\\" not in sentence:
        return found.tex
    words = list(_PROSE.finditer(_NOT_PROSE.sub(lambda match: "#" * len(match[0]), sentence)))
    begin = max((word.end() for word in words if word.end() <= start), default=0)
    stop = min((word.start() for word in words if word.start() >= end), default=len(sentence))
    stretch = re.sub(r"^(?:[aA]\s)|[\s.,;:]+$", "", sentence[begin:stop].lstrip(" ,.:;"))
    return stretch if "\\" in stretch and not _LISTED.search(stretch) else found.tex


_PROSE = re.compile(r"[^\W\d_]{2,}")


def _running(sentence: str, found: Claim, *, explicit: bool) -> Extracted | None:
    if not found.readable:
        return None
    return Extracted(
        _bounded(_spelled(sentence, found)),
        explicit,
        (_bounded(sentence.strip()), _bounded(predicate(sentence, found))),
    )


def _bare(text: str) -> Extracted | None:
    """A reply that is nothing but an answer."""
    text = re.sub(r"^[=≈:]\s*", "", text)
    found = claim(text)
    if found is not None and not found.readable:
        return None
    listed = (
        found is not None and _LISTED.search(text) is not None and found.values[-1].end >= len(text.rstrip(" .$")) - 2
    )
    formulas = found is not None and "$" in text and found.values[-1].end >= len(text.rstrip(" .")) - 2
    return Extracted(found.tex if found and (listed or formulas) else with_symbol(text), False, (text,))


_LISTED = re.compile(r";|\b(?:and|or)\b|[和或与、，；]|[≈√π½⅓⅔¼¾×]|\d x \d")
"""What is spelled anew when a statement is read: lists in words, and signs that are no LaTeX."""
_NOT_PROSE = re.compile(
    r"\\(?:text|textbf|mathrm|operatorname|mbox|begin|end)\s?\{[^{}]*\}|\\[a-zA-Z]+|\$[^$]*(?:\$|$)|\\\([^\n]*?\\\)"
    r"|(?<![a-zA-Z])(?:np|sqrt|cbrt|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|inf|infinity|mod|percent(?:age)?|pct"
    r"|and|or)(?![a-zA-Z])|(?<![a-zA-Z])[A-Z]{1,5}(?![a-zA-Z])"
)
_CONNECTIVE = re.compile(r"(?i)\b(?:so|thus|hence|therefore|then|finally|get|got|result|total|answer|is|are|equals?)\b")


def _words(text: str) -> list[str]:
    """The words of a text that belong to no formula."""
    return re.findall(r"[^\W\d_]{2,}", _NOT_PROSE.sub(" ", text))


def _is_bare(text: str) -> bool:
    """Whether a reply is nothing but an answer: short, one line, no prose beyond one word that is no connective."""
    body = text.strip()
    if not body or len(body) > 500 or ("\n" in body and "\\begin" not in body):
        return False
    words = _words(body)
    if re.match(r"[A-Za-z]+:\s", body):
        return False
    if not words:
        return re.search(r"\w", body) is not None
    return (
        len(words) == 1
        and "$" not in body
        and "\\(" not in body
        and not re.search(r"\d", _NOT_PROSE.sub(" ", body))
        and not _CONNECTIVE.search(body)
    )


def _bounded(answer: str) -> str:
    """An answer at its longest, a separator of thousands without the spaces that some models put into it."""
    return re.sub(r" ?\{ ?, ?\} ?", "{,}", answer[: MAX_ANSWER + 1])
