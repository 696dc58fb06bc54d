"""Whether the sampler has the student's weights: their log-probabilities of the drawn tokens must agree, every step.

An engine of its own computes in another order, perhaps in another precision: the first step, in which both have the
same weights for certain, tells how far the two are apart by that alone. Later a mean distance beyond three times as
much means that weights did not arrive: a tied output layer that stayed the old one is 10^4 times the noise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

GAP = "sampler_gap"
"""The number that it is about."""
TIMES = 3.0
LEAST = 1e-4
"""In nats. Below it no distance matters: float32 on both sides is at 1e-7."""
BF16_LEAST = 1e-2
"""The same in bfloat16: two orders of the same sums round alike or a whole step (of 1/256) apart, so that a first step
may be at 1e-7 by luck and the next at 1e-3; weights of one step before are far beyond either."""


@dataclass
class SamplerGap:
    """Judges the mean |log p of the trainer - log p of the sampler| of each step."""

    base: float | None = None
    """Of the first step."""
    least: float = LEAST

    def see(self, gap: float) -> str | None:
        """What is wrong, in one line."""
        if math.isfinite(gap) and self.base is None:
            self.base = gap
        elif not math.isfinite(gap) or self.base is None or gap > max(TIMES * self.base, self.least):
            first = "" if self.base is None else f", {self.base:.1e} in the first step"
            return (
                f"the sampler does not have the student's weights: log-probabilities of the drawn tokens differ by "
                f"{gap:.1e} in the mean{first}. Look at how weights reach the engine"
            )
        return None
