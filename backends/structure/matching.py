"""Algorithm 1 of RLKD: what a student's steps are worth beside the teacher's.

    r = 0
    for i = 1 … min(n, m):
        stop unless the i-th steps match
        r += 1, halved if their questions differ, halved again if their results differ

So a step of another purpose ends it, whatever comes behind; more steps than the teacher's never add anything; and the
value depends on nothing but the pairs up to that one.
"""

from __future__ import annotations

from collections.abc import Mapping

from backends.structure.steps import Aspect

Verdicts = Mapping[tuple[int, Aspect], bool | None]
"""Whether the teacher's and the student's i-th step (from 0) match in an aspect; None: nobody could tell."""


def algorithm_one(teacher: int, student: int, verdicts: Verdicts) -> float | None:
    """The value of so many steps beside the teacher's, from 0 to the teacher's number.

    None if a verdict that it depends on could not be had. Raises `KeyError` for one that was not asked for.
    """
    total = 0.0
    for number in range(min(teacher, student)):
        same = verdicts[number, "step"]
        if same is None:
            return None
        if not same:
            break
        question, result = verdicts[number, "question"], verdicts[number, "result"]
        if question is None or result is None:
            return None
        total += (1.0 if question else 0.5) * (1.0 if result else 0.5)
    return total


def matched_steps(teacher: int, student: int, verdicts: Verdicts) -> int:
    """How many steps match before the first that does not, whatever their questions and results."""
    pairs = range(min(teacher, student))
    return next((number for number in pairs if not verdicts[number, "step"]), min(teacher, student))


def to_ask(teacher: int, student: int, verdicts: Verdicts) -> list[tuple[int, Aspect]]:
    """The verdicts that can be asked for now: whether the next steps match, and what is open of those before them.

    Empty when `algorithm_one` has all that it needs, or knows that it cannot tell.
    """
    asked: list[tuple[int, Aspect]] = []
    if None in verdicts.values():
        return asked
    for number in range(min(teacher, student)):
        if (number, "step") not in verdicts:
            return [*asked, (number, "step")]
        if not verdicts[number, "step"]:
            break
        details: tuple[Aspect, Aspect] = ("question", "result")
        asked += [(number, detail) for detail in details if (number, detail) not in verdicts]
    return asked
