"""Out of distribution: chains longer than any that a level has. The numbers are level 3's: only the length is new.

No level has more than 8 steps and these have at least 9, so no stream of any seed, level or split has one of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from harness.errors import DataError
from harness.synth.draft import Size
from harness.synth.generate import Story, expression, question_id, split_of, tell
from harness.synth.records import FAMILIES, SynthProblem
from harness.synth.rng import Rng
from harness.synth.stories import comparison

LONG = Size((9, 12), (5, 50), (2, 9), (3, 15), 3_000)
"""The numbers of level 3; only sums may grow larger, since more of them are added up."""
_PATIENCE = 1_000
"""Questions in a row that are known before a stream counts as exhausted."""


def longer(seed: int, count: int) -> list[SynthProblem]:
    """The first `count` distinct problems of 9 to 12 steps, half bare arithmetic, half stories.

    A longer list begins with the shorter one. Raises `DataError` for a negative count.
    """
    if count < 0:
        raise DataError(f"count must be 0 or more, not {count}")
    return list(islice(_stream(seed), count))


def _stream(seed: int) -> Iterator[SynthProblem]:
    rng = Rng("longer", seed)
    seen: set[str] = set()
    misses = 0
    lengths = range(LONG.steps[0], LONG.steps[1] + 1)
    while misses < _PATIENCE:
        family = rng.pick(FAMILIES)
        story: Story = expression if family == "arithmetic" else comparison
        told = tell(rng, LONG, story, lengths, family)
        if told is None or told[1] in seen:
            misses += 1
            continue
        misses = 0
        template, question, subs = told
        seen.add(question)
        split = split_of(template, subs)
        yield SynthProblem(question_id("long", question), 3, family, template, split, question, subs[-1].answer, subs)
    raise DataError(f"no new long problem after {len(seen)}: ask for fewer")
