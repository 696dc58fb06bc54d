"""Which prompts a generation has and which seeds its completions: pure functions, so that anything can be drawn again.

No global generator is touched, and nothing depends on what was drawn before.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache
from typing import NamedTuple


class Visit(NamedTuple):
    """One prompt in its turn."""

    record: int
    """Its place among the stage's records."""
    visit: int
    """How often training had come to it before."""


def prompts_of(seed: int, generation: int, prompts: int, records: int) -> tuple[Visit, ...]:
    """The prompts of a generation of so many, from so many records: each epoch has an order of its own."""
    places = (divmod(place, records) for place in range(generation * prompts, (generation + 1) * prompts))
    return tuple(Visit(_order(seed, epoch, records)[place], epoch) for epoch, place in places)


TRIES = 3
"""How often another prompt may take a place."""


def spare_of(seed: int, generation: int, place: int, tries: int, prompts: int, records: int) -> Visit:
    """The prompt that takes a place of a generation when those before it were of no use; `tries` from 0.

    Its visit is below 0: a spare prompt is no visit of an epoch, and no two spares have the same.
    """
    drawn = random.Random(f"{seed}/{generation}/{place}/{tries}").randrange(records)
    return Visit(drawn, -1 - (generation * prompts + place) * TRIES - tries)


def tries_of(visit: int) -> int:
    """How many prompts were given up before the one of this visit."""
    return 0 if visit >= 0 else (-1 - visit) % TRIES + 1


def completion_seed(seed: int, stage: str, record: str, visit: int, sample: int) -> int:
    """Seed of one completion, 0 <= seed < 2**31."""
    digest = hashlib.sha256(f"{seed}\x1f{stage}\x1f{record}\x1f{visit}\x1f{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


def is_drawn(seed: int, stage: str, record: str, visit: int, mix: float) -> bool:
    """Whether the student answers this prompt, or its record's response stands there: a coin of its own."""
    return completion_seed(seed, stage, record, visit, -1) < mix * 2**31


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, records: int) -> tuple[int, ...]:
    order = list(range(records))
    random.Random(f"{seed}/{epoch}").shuffle(order)
    return tuple(order)
