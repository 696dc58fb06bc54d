"""Counters of judging, for progress while it runs and for the report at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from harness.types import Completion

from .budget import Prices


@dataclass
class Tally:
    """What has happened so far; one object may count several calls of `judge_tasks`."""

    total: int = 0
    """Judgments wanted."""
    done: int = 0
    """Judgments settled, failed ones included."""
    cached: int = 0
    """Of those, settled without a request of their own."""
    malformed: int = 0
    """Of those, unscored because no reply could be read."""
    errors: int = 0
    """Of those, unscored because the judge gave no reply."""
    retried: int = 0
    """Judgments whose first reply could not be read."""
    requests: int = 0
    """Requests answered now, failed ones included."""
    tokens_in: int = 0
    """Prompt tokens of requests made now, where the server says."""
    tokens_out: int = 0
    cost: float | None = None
    """Price of those tokens, in the currency of the judge's prices; None without prices."""
    started: float = field(default_factory=time.monotonic)

    def count_reply(self, completion: Completion, prices: Prices | None) -> None:
        """Note one answered request."""
        self.requests += 1
        tokens_in, tokens_out = completion.tokens_in or 0, completion.tokens_out or 0
        self.tokens_in += tokens_in
        self.tokens_out += tokens_out
        if prices is not None:
            self.cost = (self.cost or 0.0) + prices.cost(tokens_in, tokens_out)

    def seconds_left(self) -> float | None:
        """Expected seconds to the end, from the pace of the judgments that took a request; None while there is none."""
        made = self.done - self.cached
        if made <= 0:
            return None
        return (time.monotonic() - self.started) / made * (self.total - self.done)
