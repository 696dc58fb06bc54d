"""`harness export`: write a run as files of another tool or of its benchmark."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options


@click.command("export")
@click.argument("run")
@click.option(
    "--to",
    "tool",
    required=True,
    metavar="TOOL",
    help="lm-eval or lighteval; alpaca_eval, arena_hard or mt_bench; labels.",
)
@click.option(
    "--out", required=True, type=options.FilePath(path_type=Path, file_okay=False), help="Folder to write to."
)
@click.option("--texts/--no-texts", default=True, show_default=True, help="Export completions too (lm-eval samples).")
@options.data_dir
@options.results_dir
def command(run: str, tool: str, out: Path, texts: bool, data_dir: Path | None, results_dir: Path) -> int:
    """Write RUN (id, unique beginning, or path) in another tool's format; prints the files.

    lm-eval gets totals and one sample row per problem, lighteval gets totals. Texts of suites whose authors ask not
    to show them in plain text (GPQA) are never exported. Runs of alpaca_eval, arena_hard and mt_bench become the
    benchmark's own answer files, and, if RUN is a judged one, its judgment files too. `labels` makes a labelled file
    for text_quality:<file> of a teacher's run: its first usable reply to each text.
    """
    from harness.config import RunConfig
    from harness.interop.benchmarks import BENCHMARKS, export_benchmark
    from harness.interop.exporting import export_run
    from harness.interop.labels import LABELS, export_labels
    from harness.run.folder import find_run

    stored = find_run(results_dir, run)
    config = RunConfig(data_dir=str(data_dir) if data_dir is not None else None, results_dir=str(results_dir))
    if tool in BENCHMARKS:
        paths = export_benchmark(stored, tool, out, config)
    elif tool == LABELS:
        path, left_out = export_labels(stored, out, config)
        paths = [path]
        if left_out:
            click.echo(f"note: {left_out} texts without a usable reply are left out", err=True)
    else:
        paths = export_run(stored, tool, out, texts=texts)
    for path in paths:
        click.echo(str(path))
    return 0
