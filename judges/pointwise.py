"""Judge answers one at a time by a rubric: points over dimensions, a rating, or a label.

Repeats are exchangeable samples of one question, so an answer is worth the mean of those that could be read, and is
unscored only if none could. How many were lost is reported beside it ("readable_repeats"): losing some costs precision,
and a judge that loses many of them loses them on particular answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.errors import UsageError
from harness.stats.agreement import Level
from harness.types import Json, Status
from judges.ask import NO_REPLY, REFUSED
from judges.prompts.render import render
from judges.prompts.schema import reply_schema
from judges.prompts.templates import fields
from judges.replies.evidence import invented
from judges.replies.parse import PARSER_VERSION, parse_reply
from judges.summary import mean_summary
from judges.types import LEVELS, Ask, Judged, Judging, Judgment, Part, Rubric, RubricKind, Summary, Task

TOP_LOGPROBS = 5
"""Alternatives of the first token to ask for where the reply is one label; hosted engines give 5 to 20."""
READABLE = "readable_repeats"
INVENTED = "invented_quotes"


@dataclass(frozen=True)
class RubricJudging(Judging):
    """Rubrics of kind "points", "rating" and "label"."""

    rubric: Rubric
    repeats: int = 1
    """Judgments of the same answer; more than one measures the judge's own noise and needs a temperature to do so."""
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.rubric.kind == "pairwise":
            raise UsageError(f"rubric {self.rubric.name!r} compares two answers: use PairwiseJudging")
        check_sampling(self.repeats, self.temperature)

    @property
    def name(self) -> str:
        """The rubric's name."""
        return self.rubric.name

    def identity(self) -> Mapping[str, Json]:
        """Rubric, sampling and parser."""
        return {
            "judging": "rubric",
            "rubric": self.rubric.id,
            "repeats": self.repeats,
            "temperature": self.temperature,
            "top_logprobs": alternatives(self.rubric),
            "parser": PARSER_VERSION,
        }

    def needs_opponent(self) -> bool:
        """True for a label that is about two texts."""
        return "answer_a" in fields(self.rubric.template)

    @property
    def part(self) -> Part:
        """The rubric's."""
        return self.rubric.part

    @property
    def level(self) -> Level:
        """Points add up, ratings are ordered, labels are names."""
        levels: dict[RubricKind, Level] = {"points": "interval", "label": "nominal"}
        return levels.get(self.rubric.kind, "ordinal")

    @property
    def decides(self) -> bool:
        """True for labels: points and ratings say how good an answer is, not whether."""
        return self.rubric.kind == "label" or self.needs_opponent()

    def asks(self, task: Task) -> Sequence[Ask]:
        """One ask per repeat. Raises `DataError` if the task lacks what the rubric shows."""
        ask = rubric_ask(self.rubric, task, task.answers, task.opponent, self.temperature)
        return [replace(ask, repeat=repeat) for repeat in range(self.repeats)]

    def rubric_id(self, task: Task) -> str:
        """`Rubric.id`."""
        return self.rubric.id

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """Mean over the readable repeats, of the value and of every dimension's level / 5."""
        verdicts = [one.verdict for one in judgments if one.verdict is not None]
        if not verdicts:
            return unscored(task, judgments)
        parts = {
            dimension.key: math.fsum(verdict.marks[i].level for verdict in verdicts) / len(verdicts) / LEVELS
            for i, dimension in enumerate(self.rubric.dimensions)
        }
        if self.repeats > 1:
            parts[READABLE] = len(verdicts) / len(judgments)
        quotes = [quote for verdict in verdicts for mark in verdict.marks for quote in mark.evidence]
        if quotes:
            parts[INVENTED] = invented(quotes, judged_text(task)) / len(quotes)
        value = math.fsum(verdict.value for verdict in verdicts) / len(verdicts)
        return Judged(task.problem_id, task.attempt, value, "scored", parts=parts, cluster=task.cluster)

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline: the rubric's name; beside it "<rubric>.<dimension>" and what the parser noticed."""
        summary = mean_summary(self.name, judged)
        warnings = []
        made_up = summary.estimates.get(f"{self.name}.{INVENTED}")
        if made_up is not None and made_up.value > 0:
            warnings.append(f"{made_up.value:.1%} of the judge's quotes do not stand in the answers that it judged")
        readable = summary.estimates.get(f"{self.name}.{READABLE}")
        if readable is not None and readable.value < 1:
            warnings.append(f"{1 - readable.value:.1%} of the repeated judgments could not be read and are left out")
        return Summary(summary.headline, summary.estimates, summary.items, tuple(warnings))


def rubric_ask(
    rubric: Rubric, task: Task, first: tuple[str, ...], second: tuple[str, ...] | None, temperature: float
) -> Ask:
    """The question that a rubric asks; of two answers, the verdict is for the one shown first."""
    return Ask(
        render(rubric, task, first=first, second=second),
        partial(parse_reply, rubric, judged_text=judged_text(task)),
        schema=reply_schema(rubric),
        temperature=temperature,
        max_tokens=rubric.max_tokens,
        top_logprobs=alternatives(rubric),
    )


def alternatives(rubric: Rubric) -> int:
    """Alternatives of the first token to ask for: `TOP_LOGPROBS` where the reply is one label."""
    return TOP_LOGPROBS if rubric.reply == "token" else 0


def judged_text(task: Task) -> str:
    """Everything in the prompt that candidates wrote, the opponent included."""
    return "\n".join((*task.answers, *(task.opponent or ())))


def check_sampling(repeats: int, temperature: float) -> None:
    """Raise `UsageError` for repeats below 1 or a negative temperature."""
    if repeats < 1:
        raise UsageError(f"repeats must be 1 or more, not {repeats}")
    if not 0.0 <= temperature < math.inf:
        raise UsageError(f"the judge's temperature must be 0 or more, not {temperature}")


def unscored(task: Task, judgments: Sequence[Judgment]) -> Judged:
    """No value: "error" if the judge said nothing at all, "refused" if all that it said was that it will not judge."""
    failed = [one for one in judgments if one.verdict is None]
    said = next((one for one in failed if not one.why.startswith(NO_REPLY)), None)
    why = (said or failed[0]).why if failed else "there is no judgment"
    refused = all(one.why.startswith(REFUSED) for one in failed if not one.why.startswith(NO_REPLY))
    status: Status = "error" if said is None else "refused" if refused else "unscored"
    return Judged(task.problem_id, task.attempt, None, status, why=why, cluster=task.cluster)
