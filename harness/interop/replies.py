"""The prompts and replies of an imported run, kept as our own runs keep theirs.

A problem that was found in one of our suites gets that suite's grader and gold answer. Where options were shown, their
order was the other tool's, so that only its own gold letter tells which one is right. Texts of suites whose authors ask
that none be posted are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.interop.common import ForeignItem, ForeignRun
from harness.run.spec import prompt_hash
from harness.types import Completion, Message, Problem, Record

CONFIDENTIAL = frozenset({"gpqa"})
"""Suites whose authors ask that no text be posted: completions quote the questions."""
_LETTER = re.compile(r"\s*\(?([A-J])\)?\.?\s*")


def replies(run: ForeignRun, data_dir: Path | None) -> tuple[list[Problem], list[Record]]:
    """What was asked and answered, in the file's order; two empty lists where the file does not hold all of it."""
    if not run.items or not all(item.prompt and item.replies for item in run.items):
        return [], []
    if any(name in run.task.lower() or name == run.suite for name in CONFIDENTIAL):
        return [], []
    ours = _our_problems(run, data_dir)
    problems = [_problem(item, run.ids.get(item.key, item.key), ours) for item in run.items]
    records = [
        Record(problem.id, attempt, 0, prompt_hash(problem.messages), Completion(text, "stop"))
        for problem, item in zip(problems, run.items, strict=True)
        for attempt, text in enumerate(item.replies)
    ]
    return problems, records


def _our_problems(run: ForeignRun, data_dir: Path | None) -> Mapping[str, Problem]:
    from harness.suites import load_problems, load_suite

    if not run.ids:
        return {}
    try:
        return {problem.id: problem for problem in load_problems(load_suite(run.suite), data_dir, 0, None)}
    except HarnessError:  # found a moment ago: without them the replies are kept all the same
        return {}


def _problem(item: ForeignItem, name: str, known: Mapping[str, Problem]) -> Problem:
    asked, ours = (Message("user", item.prompt),), known.get(name)
    if ours is None:
        return Problem(name, asked, item.target, "")
    if not ours.choices:
        return replace(ours, messages=asked, meta={})
    letter = _LETTER.fullmatch(item.target)
    grader, target = (ours.grader, letter[1]) if letter is not None else ("", item.target)
    return replace(ours, messages=asked, target=target, grader=grader, choices=(), meta={})
