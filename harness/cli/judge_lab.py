"""`harness judge lab`: measure judge prompts on answers whose better one is known, and compare them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.models.budget import Budget
    from judges.lab.arm import JudgeArm
    from judges.lab.session import LabReport


@click.command("lab")
@click.option(
    "--rubric",
    "rubrics",
    multiple=True,
    required=True,
    metavar="NAME|FILE",
    help="Judge prompt (`harness list rubrics`) or a TOML file; repeat it to compare prompts.",
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
@click.option("--limit", type=click.IntRange(min=1), help="Only that many pairs, the same for every prompt.")
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

    \b
    harness judge lab --set llmbar --rubric pairwise_5 --rubric ./mine.toml --judge openai:gpt-4.1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.cli.progress import JudgeProgress
    from harness.models.reply_cache import Cache
    from harness.report.lab import lab_text
    from harness.run.judged.ask import CACHE
    from harness.run.signals import sigterm_interrupts
    from judges.lab.session import lab
    from judges.lab.sets import load_set

    arms, budget = _arms(rubrics, {**flags, "results_dir": str(results_dir)})
    pairs = load_set(set_name, data_dir, subset=subset, limit=limit, seed=seed)
    if dry_run:
        from harness.cli.judge_lab_plan import show_lab_plan

        show_lab_plan(arms, pairs, results_dir, form)
        return
    with sigterm_interrupts(), Cache(results_dir / CACHE) as cache:
        report = lab(
            pairs, arms, cache, budget=budget, own_names=own_names, seed=seed, progress=JudgeProgress(quiet=quiet)
        )
    try:
        tty = form == "table" and sys.stdout.isatty()
        click.echo(lab_text(report, form, show=show, tty=tty, errors=errors), nl=False)
    finally:  # whether anybody reads the report or not
        _refuse_silence(report)


def _arms(rubrics: Sequence[str], flags: Mapping[str, Any]) -> tuple[list[JudgeArm], Budget | None]:
    """Every judge with every prompt, and what they may spend; nothing is asked."""
    from harness.config import resolve, validate_settings
    from harness.errors import ConfigError, UsageError
    from harness.models import load_model
    from harness.models.budget import Budget
    from judges.ask import refuse_unfit_judge
    from judges.lab.arm import JudgeArm
    from judges.prompts.rubric import load_rubric

    prompts = [load_rubric(name) for name in rubrics]
    if len({(prompt.name, prompt.id) for prompt in prompts}) < len(prompts):
        raise UsageError("the same --rubric is named twice: a prompt is compared with another one")
    config = resolve(None, (), flags)
    validate_settings(config)
    told = config.judge
    if not told.names:
        raise ConfigError("no judge: say --judge NAME, e.g. --judge openai:gpt-4.1 (`harness list models`)")
    models = [load_model(name, told.options_of(name), config.results_dir) for name in told.names]
    repeats, temperature = told.repeats, told.temperature or 0.0
    arms = [
        JudgeArm.of(model, prompt, repeats=repeats, temperature=temperature) for model in models for prompt in prompts
    ]
    for arm in arms:
        refuse_unfit_judge(arm.judge, arm.judging)
    return arms, Budget.parse(told.budget) if told.budget is not None else None


def _refuse_silence(report: LabReport) -> None:
    """Raise `TooManyFailures` for a judge of which nothing could be read."""
    from harness.errors import TooManyFailures

    if silent := [arm.name for arm in report.arms if arm.scored == 0]:
        raise TooManyFailures(
            f"not one reply of {', '.join(silent)} could be read: nothing was measured. Look at the judge's own "
            "words with --json, or judge one answer with `harness judge` first"
        )
