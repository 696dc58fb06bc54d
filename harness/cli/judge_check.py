"""`harness judge check`: try canaries on a judge and a rubric, and fail if it falls for one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import options
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.config import RunConfig
    from judges.canaries import Finding


@click.command("check")
@click.option("--judge", multiple=True, metavar="ENGINE:NAME", help="Model that judges.")
@options.some(
    options.JUDGING, "judge_options", "rubric", "weighting", "repeats", "orders", "judge_temperature", "budget"
)
@click.option("--probes", type=click.IntRange(1, 10_000), default=20, show_default=True, help="Questions to try.")
@click.option("--seed", type=int, default=0, show_default=True, help="Which questions.")
@options.results_dir
@options.quiet
@options.output_format
def command(probes: int, seed: int, results_dir: Path, quiet: bool, form: Format, **flags: Any) -> None:
    """Try canaries on a judge prompt: a constant answer, an empty one, an echo, a hidden instruction, and others.

    Exit code 1 if the judge values one of them as highly as the right answer on more than a tenth of the questions.

    \b
    harness judge check --rubric cot_math --judge openai:gpt-4.1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.config import resolve, validate_settings
    from harness.errors import ConfigError
    from harness.run.signals import sigterm_interrupts

    config = resolve(None, (), {**flags, "results_dir": str(results_dir), "seed": seed})
    validate_settings(config)
    if len(config.judge.names) != 1 or config.judge.rubric is None:
        raise ConfigError("canaries try one rubric on one judge: say --rubric NAME --judge ENGINE:NAME")
    with sigterm_interrupts():
        findings = asyncio.run(_try(config, probes, quiet=quiet))
    _report(findings, form, f"{config.judge.rubric} by {config.judge.names[0]}")


async def _try(config: RunConfig, count: int, *, quiet: bool) -> list[Finding]:
    from harness.cli.progress import JudgeProgress
    from harness.models import load_model
    from harness.models.budget import Budget
    from harness.models.reply_cache import Cache
    from harness.models.under_way import beating
    from harness.run.judged.ask import CACHE
    from harness.run.judged.choose import rubric_judging
    from judges import canaries
    from judges.ask import judge_tasks, refuse_unfit_judge
    from judges.prompts.rubric import load_rubric

    told = config.judge
    assert told.rubric is not None
    rubric = load_rubric(told.rubric, told.weighting)
    canaries.check_rubric(rubric)
    judging = rubric_judging(told.rubric, told)
    asked = canaries.probes(count, config.seed)
    tasks = canaries.canary_tasks(rubric, asked)
    budget = Budget.parse(told.budget) if told.budget is not None else None
    judge = load_model(told.names[0], told.options_of(told.names[0]), config.results_dir)
    refuse_unfit_judge(judge, judging)
    progress = JudgeProgress(quiet=quiet)
    progress.start(judge.name, sum(len(judging.asks(task)) for task in tasks))
    with Cache(Path(config.results_dir) / CACHE) as cache:
        try:
            async with beating(progress, judge):
                judgments = await judge_tasks(judge, judging, tasks, cache, budget, progress.advance)
        finally:
            progress.finish()
            await judge.close()
    judged = [judging.fold(task, found) for task, found in zip(tasks, judgments, strict=True)]
    return canaries.findings(rubric, asked, judged)


def _report(findings: list[Finding], form: Format, title: str) -> None:
    from harness.errors import TooManyFailures
    from harness.report.judged import canary_table

    try:
        options.emit([canary_table(findings, title)], form)
    finally:
        if all(one.unscored == one.probes for one in findings):
            raise TooManyFailures(
                "not one judgment could be read: nothing was tried. Judge one answer with `harness judge` and look at "
                "the judge's own words in its verdicts.jsonl"
            )
        failed = [one.canary for one in findings if not one.passed]
        if failed:
            raise TooManyFailures(
                f"the judge falls for {len(failed)} of {len(findings)} canaries ({', '.join(failed)}): "
                "change the rubric or the judge before trusting its scores"
            )
