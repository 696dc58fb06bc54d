"""When a training on what the student writes goes wrong: rules over the numbers of its steps, told in one line each.

    alarms = Alarms(total=60, stop_on=("hacking",))
    for sign in alarms.see(step, numbers): print(sign.line)

Each finding is told once. What cannot get better by itself (scorers that fail, groups that say nothing, weights that do
not arrive) ends the training as failed; the rest ends it where `stop_on` names its kind. Every rule compares with the
training's own beginning or with another number of it: a student that repeats itself from the first is no alarm.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from backends.config import Stoppable
from backends.rollouts.monitor import ACCURACY, unscored_share
from backends.rollouts.sampler_gap import GAP, LEAST, SamplerGap
from backends.rollouts.types import RolloutGroup
from harness.stats.standard_errors import wilson

AlarmKind = Literal["hacking", "collapse", "length", "hockey_stick", "leak", "flat", "unscored", "sampler"]
WINDOW = 20
"""Generations over which a slope is taken."""
_EDGE = 5
"""Generations that make the beginning, and as many the present."""
_SE, _SE_WHOLE = 2.0, 4.0
"""Standard errors beyond which a slope is one: over a window, and over all generations, each of which is a look."""
_AGAIN = 5
"""Generations in a row in which what may be chance must be seen: windows overlap, and one of them shows a slope by
chance in every twelfth clean run of 100 generations of 64 completions; five in a row in every 150th."""
REPETITION, DISTINCT, SHUFFLED, DEV_GAP = 0.2, 1.2, 0.2, 0.1
ENTROPY, CUT, CUT_LEAST, LONGER, SHORTER = 0.3, 3.0, 0.1, 2.0, 0.7
UNSCORED, UNSCORED_TIMES, FLAT_WARN, FLAT_STOP = 0.2, 5, 10, 50
ASKED_FAILED = "asked/failed"
"""Of the requests to reward models that were made for a generation: the share that failed."""
LEAK_LEAST, _CRITICAL = 0.02, 1.96
LEAK_JUDGE = "leak"
"""The reward that a judge of it gives (`backends.rewards.leak`)."""


@dataclass(frozen=True)
class Sign:
    """What a rule sees in a generation: an alarm once it is true so many times in a row."""

    key: str
    """The rule, and what of."""
    kind: AlarmKind
    true: bool
    line: str
    times: int = 1
    fatal: bool = False
    """It ends the training as failed; what was saved is kept."""


@dataclass
class Series:
    """One number over the generations: its beginning, and the last of it."""

    first: list[float] = field(default_factory=list)
    last: list[float] = field(default_factory=list)
    known: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Of the values, of each times its number, of their squares."""

    def add(self, value: float) -> None:
        """The next generation's."""
        if self.known < _EDGE:
            self.first.append(value)
        self.last = [*self.last, value][-WINDOW:]
        self.sums = [a + b for a, b in zip(self.sums, (value, self.known * value, value * value), strict=True)]
        self.known += 1

    @property
    def start(self) -> float:
        """Mean of the beginning."""
        return float(np.mean(self.first))

    @property
    def now(self) -> float:
        """Mean of the present."""
        return float(np.mean(self.last[-_EDGE:]))

    @property
    def below(self) -> float:
        """How far the present is below the beginning, less four standard errors of the two means."""
        chance = math.hypot(float(np.std(self.first)), float(np.std(self.last[-_EDGE:]))) / math.sqrt(_EDGE)
        return self.start - self.now - 4 * chance

    @property
    def drift(self) -> float:
        """Slope of a line through all generations, in its standard errors; 0 before they make a window."""
        n = self.known
        if n < WINDOW:
            return 0.0
        mean, middle, spread = self.sums[0] / n, (n - 1) / 2, n * (n * n - 1) / 12
        along = (self.sums[1] - middle * self.sums[0]) / spread
        rest = max(self.sums[2] - n * mean * mean - along * along * spread, 1e-18)
        return along / math.sqrt(rest / (n - 2) / spread) if abs(along) > 1e-12 else 0.0

    @property
    def slope(self) -> float:
        """Of a line through a whole window, in its standard errors; 0 where there is no window yet, or no spread."""
        if len(self.last) < WINDOW:
            return 0.0
        x, y = np.arange(WINDOW) - (WINDOW - 1) / 2, np.array(self.last)
        along = float(x @ y / (x @ x))
        rest = y - y.mean() - along * x
        error = math.sqrt(float(rest @ rest) / (WINDOW - 2) / float(x @ x))
        return along / max(error, 1e-12) if abs(along) > 1e-12 else 0.0


class SeriesByName(dict[str, Series]):
    """Name of a number -> its series."""

    def of(self, *names: str) -> list[Series] | None:
        """These series once each has a beginning; else nothing."""
        found = [self[name] for name in names if name in self and self[name].known >= _EDGE]
        return found if len(found) == len(names) else None


class Alarms:
    """Watches one stage."""

    def __init__(
        self,
        total: int,
        stop_on: Collection[Stoppable] = (),
        *,
        privileged: bool = False,
        compares: bool = True,
        noise: float = LEAST,
        generations: int = UNSCORED_TIMES,
    ) -> None:
        """`total`: optimiser steps planned; `privileged`: a self-teacher is shown more than the student; `compares`:
        what is learnt comes of completions that get more than others of their group; `noise`: distance between sampler
        and student that means nothing; `generations`: planned.
        """
        self._total, self._stop_on, self._privileged, self._compares = total, stop_on, privileged, compares
        self._few = max(1, min(UNSCORED_TIMES, generations))
        """A training of fewer generations ends with the last one if all of them are unscored."""
        self._seen = SeriesByName()
        self._held: dict[str, int] = {}
        """Rule -> generations in a row in which it has been true."""
        self._told: set[str] = set()
        self._gap = SamplerGap(least=noise)
        self.lines: list[str] = []
        """Every alarm so far, with its step."""
        self.stopped: str | None = None
        """Kind of the alarm at which the training is to end."""

    def see(self, step: int, numbers: Mapping[str, float]) -> list[Sign]:
        """The alarms that are new at a step; a step that draws nothing has no numbers of a generation."""
        found: list[Sign] = []
        if (gap := numbers.get(GAP)) is not None and (wrong := self._gap.see(gap)) is not None:
            found.append(Sign("sampler", "sampler", True, wrong, fatal=True))
        if "completions" in numbers:
            for name, value in numbers.items():
                if math.isfinite(value):
                    self._seen.setdefault(name, Series()).add(value)
            found += [sign for sign in self._signs(step, numbers) if self._is_new(sign)]
        self.lines += [f"step {step + 1}: {sign.line}" for sign in found]
        self.stopped = self.stopped or next((sign.kind for sign in found if sign.kind in self._stop_on), None)
        return found

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps, so that a training that goes on is watched as one that was never stopped."""
        seen = {name: [one.first, one.last, one.known, one.sums] for name, one in self._seen.items()}
        told = {"seen": seen, "held": dict(self._held), "told": sorted(self._told)}
        return {**told, "gap": self._gap.base, "lines": list(self.lines), "stopped": self.stopped}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's."""
        self._seen = SeriesByName(
            {
                name: Series(list(first), list(last), known, list(sums))
                for name, (first, last, known, sums) in state["seen"].items()
            }
        )
        self._held, self._told = dict(state["held"]), set(state["told"])
        self._gap, self.lines, self.stopped = (
            SamplerGap(state["gap"], self._gap.least),
            list(state["lines"]),
            state["stopped"],
        )

    def _is_new(self, sign: Sign) -> bool:
        """Whether a rule has been true often enough in a row, for the first time."""
        rule = f"{sign.key} x{sign.times}"  # a finding may have two rules
        self._held[rule] = self._held.get(rule, 0) + 1 if sign.true else 0
        if self._held[rule] < sign.times or sign.key in self._told:
            return False
        self._told.add(sign.key)
        return True

    def _signs(self, step: int, numbers: Mapping[str, float]) -> Iterator[Sign]:
        seen = self._seen
        yield from hacking(seen)
        yield from fooled_judges(seen)
        yield from collapse(seen)
        yield from length(seen, early=step < max(self._total / 10, 2 * _EDGE))
        yield from hockey_stick(seen, dipped="dip" in self._told)
        yield from unscored(numbers, self._few)
        if self._compares:
            yield from useless(numbers)
        yield from leak(seen, self._privileged)


# --- rules -----------------------------------------------------------------------------------------------------------


def hacking(seen: SeriesByName) -> Iterator[Sign]:
    """The reward goes up by what nobody wanted."""
    for name in [name for name in seen if name.startswith("reward/") and "." not in name]:
        part = name.removeprefix("reward/")
        if part not in (ACCURACY, LEAK_JUDGE) and (found := seen.of(name, ACCURACY)):
            rises, falls = found
            yield Sign(
                f"hacking/{part}",
                "hacking",
                rises.slope > _SE and falls.slope < -_SE,
                f"reward hacking: over {WINDOW} generations the reward {part} rose to {rises.now:.3f} while accuracy "
                f"fell to {falls.now:.3f}: look at the texts (`harness models rollouts ID`), lower its weight",
                _AGAIN,
            )
            yield Sign(
                f"hacking/{part}",
                "hacking",
                rises.drift > _SE_WHOLE and falls.drift < -_SE_WHOLE,
                f"reward hacking: since the beginning the reward {part} rose from {rises.start:.3f} to {rises.now:.3f} "
                f"while accuracy fell from {falls.start:.3f} to {falls.now:.3f}: look at the texts (`harness models "
                "rollouts ID`), lower its weight",
            )
    if found := seen.of("reward", ACCURACY):
        reward, accuracy = found
        yield Sign(
            "hacking/reward",
            "hacking",
            accuracy.drift < -_SE_WHOLE and reward.drift > -_SE,
            f"reward hacking: since the beginning accuracy fell from {accuracy.start:.3f} to {accuracy.now:.3f} and "
            f"the reward did not ({reward.start:.3f} to {reward.now:.3f}): it pays for something else, or hardly tells "
            "completions apart and the learning rate is too high for what it does tell",
        )
    if found := seen.of("repetition"):
        (repeated,) = found
        yield Sign(
            "hacking/repetition",
            "hacking",
            repeated.now > REPETITION and repeated.now > repeated.start + REPETITION / 2,
            f"reward hacking: {repeated.now:.0%} of a completion's 4-grams are repetitions, {repeated.start:.0%} at "
            "first: add the reward repetition, or look whether length is rewarded",
            _AGAIN,
        )
    if found := seen.of("distinct_answers", "reward", ACCURACY):
        distinct, reward, accuracy = found
        yield Sign(
            "hacking/distinct",
            "hacking",
            distinct.now < DISTINCT <= distinct.start and reward.slope > _SE >= accuracy.slope and accuracy.now < 0.5,
            f"reward hacking: a group has {distinct.now:.2f} different answers, {accuracy.now:.0%} are right, and the "
            "reward rises: the student writes one answer to please",
            _AGAIN,
        )


def fooled_judges(seen: SeriesByName) -> Iterator[Sign]:
    """A judge that agrees to anything; a training that held-out prompts do not confirm."""
    for name in [name for name in seen if name.endswith(".shuffled")]:
        if found := seen.of(name):
            yield Sign(
                f"hacking/{name}",
                "hacking",
                found[0].now > SHUFFLED,
                f"reward hacking: the judge of {name.removeprefix('reward/').removesuffix('.shuffled')} says yes to "
                f"{found[0].now:.0%} of pairs that do not belong together: take another judge or rubric",
            )
    if found := seen.of("dev/accuracy", ACCURACY):
        dev, accuracy = found
        gap = (accuracy.now - dev.now) - (accuracy.start - dev.start)
        yield Sign(
            "hacking/dev",
            "hacking",
            gap > DEV_GAP and dev.now < dev.start,
            f"reward hacking: on held-out prompts accuracy fell to {dev.now:.3f} while in training it rose to "
            f"{accuracy.now:.3f}: its grader is fooled, or its prompts are learnt by heart",
        )


def collapse(seen: SeriesByName) -> Iterator[Sign]:
    """Completions become one, or no longer end."""
    if found := seen.of("entropy"):
        (entropy,) = found
        yield Sign(
            "collapse/entropy",
            "collapse",
            entropy.now < ENTROPY * entropy.start,
            f"collapse: the entropy of a token is {entropy.now:.3f}, {entropy.start:.3f} at first: a group's "
            "completions become one. A lower learning rate, a higher clip_high or a kl term keeps it up",
        )
    if found := seen.of("cut"):
        (cut,) = found
        yield Sign(
            "collapse/cut",
            "collapse",
            cut.now > max(CUT * cut.start, CUT_LEAST),
            f"collapse: {cut.now:.0%} of the completions are cut off, {cut.start:.0%} at first: they no longer end. "
            "Look at the texts; the reward length and rollout.truncated=mask help",
        )


def length(seen: SeriesByName, early: bool) -> Iterator[Sign]:
    """Completions become much longer, or much shorter before anything was learnt (2509.00309)."""
    if found := seen.of("length"):
        (tokens,) = found
        told = f"{tokens.now:.0f} tokens a completion, {tokens.start:.0f} at first"
        yield Sign("length/longer", "length", tokens.now > LONGER * tokens.start, f"length: {told}")
        yield Sign(
            "length/shorter",
            "length",
            early and tokens.now < SHORTER * tokens.start,
            f"length collapse: {told}, within the first tenth of the steps: the student gives up its reasoning. Lower "
            "the learning rate, or begin with another model",
        )


def hockey_stick(seen: SeriesByName, dipped: bool) -> Iterator[Sign]:
    """The reward falls below where it began and comes back (2509.00309). `dipped`: it has fallen before."""
    if found := seen.of("reward", "group_std"):
        reward, spread = found
        yield Sign(
            "dip",
            "hockey_stick",
            reward.below > spread.start,
            f"the reward fell to {reward.now:.3f}, from {reward.start:.3f} at first: by more than a group's own spread",
        )
        yield Sign(
            "hockey_stick",
            "hockey_stick",
            dipped and reward.now >= reward.start,
            f"hockey stick: the reward had fallen far and is back at {reward.now:.3f}: the first steps broke what "
            "later ones mended. A longer warm-up or a lower learning rate saves them",
        )


def leak(seen: SeriesByName, privileged: bool) -> Iterator[Sign]:
    """The student appeals to a solution that only its teacher was shown (2604.03128): by its words, and by a judge."""
    for name, sign, by in (("leak", 1, ""), (f"reward/{LEAK_JUDGE}", -1, "the judge says that ")):
        found = seen.of(name, "completions", *([f"none/{name}"] if by else []))
        if found is None or not (privileged or by):
            continue
        share, many, *none = found
        now, start = (min(1.0, max(0.0, sign * value)) for value in (share.now, share.start))
        judged = many.now * (1 - none[0].now if none else 1), many.start * (1 - none[0].start if none else 1)
        low, high = wilson(now, _EDGE * judged[0], _CRITICAL)
        before = wilson(start, _EDGE * judged[1], _CRITICAL)[1]
        yield Sign(
            f"leak/{LEAK_JUDGE}" if by else "leak",
            "leak",
            share.known >= 2 * _EDGE and low > max(LEAK_LEAST, before),
            f"leak: {by}{now:.1%} [{low:.1%}, {high:.1%}] of the completions appeal to a solution that their prompt "
            f"does not hold, {start:.1%} at first",
            _AGAIN,
        )


def useless(numbers: Mapping[str, float]) -> Iterator[Sign]:
    """Generations that say nothing: in no group do two values differ."""
    flat = numbers.get("flat") == 1.0
    why = f"all groups are flat, mean reward {numbers.get('reward', math.nan):.3f}: too easy or too hard problems"
    yield Sign("flat/warn", "flat", flat, f"in {FLAT_WARN} generations in a row {why}", FLAT_WARN)
    yield Sign("flat/stop", "flat", flat, f"in {FLAT_STOP} generations in a row {why}", FLAT_STOP, fatal=True)


def unscored(numbers: Mapping[str, float], times: int) -> Iterator[Sign]:
    """Too many completions have no value, or too many questions of those that were asked no answer."""
    told = (f"in {times} generations in a row" if times > 1 else "in all generations") + f" more than {UNSCORED:.0%} of"
    why = "the scorers fail, not the student (`harness models rollouts ID` says how); the same command asks them again"
    share = numbers.get("unscored", 0.0)
    line = f"{told} the completions had no value ({share:.0%} now): {why}"
    yield Sign("unscored", "unscored", share > UNSCORED, line, times, fatal=True)
    if (failed := numbers.get(ASKED_FAILED)) is not None:  # else nobody was asked, which says nothing
        line = f"{told} the requests to reward models failed ({failed:.0%} now): {why}"
        yield Sign("asked", "unscored", failed > UNSCORED, line, times, fatal=True)


def scorers_failed(groups: Sequence[RolloutGroup]) -> bool:
    """Whether so many completions have no value that no training goes on with that for long."""
    marks = [mark for group in groups for mark in group.marks]
    return bool(marks) and unscored_share(marks) > UNSCORED
