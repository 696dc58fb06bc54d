"""Numbers of a verdict in its own unit."""

from __future__ import annotations

from harness.gate.decide import Verdict
from harness.metrics import described


def amount(value: float, verdict: Verdict, *, sign: bool = True) -> str:
    """A number of the verdict's own unit: "+1.2 pp", "-3.0 %" of the baseline, "+20.0 tok"."""
    scale, unit = unit_of(verdict)
    text = f"{scale * value:+.1f}" if sign else f"{scale * value:.3g}"
    return f"{text}{f' {unit}' if unit else ''}"


def unit_of(verdict: Verdict) -> tuple[float, str]:
    """(factor, name) of the verdict's own unit: points of a share, percent of the baseline, or the metric's own."""
    if verdict.margin.relative:
        return 100.0, "%"
    if verdict.baseline.share and verdict.candidate.share:
        return 100.0, "pp"
    return 1.0, described(verdict.baseline.metric).own_unit
