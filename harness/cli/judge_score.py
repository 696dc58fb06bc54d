"""`harness judge score`: score judgments that stand in a benchmark's own files, whoever made them."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.report.table import Format


@click.command("score")
@click.argument("protocol", type=click.Choice(["alpaca_eval", "arena_hard", "mt_bench"]))
@click.argument("files", nargs=-1, required=True, type=options.FilePath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--answers",
    multiple=True,
    type=options.FilePath(exists=True, dir_okay=False, path_type=Path),
    help="arena_hard: answer files of the models and the baseline, for style control.",
)
@click.option(
    "--published",
    type=options.FilePath(exists=True, dir_okay=False, path_type=Path),
    help="alpaca_eval: a leaderboard.csv to hold the numbers against.",
)
@click.option(
    "--leaderboard",
    type=options.FilePath(dir_okay=False, path_type=Path),
    help="alpaca_eval: write the numbers as the benchmark's leaderboard.csv.",
)
@options.data_dir
@options.output_format
def command(
    protocol: str,
    files: tuple[Path, ...],
    answers: tuple[Path, ...],
    published: Path | None,
    leaderboard: Path | None,
    data_dir: Path | None,
    form: Format,
) -> None:
    """Score the judgments in FILES by PROTOCOL, with the benchmark's published statistics and our intervals.

    \b
    alpaca_eval   annotations.json (length control needs instruction_difficulty and df_gamed in --data-dir)
    arena_hard    model_judgment/<judge>/<model>.jsonl, or battles
    mt_bench      <judge>_single.jsonl or <judge>_pair.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.errors import UsageError
    from harness.report.judge_scores import alpaca_tables, arena_tables, mt_bench_tables

    if answers and protocol != "arena_hard":
        raise UsageError(f"--answers is for arena_hard's style control, {protocol} has none")
    if protocol != "alpaca_eval" and (published is not None or leaderboard is not None):
        raise UsageError(f"--published and --leaderboard are files of alpaca_eval, {protocol} has none")
    if protocol == "alpaca_eval":
        tables = alpaca_tables(files, data_dir, published, leaderboard)
    elif protocol == "arena_hard":
        tables = arena_tables(files, answers)
    else:
        tables = mt_bench_tables(files)
    options.emit(tables, form)
