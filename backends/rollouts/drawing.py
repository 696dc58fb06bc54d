"""Drawing and marking at the same time: a group goes to its rewards as soon as its last completion is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

from backends.base import Training
from backends.rollouts.cutting import marks_of
from backends.rollouts.engine import Drawn, Engine
from backends.rollouts.order import TRIES
from backends.rollouts.settings import Truncated
from backends.rollouts.source import RolloutSource, WantedGroup
from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark

MARKED_AT_ONCE = 8
"""Groups."""

Mark = Callable[[RolloutGroup], tuple[RolloutMark, ...]]
"""Marks one group; called from several threads at once."""


class Drawing:
    """One generation's completions on one process, and their marks."""

    def __init__(self, pool: ThreadPoolExecutor, mark: Mark, truncated: Truncated) -> None:
        self._pool, self._mark, self._truncated = pool, mark, truncated
        self._marked: list[Future[RolloutGroup]] = []
        self.seconds = 0.0
        """That drawing took."""
        self.synced = 0.0
        """Seconds that the weights took to the engine."""
        self.given_up: list[RolloutGroup] = []
        """Groups in whose place others were drawn."""

    def draw(
        self, engine: Engine, policy: Training, source: RolloutSource, generation: int, version: int
    ) -> list[RolloutGroup]:
        """Draw, while what is whole is marked; the groups as drawn. Raises `ModelError`, and what rewards raise."""
        began = time.monotonic()
        engine.sync(policy, version)
        self.synced = time.monotonic() - began
        groups, self._marked = self._draw(engine, source, source.wanted(generation), version)
        for tries in range(TRIES if source.settings.flat == "resample" else 0):
            places = [place for place, group in enumerate(self.marked()) if _says_nothing(group)]
            if not places:
                break
            self.given_up += [groups[place] for place in places]
            spares = [source.spare(generation, place, tries) for place in places]
            for place, group, marking in zip(places, *self._draw(engine, source, spares, version), strict=True):
                groups[place], self._marked[place] = group, marking
        return groups

    def _draw(
        self, engine: Engine, source: RolloutSource, wanted: Sequence[WantedGroup], version: int
    ) -> tuple[list[RolloutGroup], list[Future[RolloutGroup]]]:
        """The groups, and each with its marks once it has them."""
        groups: dict[int, RolloutGroup] = {}
        marking: dict[int, Future[RolloutGroup]] = {}

        def whole(place: int, group: RolloutGroup) -> None:
            groups[place], marking[place] = group, self._pool.submit(self._one, group)

        if source.rolling.revise is None:
            self._complete(engine, source, wanted, version, whole)
        else:
            self._complete(engine, source, [replace(one, seeds=one.seeds[:1]) for one in wanted], version, whole)
            first = [groups[place].rollouts[0] for place in range(len(wanted))]
            later = [source.revision(one, marking[place].result()) for place, one in enumerate(wanted)]

            def revised(place: int, group: RolloutGroup) -> None:
                rest = (replace(one, sample=one.sample + 1) for one in group.rollouts)
                whole(place, replace(group, rollouts=(first[place], *rest)))

            self._complete(engine, source, later, version, revised)
        return [groups[place] for place in range(len(wanted))], [marking[place] for place in range(len(wanted))]

    def _complete(
        self,
        engine: Engine,
        source: RolloutSource,
        wanted: Sequence[WantedGroup],
        version: int,
        whole: Callable[[int, RolloutGroup], None],
    ) -> None:
        """Draw; a group is handed over once it is `whole`."""
        began = time.monotonic()
        for place, group in enumerate(wanted):
            if not group.drawn:
                whole(place, source.given(group, version))
        places = [(place, n) for place, group in enumerate(wanted) if group.drawn for n in range(len(group.seeds))]
        found: list[dict[int, Rollout]] = [{} for _ in wanted]

        def emit(number: int, drawn: Drawn) -> None:
            place, sample = places[number]
            found[place][sample] = wanted[place].rollout(sample, drawn, version)
            if len(found[place]) == len(wanted[place].seeds):
                rollouts = tuple(found[place][sample] for sample in sorted(found[place]))
                whole(place, RolloutGroup(wanted[place].record, rollouts))

        engine.draw([wanted[place].wanted(sample) for place, sample in places], emit)
        self.seconds += time.monotonic() - began

    def again(self, groups: Sequence[RolloutGroup]) -> None:
        """Mark what was drawn before."""
        self._marked = [self._pool.submit(self._one, group) for group in groups]

    def marked(self) -> list[RolloutGroup]:
        """The groups with their marks. Raises what rewards raise."""
        return [future.result() for future in self._marked]

    def _one(self, group: RolloutGroup) -> RolloutGroup:
        group = replace(group, marks=self._mark(group))
        return replace(group, marks=marks_of(group, self._truncated))


def _says_nothing(group: RolloutGroup) -> bool:
    """Whether all completions are worth the same; where scorers failed nobody knows, and records' responses stay."""
    return len(group.values) > 1 and len(set(group.values)) == 1 and not group.rollouts[0].given


@contextmanager
def drawing(mark: Mark, truncated: Truncated) -> Iterator[Drawing]:
    """An error drops what is not marked yet."""
    with ThreadPoolExecutor(MARKED_AT_ONCE, "rewards") as pool:
        try:
            yield Drawing(pool, mark, truncated)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
