"""What `harness check --deep` does for one suite: are equal spellings of its golds right, and changes wrong?

The replies come from the tables of `harness.grading.forms`, and go the way of every completion: `score_completion`,
then the grading pool. Each problem gets its share of the forms, chosen by a hash, so that a suite costs about as many
cases as are allowed and every form meets many golds. A problem that is known to be ungradable is left out.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from harness.errors import HarnessError
from harness.grading import Pending, score_completion
from harness.grading.forms import Case, Part, cases
from harness.grading.pool import GradingPool
from harness.suites import load_problems
from harness.types import Completion, Score, Suite

RIGHT_BAR = 0.999
"""Share of the replies that must be right and are; below it a suite fails."""
_BESIDE = ("math", "number", "integer")
CaseOutcome = Literal["agrees", "false_positive", "false_negative", "unscored"]


@dataclass(frozen=True)
class GradedCase:
    """One case and what became of it."""

    case: Case
    read: str
    """The answer that was found in the reply, or the grader's canonical form of it."""
    score: Score
    beside: bool | None = None
    """What bare math-verify says; None where it was not asked."""

    @property
    def outcome(self) -> CaseOutcome:
        """Whether the score is what it must be; a missing score is neither right nor wrong."""
        if self.score.value is None:
            return "unscored"
        if (self.score.value == 1.0) == self.case.right:
            return "agrees"
        return "false_negative" if self.case.right else "false_positive"


@dataclass(frozen=True)
class DeepCheck:
    """The outcome for one suite."""

    suite: str
    problems: int
    graded: tuple[GradedCase, ...]
    seconds: float

    def count(self, outcome: CaseOutcome) -> int:
        """How many cases ended so."""
        return sum(one.outcome == outcome for one in self.graded)

    @property
    def right_share(self) -> float | None:
        """Share of the scored replies that must be right and are; None without any."""
        must = [one for one in self.graded if one.case.right and one.outcome != "unscored"]
        return sum(one.outcome == "agrees" for one in must) / len(must) if must else None

    @property
    def passed(self) -> bool:
        """No false positive, nothing unscored, and the bar for what must be right."""
        share = self.right_share
        return (
            self.count("false_positive") == 0 and self.count("unscored") == 0 and (share is None or share >= RIGHT_BAR)
        )


def deep_check(
    suite: Suite,
    data_dir: Path | None,
    pool: GradingPool,
    *,
    limit: int | None,
    at_most: int,
    seed: int,
    parts: frozenset[Part],
    beside: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> DeepCheck:
    """Grade the cases of one suite, about `at_most` of them but one for each problem at least.

    `limit`: problems, as for a run. `progress` is told (done, total). Raises `DataError` or `PrerequisiteError` where
    the suite's data does not load.
    """
    started = time.monotonic()
    problems = [one for one in load_problems(suite, data_dir, seed=0, limit=limit) if "ungradable" not in one.meta]
    share = max(1, at_most // max(1, len(problems)))
    chosen = (
        [] if suite.judging else [case for one in problems for case in _share(cases(one, seed, parts), share, seed)]
    )
    pending = [_submit(case, pool) for case in chosen]
    graded = []
    for done, (case, (read, outcome)) in enumerate(zip(chosen, pending, strict=True)):
        score = outcome if isinstance(outcome, Score) else outcome.result()
        graded.append(GradedCase(case, score.answer or read if score.value is not None else read, score))
        progress(done + 1, len(chosen))
    if beside:
        graded = _with_beside(graded)
    return DeepCheck(suite.name, len(problems), tuple(graded), time.monotonic() - started)


def _share(found: Iterable[Case], share: int, seed: int) -> list[Case]:
    """That many of a problem's cases, the first by a hash of their names, in the tables' order."""
    every = list(found)
    ranked = sorted(range(len(every)), key=lambda place: _rank(every[place], seed))
    return [every[place] for place in sorted(ranked[:share])]


def _rank(case: Case, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{case.problem.id}:{case.form}:{case.right}".encode()).digest()


def _submit(case: Case, pool: GradingPool) -> tuple[str, Score | Future[Score]]:
    try:
        scored = score_completion(case.problem, Completion(text=case.text, finish="stop"))
    except HarnessError as error:  # a target that its grader cannot read: `harness check` without --deep says more
        return "", Score(None, "unscored", None, str(error))
    if isinstance(scored, Pending):
        return scored.answer, pool.submit(scored.grader, scored.target, scored.answer)
    return scored.answer or "", scored


def _with_beside(graded: Sequence[GradedCase]) -> list[GradedCase]:
    from harness.grading.forms.beside import verdicts

    places = [place for place, one in enumerate(graded) if one.case.problem.grader in _BESIDE]
    said = verdicts([(graded[place].case.problem.target, graded[place].case.text) for place in places])
    found = list(graded)
    for place, verdict in zip(places, said, strict=True):
        found[place] = replace(found[place], beside=verdict)
    return found
