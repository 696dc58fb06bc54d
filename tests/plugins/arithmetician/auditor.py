"""A judging protocol: the judge works the question out itself, and an answer that holds its number is worth 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.answers import last_boxed
from harness.errors import ConfigError
from harness.metrics.attempts import Attempts
from harness.types import Completion, Estimate, Graded, Json, Message, Metric
from judges.summary import graded, mean_summary
from judges.types import Ask, Judged, Judging, JudgingOptions, Judgment, Malformed, Summary, Task, Verdict


def _read(answer: str, reply: Completion) -> Verdict:
    number = last_boxed(reply.text)
    if not number:
        raise Malformed("no number in a box")
    return Verdict(float(last_boxed(answer) == number), label=number)


@dataclass(frozen=True)
class Auditor(Judging):
    """What `Judging` asks of a protocol and has no usual answer for."""

    repeats: int = 1

    @property
    def name(self) -> str:
        """In files and tables."""
        return "auditor"

    def identity(self) -> Mapping[str, Json]:
        """What can change a verdict but the judge."""
        return {"judging": "auditor", "version": 1, "repeats": self.repeats}

    def asks(self, task: Task) -> Sequence[Ask]:
        """The question itself."""
        messages = (Message("user", task.turns[-1]),)
        return [Ask(messages, partial(_read, task.answers[-1]), repeat=repeat) for repeat in range(self.repeats)]

    def rubric_id(self, task: Task) -> str:
        """The name of the prompt."""
        return "auditor@1"

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """The mean over what could be read."""
        values = [one.verdict.value for one in judgments if one.verdict is not None]
        if not values:
            return Judged(task.problem_id, task.attempt, None, "unscored", judgments[0].why, cluster=task.cluster)
        return Judged(task.problem_id, task.attempt, sum(values) / len(values), "scored", cluster=task.cluster)

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """The mean over problems, and its complement."""
        summary = mean_summary("audited", judged)
        return replace(summary, estimates={**summary.estimates, "missed": missed(graded(judged))})


def missed(graded: Sequence[Graded], k: int | None = None) -> Estimate:
    """Share of answers that the judge did not come to."""
    attempts = Attempts.of(graded)
    return attempts.average(1.0 - attempts.values, np.isnan(attempts.values))


MISSED = Metric("missed", missed, lower_is_better=True)
"""Which way the protocol's second number is better: a metric of its name says it, for judged runs too."""


def build(options: JudgingOptions) -> Auditor:
    """The entry of the catalog; what it cannot use, it refuses."""
    if options.rubric is not None:
        raise ConfigError("auditor has no rubric: leave --rubric out")
    return Auditor(options.repeats)
