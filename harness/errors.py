"""The exception tree. Every error a user can cause is one of these, is printed as one line, and sets the exit code.

    HarnessError                 exit
    ├── UsageError                 2   wrong flag, unknown name, bad value
    │   ├── UnknownName            2   with "did you mean" and the list
    │   ├── SeveralRuns            2   the beginning of more than one run's id: with these
    │   └── ConfigError            2   a config file or --set that does not fit
    ├── DataError                  2   data that is missing, empty, duplicated, or not what is pinned
    │   └── NotMeasured            2   a metric of something that the data do not hold: told and left out
    ├── StoreError                 2   a run directory that cannot be read or does not belong to this spec
    ├── PrerequisiteError          3   something must be installed, started or set first
    │   ├── MissingExtra           3   names the command that installs it
    │   └── MissingKey             3   names the environment variable
    ├── ModelError                 3   a model that cannot answer at all: unreachable, refused, not found
    │   └── BrokenModel            2   a checkpoint or adapter that is torn, or whose parts do not belong together
    ├── TooManyFailures            1   the run finished, but too much is unscored or failed
    ├── TrainingStopped            1   the loss is no finite number, or memory ran out; the last checkpoint is kept
    └── BudgetReached              5   stopped at --budget; the same command with a larger one goes on

`harness gate` is no error when it has an answer: it returns 0 (passes), 1 (a regression) or 4 (inconclusive).
`Interrupted` (exit 130) is how Ctrl-C looks once everything generated so far is safely on disk.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from harness.distribution import install_command


class HarnessError(Exception):
    """Base of everything this project raises on purpose; `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(HarnessError):
    """The command cannot mean anything as written."""

    exit_code = 2


class UnknownName(UsageError):
    """A name that is not in the catalog."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(f"unknown {kind} {name!r}.{did_you_mean(name, names)} Known: {', '.join(names)}")


class SeveralRuns(UsageError):
    """Letters with which the ids of several runs begin, or that are part of them."""


class ConfigError(UsageError):
    """A setting that does not exist or has the wrong type."""


class DataError(HarnessError):
    """Data that is missing, empty, duplicated, malformed or not what is pinned. Raised before anything is spent."""

    exit_code = 2


class NotMeasured(DataError):
    """A run's data hold nothing of what a metric measures: no failure, the metric does not apply."""


class StoreError(HarnessError):
    """A run directory that cannot be read, written or matched to its spec."""

    exit_code = 2


class PrerequisiteError(HarnessError):
    """Something outside this program must be done first."""

    exit_code = 3


class MissingExtra(PrerequisiteError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs the extra {extra!r}: {install_command(extra)}")


class MissingKey(PrerequisiteError):
    """A secret is not set in the environment."""

    def __init__(self, variable: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the environment variable {variable}; set it and run the same command again")


class ModelError(PrerequisiteError):
    """The model cannot answer anything."""


class BrokenModel(ModelError):
    """A checkpoint or adapter whose files are torn or do not belong together: no model could be made of them."""

    exit_code = 2


class TooManyFailures(HarnessError):
    """Finished and stored, but too many samples are unscored or failed for the scores to be trusted."""

    exit_code = 1


class TrainingStopped(HarnessError):
    """Training cannot go on: a loss or gradient that is no finite number, too little memory. What was saved is kept."""

    exit_code = 1


class BudgetReached(HarnessError):
    """The budget is spent: what was judged is stored, and a larger budget goes on from there."""

    exit_code = 5


class Interrupted(HarnessError):
    """Stopped by the user; the same command resumes."""

    exit_code = 130


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.5) -> str:
    """The end of a message about an unknown name: " Did you mean 'x'?", or nothing if no known one is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {close[0]!r}?" if close else ""
