"""Simulation: does the judge laboratory cry wolf, and do calibrated win rates hold the truth?

    python benchmarks/sim_judging.py [--reps 400] [--part looks|calibration]

Runs the product's own rules where the truth is known.

    looks        sessions of `harness judge lab --watch`: versions of a prompt, each against the last, looked at after
                 every 20 of 200 pairs. How often "better" or "worse" is ever said though no edit does anything (the
                 target is at most 5 % of sessions), beside a paired test at 5 % looked at as often; and how soon true
                 differences are found.

A fast part of this is in `tests/unit/test_lab_watch.py`; the numbers stand in `docs/LOG.md`.
"""

from __future__ import annotations

import argparse

import numpy as np
import numpy.typing as npt

from harness.stats.paired import paired_differences
from harness.stats.sequential import ALPHA, look, share_of_alpha

Array = npt.NDArray[np.float64]
PAIRS, BATCH, VERSIONS = 200, 20, 6
NULLS = (0.04, 0.2, 0.4, 0.9)
"""Shares of pairs on which an edit without effect changes the verdict."""
TRUE = ((0.15, 0.05), (0.1, 0.0), (0.25, 0.05), (0.2, 0.0), (0.3, 0.1))
"""(pairs won, pairs lost) by an edit that does something."""


def gains(rng: np.random.Generator, won: float, lost: float) -> Array:
    """Gains in agreement over 200 pairs: half of the changes are in one order only."""
    chances = [won / 2, won / 2, 1 - won - lost, lost / 2, lost / 2]
    return rng.choice([1.0, 0.5, 0.0, -0.5, -1.0], PAIRS, p=chances)


def trial(values: Array, number: int) -> tuple[str, int]:
    """The decision on one version, and after how many pairs."""
    for asked in range(BATCH, PAIRS + 1, BATCH):
        found = look(values[:asked], PAIRS - asked, share_of_alpha(number))
        if found.decision != "open":
            return found.decision, asked
    raise AssertionError("with no pair left it is decided")


def fixed(values: Array) -> bool:
    """A paired test at 5 %, repeated at every look."""
    return any(
        paired_differences(values[:asked], (), mcnemar=False).p <= ALPHA for asked in range(BATCH, PAIRS + 1, BATCH)
    )


def looks(reps: int) -> None:
    rng = np.random.default_rng(1)
    print(f"sessions of {VERSIONS} edits without effect, {PAIRS} pairs, a look every {BATCH}: {reps} sessions each")
    for share in NULLS:
        cried, naive, used = 0, 0, []
        for _ in range(reps):
            session = [gains(rng, share / 2, share / 2) for _ in range(VERSIONS)]
            found = [trial(values, number) for number, values in enumerate(session, 1)]
            cried += any(decision != "noise" for decision, _ in found)
            naive += any(map(fixed, session))
            used += [asked for _, asked in found]
        print(
            f"  verdicts changed {share:4.0%}: a difference is claimed in {cried / reps:6.1%} of sessions, by a test "
            f"repeated at 5 % in {naive / reps:6.1%}; noise is said after {np.mean(used):.0f} pairs"
        )
    print("true differences, as the first and as the fourth edit of a session")
    for won, lost in TRUE:
        for number in (1, 4):
            found = [trial(gains(rng, won, lost), number) for _ in range(reps)]
            right = [asked for decision, asked in found if decision == "better"]
            wrong = sum(decision == "worse" for decision, _ in found)
            after = f"after {np.mean(right):.0f} pairs" if right else "-"
            print(
                f"  {0.75 * (won - lost):+.1%} points ({won:.0%} won, {lost:.0%} lost), edit {number}: found in "
                f"{len(right) / reps:6.1%}, {after}; called worse {wrong / reps:.1%}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=400)
    parser.add_argument("--part", choices=sorted(PARTS))
    told = parser.parse_args()
    for name, part in PARTS.items():
        if told.part in (None, name):
            part(told.reps)


PARTS = {"looks": looks}


if __name__ == "__main__":
    main()
