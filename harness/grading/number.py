r"""Grader for decimals and fractions, compared exactly as rational numbers.

A percentage counts as its number or as its hundredth, whichever the target is: "50%" answers 50 and 0.5.
Without a box or an answer phrase the value that the last claiming sentence claims is the answer, as a whole: `5/12`,
`2 1/2`, `3.2 x 10^5`, "5 thousand". What is no single rational number (`3√7`, `16π`, "6 or 13") answers nothing.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from harness.answers import boxes_and_rest
from harness.errors import DataError
from harness.grading.base import MAX_ANSWER, InProcessGrader, boxed_reply, right, wrong
from harness.grading.claims import Claim, claim, plain_clause, stated
from harness.grading.finding import corrected, declared_after_box, last_claim, plain
from harness.grading.rationals import read_number, show
from harness.grading.spelled import spelled_number
from harness.grading.values import values
from harness.types import Extracted, Problem, Score

_EQUALS = re.compile(r"(?<![<>!\\:])=(?!=)|\\approx|\\equiv|≈|≡")
_SEVERAL = re.compile(r"[,;]\s*[A-Za-z\\]|,\s|;|\b(?:and|or)\b")
_DECIMAL_COMMA = re.compile(r"([-+]?\d{1,15}),(\d{1,2})")
_POWER = re.compile(r"([-+]?)\(?(\d{1,4})\)?\^\{?(\d{1,3})\}?")
_FACTORIAL = re.compile(r"(\d{1,2})\s?!")
_LETTER_SCALE = re.compile(r"([-+]?\\?\$?[\d.,]+)\s?([kKM])")
_LETTER_UNIT = re.compile(r"(?<=\d)[hmgsL]$")


def candidates(answer: str) -> tuple[Fraction, ...]:
    """What a numeric answer may mean: its value, and a hundredth of it if it is a percentage; empty if it is no number.

    Of a chain "x = 6 * 7 = 42" the last side counts. Words around one number are dropped if they leave it what it is:
    "42 apples" is 42 and "42 thousand" is 42000, but "not 42", "42 or 43" and "42x" are nothing.
    """
    found = _literal(answer) or _literal(_last_side(answer)) or _in_words(answer)
    if found is None:
        return ()
    value, percent = found
    return (value, value / 100) if percent else (value,)


def _last_side(text: str) -> str:
    """What a chain of equations ends in; "" for several equations."""
    before, *sides = _EQUALS.split(text)
    return "" if sides and _SEVERAL.search(text) else (sides or [before])[-1]


def _literal(text: str) -> tuple[Fraction, bool] | None:
    """(value, whether a percent sign followed) of a literal, of a power of whole numbers or of a decimal comma."""
    body = text.strip().strip("$").strip()
    word = spelled_number(body)
    if word is not None:
        return Fraction(word), False
    comma = _DECIMAL_COMMA.fullmatch(body)
    if comma:
        return Fraction(f"{comma[1]}.{comma[2]}"), False
    power = _POWER.fullmatch(body)
    if power:
        value = Fraction(int(power[2]) ** int(power[3]))
        return (-value if power[1] == "-" else value), False
    scaled = _LETTER_SCALE.fullmatch(body)
    if scaled:
        base = read_number(scaled[1])
        return None if base is None else (base[0] * (10**6 if scaled[2] == "M" else 1000), False)
    factorial = _FACTORIAL.fullmatch(body)
    if factorial:
        return Fraction(math.factorial(int(factorial[1]))), False
    spelled = re.sub(r"(?<=\d)\s?[xX×]\s?(?=10\s?\^)", r"\\times ", _LETTER_UNIT.sub("", body))
    return read_number(spelled)


def _in_words(answer: str) -> tuple[Fraction, bool] | None:
    """The one number that an answer in words claims, as `read_number` gives it; None if it claims another thing."""
    clause = plain_clause(answer)
    found = claim(clause, formula=True)
    if found is None or not found.readable or len(found.values) != 1:
        return None
    return _literal(_last_side(found.values[0].tex))


def target_value(target: str) -> Fraction:
    """The number that a target means; raises `DataError` if it is none."""
    found = read_number(target)
    if found is None:
        raise DataError(f"target {target!r} is not a number: give the problem the grader 'math' or 'exact'")
    value, percent = found
    return value / 100 if percent else value


def compare(target: str, answer: str) -> Score:
    """Compare two number literals exactly."""
    gold = target_value(target)
    meanings = candidates(answer) if len(answer) <= MAX_ANSWER else ()
    if gold in meanings:
        return right(show(gold))
    if not meanings:
        return wrong(answer[:200], f"not a number: {answer[:60]!r}")
    return wrong(show(meanings[0]), f"{show(meanings[0])} is not {show(gold)}")


def find_number(answer_text: str) -> Extracted | None:
    """Box, else answer phrase if it claims a number, else what the last sentence that claims a value claims."""
    boxes, behind = boxes_and_rest(answer_text)
    group = [part for part in boxes if part]
    if group:
        later = declared_after_box(behind)
        content = _one(later) if later else None
        return Extracted(content or ", ".join(dict.fromkeys(group))[:MAX_ANSWER], True)
    phrases = stated(answer_text)
    for phrase, rest in phrases:
        turned = corrected(rest)
        statement = plain(phrase[:MAX_ANSWER]).strip(' \t"“”')
        found = turned[1] if turned else claim(statement, direct=True, formula=statement.endswith("!"))
        if found is not None:
            value = _one(found)
            return None if value is None else Extracted(value, True)
        if not values(statement):
            return Extracted(statement, True)
    rest = phrases[0][1] if phrases else answer_text
    if not phrases and len(rest) <= MAX_ANSWER and re.search(r"\d", rest) and not re.search(r"[^\W\d_]", rest):
        return Extracted(plain(rest).strip(), False)
    last = last_claim(rest)
    value = None if last is None else _one(last[1])
    return None if value is None else Extracted(value, False)


def _one(found: Claim) -> str | None:
    """The one value of a claim; several that are equal are one ("1/2 or 0.5"), others are none."""
    if not found.readable:
        return None
    meanings = {candidates(value.tex) for value in found.values}
    return found.values[0].tex if len(found.values) == 1 or (len(meanings) == 1 and () not in meanings) else None


class NumberGrader(InProcessGrader):
    """See the module docstring."""

    name = "number"
    release = "2"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the final number of a reply."""
        return find_number(answer_text)

    def grade(self, target: str, answer: str) -> Score:
        """Right if both mean the same rational number."""
        return compare(target, answer)

    def wrong_text(self, problem: Problem) -> str:
        """A number one hundredth of a unit away."""
        return boxed_reply(show(target_value(problem.target) + Fraction(1, 100)))


GRADER = NumberGrader()
