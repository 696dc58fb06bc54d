"""Two teachers of different styles who know the same: whose a text is, is known of each of its sentences.

"terse" writes equations and nothing else. "verbose" talks: asks, answers, and remarks upon it. Both take the same steps
in the same order, so that only the style differs, and both make the same labelled mistake where they make one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

from harness.synth.records import Chain, SynthProblem
from harness.synth.rng import Rng

Author = Literal["terse", "verbose"]
AUTHORS: tuple[Author, ...] = get_args(Author)
BEGINS = (
    "Okay, let me think this through.",
    "Let me go through this slowly.",
    "Alright, I will take it one step at a time.",
)
GOES_ON = ("Now I need the next piece.", "With that in hand, I go on.", "So far so good, and I move on.")
REMARKS = ("That looks right to me.", "I will keep that in mind.", "Good, I can use that.", "That makes sense.")


def told_by(chain: Chain, problem: SynthProblem, author: Author) -> Chain:
    """A chain of style "short" or "plain", right or wrong, in the author's words; its steps stay what they are."""
    rng = Rng("author", problem.id)
    steps = []
    for index, step in enumerate(chain.steps):
        equation = f"{step.expression} = {step.result}"
        sub = problem.sub(step.sub)
        opening, remark = rng.pick(BEGINS if index == 0 else GOES_ON), rng.pick(REMARKS)
        talk = f"{opening} {sub.question} {sub.statement.format(equation)} {remark}"
        steps.append(replace(step, text=f"{equation}." if author == "terse" else talk))
    return replace(chain, steps=tuple(steps))


def author_of(problem: SynthProblem) -> Author:
    """Who of the two writes about a problem where both are teachers: half of the problems each, by their ids."""
    return Rng("who", problem.id).pick(AUTHORS)
