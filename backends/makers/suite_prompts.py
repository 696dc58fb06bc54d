"""Train prompts of a suite, or plain questions in its words: what teachers may be asked without spoiling the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from backends.records.inputs import noted
from backends.records.record import TrainRecord
from backends.records.synth import synth_records
from harness.errors import UsageError
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, Level
from harness.types import Json

TRAIN_LEVELS: dict[str, tuple[Level, ...]] = {"synth": LEVELS, "synth_easy": (1, 2)}
"""Suites that have a train split here, which no test question is in: levels of the embedded world."""


def suite_prompts(name: str, per_level: int, seed: int, allow_test: bool, data_dir: Path | None) -> list[TrainRecord]:
    """The train problems of a suite that has some; its test problems only where that is asked for.

    Raises `UsageError` for a suite without train problems here, what loading a suite raises otherwise.
    """
    suite = load_suite(name)
    if name in TRAIN_LEVELS and not allow_test:
        return [
            TrainRecord(
                id=record.id,
                prompt=record.prompt,
                task=record.task,
                gold=record.gold,
                meta={"dataset": name, "split": "train", "grader": suite.grader, "level": record.meta["level"]},
            )
            for record in synth_records(seed, per_level, TRAIN_LEVELS[name], split="train")
        ]
    if not allow_test:
        raise UsageError(
            f"the problems of {name!r} are a TEST set, and training on them makes every later score on it worthless. "
            f"Give train prompts with --prompts FILE --suite {name} (its wording and grader), or take synth; "
            "--allow-test only for what will never be evaluated on it"
        )
    records = []
    for problem in load_problems(suite, data_dir, seed, None):
        meta: dict[str, Json] = {"dataset": suite.name, "split": "test", "grader": problem.grader}
        if problem.choices:
            meta["choices"] = list(problem.choices)
        records.append(TrainRecord(id=problem.id, prompt=problem.messages, gold=problem.target or None, meta=meta))
    return records


def in_suites_words(records: Sequence[TrainRecord], name: str) -> list[TrainRecord]:
    """Plain questions as the suite would put them, with its grader.

    Raises `UsageError` where a suite's problems are more than a question and an answer.
    """
    suite = load_suite(name)
    found = []
    for record in records:
        question, gold = record.prompt[-1].content, record.gold or ""
        asked: dict[str, Json] = {"id": record.id, "question": question, "problem": question}
        try:
            problem = suite.render({**asked, "answer": gold, "solution": gold}, 0)
        except (KeyError, TypeError, ValueError, IndexError):
            raise UsageError(
                f"a problem of {name!r} is more than a question and an answer: leave --suite out and say --grader "
                f"{suite.grader} and --instruction, or give whole training records"
            ) from None
        made = replace(record, prompt=problem.messages, gold=problem.target if record.gold else None)
        found.append(noted(made, grader=problem.grader, dataset=f"{name}-train"))
    return found
