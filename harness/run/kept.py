"""`problems.jsonl` of an imported run: what another tool asked, so that its replies can be shown, judged and graded.

Our own runs need none: their suite renders the questions again. An imported run was asked in that tool's words, which
are kept here beside its replies (`records.jsonl`), with the gold answer and, where its task is one of our suites, the
grader that we would use.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.errors import StoreError, UnknownName
from harness.files import iter_lines, parse_json, write_atomically
from harness.run.plan import Job
from harness.run.spec import RunSpec, prompt_hash
from harness.suites import load_suite, within_limit
from harness.types import DataRef, Message, Problem, Sampling, Suite

KEPT = "problems.jsonl"
_TEXTS = ("id", "target", "grader", "cluster")


def write_problems(directory: Path, problems: Iterable[Problem]) -> None:
    """Write what was asked, one problem a line; the seed, temperature and facts of a problem are not kept."""
    names = ("id", "messages", "target", "grader", "choices", "reference", "cluster")
    rows = ({name: value for name, value in asdict(one).items() if name in names} for one in problems)
    write_atomically(directory / KEPT, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_problems(directory: Path) -> list[Problem]:
    """What was asked in an imported run; empty if nothing was kept. Raises `StoreError` naming a damaged line."""
    path = directory / KEPT
    found: list[Problem] = []
    if not os.path.lexists(path):
        return found
    try:
        for line in iter_lines(path):
            found.append(_problem(parse_json(line)))
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path}, line {len(found) + 1} is damaged ({error}): import the run again") from error
    return found


def _problem(row: dict[str, Any]) -> Problem:
    messages = tuple(Message(one["role"], one["content"]) for one in row["messages"])
    problem = Problem(**{**row, "messages": messages, "choices": tuple(row["choices"])})
    if not all(isinstance(getattr(problem, name), str) for name in _TEXTS):
        raise ValueError("a field has the wrong type")
    if not all(isinstance(one.content, str) and one.role in ("system", "user", "assistant") for one in messages):
        raise ValueError("a message has the wrong type")
    if not isinstance(problem.reference, str | None) or not all(isinstance(one, str) for one in problem.choices):
        raise ValueError("reference or choices have the wrong type")
    return problem


def kept_job(directory: Path, stored: Mapping[str, Any]) -> Job:
    """An imported run as a job, asked in the other tool's words; `limit` of `stored` takes the problems that it takes.

    Raises `StoreError` if no replies were kept, or if the run is damaged.
    """
    tool = stored.get("imported_from")
    problems = read_problems(directory)
    if not problems:
        raise StoreError(
            f"{directory} was imported from {tool} without prompts and replies, since its files did not hold "
            "both: import it again from files that do (lm-eval --log_samples, lighteval --save-details)"
        )
    names = ("suite", "suite_version", "data_sha256", "model")
    if not all(isinstance(stored.get(name), str) for name in names) or not isinstance(
        stored.get("model_identity"), Mapping
    ):
        raise StoreError(f"{directory / 'spec.json'} is damaged: import the run again")
    suite = _suite(stored, problems)
    limit = stored["limit"] if isinstance(stored.get("limit"), int) and stored["limit"] > 0 else None
    problems = [problems[index] for index in within_limit([problem.id for problem in problems], limit)]
    spec = RunSpec(
        suite=stored["suite"],
        suite_version=stored["suite_version"],
        data_sha256=stored["data_sha256"],
        model=stored["model"],
        model_identity=stored["model_identity"],
        sampling=Sampling(),  # what the tool recorded stays in its result: it may have recorded nothing
        limit=limit,
    )
    hashes = {problem.id: prompt_hash(problem.messages) for problem in problems}
    return Job(suite, problems, hashes, spec, directory, ())


def _suite(stored: Mapping[str, Any], problems: Sequence[Problem]) -> Suite:
    """Our suite of that name, for a task that is none of ours a bare one that nothing grades.

    Without its way of judging and its later turns: both need more of a problem than an import keeps.
    """
    try:
        return replace(load_suite(stored["suite"]), judging="", follow_up=None)
    except UnknownName:
        return Suite(
            name=stored["suite"],
            version=stored["suite_version"],
            summary="a task of another tool",
            data=DataRef((), len(problems), stored["data_sha256"], dict),
            render=lambda row, seed: problems[0],
            grader="",
            sampling=Sampling(),
            metrics=("avg@n",),
            licence="",
            paper="",
        )
