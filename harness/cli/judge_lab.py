"""`harness judge lab`: measure judge prompts on answers whose better one is known, and compare them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.models.budget import Budget
    from harness.types import Model
    from judges.lab.arm import JudgeArm
    from judges.lab.session import LabReport
    from judges.lab.sets import PairSet
    from judges.types import Rubric

WATCHED = 200
"""Pairs of a --watch that does not say how many."""


@click.command("lab")
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    metavar="NAME|FILE",
    help="Judge prompt (`harness list rubrics`) or a TOML file; repeat it to compare prompts.",
)
@click.option(
    "--watch",
    type=options.FilePath(dir_okay=False, exists=True, path_type=Path),
    metavar="FILE",
    help="A TOML file that you edit: every saved version is held against the last one, until Ctrl-C.",
)
@click.option(
    "--set",
    "set_name",
    required=True,
    metavar="NAME|FILE",
    help="llmbar, mt_bench_human, judgebench, or a JSONL file of question, a, b and label.",
)
@options.some(options.JUDGING, "judge", "judge_options")
@click.option("--subset", metavar="NAME", help="One subset of the set; all: LLMBar with its side sets.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help="Only that many pairs, the same for every prompt. [default: all; --watch: 200]",
)
@options.some(options.JUDGING, "repeats", "judge_temperature", "budget")
@click.option(
    "--self-name", "own_names", multiple=True, metavar="NAME", help="The judge's name in the set, for self-preference."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of --limit and of the bootstrap.")
@click.option(
    "--show", default=5, show_default=True, type=click.IntRange(min=0), help="Changed pairs to list, per direction."
)
@click.option(
    "--errors", is_flag=True, help="First the pairs that a judge gets wrong, with its reasons in both orders."
)
@click.option("--dry-run", is_flag=True, help="Show how much there is to ask, tokens and cost; ask nothing.")
@options.data_dir
@options.results_dir
@options.quiet
@options.output_format
def command(
    rubrics: tuple[str, ...],
    watch: Path | None,
    set_name: str,
    subset: str | None,
    limit: int | None,
    own_names: tuple[str, ...],
    seed: int,
    show: int,
    errors: bool,
    dry_run: bool,
    data_dir: Path | None,
    results_dir: Path,
    quiet: bool,
    form: Format,
    **flags: Any,
) -> None:
    """Measure judge prompts on pairs of answers whose better one is known, and compare them pair by pair.

    Every prompt and every judge sees the same frozen pairs: pairwise rubrics in both orders, other rubrics one answer
    at a time. Shows agreement with the labels, what position, length, lists and the judge's own name do to the verdict,
    replies that could not be read, cost, and for two prompts the paired difference, a diff of the prompts and the pairs
    that changed. Replies are cached: what was asked once costs nothing again.

    With --watch a prompt is improved version by version: each is asked about a few pairs at a time, and about no more
    once it is worse or its difference is noise. However often you look, a difference is claimed by mistake in at most
    5 % of sessions. Versions and their numbers are kept in <results>/judge_lab.

    \b
    harness judge lab --set llmbar --rubric pairwise_5 --rubric ./mine.toml --judge openai:gpt-4.1
    harness judge lab --set llmbar --watch mine.toml --judge openai:gpt-4.1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.errors import UsageError
    from judges.lab.sets import load_set

    if watch is None and not rubrics:
        raise UsageError("no judge prompt: say --rubric NAME, or --watch FILE (`harness list rubrics`)")
    arm_of, models, budget = _judges({**flags, "results_dir": str(results_dir)})
    told = _Told(results_dir, budget, own_names, seed, show, errors, form, quiet)
    pairs = load_set(
        set_name, data_dir, subset=subset, limit=limit or (WATCHED if watch is not None else None), seed=seed
    )
    arms = _arms([*rubrics, *([str(watch)] if watch is not None and (dry_run or not rubrics) else [])], models, arm_of)
    if dry_run:
        from harness.cli.judge_lab_plan import show_lab_plan

        show_lab_plan(arms, pairs, results_dir, form)
    elif watch is not None:
        _watch(watch, arms, pairs, told, arm_of, start=bool(rubrics))
    else:
        _measure(arms, pairs, told)


@dataclass(frozen=True)
class _Told:
    """What a session was told, whichever kind it is."""

    results_dir: Path
    budget: Budget | None
    own_names: Sequence[str]
    seed: int
    show: int
    errors: bool
    form: Format
    quiet: bool


def _measure(arms: Sequence[JudgeArm], pairs: PairSet, told: _Told) -> None:
    from harness.cli.progress import JudgeProgress
    from harness.models.reply_cache import Cache
    from harness.report.lab import lab_text
    from harness.run.judged.ask import CACHE
    from harness.run.signals import sigterm_interrupts
    from judges.lab.session import lab

    with sigterm_interrupts(), Cache(told.results_dir / CACHE) as cache:
        progress = JudgeProgress(quiet=told.quiet)
        report = lab(
            pairs, arms, cache, budget=told.budget, own_names=told.own_names, seed=told.seed, progress=progress
        )
    try:
        tty = told.form == "table" and sys.stdout.isatty()
        click.echo(lab_text(report, told.form, show=told.show, tty=tty, errors=told.errors), nl=False)
    finally:  # whether anybody reads the report or not
        _refuse_silence(report)


def _watch(
    path: Path,
    arms: Sequence[JudgeArm],
    pairs: PairSet,
    told: _Told,
    arm_of: Callable[[Model, Rubric], JudgeArm],
    *,
    start: bool,
) -> None:
    """`start`: the one arm is what the first version is held against."""
    from harness.cli.judge_watch import Watched, watch
    from harness.errors import UsageError

    if len(arms) > 1:
        raise UsageError(
            "--watch improves one prompt of one judge: one --judge, and at most one --rubric to begin from"
        )
    (arm,) = arms
    watch(
        Watched(
            path=path,
            arm_of=partial(arm_of, arm.judge),
            start=arm.rubric if start else None,
            pairs=pairs,
            results_dir=told.results_dir,
            budget=told.budget,
            own_names=told.own_names,
            seed=told.seed,
            show=told.show,
            form=told.form,
            quiet=told.quiet,
        )
    )


def _judges(
    flags: Mapping[str, Any],
) -> tuple[Callable[[Model, Rubric], JudgeArm], list[Model], Budget | None]:
    """How a judge is put to a prompt, every judge, and what they may spend; nothing is asked."""
    from harness.config import resolve, validate_settings
    from harness.errors import ConfigError
    from harness.models import load_model
    from harness.models.budget import Budget
    from judges.ask import refuse_unfit_judge
    from judges.lab.arm import JudgeArm

    config = resolve(None, (), flags)
    validate_settings(config)
    told = config.judge
    if not told.names:
        raise ConfigError("no judge: say --judge NAME, e.g. --judge openai:gpt-4.1 (`harness list models`)")

    def arm_of(judge: Model, prompt: Rubric) -> JudgeArm:
        arm = JudgeArm.of(judge, prompt, repeats=told.repeats, temperature=told.temperature or 0.0)
        refuse_unfit_judge(arm.judge, arm.judging)
        return arm

    models = [load_model(name, told.options_of(name), config.results_dir) for name in told.names]
    return arm_of, models, Budget.parse(told.budget) if told.budget is not None else None


def _arms(
    rubrics: Sequence[str], models: Sequence[Model], arm_of: Callable[[Model, Rubric], JudgeArm]
) -> list[JudgeArm]:
    """Every judge with every prompt."""
    from harness.errors import UsageError
    from judges.prompts.rubric import load_rubric

    prompts = [load_rubric(name) for name in rubrics]
    if len({(prompt.name, prompt.id) for prompt in prompts}) < len(prompts):
        raise UsageError("the same --rubric is named twice: a prompt is compared with another one")
    return [arm_of(model, prompt) for model in models for prompt in prompts]


def _refuse_silence(report: LabReport) -> None:
    """Raise `TooManyFailures` for a judge of which nothing could be read."""
    from harness.errors import TooManyFailures

    if silent := [arm.name for arm in report.arms if arm.scored == 0]:
        raise TooManyFailures(
            f"not one reply of {', '.join(silent)} could be read: nothing was measured. Look at the judge's own "
            "words with --json, or judge one answer with `harness judge` first"
        )
