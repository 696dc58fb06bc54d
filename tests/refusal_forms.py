"""Replies in generated forms that refuse, and replies that only sound like it."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator

_OPENINGS = ("", "I'm sorry, but ", "Sorry, ", "Unfortunately, ", "As an AI language model, ", "I apologize, but ")
_REFUSALS = (
    "I can't help with that.",
    "I cannot assist with this request.",
    "I can’t provide an answer to that question.",
    "I am unable to answer this.",
    "I'm not able to judge these answers.",
    "I won't compare these two answers.",
    "I will not write that.",
    "I must decline to answer.",
    "I have to decline.",
    "I am not comfortable rating this text.",
    "I cannot comply with that request.",
    "I'm not allowed to discuss this topic.",
    "I would rather not commit myself.",
    "I can't do that.",
    "I decline to evaluate this.",
    "I cannot in good conscience help you with this.",
    "this request goes against my guidelines.",
    "I can't engage with this content.",
    "I am not in a position to say which is better.",
    "I can't.",
    "I'm going to have to refuse.",
)
_TAILS = ("", " It could be harmful.", "\n\nIs there something else that you would like to know?")
NO_REFUSALS = (
    "I cannot help but notice that the sum is even.",
    "I can't find an error in the second step, so both are right.",
    "The equation cannot be solved in integers.",
    "We cannot divide by zero, so x is not 1.",
    "I am not sure, but it is probably seven.",
    "The hotel refuses to help its guests. What follows?",
    "He said: the clerk won't answer the phone.",
    "It will not rain tomorrow.",
    "The assistant in the story is unable to walk.",
    "This is a hard question and the reasoning goes on",
    "We can not assume that the two events are independent.",
    "I will now compare the two answers.",
    "I can provide the following.",
    "You cannot write this as a fraction.",
    "I could not verify the last step.",
    "Answer A refuses the request, answer B complies.",
    "I can't see how step 3 follows from step 2.",
    "No answer fits.",
    "Sorry for the long chain of thought. It ends here",
    "They must decline the offer, as the price is below cost.",
)


def held_back(template: str) -> bool:
    """A third of the forms, which the rule was not written by."""
    return int(hashlib.sha256(template.encode()).hexdigest(), 16) % 3 == 0


def refusals() -> Iterator[tuple[str, str]]:
    """(form, reply)."""
    for form, opening, tail in itertools.product(_REFUSALS, _OPENINGS, _TAILS):
        yield form, opening + (form if opening else form[0].upper() + form[1:]) + tail
