"""Irrelevant facts: a story with sentences that have numbers and nothing to do with its question.

The facts are of people and things that no story has, and stand just before the question, so that the answer, the
graph and every chain are those of the clean problem: the loss against it is what the facts cost.
"""

from __future__ import annotations

from dataclasses import replace

from harness.errors import DataError
from harness.synth.generate import question_id
from harness.synth.records import SynthProblem
from harness.synth.rng import Rng

FACTS = (
    "The bus to town takes {} minutes.",
    "The library closes in {} days for repairs.",
    "The old bridge is {} meters long.",
    "It rained for {} hours last week.",
    "The clock tower has {} stairs.",
    "The town is {} years old.",
)


def distracted(problem: SynthProblem, facts: int = 2) -> SynthProblem:
    """The same problem with that many irrelevant facts, drawn by its id.

    Raises `DataError` for bare arithmetic, which has no place for them, and for more facts than there are.
    """
    if problem.family != "word":
        raise DataError("only a word problem can have irrelevant facts")
    if not 1 <= facts <= len(FACTS):
        raise DataError(f"facts must be 1 to {len(FACTS)}, not {facts}")
    rng = Rng("facts", problem.id)
    told = " ".join(fact.format(rng.between(2, 60)) for fact in rng.some(FACTS, facts))
    asked = problem.subproblems[-1].question
    question = f"{problem.question.removesuffix(asked)}{told} {asked}"
    return replace(problem, id=question_id("facts", question), question=question)
