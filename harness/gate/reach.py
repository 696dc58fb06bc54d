"""What a gate can show, said before any answer is generated, so that no hours are spent in vain.

A pass needs the bound of the loss inside the margin. Not one problem may differ for it to be as small as
1 - alpha^(1/N): 3.0 points on 100 problems. Under a smaller margin only a model that is better can pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.errors import UsageError
from harness.gate.needs import Spread, best_margin
from harness.gate.pairs import Rule
from harness.plain import plural
from harness.power import ASSUMED, ASSUMED_ELSEWHERE, SMALLEST_DELTA_SD


@dataclass(frozen=True)
class Design:
    """A comparison of shares, before it is made."""

    suite: str
    problems: int
    units: int
    """Independent units: problems, or clusters of them."""
    n: int
    """Samples of each problem."""
    sampled: bool
    """True at a temperature above 0."""
    size: int
    """Problems that the suite has without a limit."""
    within_sd: float | None = None
    """Sampling noise of one answer as measured on a stored side; None: assumed."""


def check_reach(design: Design, margin: float, rule: Rule) -> str:
    """What can be shown, in one line; a warning where an unchanged model cannot pass.

    Raises `UsageError` where nothing can: two models that never differ are the most alike that there is.
    """
    best = best_margin(design.units, rule.alpha)
    what = f"{design.suite}: {plural(design.problems, 'problem')} x {design.n}"
    if rule.test == "superior" or margin > best:
        line = f"{what}: a pass takes a margin above {100 * best:.1f}pp even if not one answer differs"
        return f"{line}; {_unchanged(design, rule)}" if design.sampled else line
    shown = f"even if not one answer differs, the loss is only shown to be below {100 * best:.1f} points"
    instead = _instead(design, margin, best, rule.alpha)
    if rule.test == "equivalent":
        raise UsageError(f"{what} can never pass a margin of {100 * margin:g}pp: {shown}. {instead}")
    return f"warning: {what}: an unchanged model cannot pass a margin of {100 * margin:g}pp: {shown}. {instead}"


def _instead(design: Design, margin: float, best: float, alpha: float) -> str:
    """A margin that can pass, and problems where the suite has enough of them."""
    larger = f"say --margin {math.floor(100 * best) + 1}pp or more"
    enough = math.ceil(math.log(alpha) / math.log1p(-margin))
    if design.units == design.problems and design.problems < enough <= design.size:
        return f"Take --limit {enough} or more, or {larger}"
    return f"{larger[0].upper()}{larger[1:]}, or take a suite of at least {enough} problems"


def _unchanged(design: Design, rule: Rule) -> str:
    """From which margin on a model that has not changed, but is sampled anew, passes."""
    within, source = design.within_sd, "as noisy as the stored side"
    if within is None:
        within, source = ASSUMED.get(design.suite, ASSUMED_ELSEWHERE).within_sd, "noise assumed"
    spread = Spread(SMALLEST_DELTA_SD, within, design.problems / design.units)
    shows = spread.detects(design.problems, design.n, rule.alpha, rule.power)
    passes = f"passes with {rule.power:.0%} power from {100 * shows:.1f}pp on"
    return f"an unchanged model with other samples {passes} ({source})"
