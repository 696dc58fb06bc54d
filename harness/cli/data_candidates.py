"""`harness data candidates`: a student's answers to a teacher's thoughts, each with a reward."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.cli.data_recipes import grader_option, records_argument
from harness.cli.data_run import Settings, asking, beside, carry_out, open_cache, provenance, read_inputs

if TYPE_CHECKING:
    from backends.makers.cotd import Reward
    from backends.records.record import TrainRecord

CONTINUING = ("hf", "vllm", "smollm2", "tiny", "trained", "mock")
"""Engines that go on in the middle of a reply."""


@click.command("candidates")
@records_argument
@click.option("--k", type=click.IntRange(2, 4096), default=8, show_default=True, help="Answers of each prompt.")
@click.option(
    "--temperatures",
    nargs=2,
    type=click.FloatRange(0, 10),
    default=(0.6, 1.2),
    show_default=True,
    metavar="LOW HIGH",
    help="Each answer's temperature is drawn uniformly from this range.",
)
@click.option(
    "--reward",
    default="grader",
    show_default=True,
    metavar="grader|judge|MODULE:FUNCTION",
    help="Who rewards: the records' grader, --judge with --rubric, or a function of your own.",
)
@grader_option
@options.some(options.JUDGING, "judge", "judge_options", "rubric")
@asking("student")
def command(
    records: tuple[str, ...],
    k: int,
    temperatures: tuple[float, float],
    reward: str,
    grader: str | None,
    judge: tuple[str, ...],
    judge_options: dict[str, str],
    rubric: str | None,
    limit: int | None,
    **given: Any,
) -> None:
    """Sample K answers of a student to each teacher's thought and reward them: the second half of data for cotd_po.

    RECORDS have `think` (`harness data rationales`). Engines in this process go on after the thought; a chat endpoint
    is shown it in the prompt. A reward function takes (record, answer) pairs and gives a number, or None, for each.
    Default: top-p 0.95.

    \b
    harness data candidates thoughts.jsonl --student hf:./student --k 8 -o candidates.jsonl
    harness data candidates thoughts.jsonl --student hf:./student --reward judge --judge openai:gpt-4.1 \\
        --rubric rating_10 -o candidates.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.cotd import Candidates
    from harness.errors import UsageError

    settings = Settings.of(given, "student")
    if settings.temperature is not None:
        raise UsageError("candidates draw a temperature for each answer: say --temperatures LOW HIGH")
    if temperatures[0] > temperatures[1]:
        raise UsageError(f"--temperatures {temperatures[0]:g} {temperatures[1]:g}: the lower one comes first")
    found = read_inputs(records, limit, grader)
    with ExitStack() as stack:
        rewarded = _reward(reward, found, judge, judge_options, rubric, settings, stack)
        recipe = Candidates(
            found,
            settings.model,
            rewarded,
            k,
            *temperatures,
            settings.model.partition(":")[0] in CONTINUING,
            settings.draw(0.0, 0.95),
            settings.template("cotd_answer"),
        )
        source = {**provenance(records, found), "reward": reward, "judge": list(judge), "rubric": rubric}
        carry_out(recipe, settings, [Path(name) for name in records], source)


def _reward(
    kind: str,
    records: Sequence[TrainRecord],
    judge: tuple[str, ...],
    judge_options: dict[str, str],
    rubric: str | None,
    settings: Settings,
    stack: ExitStack,
) -> Reward:
    from backends.makers.cotd import grader_reward
    from harness.errors import UsageError
    from harness.models import load_model

    if kind != "judge" and (judge or rubric is not None or judge_options):
        raise UsageError("--judge and --rubric reward only with --reward judge")
    if kind == "grader":
        return grader_reward(records)
    if kind != "judge":
        return _plugged(kind)
    if len(judge) != 1 or rubric is None:
        raise UsageError("--reward judge needs one --judge and one --rubric that looks at one answer, e.g. rating_10")
    from backends.makers.judged import judge_reward
    from harness.models.reply_cache import Cache

    plan_only = settings.dry_run and not beside(settings.out, ".cache.sqlite").exists()
    cache = stack.enter_context(Cache(None) if plan_only else open_cache(settings.out))
    return judge_reward(load_model(judge[0], judge_options, settings.results_dir), rubric, cache, settings.budget)


def _plugged(name: str) -> Reward:
    """A function of the user's own: named by them, so imported."""
    from harness.errors import UsageError

    module, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise UsageError(f"--reward {name!r}: say grader, judge, or module:function")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # another's code: whatever it raises while it is imported
        raise UsageError(f"--reward {name!r} does not load: {error!r}") from error
    if not callable(function):
        raise UsageError(f"--reward {name!r} is no function")

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        try:
            return [None if value is None else float(value) for value in function(pairs)]
        except Exception as error:  # likewise
            raise UsageError(f"--reward {name!r} failed: {error!r}; the replies are stored") from error

    return reward
