"""Sampling presets (`--protocol`): how a published protocol draws its completions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.types import Sampling


@dataclass(frozen=True)
class SamplingPreset:
    """A named way of sampling that replaces a suite's own defaults."""

    name: str
    temperature: float
    top_p: float
    max_tokens: int | None
    """None keeps the suite's own limit."""
    n: Mapping[str, int] = field(default_factory=dict)
    """Samples per problem by suite; a suite that is not named keeps its own n."""
    n_default: int | None = None
    """For suites that `n` does not name; None keeps the suite's own."""
    source: str = ""

    def apply(self, suite: str, sampling: Sampling) -> Sampling:
        """The suite's sampling under this protocol."""
        n = self.n.get(suite, self.n_default if self.n_default is not None else sampling.n)
        return replace(
            sampling,
            n=n,
            temperature=self.temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens if self.max_tokens is not None else sampling.max_tokens,
        )


R1 = SamplingPreset(
    name="r1",
    temperature=0.6,
    top_p=0.95,
    max_tokens=32768,
    n={"aime": 64, "aime24": 64, "aime25": 64, "gpqa": 8, "math500": 4},
    source="DeepSeek-R1 (arXiv 2501.12948) and open-r1's settings; no system prompt",
)
GREEDY = SamplingPreset(
    name="greedy", temperature=0.0, top_p=1.0, max_tokens=None, n_default=1, source="one greedy sample"
)
