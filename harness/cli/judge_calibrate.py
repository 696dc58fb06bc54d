"""`harness judge calibrate` and `bridge`: a judged run corrected by labels, or brought onto another judge's scale."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.report.table import Format


@click.command("calibrate")
@click.argument("run")
@click.option(
    "--labels",
    required=True,
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="JSONL of id, label (win, tie, loss, or 0 to 1) and attempt: what people say of a random part.",
)
@options.results_dir
@options.output_format
def command(run: str, labels: Path, results_dir: Path, form: Format) -> None:
    """Correct a judged RUN for what its judge gets wrong, with intervals that include how little the labels tell.

    Prediction-powered inference, and Rogan and Gladen's correction where labels are wins and losses. The run keeps it:
    tables say of a judge that was never held against labels that it is uncalibrated.

    \b
    harness judge calibrate RUN@… --labels mine.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.report.calibrated import calibration_table
    from harness.run.folder import find_run
    from harness.run.judged.calibrate import calibrate, read_labels

    folder = find_run(results_dir, run)
    found = calibrate(folder, read_labels(labels))
    options.emit([calibration_table(found, f"{folder.name}, judged with {folder.result.judge}")], form)


@click.command("bridge")
@click.argument("old")
@click.argument("new")
@options.results_dir
@options.output_format
def bridge_command(old: str, new: str, results_dir: Path, form: Format) -> None:
    """Say what NEW's judge would have given the whole of OLD, from the answers that both judged.

    OLD and NEW are judged runs of one run by two judges or prompts; of NEW a random part is enough (`--limit`).

    \b
    harness judge RUN --rubric mine.toml --judge openai:new --limit 100
    harness judge bridge RUN@old… RUN@new…
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.report.calibrated import bridge_table
    from harness.run.folder import find_run
    from harness.run.judged.calibrate import bridge

    one, other = find_run(results_dir, old), find_run(results_dir, new)
    title = f"{one.result.judge} ({one.result.finished[:10]}) to {other.result.judge} ({other.result.finished[:10]})"
    options.emit([bridge_table(bridge(one, other), title)], form)
