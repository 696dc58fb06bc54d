"""Questions that lack a number which their answer needs, each beside its whole twin (MiP-Overthinking, C18).

That the number is needed is shown by the record's own solution: its equations ("3 * 4 = 12", "<<3*4=12>>") hold and
end in the gold; with another number in that place, and everything that follows worked out anew, they are as whole and
end in something else. So two worlds agree on all that is left and differ in the answer. Whatever makes that doubtful
leaves the record out: an equation that does not hold, a number that is told twice or is a result as well.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

from backends.makers.asking import Ask
from backends.makers.base import Made, Maker, option
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, response_text
from harness.grading.abstaining import UNANSWERABLE
from harness.synth.expressions import BadExpression, parse, value
from harness.synth.missing import told_once, without
from harness.synth.rng import Rng
from harness.types import Json, Message

_EQUATION = re.compile(
    r"(?<![\w.,=])(\d[\d+\-*/() ]{0,80}?[+\-*/][\d+\-*/() ]{0,80}?)\s?=\s?\$?(\d{1,15})(?![\d.,]*\d)"
)
_MOST = 60
"""Numbers that are tried in the place of the one that is taken out."""
Equations = tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True)
class MissingPremises(Maker):
    """Take a number that its answer needs out of a question, where the solution proves it; asks nobody.

    RECORDS have `gold` and a solution with equations in `response` or `think`. <out> has each question whole and
    without the number, paired by `twin`: of the latter it is right to say that it cannot be answered.

    \b
    harness data missing train.jsonl --grader integer -o missing.jsonl
    harness run --suite questions:integer:missing.jsonl --model trained:my-student
    harness analyze missing_premise RUN
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "missing"
    role = ""
    nothing: ClassVar = "of no question could it be shown that it needs a number"

    def check(self) -> None:
        """Every record needs `gold` and a grader."""
        require_checkable(self.records, "missing")

    def run(self, ask: Ask) -> Made:
        """Nobody is asked."""
        made: list[TrainRecord] = []
        counts = Counter(given=len(self.records))
        for record in self.records:
            equations = _equations(record)
            found = None if equations is None else _taken(record, equations)
            if found is None:
                counts["no_equations" if equations is None else "not_shown"] += 1
                continue
            question, number, other, answer = found
            whole = TrainRecord(record.id, record.prompt, task=record.task, gold=record.gold, meta=record.meta)
            turns = (*record.prompt[:-1], Message("user", question))
            lacking = replace(whole, id=f"{record.id}.missing", prompt=turns, gold=UNANSWERABLE)
            facts: dict[str, Json] = {
                "taken_out": number,
                "could_be": other,
                "answer_then": answer,
                "grader": "abstain",
            }
            made += [noted(whole, missing=False, twin=record.id), noted(lacking, missing=True, twin=record.id, **facts)]
        counts["kept"] = len(made) // 2
        return Made(tuple(made), {name: counts[name] for name in ("given", "no_equations", "not_shown", "kept")})


def _equations(record: TrainRecord) -> Equations | None:
    """What the solution works out, in order; None where one does not hold or the last is not the gold."""
    text = (response_text(record) or "").replace("\u00d7", "*").replace("\\times", "*")
    found = tuple((one.strip(), int(result)) for one, result in _EQUATION.findall(text))
    try:
        if not found or any(value(parse(one)) != result for one, result in found):
            return None
    except BadExpression:
        return None
    return found if str(record.gold).strip() == str(found[-1][1]) else None


def _taken(record: TrainRecord, equations: Equations) -> tuple[str, int, int, int] | None:
    """(question without a number, that number, another one, the answer then); None where nothing can be shown."""
    question, results = record.prompt[-1].content, {result for _, result in equations}
    told = {int(one) for one in re.findall(r"\d+", question)}
    if told & results:  # a number of an equation could be either
        return None
    for place, number in Rng("missing", record.id).shuffled(list(told_once(question))):
        for other in _others(number, told | results):
            answer = _answer(equations, number, other)
            if answer is not None and answer != equations[-1][1]:
                return without(question, place), number, other, answer
    return None


def _others(number: int, known: set[int]) -> Iterator[int]:
    near = sorted(range(2, max(_MOST, 2 * number)), key=lambda one: abs(one - number))
    return (one for one in near[:_MOST] if one not in known)


def _answer(equations: Equations, number: int, other: int) -> int | None:
    """The last result with another number in the place of one; None where a step is not whole or not above zero."""
    instead: dict[int, int] = {number: other}
    last = 0
    for expression, result in equations:
        try:
            last = value(parse(_replaced(expression, instead)))
        except BadExpression:
            return None
        if last < 1 or instead.get(result, last) != last:
            return None
        instead[result] = last
    return last


def _replaced(expression: str, instead: Mapping[int, int]) -> str:
    return re.sub(r"\d+", lambda found: str(instead.get(int(found[0]), int(found[0]))), expression)
