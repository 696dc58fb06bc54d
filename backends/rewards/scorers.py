"""What rewards share while a training runs: the pool of graders, and models that answer their questions.

with open_scorers(folder / REPLIES, results_dir, models=totals.models) as scorers:
    marks = totals.mark(group, scorers)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from backends.rewards.asked import AskedModels
from harness.errors import ConfigError, UsageError
from harness.grading.pool import GradingPool
from harness.models.budget import Budget
from harness.models.replies import Asked
from harness.options import refuse_strays
from harness.types import Completion, Request
from judges.types import Judging, Judgment, Task

REPLIES = "replies.sqlite"
"""What a training's folder calls the file of replies of its reward models."""


def _nobody(spec: str, judging: Judging, tasks: Sequence[Task]) -> list[list[Judgment]]:
    raise UsageError(f"{spec} cannot be asked here: open the scorers with `open_scorers`")


def _no_likelihoods(spec: str, requests: Sequence[Request], words: tuple[str, ...]) -> list[Completion]:
    raise UsageError(f"{spec} cannot be asked here: open the scorers with `open_scorers`")


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
    judge: Callable[[str, Judging, Sequence[Task]], list[list[Judgment]]] = _nobody
    """The judgments of a model about each task, as `judges.ask.judge_tasks` makes them; from the same cache."""
    spent: Asked = field(default_factory=Asked)
    likelihoods: Callable[[str, Sequence[Request], tuple[str, ...]], list[Completion]] = _no_likelihoods
    """How likely each of these words begins the reply of a model, in `Completion.alternatives`; from the same cache."""


def refuse_unasked(models: Sequence[str], arguments: Mapping[str, str], budget: str | None) -> None:
    """Raise `ConfigError` for options and a budget of models that no reward of a training asks."""
    if (arguments or budget is not None) and not models:
        raise ConfigError("--judge-arg and --judge-budget are for reward models, and no reward here asks one")
    refuse_strays(arguments, models, "--judge-arg", "reward model")
    if budget is not None:
        Budget.parse(budget)


@contextmanager
def open_scorers(
    replies: Path | None,
    results_dir: Path,
    *,
    models: Sequence[str] = (),
    arguments: Mapping[str, str] | None = None,
    budget: Budget | None = None,
) -> Iterator[Scorers]:
    """The scorers of a training, closed in the end; an error (Ctrl-C too) drops what is under way.

    `replies`: the file of replies, None: in memory. `models` are made now, any other when it is first asked, with the
    options in `arguments` ("<option>" of all engines, "<spec>:<option>" of one). `budget` limits what all of them cost.
    Raises what `load_model` raises, and `StoreError` for a file that cannot be used.
    """
    with closing(AskedModels(replies, results_dir, arguments or {}, budget)) as asked, GradingPool() as pool:
        asked.open(models)
        yield Scorers(pool, asked.ask, results_dir, asked.judge, asked.spent, asked.likelihoods)
