"""Rationales of judges in generated forms, with what each of them says: for the rule of self-contradiction.

`{w}` is the side that the rationale prefers, `{l}` the other, `{n}` the level that it gives, `{m}` another level.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

PREFERS = (
    "{w} is better.",
    "Answer {w} is clearly better",
    "Overall, {w} is the better answer.",
    "Both are readable, but {w} is better because it gives the right result.",
    "{l} is worse.",
    "Response {l} is somewhat weaker; it misses the question.",
    "{w} wins.",
    "I prefer {w}.",
    "So answer {w} is preferable.",
    "{l} is longer and has a list. Still, {w} is the stronger answer.",
    "{w} is much better than {l}.",
    "Although {l} is better written, {w} is right and therefore better overall.",
    "{w} beats {l} on every point.",
    "The request is for the median; {l} computes the mean. {w} should be preferred.",
    "Not a matter of taste: {w} is superior.",
    "{l} is not better: it never answers. {w} is the better choice.",
    "Assistant {w} is slightly better as it is shorter",
    "{w} answers the question, so {w} is better.",
    "{l} loses.",
    "On balance the better answer is {w}.",
    "My preference is {w}.",
    "{l} is inferior to {w}.",
)
SAYS_NEITHER = (
    "{w} sorts and takes the middle value, which is right.",
    "{w} would be better if it were complete.",
    "{w} is not better.",
    "{l} is no worse than {w}.",
    "It is hard to say whether {w} is better.",
    "{w} is better structured.",
    "Both answers are equally good.",
    "{w} is hardly better than {l}.",
    "Neither {w} nor {l} is better.",
    "One might think that {w} is better, yet both miss the point.",
    "A better answer would name the source.",
    "{w} has better formatting.",
)
GIVES = (
    "Level {n}.",
    "One slip in the last step, so level {n}.",
    "This is level {n}: the result is right.",
    "It deserves a level {n}",
    "Clear throughout; {n}/5.",
    "{n} out of 5, as one step is missing.",
    "Not level {m}, since a step is missing; level {n}.",
    "It falls short of level {m} because of the units. Level {n}.",
    "Level {n} rather than level {m}.",
    "The steps follow from each other, which fits level {n}.",
    "Hence level {n}, not level {m}.",
    "For level {m} it would have to check the result; it does not, so I give level {n}.",
    "Rated at level {n} of 5.",
    "The chain meets the description of level {n}.",
)
GIVES_NONE = (
    "Two of 5 steps are wrong.",
    "It would be level {n} if the last line were right.",
    "Not level {n}.",
    "Between level {n} and level {m}.",
    "The result is {n}, which is right.",
    "It computes {n}/5 of the distance correctly.",
    "Below level {n}.",
    "Step {n} has a slip.",
    "More than level {n} asks for.",
    "Problem {n} out of {m}.",
)


def held_back(template: str) -> bool:
    """A third of the templates, which the rule was not written by."""
    return int(hashlib.sha256(template.encode()).hexdigest(), 16) % 3 == 0


def pairwise_forms() -> Iterator[tuple[str, str, str | None]]:
    """(template, rationale, side that it prefers or None)."""
    for templates, says in ((PREFERS, True), (SAYS_NEITHER, False)):
        for template in templates:
            for winner, loser in (("A", "B"), ("B", "A")):
                yield template, template.format(w=winner, l=loser), winner if says else None


def level_forms() -> Iterator[tuple[str, str, int | None]]:
    """(template, rationale, level that it gives or None)."""
    for templates, says in ((GIVES, True), (GIVES_NONE, False)):
        for template in templates:
            for level in range(1, 6):
                other = 5 if level < 5 else 3
                yield template, template.format(n=level, m=other), level if says else None
