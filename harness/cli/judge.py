"""`harness judge`: judge stored runs, compare judge prompts, test a judge, score official judgments."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.cli.lazy import Subcommands
from harness.report.table import Format

SUBCOMMANDS: dict[str, tuple[str, str]] = {
    "run": ("harness.cli.judge:judge_run", "Judge a stored RUN; `harness judge RUN` is short for it."),
    "new": ("harness.cli.judge_new", "Write a rubric file to start from."),
    "lab": ("harness.cli.judge_lab", "Compare judge prompts on answers whose better one is known."),
    "calibrate": ("harness.cli.judge_calibrate", "Correct a judged run for what its judge gets wrong, by labels."),
    "bridge": ("harness.cli.judge_calibrate:bridge_command", "Bring a judged run onto another judge's scale."),
    "score": ("harness.cli.judge_score", "Score judgments in a benchmark's own files."),
    "check": ("harness.cli.judge_check", "Try canaries on a judge: answers that must not win."),
}
"""Subcommand -> (where it is, one-line help)."""


class JudgeGroup(Subcommands):
    """Anything that is no subcommand is a run to judge."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put `run` before anything that names no subcommand and does not ask for help."""
        if args and args[0] not in SUBCOMMANDS and args[0] not in ("-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group("judge", cls=JudgeGroup, table=SUBCOMMANDS)
def command() -> None:
    """Judge stored runs with a model and a rubric, and find out how far that judge can be trusted.

    \b
    harness judge RUN --rubric cot_math --judge openai:gpt-4.1
    harness judge RUN --against OTHER_RUN --rubric pairwise_5 --judge openai:gpt-4.1
    """  # noqa: D301  # a real backspace: it tells click to keep these lines


@click.command("run")
@click.argument("run")
@click.option("--against", metavar="RUN", help="Pairwise rubrics: the run whose answers these are held against.")
@options.some(options.JUDGING)
@click.option("--limit", type=int, help="Judge only that many problems, the same for every run.")
@click.option(
    "--max-failures", type=options.NUMBER, help="Share of answers without a score that is tolerated. [default: 0.02]"
)
@options.data_dir
@options.results_dir
@click.option("--dry-run", is_flag=True, help="Show how much there is to judge and the first prompt; ask nothing.")
@options.quiet
@options.output_format
def judge_run(
    run: str,
    against: str | None,
    data_dir: Path | None,
    results_dir: Path,
    dry_run: bool,
    quiet: bool,
    form: Format,
    **flags: Any,
) -> None:
    """Judge the stored answers of RUN (a run id, the beginning of one, or a path); nothing is generated.

    A suite with a protocol of its own (alpaca_eval, arena_hard, mt_bench) is judged by it; every other needs --rubric.
    The result is a judged run of its own on the leaderboard. Replies are cached: the same judgment is never paid for
    twice, and an interrupted or out-of-budget command goes on where it stopped.
    """
    from harness.config import resolve, validate_settings
    from harness.errors import UsageError
    from harness.run.folder import find_run

    folders = {"data_dir": str(data_dir) if data_dir is not None else None, "results_dir": str(results_dir)}
    config = resolve(None, (), {**flags, **folders})
    validate_settings(config)
    try:
        stored = find_run(results_dir, run)
    except UsageError as error:
        meant = difflib.get_close_matches(run, SUBCOMMANDS, n=1, cutoff=0.7)
        if not meant:
            raise
        raise UsageError(f"{error}; or say `harness judge {meant[0]}`") from None
    other = find_run(results_dir, against) if against is not None else None
    if dry_run:
        from harness.cli.judge_preview import show_preview

        show_preview(stored, other, config, form)
        return

    from harness.cli.progress import JudgeProgress
    from harness.report.judged import show_judged
    from harness.run.judged.ask import judge_stored
    from harness.run.pipeline import Outcome, check_failures

    result = judge_stored(stored, other, config, JudgeProgress(quiet=quiet))
    try:
        click.echo(show_judged([result], form, stored.path.absolute().parent.parent), nl=False)
    finally:
        check_failures(Outcome((result,), ()), config.max_failures)
