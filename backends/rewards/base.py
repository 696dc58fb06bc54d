"""What a reward is: a class whose docstring is its help and whose fields are its options, and how parts make a total.

    @dataclass(frozen=True)
    class Letters(Reward):
        '''Share of chosen characters.'''
        chosen: str = "e"
        name, version, low, high = "letters", 1, 0.0, 1.0

        def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]: ...

One line in `harness/catalog/`, or an entry point "reward.letters", and `weights=letters=1` of a method finds it.

The rule: the policy's fault is a low reward (no answer, a wrong one, cut off); the scorer's fault is None (a grader
that was killed, a judge without a readable reply, a context too short). None is dropped and counted.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from backends.rollouts.types import Part, RolloutGroup
from harness.catalog import load
from harness.errors import UsageError

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from backends.rewards.scorers import Scorers


@dataclass(frozen=True)
class Reward(ABC):
    """One part of what a completion is worth. A subclass's fields are its options, `--set reward.<name>.<field>=…`."""

    name: ClassVar[str]
    """Its name in the catalog."""
    version: ClassVar[int]
    """Goes up when the same completion is given another value."""
    low: ClassVar[float]
    high: ClassVar[float]
    """Bounds of its values."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Fields that every record must have."""

    def models(self) -> Sequence[str]:
        """Specs of the models that it asks, so that one that cannot be asked is told before anything is drawn."""
        return ()

    def check(self, records: Sequence[TrainRecord]) -> None:  # noqa: B027  most have nothing to refuse
        """Raise `DataError` for records that it cannot mark, whatever is written, before anything is drawn."""

    def unmarkable(self, records: Sequence[TrainRecord], scorers: Scorers) -> Mapping[str, str]:
        """Ids of records that it could never mark -> why: left out and counted before anything is drawn.

        Called once, with all records; what it asks for here, it need not ask for at every completion.
        """
        return {}

    @abstractmethod
    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """One part for each completion of the group, in order.

        Called from several threads at once, each with another group. `scorers` holds what is expensive and shared: the
        pool of graders, judges and other models, caches and budgets.
        """


def load_reward(name: str) -> type[Reward]:
    """The reward of a name. Raises `UnknownName`, and `UsageError` for a plugin's object that is none."""
    found = load("reward", name)
    if not isinstance(found, type) or not issubclass(found, Reward) or inspect.isabstract(found):
        raise UsageError(f"reward {name!r} is no subclass of backends.rewards.base.Reward that says how it scores")
    missing = [part for part in ("name", "version", "low", "high") if not hasattr(found, part)]
    if missing or found.name != name:
        raise UsageError(f"reward {name!r}: its class must say name (this one), version, low and high")
    return found
