"""Grader for JSON replies: the reply must be exactly one JSON object, and the target's fields must be right in it.

The target is a JSON object; only its keys are compared. Numbers, also those written as strings, are compared as exact
decimals; other strings after trimming. One code fence around the object is tolerated here, since it is the answer that
is graded; whether the reply was *exactly* the object is the format check "json". Anything else around the object, or
a second object, is no answer.
"""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction

from harness.answers import json_object
from harness.errors import DataError
from harness.grading.base import InProcessGrader, right, wrong
from harness.grading.rationals import parse_rational, show
from harness.types import Extracted, Json, Problem, Score


def _target(target: str) -> dict[str, Json]:
    try:
        found = json_object(target)
    except ValueError as error:
        raise DataError(f"target {target[:80]!r} is not a JSON object: {error}") from error
    if not found:
        raise DataError("target is an empty JSON object: it has no field to compare")
    return found


def uniform(value: Json | Decimal) -> Json:
    """A value in the form in which it is compared: numbers canonical, strings trimmed, containers likewise."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float, Decimal)):
        return show(Fraction(str(value))) if abs(Decimal(str(value)).adjusted()) < 400 else str(value)
    if isinstance(value, str):
        number = parse_rational(value)
        return value.strip() if number is None else show(number)
    if isinstance(value, dict):
        return {key: uniform(inner) for key, inner in sorted(value.items())}
    return [uniform(inner) for inner in value] if isinstance(value, list) else value


class JsonGrader(InProcessGrader):
    """See the module docstring."""

    name = "json"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """The reply itself if it is exactly one JSON object."""
        try:
            json_object(answer_text)
        except ValueError:
            return None
        return Extracted(answer_text.strip(), True)

    def grade(self, target: str, answer: str) -> Score:
        """Right if every field of the target is there and equal."""
        gold, found = _target(target), json_object(answer)
        mine = {key: uniform(found[key]) if key in found else None for key in sorted(gold)}
        canonical = json.dumps(mine, ensure_ascii=False)
        missing = [key for key in gold if key not in found]
        if missing:
            return wrong(canonical, f"missing fields: {', '.join(missing)}")
        different = [key for key in gold if mine[key] != uniform(gold[key])]
        return wrong(canonical, f"different fields: {', '.join(different)}") if different else right(canonical)

    def gold_text(self, problem: Problem) -> str:
        """The target itself."""
        return problem.target

    def wrong_text(self, problem: Problem) -> str:
        """The target with its first field changed."""
        gold = _target(problem.target)
        first = next(iter(gold))
        number = parse_rational(str(gold[first]))
        changed: Json = f"not {gold[first]}" if number is None else show(number + 1)
        return json.dumps({**gold, first: changed}, ensure_ascii=False)


GRADER = JsonGrader()
