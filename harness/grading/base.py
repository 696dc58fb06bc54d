"""What the graders of this package share: where a grader may run, and small helpers for replies and verdicts.

A grader whose `grade` is linear and cannot fail on hostile text runs in the calling process. Any other grader runs in a
worker of `harness.grading.pool`; what its `quick` can decide never reaches a worker.
"""

from __future__ import annotations

from harness.answers import after_answer_phrase, last_boxed
from harness.types import Problem, Score

MAX_ANSWER = 4096
"""Longest answer that is compared, in characters; anything longer is a text, not an answer."""


class BaseGrader:
    """Base of graders: what each of them may say beside the `Grader` protocol, and what most of them say alike."""

    name: str
    release = "1"
    """Raised whenever a reply would get another verdict."""

    def version(self) -> str:
        """Name and release, where no library decides."""
        return f"{self.name}/{self.release}"

    def preload(self) -> None:
        """Import everything that `grade` needs, so that imports do not count as grading time."""

    def quick(self, target: str, answer: str) -> Score | None:
        """The same verdict as `grade` where linear work suffices, else None."""
        return None

    def checks(self, problem: Problem, answer_text: str | None) -> dict[str, bool]:
        """Named checks of single fields, recorded in `Graded.formats`; linear. None: the reply has no answer."""
        return {}

    def gold_text(self, problem: Problem) -> str:
        """The target in a box."""
        return boxed_reply(problem.target)


class InProcessGrader(BaseGrader):
    """Base of graders that are linear throughout: `quick` decides everything."""

    def grade(self, target: str, answer: str) -> Score:
        """Compare an extracted answer with the target."""
        raise NotImplementedError

    def quick(self, target: str, answer: str) -> Score:
        """The verdict; nothing is left for a worker."""
        return self.grade(target, answer)


def explicit_answer(answer_text: str) -> str | None:
    """The answer that a reply marks as such: the last box, else what follows the last "answer is"; None if neither."""
    boxed = last_boxed(answer_text)
    if boxed:
        return boxed
    phrase = after_answer_phrase(answer_text)
    return phrase if phrase else None


def right(answer: str, why: str = "") -> Score:
    """Score of a right answer."""
    return Score(1.0, "scored", answer, why)


def wrong(answer: str, why: str = "") -> Score:
    """Score of a wrong answer."""
    return Score(0.0, "scored", answer, why)


def boxed_reply(answer: str) -> str:
    r"""How a well-behaved model ends: the answer in `\boxed{}`."""
    return f"The final answer is $\\boxed{{{answer}}}$."
