"""`gym:<task>`: the procedurally generated tasks of the library reasoning-gym, 50 problems each, from a fixed seed.

The problems may change with the library's version, so the version is part of the suite's version and the data pin is
computed when the suite is built. The build also asks the task's scorer two questions about every problem, because a
scorer that fails them gives scores that mean nothing: is the library's own answer right, is "I do not know." wrong?
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from harness.datasets import content_hash
from harness.errors import DataError
from harness.grading.gym import (
    CLOSE,
    OPEN,
    REFUSED,
    Dataset,
    Entry,
    dataset,
    entry,
    library,
    library_version,
    make_target,
    reward,
)
from harness.hashing import short_hash
from harness.suites._render import text, user
from harness.types import DataRef, Json, Problem, Sampling, Suite

SEED = 42
SIZE = 50
INSTRUCTION = f"Give your final answer, in the form asked for and with nothing else, between {OPEN} and {CLOSE}."
_NOISE = "I do not know."


def task_names() -> list[str]:
    """All tasks that `gym:<task>` offers, sorted; raises `MissingExtra` if the library is not installed."""
    return sorted(set(library().DATASETS) - set(REFUSED))


def _check(task: str, data: Dataset, index: int, made: Entry) -> None:
    """Raise `DataError` if the scorer misjudges this problem's own answer or a text that says nothing."""
    answer, question = made["answer"], made["question"]
    if not isinstance(answer, str) or not isinstance(question, str):
        raise DataError(f"gym:{task} #{index}: reasoning-gym {library_version()} gives no question and answer as text")
    if reward(data, made, answer.strip()) != 1.0:
        raise DataError(f"gym:{task} #{index}: reasoning-gym {library_version()} does not accept its own answer")
    got = reward(data, made, _NOISE)
    if got is not None and got >= 1.0:
        raise DataError(f"gym:{task} #{index}: reasoning-gym {library_version()} accepts {_NOISE!r} as right")


@cache
def _rows(task: str) -> tuple[Mapping[str, Json], ...]:
    data = dataset(task, SEED, SIZE)
    rows: list[Mapping[str, Json]] = []
    for index in range(SIZE):
        made = entry(task, SEED, SIZE, index)
        _check(task, data, index, made)
        rows.append(
            {
                "id": f"gym-{task}-{index}",
                "task": task,
                "question": made["question"],
                "answer": made["answer"],
                "target": make_target(task, SEED, SIZE, index),
            }
        )
    return tuple(rows)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    question = text(row, "question")
    return Problem(
        id=text(row, "id"),
        messages=user(question, INSTRUCTION),
        target=text(row, "target"),
        grader="gym",
        cluster=short_hash(question),  # small tasks repeat themselves
        meta={"task": text(row, "task")},
    )


def build(task: str) -> Suite:
    """The suite of one task.

    Raises `MissingExtra`, `UnknownName` with a suggestion, `UsageError` for a task that is refused with its reason,
    `DataError` for one whose scorer fails the checks above.
    """
    version = library_version()
    rows = _rows(task)
    return Suite(
        name=f"gym:{task}",
        version=f"1+reasoning-gym-{version}",
        summary=f"reasoning-gym task {task}, {SIZE} problems from seed {SEED}",
        data=DataRef(files=(), rows=len(rows), sha256=content_hash(rows), generate=lambda: rows),
        render=_render,
        grader="gym",
        sampling=Sampling(n=1, temperature=0.0, max_tokens=2048),
        metrics=("avg@n", "pass@4", "maj@4", "tokens_out"),
        formats=("think",),
        licence="Apache-2.0",
        paper="Stojanovski et al. 2025, arXiv 2505.24760",
    )
