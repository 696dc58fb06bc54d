"""Grader for replies that describe a text by labels: one JSON object, each labelled indicator compared on its own.

The target is a JSON object {indicator: value} of the labels that are known. The score is the share of them that the
reply has right (exact match, micro), after `read_value`. WHERE NO LABEL IS KNOWN, the target is {} and the score says
only whether the reply is usable: 1 if each of the 18 indicators has a value of its closed set, else 0.

One code fence around the object is tolerated, since it is the labels that are graded; whether the reply was *exactly*
the object asked for is the format check "json". Anything else around the object, a second object, and a reply with
none of the indicators are no answer. `checks` tells of each single indicator whether it was right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from harness.answers import json_object
from harness.errors import DataError, UnknownName
from harness.grading.base import InProcessGrader
from harness.grading.indicators import BY_KEY, INDICATORS, find_indicator, read_value
from harness.types import Extracted, Problem, Score

VALID = "labels"
"""Name of the check that every indicator has a value of its closed set."""
PREFIX = "em:"
"""What stands before an indicator in the name of its check and of its metric."""

Labels = Mapping[str, str | None]
"""Indicator -> value of its closed set; None for a value that is not in it. Indicators not mentioned are absent."""


def read_labels(answer_text: str) -> Labels | None:
    """The labels of a reply; None if it is not one JSON object, or one without any of the indicators."""
    try:
        fields = json_object(answer_text)
    except ValueError:
        return None
    return {one.key: read_value(one, fields[one.key]) for one in INDICATORS if one.key in fields} or None


def all_valid(labels: Labels | None) -> bool:
    """Whether every indicator has a value of its closed set."""
    return labels is not None and all(labels.get(key) is not None for key in BY_KEY)


def write_target(labels: Mapping[str, str]) -> str:
    """The target of a problem with these labels, in the indicators' own order."""
    return json.dumps({key: labels[key] for key in BY_KEY if key in labels}, ensure_ascii=False)


def _target(target: str) -> dict[str, str]:
    try:
        labels = json_object(target)
        for key, value in labels.items():
            if value not in find_indicator(key).values:
                raise ValueError(f"{value!r} is no value of {key!r}")
    except (ValueError, UnknownName) as error:
        raise DataError(f"target {target[:80]!r} holds no labels: {error}") from error
    return {key: str(value) for key, value in labels.items()}


class LabelGrader(InProcessGrader):
    """See the module docstring."""

    name = "labels"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """The labels of the reply, as canonical JSON."""
        labels = read_labels(answer_text)
        return None if labels is None else Extracted(json.dumps(labels, ensure_ascii=False), True)

    def grade(self, target: str, answer: str) -> Score:
        """Share of the target's labels that are right; without labels, whether all 18 are there and valid."""
        gold, found = _target(target), json_object(answer)
        if not gold:
            unusable = [key for key in BY_KEY if found.get(key) is None]
            why = f"no valid value for {', '.join(unusable)}" if unusable else ""
            return Score(0.0 if unusable else 1.0, "scored", answer, why)
        different = [key for key, value in gold.items() if found.get(key) != value]
        why = f"different or missing: {', '.join(different)}" if different else ""
        return Score((len(gold) - len(different)) / len(gold), "scored", answer, why)

    def checks(self, problem: Problem, answer_text: str | None) -> dict[str, bool]:
        """Under "labels" whether all 18 are there and valid; under "em:<indicator>" whether a known label is right."""
        labels = read_labels(answer_text) if answer_text is not None else None
        found = labels if labels is not None else {}
        right = {f"{PREFIX}{key}": found.get(key) == value for key, value in _target(problem.target).items()}
        return {VALID: all_valid(labels), **right}

    def gold_text(self, problem: Problem) -> str:
        """A complete reply with the target's labels; where none is known, any valid one."""
        gold = _target(problem.target)
        return _reply({one.key: gold.get(one.key, one.values[0]) for one in INDICATORS})

    def wrong_text(self, problem: Problem) -> str:
        """A complete reply in which every known label has another value of its set, or else one value is in none."""
        gold = _target(problem.target)
        labels = {one.key: next(v for v in one.values if v != gold.get(one.key)) for one in INDICATORS}
        return _reply(labels if gold else {**labels, INDICATORS[0].key: "not a value"})


def _reply(labels: Mapping[str, str]) -> str:
    return json.dumps({"process": ["read the text", "weigh each indicator"], **labels}, ensure_ascii=False)


GRADER = LabelGrader()
"""The instance that the catalog names."""
