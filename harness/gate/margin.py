"""A margin: how much worse a candidate may be and still pass."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass

from harness.errors import UsageError
from harness.metrics import described
from harness.power import parse_difference

_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*(?P<unit>.*)", re.DOTALL)
_SHARE_UNITS = ("", "pp", "%", "points", "percentage points")
_MISSPELT = {"ppt": "pp", "p": "pp", "pt": "pp", "pts": "pp", "point": "pp", "percent": "%", "pct": "%", "token": "tok"}


@dataclass(frozen=True)
class Margin:
    """A tolerated loss, as a number of the metric's own unit or as a share of the baseline's mean."""

    value: float
    """0.01 is one point of a share; 20.0 is 20 tokens; 0.05 is 5 % if `relative`."""
    relative: bool = False
    """True: `value` is a share of the baseline's mean."""


def parse_margin(text: str | None, metric: str, *, share: bool, superior: bool = False) -> Margin:
    """A margin as a person writes it; None is the default: 1pp of a share, 5 % of a count, 0 for superiority.

    A share takes "1pp", "1%", "0.01" (all one point); any other metric takes "20" or "20tok", of its own unit, or "5%"
    of the baseline's mean. Raises `UsageError` for a negative margin, an unknown unit (with a suggestion), and zero
    unless `superior`.
    """
    if text is None:
        return Margin(0.0) if superior else Margin(0.01) if share else Margin(0.05, relative=True)
    match = _NUMBER.fullmatch(text.strip().lower())
    own = described(metric).own_unit
    units = _SHARE_UNITS if share else ("", "%", own.lower(), *(("tokens",) if own == "tok" else ()))
    examples = "1pp, 1% or 0.01" if share else f"20{own}, or 5% of the baseline's mean"
    if match is None:
        raise UsageError(f"--margin {text!r} is not a number with a unit: write {examples}")
    unit, number = match["unit"].strip(), float(match["number"])
    if unit not in units:
        close = _MISSPELT.get(unit) or next(iter(difflib.get_close_matches(unit, units, n=1, cutoff=0.4)), None)
        hint = f" Did you mean {match['number']}{close}?" if close in units else ""
        what = "is a share" if share else "is no share"
        raise UsageError(f"--margin {text!r}: {metric} {what}, so {unit!r} is no unit of it.{hint} {examples}")
    if number < 0.0:
        raise UsageError(f"--margin {text!r}: a margin says how much worse still passes, so it cannot be negative")
    if number == 0.0 and not superior:
        raise UsageError("a margin of 0 can never be shown not to be exceeded: give one, or say --test superior")
    if share:
        return Margin(parse_difference(text) if number > 0.0 else 0.0)
    value = number / 100.0 if unit == "%" else number
    if not math.isfinite(value):
        raise UsageError(f"--margin {text!r} is not finite")
    return Margin(value, relative=unit == "%")
