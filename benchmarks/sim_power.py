"""Power at floor and ceiling: is a difference of the MDE that a pilot run promises really found?

    python benchmarks/sim_power.py [--reps 2000]

A model answers N problems n times (the pilot); `harness.power.measured` and `mde` say what can be found. Another model
is worse by exactly that (better, where the pilot is below one half), answers too, and `harness.stats.paired` tests the
two. The loss is spread evenly, or falls on few problems which it loses whole. "before" is the MDE by its standard error
alone and the unshrunk mean, as it was before. 80 % is promised.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.errors import DataError
from harness.power import ASSUMED_ELSEWHERE, Noise, formula_mde, mde, measured
from harness.run.result import Item, RunResult
from harness.stats import components, paired
from harness.stats.standard_errors import Array
from harness.types import Estimate

Loss = Literal["even", "few"]
MEANS = (0.0, 0.01, 0.05, 0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class Found:
    """What came out for one setting."""

    mde: float
    """Mean over pilots of what is promised."""
    before: float
    power: float
    """Share of true differences of `mde` that were found."""
    power_before: float


def result(items: dict[str, Item], n: int) -> RunResult:
    """A stored run, as far as the plan reads it."""
    one = Estimate(0.5, 0.4, 0.6, 0.05, len(items), n * len(items))
    return RunResult(
        "pilot", "synth", "1", "m", "avg@n", {"avg@n": one}, items, n, None, 0, {}, "0", {}, {}, {}, {}, "2026-01-01",
    )  # fmt: skip


def items(values: Array, n: int) -> dict[str, Item]:
    """One problem each."""
    return {f"p{i}": Item(float(value), n) for i, value in enumerate(values)}


def old_noise(found: dict[str, Item]) -> Noise:
    """What a pilot said before: its mean as it is."""
    assumed = ASSUMED_ELSEWHERE
    try:
        mean, between, _ = components(found.values())
        return Noise(mean, between, assumed.delta_sd)
    except DataError:
        mean = sum(item.mean or 0.0 for item in found.values()) / len(found)
        share = assumed.between_sd**2 / (assumed.mean * (1.0 - assumed.mean))
        return Noise(mean, math.sqrt(share * mean * (1.0 - mean)), assumed.delta_sd)


def changed(chances: Array, size: float, loss: Loss, generator: np.random.Generator) -> Array:
    """Chances of a model that is worse by `size` on average, or better where the first is below one half."""
    mean = float(chances.mean())
    up = mean < 0.5
    room = 1.0 - chances if up else chances
    share = min(1.0, size / float(room.mean()))
    lost = room * share if loss == "even" else np.where(generator.random(len(chances)) < share, room, 0.0)
    return np.clip(chances + lost if up else chances - lost, 0.0, 1.0)


def simulate(problems: int, n: int, mean: float, loss: Loss, reps: int, seed: int = 0) -> Found:
    """One setting; a third of the variance of the chances lies between problems, where there is any."""
    generator = np.random.default_rng([seed, problems, n, round(1000 * mean)])
    promised, before, hits, hits_before = [], [], 0, 0
    for _ in range(reps):
        chances = (
            generator.beta(2.0 * mean, 2.0 * (1.0 - mean), problems) if 0.0 < mean < 1.0 else np.full(problems, mean)
        )
        pilot = items(generator.binomial(n, chances) / n, n)
        now = mde(problems, n, measured([result(pilot, n)], ASSUMED_ELSEWHERE))
        then = formula_mde(problems, n, old_noise(pilot))
        promised.append(now)
        before.append(then)
        for size, old in ((now, False), (then, True)):
            other = generator.binomial(n, changed(chances, size, loss, generator)) / n
            outcome = paired(items(other, n), pilot)
            assert outcome is not None
            if old:
                hits_before += outcome.p <= 0.05
            else:
                hits += outcome.p <= 0.05
    return Found(float(np.mean(promised)), float(np.mean(before)), hits / reps, hits_before / reps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Power at floor and ceiling by simulation.")
    parser.add_argument("--reps", type=int, default=2000)
    reps = parser.parse_args().reps
    print("| problems | n | mean [%] | MDE [pp] | found: even, few [%] | before [pp] | found: even, few [%] |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for problems in (30, 100, 500):
        for n in (1, 4, 16):
            for mean in MEANS:
                even, few = (simulate(problems, n, mean, loss, reps) for loss in ("even", "few"))
                now = f"{100 * even.mde:.1f} | {100 * even.power:.0f}, {100 * few.power:.0f}"
                then = f"{100 * even.before:.1f} | {100 * even.power_before:.0f}, {100 * few.power_before:.0f}"
                print(f"| {problems} | {n} | {100 * mean:g} | {now} | {then} |", flush=True)


if __name__ == "__main__":
    main()
