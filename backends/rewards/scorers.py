"""What rewards share while a training runs: the pool of graders, and models that answer their questions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.grading.pool import GradingPool
from harness.types import Completion, Request


@dataclass(frozen=True)
class Scorers:
    """Opened once per training. Everything here may be used from several threads at once."""

    pool: GradingPool
    """Grades one answer in a process that can be killed."""
    ask: Callable[[str, Sequence[Request]], list[Completion]]
    """The replies of a model (a spec) to these requests, in order; a failed one has `finish="error"`.

    Replies are cached in the training's folder by the whole content of the request, so that nothing is asked twice.
    """
    results_dir: Path
    """Where `trained:<id>` is looked up."""
