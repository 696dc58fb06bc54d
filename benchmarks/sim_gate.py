"""Simulation: does the gate cry wolf, does it let wolves pass, and does its plan deliver the power it promises?

    python benchmarks/sim_gate.py [--reps 2000] [--part exact|error|equal|power] [--run results/runs/RUN]

Runs the product's own p values and plans where the truth is known.

    exact   one right-or-wrong sample each: the probability of a wrong verdict at a true difference of the margin,
            summed over every possible outcome, at the least favourable share of differing problems; no sampling
            error. Tango's score test (1998), the usual choice, for comparison.
    error   the same by simulation for averages over samples and for clusters, for losses spread over all problems and
            for losses concentrated on few
    equal   verdicts on two runs of the same model
    power   problems and samples as planned for two equal models: how often the gate then passes (80 % promised)
    --run   a stored run of many samples is split at random into two runs of the same model, again and again: real A/A
            pairs, as `harness gate` would judge them

Targets: no wrong verdict above 5 %. A fast part of this is `tests/unit/test_gate_simulation.py`; the numbers stand in
`docs/gate.md`.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.gate.decide import decide_all
from harness.gate.needs import Spread, need
from harness.gate.pairs import Rule
from harness.gate.values import Side, Value, read_side
from harness.run.folder import RunFolder
from harness.stats.bounded import shortfall_p
from harness.stats.distributions import t_quantile

Array = npt.NDArray[np.float64]
ALPHA = 0.05
PROBLEMS = (3, 10, 30, 100, 500)
MARGINS = (0.01, 0.02, 0.05, 0.1)


def passes(sums: Array, sizes: Array, margin: float) -> bool:
    return shortfall_p(sums, sizes, -margin, -1.0) <= ALPHA


def fails(sums: Array, sizes: Array, margin: float) -> bool:
    return shortfall_p(-sums, sizes, margin, -1.0) <= ALPHA


# exact ----------------------------------------------------------------------------------------------------------------


def region(problems: int, margin: float, *, passing: bool) -> npt.NDArray[np.bool_]:
    """Which (wins, losses) pass (or fail), shape [problems + 1, problems + 1]; the edge is monotone: it is walked."""
    found = np.zeros((problems + 1, problems + 1), dtype=bool)
    sizes = np.ones(problems)
    wins = 0
    for losses in range(problems + 1):
        while wins + losses <= problems:
            gaps = np.zeros(problems)
            gaps[:wins], gaps[wins : wins + losses] = 1.0, -1.0
            if passes(gaps, sizes, margin) if passing else not fails(gaps, sizes, margin):
                break
            if not passing:
                found[wins, losses:] = True
            wins += 1
        if passing and wins + losses <= problems:
            found[wins:, losses] = True
    total = np.add.outer(np.arange(problems + 1), np.arange(problems + 1))
    return found & (total <= problems)


def tango(problems: int, margin: float) -> npt.NDArray[np.bool_]:
    """Which (wins, losses) pass by Tango's score test, Statistics in Medicine 17, 891-908 (1998)."""
    wins, losses = np.meshgrid(np.arange(problems + 1.0), np.arange(problems + 1.0), indexing="ij")
    b = -wins - losses - (2 * problems - wins + losses) * margin
    c = losses * margin * (1 + margin)
    share = (np.sqrt(np.maximum(b * b - 8 * problems * c, 0.0)) - b) / (4 * problems)
    spread = np.sqrt(np.maximum(problems * (2 * share - margin * (1 + margin)), 1e-12))
    z = (wins - losses + problems * margin) / spread
    accepted: npt.NDArray[np.bool_] = (z > t_quantile(1e9, 1 - 2 * ALPHA)) & (wins + losses <= problems)
    return accepted


def worst_case(accepted: npt.NDArray[np.bool_], problems: int, margin: float) -> float:
    """Largest probability of these (wins, losses) at a true difference of -margin, over all shares that differ."""
    wins, losses = np.nonzero(accepted)
    logs = np.array([math.lgamma(k + 1.0) for k in range(problems + 1)])
    ties = problems - wins - losses
    ways = logs[problems] - logs[wins] - logs[losses] - logs[ties]
    most = 0.0
    for win in (1e-12, 1e-4, 1e-3, 3e-3, *np.linspace(0.005, (1 - margin) / 2 - 1e-9, 40)):
        tie = max(1.0 - 2 * win - margin, 1e-12)
        chance = np.exp(ways + wins * math.log(win) + losses * math.log(win + margin) + ties * math.log(tie))
        most = max(most, float(chance.sum()))
    return most


def show_exact() -> None:
    print("\n## exact: wrong verdicts at a true difference of -margin, one sample each (no sampling error)")
    print("problems  margin   false pass   false regress   false pass by Tango's test")
    for problems in PROBLEMS:
        for margin in MARGINS:
            ours = worst_case(region(problems, margin, passing=True), problems, margin)
            regress = worst_case(region(problems, margin, passing=False), problems, margin)
            theirs = worst_case(tango(problems, margin), problems, margin)
            row = f"{problems:8d} {100 * margin:5.0f} pp {100 * ours:10.2f} % {100 * regress:13.2f} %"
            print(f"{row} {100 * theirs:20.2f} %")


# simulation -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """Two runs whose true difference is known."""

    units: int
    """Independent clusters."""
    size: int
    """Problems in each."""
    n: int
    """Samples of each problem."""
    loss: float
    """True difference: the candidate is worse by this much."""
    kind: str
    """"even": every problem loses the same. "rare": few clusters lose everything and nothing else ever differs.
    "mixed": few clusters lose everything, and the rest is sampling noise."""

    def draw(self, generator: np.random.Generator, reps: int) -> tuple[Array, Array]:
        """Sums of differences per cluster, shape [reps, units], and the cluster sizes, shape [units]."""
        shape = (reps, self.units, 1)
        full = (reps, self.units, self.size)
        if self.kind == "even":
            before = generator.uniform(self.loss, 1.0, shape)
            after = before - self.loss
        else:
            before = np.ones(shape) if self.kind == "rare" else generator.beta(4.0, 2.0, shape)
            mean = 1.0 if self.kind == "rare" else 4.0 / 6.0
            after = before * (generator.random(shape) >= self.loss / mean)
        left = generator.binomial(self.n, np.broadcast_to(before, full))
        right = generator.binomial(self.n, np.broadcast_to(after, full))
        sums: Array = (right - left).sum(axis=2) / self.n
        return sums, np.full(self.units, float(self.size))


@dataclass(frozen=True)
class Rates:
    """Shares of repetitions with each verdict."""

    passed: float
    failed: float


def rates(setting: Setting, margin: float, reps: int, seed: int = 0) -> Rates:
    generator = np.random.default_rng([seed, setting.units, setting.size, setting.n, len(setting.kind)])
    sums, sizes = setting.draw(generator, reps)
    passed = sum(passes(row, sizes, margin) for row in sums)
    failed = sum(fails(row, sizes, margin) for row in sums)
    return Rates(passed / reps, failed / reps)


def settings(loss: float) -> Iterator[Setting]:
    for units in PROBLEMS:
        for size in (1, 5):
            for n in (1, 4):
                for kind in ("even", "rare", "mixed"):
                    yield Setting(units, size, n, loss, kind)


def show_errors(reps: int) -> None:
    error = 100 * math.sqrt(0.05 * 0.95 / reps)
    print(
        f"\n## error: wrong verdicts at a true difference of -margin; {reps} repetitions, standard error {error:.1f} pp"
    )
    print("margin  units   settings   false pass: mean  most   false regress: mean  most")
    for margin in (0.01, 0.05, 0.2):
        found = [(setting, rates(setting, margin, reps)) for setting in settings(margin)]
        for units in PROBLEMS:
            mine = [rate for setting, rate in found if setting.units == units]
            ok, bad = [100 * rate.passed for rate in mine], [100 * rate.failed for rate in mine]
            print(
                f"{100 * margin:4.0f} pp {units:5d} {len(mine):9d} {np.mean(ok):17.2f} {max(ok):6.2f} "
                f"{np.mean(bad):19.2f} {max(bad):6.2f}"
            )
        setting, _ = max(found, key=lambda item: item[1].passed)
        again = rates(setting, margin, 4 * reps, seed=1)
        print(f"   the most, again with another seed and {4 * reps}: {100 * again.passed:.2f} %  ({setting})")


def show_equal(reps: int) -> None:
    print(f"\n## equal: two runs of one model ({reps} repetitions)")
    print("units  n   margin   pass   regress   inconclusive")
    for units in PROBLEMS:
        for n in (1, 4, 16):
            for margin in (0.01, 0.05):
                rate = rates(Setting(units, 1, n, 0.0, "mixed"), margin, reps)
                rest = 1.0 - rate.passed - rate.failed
                print(
                    f"{units:5d} {n:2d} {100 * margin:5.0f} pp {100 * rate.passed:6.1f} {100 * rate.failed:8.2f} "
                    f"{100 * rest:12.1f}"
                )


# power ----------------------------------------------------------------------------------------------------------------


def delivered(spread: Spread, problems: int, n: int, margin: float, reps: int, seed: int = 0) -> float:
    """How often two models with this spread of true differences, equal on average, pass."""
    generator = np.random.default_rng([seed, problems, n])
    between = math.sqrt(max(0.0, 0.25 - spread.within_sd**2 - spread.delta_sd**2 / 4))
    if spread.within_sd == 0.0:  # what differs differs wholly: wins and losses of one answer each
        sums = generator.choice([-1.0, 0.0, 1.0], (reps, problems), p=_thirds(spread.delta_sd**2))
    else:
        centre = 0.5 + between * generator.choice([-1.0, 1.0], (reps, problems))
        gap = generator.normal(0.0, spread.delta_sd, (reps, problems)) / 2
        gap = np.clip(gap, -np.minimum(centre, 1 - centre), np.minimum(centre, 1 - centre))
        sums = (generator.binomial(n, centre + gap) - generator.binomial(n, centre - gap)) / n
    sizes = np.ones(problems)
    return sum(passes(row, sizes, margin) for row in sums) / reps


def _thirds(differing: float) -> tuple[float, float, float]:
    return differing / 2, 1.0 - differing, differing / 2


def planned(spread: Spread, problems: int, n: int, margin: float) -> list[tuple[int, int]]:
    """(problems, samples) that the plan asks for, from each of the two ways out."""
    plan = need(spread, 0.0, margin, problems, n, Rule())
    ways = [(problems, plan.n)] if plan.n is not None else []
    ways += [(plan.problems, n)] if plan.problems is not None and plan.problems < 20_000 else []
    return [(count, samples) for count, samples in ways if samples is not None]


def show_power(reps: int) -> None:
    print(f"\n## power: designs planned for 80 % between equal models ({reps} repetitions)")
    print("delta sd  within sd   margin   problems x n   passes")
    for spread in (Spread(0.05, 0.4), Spread(0.1, 0.3), Spread(0.02, 0.2), Spread(0.1, 0.0), Spread(0.3, 0.0)):
        for problems, n, margin in ((100, 1, 0.05), (200, 4, 0.03), (500, 4, 0.02)):
            n = n if spread.within_sd > 0.0 else 1
            for count, samples in planned(spread, problems, n, margin):
                if count * reps > 8_000_000:
                    continue
                rate = delivered(spread, count, samples, margin, reps)
                print(
                    f"{spread.delta_sd:8.2f} {spread.within_sd:9.2f} {100 * margin:7.0f} pp {count:8d} x {samples:<4d}"
                    f"{100 * rate:6.1f} %"
                )


# real runs ------------------------------------------------------------------------------------------------------------


def halves(folder: RunFolder, n: int, generator: np.random.Generator) -> tuple[Side, Side]:
    """Two runs of n samples each, drawn without overlap from a stored run's samples."""
    side = read_side(folder)
    found: dict[str, dict[int, float]] = {}
    for row in folder.graded:
        if row.score.value is not None:
            found.setdefault(row.problem_id, {})[row.attempt] = row.score.value
    attempts = generator.permutation(side.n)[: 2 * n]
    sides: list[Side] = []
    for chosen in (attempts[:n], attempts[n:]):
        values: dict[str, Value] = {}
        for problem, scores in found.items():
            mine = [scores[attempt] for attempt in chosen if attempt in scores]
            if mine:
                mean = sum(mine) / len(mine)
                values[problem] = Value(mean, len(mine), 0, mean, mean, side.values[problem].cluster)
        sides.append(replace(side, values=values, n=n))
    return sides[0], sides[1]


def real(folder: RunFolder, n: int, margin: str, reps: int, seed: int = 0) -> Counter[str]:
    """Verdicts on `reps` random splits of a run."""
    generator = np.random.default_rng(seed)
    rule = Rule(margin)
    return Counter(decide_all([halves(folder, n, generator)], rule)[0].outcome for _ in range(reps))


def show_real(folder: RunFolder, reps: int) -> None:
    side = read_side(folder)
    print(f"\n## real A/A: {side.run_id}, {len(side.values)} problems, {side.n} samples, {reps} random splits")
    print("n of each   margin   pass   regress   inconclusive")
    for n in sorted({1, min(4, side.n // 2), side.n // 2}):
        for margin in (1, 5, 10):
            found = real(folder, n, f"{margin}pp", reps)
            shares = [100 * found[outcome] / reps for outcome in ("pass", "regress", "inconclusive")]
            print(f"{n:9d} {margin:5d} pp {shares[0]:7.1f} {shares[1]:8.1f} {shares[2]:12.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description="Wrong verdicts and power of the gate by simulation.")
    parser.add_argument("--reps", type=int, default=2000, help="Repetitions per setting.")
    parser.add_argument("--part", choices=("exact", "error", "equal", "power"), action="append", help="Only this part.")
    parser.add_argument("--run", type=Path, action="append", help="A stored run to split into A/A pairs; nothing else.")
    arguments = parser.parse_args()
    for directory in arguments.run or ():
        show_real(RunFolder(directory), max(100, arguments.reps // 4))
    parts = arguments.part or ([] if arguments.run else ["exact", "error", "equal", "power"])
    if "exact" in parts:
        show_exact()
    if "error" in parts:
        show_errors(arguments.reps)
    if "equal" in parts:
        show_equal(arguments.reps)
    if "power" in parts:
        show_power(max(100, arguments.reps // 4))


if __name__ == "__main__":
    main()
