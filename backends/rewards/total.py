"""The rewards of a training, and what a completion is worth in all: `weights=accuracy=1+format=0.5`.

    totals = Totals("accuracy=1+format=0.5", {"format.form": "boxed"})
    totals.check(records)
    marks = totals.mark(group, scorers)

The total is the weighted sum. A part without a value leaves the total without one, unless its weight is 0: then it is
written down and counts for nothing. How totals become advantages is the credit's business (`backends.losses.credit`),
which finds each part in the mark.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real

from backends.options import parse_settings
from backends.records.record import TrainRecord, require
from backends.rewards.base import Reward, load_reward
from backends.rewards.scorers import Scorers
from backends.rollouts.types import Part, RolloutGroup, RolloutMark
from harness.errors import ConfigError, DataError, HarnessError, UsageError
from harness.redact import one_line
from harness.types import Json

_SLACK = 1e-6
"""What rounding may put beyond a reward's bounds."""


def parse_weights(text: str) -> dict[str, float]:
    """Reward -> weight of "accuracy=1+format=0.5"; {} for "". Raises `ConfigError`; whether they exist is not asked."""
    found: dict[str, float] = {}
    for item in text.split("+") if text.strip() else ():
        name, equals, number = (piece.strip() for piece in item.partition("="))
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not name or not equals or not 0 <= weight < math.inf:
            raise ConfigError(
                f"weights {text!r}: {item.strip()!r} is no reward with a weight of 0 or more, as accuracy=1+format=0.5"
            )
        if name in found:
            raise ConfigError(f"weights {text!r}: {name} stands there twice")
        found[name] = weight
    return found


def refuse_others(options: Mapping[str, str], rewards: Iterable[str]) -> None:
    """Raise `ConfigError` for an option "<reward>.<field>" of a reward that is none of these."""
    known = tuple(rewards)
    for key in options:
        name, dot, _ = key.partition(".")
        if not dot or name not in known:
            raise ConfigError(
                f"reward.{key} is for no reward of this training: the weights name {', '.join(known) or 'none'}"
            )


class Totals:
    """All rewards of a training. Safe to use from several threads."""

    def __init__(self, weights: str, options: Mapping[str, str]) -> None:
        """`options`: "<reward>.<field>" -> value. Raises `ConfigError`, and `UnknownName` for a reward."""
        self.weights: Mapping[str, float] = parse_weights(weights)
        """Reward -> how much its values count."""
        refuse_others(options, self.weights)
        own: dict[str, dict[str, str]] = {name: {} for name in self.weights}
        for key, value in options.items():
            name, _, option = key.partition(".")
            own[name][option] = value
        self.rewards: Mapping[str, Reward] = {
            name: parse_settings(load_reward(name), told, f"reward.{name}") for name, told in own.items()
        }

    @property
    def models(self) -> tuple[str, ...]:
        """Specs of all models that the rewards ask."""
        return tuple(dict.fromkeys(spec for reward in self.rewards.values() for spec in reward.models()))

    def describe(self) -> dict[str, Json]:
        """Everything that decides a mark but the models' weights, for the card: versions and options as they are."""
        return {
            name: {"weight": self.weights[name], "version": reward.version, **dataclasses.asdict(reward)}
            for name, reward in self.rewards.items()
        }

    def check(self, records: Sequence[TrainRecord]) -> None:
        """Raise `DataError` for records that a reward cannot mark, before anything is drawn."""
        for name, reward in self.rewards.items():
            require(records, reward.needs, f"reward {name}")
            reward.check(records)

    def unmarkable(self, records: Sequence[TrainRecord], scorers: Scorers) -> dict[str, str]:
        """Ids of records that a reward could never mark -> which and why; to be left out before anything is drawn.

        Raises `DataError` if that is all of them, and what asking a model raises.
        """
        found: dict[str, str] = {}
        for name, reward in self.rewards.items():
            left = [record for record in records if record.id not in found]
            found |= {key: f"{name}: {why}" for key, why in reward.unmarkable(left, scorers).items()}
        if found and len(found) == len(records):
            first = records[0].id
            raise DataError(
                f"no record can be marked: all {len(records)} are left out, the first {first!r}: {found[first]}"
            )
        return found

    def mark(self, group: RolloutGroup, scorers: Scorers) -> tuple[RolloutMark, ...]:
        """One mark for each completion of the group, in order; () without rewards.

        Raises what a reward raises that concerns all of the training: `BudgetReached`, `ModelError`, `StoreError`.
        """
        if not self.rewards:
            return ()
        parts = {name: _parts(reward, group, scorers) for name, reward in self.rewards.items()}
        return tuple(
            self._total({name: found[number] for name, found in parts.items()}) for number in range(len(group.rollouts))
        )

    def _total(self, parts: Mapping[str, Part]) -> RolloutMark:
        counting = {name: part for name, part in parts.items() if self.weights[name] > 0}
        missing = [f"{name}: {part.why or 'no reason given'}" for name, part in counting.items() if part.value is None]
        value = math.fsum(self.weights[name] * (part.value or 0.0) for name, part in counting.items())
        return RolloutMark(
            value=None if missing else value,
            parts={name: part.value for name, part in parts.items()}
            | {f"{name}.{key}": value for name, part in parts.items() for key, value in part.more.items()},
            correct=next((part.correct for part in parts.values() if part.correct is not None), None),
            feedback="\n".join(part.feedback for part in parts.values() if part.feedback),
            why=missing[0] if missing else "",
        )


def _parts(reward: Reward, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
    """What a reward says of a group; whatever it raises at these texts is a reason, and stops nothing else."""
    try:
        parts = reward.score(group, scorers)
    except HarnessError:
        raise
    except Exception as error:  # a third party's code, or a text that nobody thought of: the scorer's fault
        return [Part(None, f"it failed: {type(error).__name__}: {one_line(error)}"[:300])] * len(group.rollouts)
    if not isinstance(parts, Sequence) or not all(isinstance(part, Part) for part in parts):
        raise UsageError(f"reward {reward.name} gave something else than one Part for each completion: {parts!r:.100}")
    if len(parts) != len(group.rollouts):
        raise UsageError(f"reward {reward.name} gave {len(parts)} values for {len(group.rollouts)} completions")
    return [_within(reward, part) for part in parts]


def _within(reward: Reward, part: Part) -> Part:
    if part.value is None:
        return part
    if isinstance(part.value, bool) or not isinstance(part.value, Real):
        raise UsageError(
            f"reward {reward.name} gave {part.value!r:.100}, which is no number: a Part's value is one or None"
        )
    value = float(part.value)  # of numpy's numbers too
    if not math.isfinite(value):
        return dataclasses.replace(part, value=None, why=part.why or "it is no number that can be computed with")
    if not reward.low - _SLACK <= value <= reward.high + _SLACK:
        raise UsageError(f"reward {reward.name} gave {value}, beyond its bounds {reward.low:g} and {reward.high:g}")
    return dataclasses.replace(part, value=value)
