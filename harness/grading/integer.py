r"""Grader for whole numbers (AIME, GSM8K): leading zeros, `42.`, `42.0`, `\boxed{042}`, `\$1{,}000`, "#### 42".

Extraction and comparison are those of the grader "number"; the target must be whole, and so must a right answer.
"""

from __future__ import annotations

from harness.errors import DataError
from harness.grading.base import InProcessGrader, boxed_reply
from harness.grading.number import compare, find_number, target_value
from harness.types import Extracted, Problem, Score


class IntegerGrader(InProcessGrader):
    """See the module docstring."""

    name = "integer"
    release = "2"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the final number of a reply."""
        return find_number(answer_text)

    def grade(self, target: str, answer: str) -> Score:
        """Right if the answer is the target's whole number; raises `DataError` for a target that is not whole."""
        if target_value(target).denominator != 1:
            raise DataError(f"target {target!r} is not a whole number: give the problem the grader 'number'")
        return compare(target, answer)

    def wrong_text(self, problem: Problem) -> str:
        """The next whole number."""
        return boxed_reply(str(target_value(problem.target).numerator + 1))


GRADER = IntegerGrader()
