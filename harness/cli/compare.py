"""`harness compare`: hold runs against each other problem by problem."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.report.table import Format


@click.command("compare")
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN [RUN...]")
@click.option("--show", default=10, show_default=True, type=click.IntRange(min=0), help="Differing problems to list.")
@click.option("--force", is_flag=True, help="Compare different suite versions or tools all the same, and say so.")
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="Count tokens with this one: a checkpoint's folder, trained:ID, or owner/name of the hub.",
)
@options.results_dir
@options.output_format
def command(
    runs: tuple[str, ...],
    show: int,
    force: bool,
    tokenizer: str | None,
    results_dir: Path,
    form: Format,
) -> None:
    """Compare runs problem by problem; the first RUN of each suite is the reference.

    RUN is a run id, a unique beginning of one, or a path. Shows the paired difference with its interval and test,
    wins and losses, tokens saved (of all that was generated, and of the chain of thought) if one tokenizer counted
    both, and the problems on which the runs differ, biggest change first.
    """
    from harness.compare import compare_runs
    from harness.report.pairs import pair_tables
    from harness.run.folder import find_run

    pairs = compare_runs([find_run(results_dir, run) for run in runs], force=force, tokenizer=tokenizer)
    tables = pair_tables(pairs, show)
    if form in ("json", "csv"):
        tables = tables[:1]  # the flips are inside the rows
    options.emit(tables, form)
