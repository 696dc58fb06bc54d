"""One decision for each comparison, and why where its interval and its test disagree.

The test decides, corrected for all comparisons that are shown together: it is exact where few problems differ, and an
interval is not. An interval belongs to one comparison alone and is the size of the difference, not a second test.
"""

from __future__ import annotations

import math
from typing import Literal

Decision = Literal["higher", "lower", "not shown"]
ALPHA = 0.05


def decide(difference: float, p: float | None) -> Decision:
    """Whether the first side is shown to be higher or lower than the second, by the (corrected) p value."""
    if p is None or math.isnan(p) or p > ALPHA or difference == 0.0:
        return "not shown"
    return "higher" if difference > 0.0 else "lower"


def disagreement(low: float, high: float, p: float | None, corrected: float | None) -> str:
    """Why the decision is not what the interval looks like; an empty text where they agree.

    `p` is of the comparison alone, `corrected` after correction for all that are shown together.
    """
    if p is None or corrected is None or math.isnan(p) or math.isnan(corrected) or math.isnan(low) or math.isnan(high):
        return ""
    outside = low > 0.0 or high < 0.0
    if outside == (corrected <= ALPHA):
        return ""
    if not outside:
        return f"the interval holds 0 and p is at most {ALPHA:g}: the interval is approximate, and the test decides"
    if p <= ALPHA:
        return (
            f"the interval is of this comparison alone, and corrected for all that are shown p is above {ALPHA:g}: "
            "the corrected p decides, and no difference is shown"
        )
    return (
        f"the interval leaves out 0 and p is above {ALPHA:g}: the interval is approximate, and the test decides; "
        "no difference is shown"
    )
