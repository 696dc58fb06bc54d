"""Simulation: does the judge laboratory cry wolf, and do calibrated win rates hold the truth?

    python benchmarks/sim_judging.py [--reps 400] [--part looks|calibration]

Runs the product's own rules where the truth is known.

    looks        sessions of `harness judge lab --watch`: versions of a prompt, each against the last, looked at after
                 every 20 of 200 pairs. How often "better" or "worse" is ever said though no edit does anything (the
                 target is at most 5 % of sessions), beside a paired test at 5 % looked at as often; and how soon true
                 differences are found.
    calibration  win rates corrected by 20 to 300 labels: how often 95 % intervals hold the truth (those of the judged
                 mean too), and how wide they are

Fast parts: `tests/unit/test_lab_watch.py`, `tests/unit/test_judge_calibrate.py`; the numbers stand in `docs/LOG.md`.
"""

from __future__ import annotations

import argparse
import itertools

import numpy as np
import numpy.typing as npt

from harness.stats.corrected import prediction_powered, rogan_gladen
from harness.stats.paired import paired_differences
from harness.stats.sequential import ALPHA, look, share_of_alpha
from harness.stats.standard_errors import mean_interval

Array = npt.NDArray[np.float64]
PAIRS, BATCH, VERSIONS = 200, 20, 6
NULLS = (0.04, 0.2, 0.4, 0.9)
"""Shares of pairs on which an edit without effect changes the verdict."""
TRUE = ((0.15, 0.05), (0.1, 0.0), (0.25, 0.05), (0.2, 0.0), (0.3, 0.1))
"""(pairs won, pairs lost) by an edit that does something."""

ANSWERS, TIES = 400, 0.2
LABELS = (20, 50, 100, 300)
JUDGES = ((0.95, 0.05), (0.8, 0.3), (0.999, 0.001), (0.6, 0.4), (0.9, 0.5))
"""(chance to say win of a true win, of a true loss)."""


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


def calibration(reps: int) -> None:
    rng = np.random.default_rng(2)
    held: dict[tuple[str, int], list[bool]] = {}
    wide: dict[tuple[str, int], list[float]] = {}
    worst: dict[tuple[str, int], float] = {}
    for labels in LABELS:
        for truth, (win, loss) in itertools.product((0.1, 0.3, 0.5, 0.9), JUDGES):
            here: dict[str, list[bool]] = {"as judged": [], "prediction-powered": [], "Rogan-Gladen": []}
            for _ in range(reps):
                true = (rng.random(ANSWERS) < truth).astype(np.float64)
                judged = (rng.random(ANSWERS) < np.where(true == 1.0, win, loss)).astype(np.float64)
                judged[rng.random(ANSWERS) < TIES] = 0.5
                raw = mean_interval(judged)
                powered = prediction_powered(judged[labels:], judged[:labels], true[:labels])
                ratio = rogan_gladen(judged, judged[:labels], true[:labels])
                for name, found in (("as judged", raw), ("prediction-powered", powered), ("Rogan-Gladen", ratio)):
                    if found is not None:
                        here[name].append(found.low <= truth <= found.high)
                        wide.setdefault((name, labels), []).append(found.high - found.low)
            for name, values in here.items():
                held.setdefault((name, labels), []).extend(values)
                worst[name, labels] = min(worst.get((name, labels), 1.0), float(np.mean(values)) if values else 1.0)
    print(f"intervals that hold the true rate: {ANSWERS} answers, four true rates, judges {JUDGES}, {TIES:.0%} ties")
    for (name, labels), values in held.items():
        print(
            f"  {labels:3} labels, {name:18}: {np.mean(values):6.1%} of {len(values)}, worst setting "
            f"{worst[name, labels]:6.1%}, mean width {100 * np.mean(wide[name, labels]):5.1f} points"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reps", type=int, default=400)
    parser.add_argument("--part", choices=sorted(PARTS))
    told = parser.parse_args()
    for name, part in PARTS.items():
        if told.part in (None, name):
            part(told.reps)


PARTS = {"looks": looks, "calibration": calibration}


if __name__ == "__main__":
    main()
