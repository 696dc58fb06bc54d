"""What the judge laboratory found, in one line for each prompt and each comparison: it stands above the measures."""

from __future__ import annotations

from harness.plain import plural
from harness.report.text import p_value, percent, signed, signed_interval, with_interval
from harness.stats.multiple import decide
from harness.types import Estimate
from judges.lab.measure import ArmReport
from judges.lab.session import LabReport
from judges.lab.versus import ArmDifference

DETECTABLE = 1.96 + 0.84
"""Standard errors: 80 % power at a two-sided 5 %."""
_FLIPS = 0.1
"""Share of flips that is worth a word."""
_EXCESS = (
    ("longer_excess", "the longer answer"),
    ("lists_excess", "the answer with a list"),
    ("own_excess", "its own answer"),
)


def verdict_lines(report: LabReport) -> list[str]:
    """The comparisons if there are any, then each prompt on its own."""
    return [*map(_compared, report.comparisons), *map(_alone, report.arms)]


def _compared(one: ArmDifference) -> str:
    gain = one.differences.get("accuracy")
    if gain is None:
        return f"{one.second} against {one.first}: nothing to compare, no pair was scored by both"
    shown = f"{signed_interval(gain.diff, gain.low, gain.high)} points on {plural(gain.n_problems, 'pair')}"
    p = one.deciding_p("accuracy")
    if (decision := decide(gain.diff, p)) != "not shown":
        word = "better" if decision == "higher" else "worse"
        return f"{one.second} is {word} than {one.first}: {shown}, p {p_value(p)}"
    unseen = f"; a true one below {percent(DETECTABLE * gain.se)} would often go unnoticed" if gain.se > 0 else ""
    return f"no difference between {one.second} and {one.first} is shown: {shown}{unseen}"


def _alone(arm: ArmReport) -> str:
    accuracy = arm.values.get("accuracy")
    if not isinstance(accuracy, Estimate):
        return f"{arm.name}: nothing was measured against a label with a winner"
    said = f"{with_interval(accuracy.value, accuracy.low, accuracy.high)} %"
    coin = accuracy.low <= 0.5 <= accuracy.high
    start = f"{arm.name} is not told from a coin: agrees on {said}" if coin else f"{arm.name} agrees on {said}"
    return "; ".join([start, *_faults(arm)])


def _faults(arm: ArmReport) -> list[str]:
    """What is wrong beyond chance, worst first."""
    faults: list[tuple[float, str]] = []
    flips, first = arm.values.get("flips"), arm.values.get("first")
    if isinstance(flips, Estimate) and flips.low > _FLIPS:
        faults.append((flips.value, f"the order changes {percent(flips.value)} % of its verdicts"))
    if isinstance(first, Estimate) and not first.low <= 0.5 <= first.high:
        faults.append((2 * abs(first.value - 0.5), f"the answer shown first wins {percent(first.value)} %"))
    for name, what in _EXCESS:
        excess = arm.values.get(name)
        if isinstance(excess, Estimate) and not excess.low <= 0.0 <= excess.high:
            faults.append((abs(excess.value), f"prefers {what} by {signed(excess.value)} points beyond the labels"))
    if missing := arm.pairs - arm.scored:
        faults.append((missing / arm.pairs, f"{plural(missing, 'pair')} without a verdict"))
    return [text for _, text in sorted(faults, reverse=True)]
