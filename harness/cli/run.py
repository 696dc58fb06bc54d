"""`harness run`: evaluate models on suites."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from harness.cli import options
from harness.cli.sections import Sections
from harness.report.table import Format

if TYPE_CHECKING:
    from harness.run.pipeline import Outcome
    from harness.run.shards import Shard


def _shard(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Shard | None:
    """I/N as a shard."""
    from harness.run.shards import parse_shard

    try:
        return None if text is None else parse_shard(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r}: {error}", ctx, parameter) from None


@click.command("run", cls=Sections)
@click.option(
    "--suite", multiple=True, metavar="NAME[:N],…", help="Suites to ask; NAME:N sets the samples per problem."
)
@click.option("--model", multiple=True, metavar="ENGINE:NAME", help="Model to evaluate; repeat it to compare several.")
@options.some(options.SAMPLING)
@click.option("--metric", multiple=True, metavar="NAME", help="Metric to report beside the suite's own, e.g. pass@16.")
@click.option(
    "--model-arg",
    "model_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Option of the engine, e.g. dtype=float32; of one of several models: MODEL:dtype=float32.",
)
@options.some(options.JUDGING)
@click.option(
    "--config", "config_file", type=options.FilePath(dir_okay=False, path_type=Path), help="TOML file of settings."
)
@click.option("--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Override one setting of the file.")
@click.option(
    "--max-failures",
    type=options.NUMBER,
    help="Share of samples without a score that is tolerated (exit 0). [default: 0.02]",
)
@options.data_dir
@click.option(
    "--results-dir",
    type=options.FilePath(file_okay=False),
    envvar="HARNESS_RESULTS_DIR",
    show_envvar=True,
    help="Folder that holds runs/. [default: results]",
)
@click.option(
    "--shard",
    metavar="I/N",
    callback=_shard,
    help="Only generate, and only the I-th of N parts; the same command without --shard merges all and scores.",
)
@click.option(
    "--dry-run", is_flag=True, help="Show the plan, the first prompt and the expected cost; generate nothing."
)
@click.option("--details", is_flag=True, help="Of several runs all metrics, a row each, in place of models by suites.")
@options.quiet
@options.output_format
def command(
    config_file: Path | None,
    assignments: tuple[str, ...],
    data_dir: Path | None,
    shard: Shard | None,
    dry_run: bool,
    details: bool,
    quiet: bool,
    form: Format,
    **flags: Any,
) -> None:
    """Evaluate models on suites and print scores with intervals.

    Completions are stored as they come. The same command resumes after any interruption, and raising --n only makes
    the samples that are missing.

    Suites that only a judge can score (alpaca_eval, arena_hard, mt_bench) need --judge; with --rubric, any suite's
    answers are judged as well as graded.

    \b
    harness run --suite synth --model smollm2
    harness run --suite aime,gpqa --protocol r1 --model openai:my-model --model-arg base_url=http://localhost:8000/v1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.config import resolve, validate

    given = {**flags, "data_dir": str(data_dir) if data_dir is not None else None}
    ctx = click.get_current_context()
    # What a file or --set says is said for this run, so it wins over a variable that is set for every run.
    environment = {
        name: given.pop(name)
        for name in ("data_dir", "results_dir")
        if ctx.get_parameter_source(name) is ParameterSource.ENVIRONMENT
    }
    config = resolve(config_file, assignments, given, environment)
    validate(config)
    if dry_run:
        from harness.cli.dry_run import show_plan

        show_plan(config, form, shard)
        return

    from harness.cli.progress import JudgeProgress, RunProgress
    from harness.report.judged import show_judged, show_results
    from harness.report.matrix import next_steps
    from harness.run.pipeline import check_failures, run

    told = shlex.join(["harness", *sys.argv[1:]]) if sys.argv[1:2] == ["run"] else ""  # else another program's
    outcome = run(config, lambda: RunProgress(quiet=quiet), lambda: JudgeProgress(quiet=quiet), shard, told)
    try:
        if shard is not None:
            _show_parts(outcome, form, quiet=quiet)
        elif outcome.results or form == "json":
            judged = any(result.judge is not None for result in outcome.results)
            results_dir = Path(config.results_dir)
            if judged:
                shown = show_judged(outcome.results, form, results_dir, details=details)
            else:
                shown = show_results(outcome.results, form, details=details)
            click.echo(shown, nl=False)
            if outcome.results and form == "table" and not quiet:
                click.echo("\n".join(next_steps(outcome.results, results_dir)), err=True)
    finally:  # whether anybody reads the table or not
        check_failures(outcome, config.max_failures)


def _show_parts(outcome: Outcome, form: Format, *, quiet: bool) -> None:
    from harness.report.shards import parts_next, parts_table

    options.emit([parts_table(outcome.parts)], form)
    if outcome.parts and form == "table" and not quiet:
        click.echo(parts_next(outcome.parts), err=True)
