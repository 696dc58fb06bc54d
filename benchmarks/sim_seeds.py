"""Coverage of the intervals over training seeds, where the truth is known: `python benchmarks/sim_seeds.py [count]`.

Scores are drawn from score_ps = P_p + S_s + (PS)_ps, normal, with standard deviations typical of right-or-wrong
answers, and the product's own function makes the interval. Beside it, what one t quantile at Satterthwaite's degrees of
freedom would have covered, and what leaving the seeds out would have. Seeded: the same numbers everywhere.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import numpy.typing as npt

from harness.stats.distributions import t_quantile
from harness.stats.seeds import Cells, seeded_difference, seeded_mean

Array = npt.NDArray[np.float64]
QUESTION = REST = 0.35
SEED_SD = (0.0, 0.01, 0.03, 0.06, 0.2)


def draw(rng: np.random.Generator, problems: int, seeds: int, seed_sd: float) -> Array:
    question, rest = rng.normal(size=(problems, 1)), rng.normal(size=(problems, seeds))
    return QUESTION * question + seed_sd * rng.normal(size=(1, seeds)) + REST * rest


def satterthwaite(y: Array) -> tuple[float, float]:
    """Half-width with one quantile for the sum of mean squares, and without the seeds."""
    problems, seeds = y.shape
    by_problem, by_seed = y.mean(axis=1).var(ddof=1) / problems, y.mean(axis=0).var(ddof=1) / seeds
    rest = y - y.mean(axis=1, keepdims=True) - y.mean(axis=0) + y.mean()
    both = float((rest**2).sum()) / ((problems - 1) * (seeds - 1)) / y.size
    total = max(by_problem + by_seed - both, 1e-12)
    squares = by_problem**2 / (problems - 1) + by_seed**2 / (seeds - 1) + both**2 / ((problems - 1) * (seeds - 1))
    df = max(1.0, min(2000.0, round(total**2 / squares, 1)))
    return t_quantile(df) * math.sqrt(total), t_quantile(problems - 1) * math.sqrt(by_problem)


def setting(problems: int, seeds: int, seed_sd: float, repetitions: int) -> list[float]:
    """Coverage of ours, of Satterthwaite's, of the problems alone, and of our interval of a difference; in percent."""
    rng = np.random.default_rng(problems * 1000 + seeds)
    hits = np.zeros(4)
    for _ in range(repetitions):
        a, b = draw(rng, problems, seeds, seed_sd), draw(rng, problems, seeds, seed_sd)
        ours = seeded_mean(Cells(a), share=False)
        one, alone = satterthwaite(a)
        gap = seeded_difference(Cells(a), Cells(b), share=False)
        hits += [
            ours.low <= 0.0 <= ours.high,
            abs(a.mean()) <= one,
            abs(a.mean()) <= alone,
            gap.low <= 0.0 <= gap.high,
        ]
    return [100.0 * float(hit) / repetitions for hit in hits]


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 1500
    print(f"{repetitions} repetitions; standard error of 95 %: {100 * math.sqrt(0.95 * 0.05 / repetitions):.2f} points")
    print("problems seeds seed_sd   ours  Satterthwaite  problems alone  difference")
    for problems in (50, 200):
        for seeds in (3, 5):
            for seed_sd in SEED_SD:
                found = setting(problems, seeds, seed_sd, repetitions)
                print(f"{problems:8d} {seeds:5d} {seed_sd:7.2f}" + "".join(f"{value:10.1f}" for value in found))


if __name__ == "__main__":
    main()
