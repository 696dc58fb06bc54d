"""Small rubrics of every kind, built by hand, and replies that fit them."""

from __future__ import annotations

import json
from dataclasses import replace

from harness.types import Completion
from judges.replies.thought import with_reply
from judges.types import Dimension, Judgment, Order, Rubric, RubricChoice, Task, Verdict

LEVEL_TEXTS = ("bad", "weak", "fair", "good", "best")
POINTS = Rubric(
    name="points",
    version="1",
    kind="points",
    summary="s",
    source="s",
    template="{question}\n{answer}\n{dimensions}\n{reply_format}",
    dimensions=(
        Dimension("logic", "Logic Flow", "Sound?", 60.0, LEVEL_TEXTS),
        Dimension("facts", "Facts", "True?", 40.0, LEVEL_TEXTS, ("correct", "minor_errors", "major_errors")),
    ),
)
RATING = replace(POINTS, name="rating", kind="rating", dimensions=(), template="{question}\n{answer}\n{reply_format}")
PAIRWISE = replace(
    RATING,
    name="pairwise",
    kind="pairwise",
    template="{question}\n{answer_a}\n{answer_b}\n{reply_format}",
    choices=(
        RubricChoice("A>>B", 1.0, 3.0),
        RubricChoice("A>B", 1.0),
        RubricChoice("A=B", 0.5),
        RubricChoice("B>A", 0.0),
        RubricChoice("B>>A", 0.0, 3.0),
    ),
)
LABEL = replace(RATING, name="label", kind="label", choices=(RubricChoice("yes", 1.0), RubricChoice("no", 0.0)))
TOKEN = replace(PAIRWISE, name="token", reply="token", choices=(RubricChoice("A", 1.0), RubricChoice("B", 0.0)))
RUBRICS = {
    "points": POINTS,
    "rating": RATING,
    "pairwise": PAIRWISE,
    "label": LABEL,
    "token": TOKEN,
    "token_case": replace(TOKEN, choices=(RubricChoice("m", 1.0), RubricChoice("M", 0.0))),
    "token_mixed": replace(TOKEN, choices=(RubricChoice("yes", 1.0), RubricChoice("Yes", 0.0))),
}


def completion(text: str, alternatives: dict[str, float] | None = None) -> Completion:
    return with_reply(Completion(text, "stop", alternatives=alternatives))


def rating_reply(rating: object, reason: str = "because") -> str:
    return json.dumps({"reason": reason, "rating": rating})


def task(problem: str = "p", attempt: int = 0, answer: str = "mine", opponent: str | None = "theirs") -> Task:
    return Task(problem, attempt, ("question?",), (answer,), None if opponent is None else (opponent,))


def judgment(
    verdict: Verdict | None, order: Order = "single", repeat: int = 0, why: str = "no JSON object"
) -> Judgment:
    return Judgment("p", 0, "j", "r", order, repeat, verdict, raw="raw", why="" if verdict is not None else why)
