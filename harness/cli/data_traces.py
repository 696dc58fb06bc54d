"""`harness data traces`: a teacher's completions of training prompts, kept where the grader confirms them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from harness.cli import options
from harness.cli.data_run import Settings, asking, carry_out
from harness.types import Json, Problem, Suite

if TYPE_CHECKING:
    from backends.records.record import TrainRecord
    from harness.synth import Level

TRAIN_LEVELS: dict[str, tuple[int, ...]] = {"synth": (1, 2, 3, 4, 5), "synth_easy": (1, 2)}
"""Suites that have a train split here, which no test question is in: levels of the embedded world."""
NOT_CHECKED = "prompts that a benchmark asks as well must go first: `harness data decontaminate`"


@click.command("traces")
@click.option("--suite", metavar="NAME", help="Train problems of synth or synth_easy; with --prompts, whose grader.")
@click.option(
    "--prompts",
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSON lines of training records, or of question and answer columns.",
)
@click.option("--n", type=click.IntRange(1, 4096), default=1, show_default=True, help="Completions of each prompt.")
@click.option("--per-problem", type=click.IntRange(min=1), help="Most records of one prompt. [default: all]")
@click.option("--per-level", type=click.IntRange(min=1), default=500, show_default=True, help="Problems of synth.")
@click.option("--grader", metavar="NAME", help="What checks the answers of --prompts (`harness list graders`).")
@click.option("--instruction", default="", metavar="TEXT", help="Put after every plain question of --prompts.")
@click.option(
    "--allow-test", is_flag=True, help="Let a suite's TEST problems become training data: almost never right."
)
@options.data_dir
@asking("teacher")
def command(
    suite: str | None,
    prompts: Path | None,
    n: int,
    per_problem: int | None,
    per_level: int,
    grader: str | None,
    instruction: str,
    allow_test: bool,
    data_dir: Path | None,
    limit: int | None,
    **given: Any,
) -> None:
    """Let a teacher answer training prompts N times and keep what the grader finds right (rejection sampling).

    Prompts whose answer nothing can check are kept as they come, marked unverified. Wrong completions become the
    negatives of right ones; problems never solved stand in <out>.unsolved.jsonl for `harness data dual`. Test problems
    of a suite are refused: a model trained on them can no longer be evaluated by it.

    \b
    harness data traces --teacher openai:my-teacher --suite synth_easy --n 4 -o traces.jsonl
    harness data traces --teacher openai:my-teacher --prompts gsm8k_train.jsonl --suite gsm8k -o traces.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.traces import Traces
    from backends.records.inputs import read_prompts
    from backends.records.record import data_hash
    from harness.errors import UsageError

    settings = Settings.of(given)
    if suite is None and prompts is None:
        raise UsageError("nothing to ask: say --suite synth (or synth_easy), or --prompts FILE")
    if prompts is None and (grader is not None or instruction):
        raise UsageError("--grader and --instruction are for --prompts: a suite brings its own")
    if prompts is not None:
        if suite is not None and (grader is not None or instruction):
            raise UsageError("--suite brings grader and instruction: leave --grader and --instruction out")
        records, repeated = read_prompts(prompts, instruction=instruction, grader=grader)
        if suite is not None:
            records = in_suites_words(records, suite)
        source: dict[str, Json] = {"prompts": str(prompts), "repeated_rows": repeated, "suite": suite, "split": None}
    else:
        assert suite is not None
        records = suite_prompts(suite, per_level, settings.seed, allow_test, data_dir)
        source = {"suite": suite, "split": "train" if suite in TRAIN_LEVELS and not allow_test else "test"}
    records = records[:limit]
    if source["split"] == "test":
        click.echo(f"warning: these are TEST problems of {suite}: never evaluate on it what they train", err=True)
    recipe = Traces(records, settings.model, n, per_problem, settings.draw(0.7 if n > 1 else 0.0))
    source["input_hash"] = data_hash(records)
    carry_out(
        recipe, settings, [prompts] if prompts is not None else [], source, "" if source["split"] else NOT_CHECKED
    )


def suite_prompts(name: str, per_level: int, seed: int, allow_test: bool, data_dir: Path | None) -> list[TrainRecord]:
    """The train problems of a suite that has some; its test problems only where that is asked for.

    Raises `UsageError` for a suite without train problems here, what loading a suite raises otherwise.
    """
    from backends.records.record import TrainRecord
    from backends.records.synth import synth_records
    from harness.errors import UsageError
    from harness.suites import load_problems, load_suite

    suite = load_suite(name)
    if name in TRAIN_LEVELS and not allow_test:
        levels = tuple(cast("Level", level) for level in TRAIN_LEVELS[name])
        found = synth_records(seed, per_level, levels, split="train")
        return [
            TrainRecord(
                id=record.id,
                prompt=record.prompt,
                task=record.task,
                gold=record.gold,
                meta={"dataset": name, "split": "train", "grader": suite.grader, "level": record.meta["level"]},
            )
            for record in found
        ]
    if not allow_test:
        raise UsageError(
            f"the problems of {name!r} are a TEST set, and training on them makes every later score on it worthless. "
            f"Give train prompts with --prompts FILE --suite {name} (its wording and grader), or take synth; "
            "--allow-test only for what will never be evaluated on it"
        )
    return [_test_prompt(problem, suite) for problem in load_problems(suite, data_dir, seed, None)]


def _test_prompt(problem: Problem, suite: Suite) -> TrainRecord:
    from backends.records.record import TrainRecord

    meta: dict[str, Json] = {"dataset": suite.name, "split": "test", "grader": problem.grader}
    if problem.choices:
        meta["choices"] = list(problem.choices)
    return TrainRecord(id=problem.id, prompt=problem.messages, gold=problem.target or None, meta=meta)


def in_suites_words(records: Sequence[TrainRecord], name: str) -> list[TrainRecord]:
    """Plain questions as the suite would put them, with its grader.

    Raises `UsageError` where a suite's problems are more than a question and an answer.
    """
    from backends.records.inputs import noted
    from harness.errors import UsageError
    from harness.suites import load_suite

    suite = load_suite(name)
    found = []
    for record in records:
        question, gold = record.prompt[-1].content, record.gold or ""
        row: Mapping[str, Json] = {
            "id": record.id,
            "question": question,
            "problem": question,
            "answer": gold,
            "solution": gold,
        }
        try:
            problem = suite.render(row, 0)
        except (KeyError, TypeError, ValueError, IndexError):
            raise UsageError(
                f"a problem of {name!r} is more than a question and an answer: leave --suite out and say --grader "
                f"{suite.grader} and --instruction, or give whole training records"
            ) from None
        made = replace(record, prompt=problem.messages, gold=problem.target if record.gold else None)
        found.append(noted(made, grader=problem.grader, dataset=f"{name}-train"))
    return found
