"""What a gate can show, said before any answer is generated, so that no hours are spent in vain.

A pass needs the bound of the loss inside the margin. Not one problem may differ for it to be as small as
1 - alpha^(1/N): 3.0 points on 100 problems. Under a smaller margin only a model that is better can pass.
"""

from __future__ import annotations

import math

from harness.errors import UsageError
from harness.gate.needs import Spread, best_margin
from harness.gate.pairs import Rule
from harness.plain import plural
from harness.power import ASSUMED, ASSUMED_ELSEWHERE, SMALLEST_DELTA_SD
from harness.run.plan import PlannedRun


def check_reach(plan: PlannedRun, sampled: bool, within_sd: float | None, margin: float, rule: Rule) -> str:
    """What a comparison of shares can show, in one line; a warning where an unchanged model cannot pass.

    `sampled`: at a temperature above 0. `within_sd` is the sampling noise of one answer as measured on a stored side;
    None: assumed. Raises `UsageError` where nothing can: two models that never differ are the most alike that there is.
    """
    problems = len(plan.problems)
    units = len({problem.cluster or f"problem {problem.id}" for problem in plan.problems})
    best = best_margin(units, rule.alpha)
    what = f"{plan.suite.name}: {plural(problems, 'problem')} x {plan.spec.sampling.n}"
    if rule.test == "superior" or margin > best:
        line = f"{what}: a pass takes a margin above {100 * best:.1f}pp even if not one answer differs"
        return f"{line}; {_unchanged(plan, units, within_sd, rule)}" if sampled else line
    shown = f"even if not one answer differs, the loss is only shown to be below {100 * best:.1f} points"
    instead = _instead(plan, units, margin, best, rule.alpha)
    if rule.test == "equivalent":
        raise UsageError(f"{what} can never pass a margin of {100 * margin:g}pp: {shown}. {instead}")
    return f"warning: {what}: an unchanged model cannot pass a margin of {100 * margin:g}pp: {shown}. {instead}"


def _instead(plan: PlannedRun, units: int, margin: float, best: float, alpha: float) -> str:
    """A margin that can pass, and problems where the suite has enough of them."""
    larger = f"say --margin {math.floor(100 * best) + 1}pp or more"
    enough = math.ceil(math.log(alpha) / math.log1p(-margin))
    if units == len(plan.problems) < enough <= plan.suite.data.rows:
        return f"Take --limit {enough} or more, or {larger}"
    return f"{larger[0].upper()}{larger[1:]}, or take a suite of at least {enough} problems"


def _unchanged(plan: PlannedRun, units: int, within_sd: float | None, rule: Rule) -> str:
    """From which margin on a model that has not changed, but is sampled anew, passes."""
    source = "as noisy as the stored side"
    if within_sd is None:
        within_sd, source = ASSUMED.get(plan.suite.name, ASSUMED_ELSEWHERE).within_sd, "noise assumed"
    spread = Spread(SMALLEST_DELTA_SD, within_sd, len(plan.problems) / units)
    shows = spread.detects(len(plan.problems), plan.spec.sampling.n, rule.alpha, rule.power)
    passes = f"passes with {rule.power:.0%} power from {100 * shows:.1f}pp on"
    return f"an unchanged model with other samples {passes} ({source})"
