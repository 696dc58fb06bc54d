r"""Grader for mathematical answers.

What an answer claims is read by `harness.grading.mathclaim` and compared by `harness.grading.mathjudge`: structures
part by part, values at random points. math-verify decides only what that cannot read.

Decided in this process (`quick`): the same spelling after `canonical`; two numbers that are exactly equal or clearly
not; an answer too long to be one.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

from harness.grading.base import MAX_ANSWER, BaseGrader, boxed_reply, right, wrong
from harness.grading.latex import canonical, vote_key
from harness.grading.mathclaim import MathClaim, claim_of, read_claim, read_tokens
from harness.grading.mathfallback import library_equal
from harness.grading.mathfind import find_answer
from harness.grading.mathjudge import claims_equal
from harness.grading.mathlib import RELATION, library_version, other_base
from harness.grading.mathpoints import Undecided
from harness.grading.mathsame import LONG_DECIMAL, TOLERANCE
from harness.grading.mathtext import TexToken, Unreadable
from harness.grading.rationals import parse_decimal, parse_rational
from harness.types import Extracted, Problem, Score


def segments_equal(gold: str, answer: str) -> bool:
    """Whether both are the same sequence of words and equal formulas. Raises `Undecided`."""
    try:
        golds, answers = _segments(read_tokens(gold)), _segments(read_tokens(answer))
    except Unreadable:
        return False
    return len(golds) == len(answers) and all(_segment_equal(g, a) for g, a in zip(golds, answers, strict=True))


def _segments(found: list[TexToken]) -> list[list[TexToken]]:
    """Maximal runs of words and of anything else."""
    runs: list[list[TexToken]] = []
    for token in found:
        if runs and (runs[-1][-1].kind == "word") == (token.kind == "word"):
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs


def _segment_equal(gold: list[TexToken], answer: list[TexToken]) -> bool:
    if (gold[0].kind == "word") != (answer[0].kind == "word"):
        return False
    texts = [[token.text for token in side] for side in (gold, answer)]
    if texts[0] == texts[1]:
        return True
    if gold[0].kind == "word":
        words = [re.findall(r"\w+", " ".join(side).lower()) for side in texts]
        return words[0] == words[1]
    try:
        return claims_equal(claim_of(gold), claim_of(answer))
    except Unreadable:
        return False


@lru_cache(maxsize=4096)
def _gold_claim(gold: str) -> MathClaim | None:
    return _claim(gold)


def _claim(text: str) -> MathClaim | None:
    try:
        return read_claim(text)
    except (Unreadable, RecursionError):
        return None


def equivalent(gold: str, answer: str, *, precision: int = 6) -> bool:
    """Whether a bare answer equals the gold one, as wholes; may take long on hostile input, so run it in a worker.

    `precision`: decimal places to which math-verify rounds floats. Raises `Undecided` for numbers too large to be
    computed.
    """
    settled = _settle(gold, answer)
    if settled is not None:
        return settled
    try:
        wanted, found = _gold_claim(gold), _claim(answer)
        if wanted is None or found is None:
            return segments_equal(gold, answer) or library_equal(gold, answer, precision)
        return claims_equal(wanted, found)
    except RecursionError:  # thousands of operations inside each other answer no target
        return False


def _settle(gold: str, answer: str) -> bool | None:
    """A verdict that needs no parsing, or None."""
    if len(answer) > MAX_ANSWER:
        return False
    left, right_ = canonical(gold), canonical(answer)
    if left == right_:
        return left != ""
    if right_ == "" or other_base(gold, answer):
        return False
    a, b = _literal(left), _literal(right_)
    if (a is not None and _is_tower(right_)) or (b is not None and _is_tower(left)):
        return False
    if a is None or b is None:
        return None
    if a == b:
        return True
    if parse_decimal(left) is not None and "." in left:
        return False if abs(a - b) > 2 * TOLERANCE * abs(a) else None
    return None if len(right_) > LONG_DECIMAL and "." in right_ else False


def _literal(key: str) -> Fraction | None:
    r"""The number that a canonical text spells, unless it may be two numbers or is in scientific notation.

    `canonical` has already joined thousands, so that a comma that is left separates numbers.
    """
    if re.search(r"[,eE\u00d7*]|cdot", key.replace("\\overline", "")):
        return None
    power = re.fullmatch(r"(\d{1,4})\^\{?(\d{1,3})\}?", key)
    return Fraction(int(power[1]) ** int(power[2])) if power else parse_rational(key)


_TOWER = re.compile(r"-?\d{1,9}(?:\^\{?\d{1,9}){2,64}\}{0,64}")


def _is_tower(key: str) -> bool:
    """Whether this is nothing but a power tower with more digits than any number literal that is compared."""
    if _TOWER.fullmatch(key) is None:
        return False
    base, *exponents = (int(level) for level in re.findall(r"\d+", key))
    if base < 2 or min(exponents) < 2:
        return False
    height = exponents.pop()
    while exponents:
        level = exponents.pop()
        if height * math.log10(level) > 6:
            return True
        height = level**height
    return height > 10**6


class MathGrader(BaseGrader):
    """See the module docstring."""

    name = "math"
    release = "2"

    def version(self) -> str:
        """Own version and the library's."""
        return f"{super().version()}+math-verify-{library_version()}"

    def preload(self) -> None:
        """Import math-verify and build its parsers."""
        equivalent("x+1", "x-1")
        library_equal("x+1", "x-1")

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the final answer of a reply."""
        return find_answer(answer_text)

    def quick(self, target: str, answer: str) -> Score | None:
        """The verdict where it needs no parsing."""
        return _quick(target, answer)

    def grade(self, target: str, answer: str) -> Score:
        """Right if the answer claims what the target claims; unscored if nothing here can tell."""
        try:
            return _score(equivalent(target, answer), target, answer)
        except Undecided as error:
            return Score(None, "unscored", None, f"cannot be decided: {error}")

    def wrong_text(self, problem: Problem) -> str:
        """One more than the target, or a word that is not the target."""
        return boxed_reply(near_miss(problem.target))


@lru_cache(maxsize=8192)
def _quick(target: str, answer: str) -> Score | None:
    """Cached, because the samples of one problem repeat their answers."""
    settled = _settle(target, answer)
    return None if settled is None else _score(settled, target, answer)


def _score(equal: bool, target: str, answer: str) -> Score:
    if equal:
        return right(vote_key(target))
    if len(answer) > MAX_ANSWER:
        return wrong(vote_key(answer), f"an answer of more than {MAX_ANSWER} characters")
    return wrong(vote_key(answer), "not equivalent to the target")


_SCIENTIFIC = re.compile(r"10\s?\^|\d[eE][-+]?\d")


def near_miss(target: str) -> str:
    """A wrong answer of the target's own form: one more, or, where one more is within rounding, another mantissa."""
    number = parse_rational(canonical(target))
    if number is not None and not _SCIENTIFIC.search(target):
        return str(number + 1)
    if re.fullmatch(r"[A-Za-z ]+", canonical(target)) and len(canonical(target)) > 1:
        return f"\\text{{not {canonical(target)}}}"
    if RELATION.search(target):
        return f"{RELATION.split(target)[-1].strip()}+1"
    digit = re.search(r"\d+", target)
    if digit:
        return f"{target[: digit.start()]}{int(digit[0]) + 1}{target[digit.end() :]}"
    return f"{target}+1"


GRADER = MathGrader()
