"""`harness import`: bring result files of lighteval or lm-eval into the leaderboard."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options


@click.command("import")
@click.argument("path", type=options.FilePath(path_type=Path))
@click.option(
    "--from",
    "tool",
    metavar="TOOL",
    help="lighteval or lm-eval (default: told by the content); alpaca_eval, arena_hard or mt_bench.",
)
@click.option("--metric", help="Metric to rank and pair on; default: the first one of each task.")
@options.results_dir
@options.data_dir
@options.as_json
def command(
    path: Path, tool: str | None, metric: str | None, results_dir: Path, data_dir: Path | None, as_json: bool
) -> int:
    """Import PATH: a results_*.json, or a folder with many.

    Per-problem values come from lm-eval's samples_*.jsonl (--log_samples) or lighteval's details (--save-details)
    beside the result file; with them imported runs take part in paired tests. Where every problem is found in one of
    our suites the run gets that suite's name, but it is never ranked together with runs of another tool. Importing a
    file twice changes nothing. A file that cannot be read is named, and the exit code is 2.

    With --from alpaca_eval, arena_hard or mt_bench, PATH is a file of a model's answers in that benchmark's own format
    (model_outputs.json, model_answer/*.jsonl): they become a run that `harness judge` can judge.
    """
    from harness.errors import UnknownName
    from harness.interop.benchmarks import BENCHMARKS

    if tool in BENCHMARKS:
        _import_answers(path, tool, results_dir, data_dir, as_json)
        return 0
    if tool not in (None, "lighteval", "lm-eval"):
        raise UnknownName("tool", str(tool), ("lighteval", "lm-eval", *BENCHMARKS))
    from harness.interop.importing import describe, import_path
    from harness.plain import clean
    from harness.report.table import to_json
    from harness.types import Json

    runs, refused = import_path(path, results_dir, tool=tool, metric=metric, data_dir=data_dir)
    if as_json:
        rows: list[dict[str, Json]] = [
            {
                "run_id": run.result.run_id,
                "suite": run.result.suite,
                "model": run.result.model,
                "metric": run.result.headline,
                "value": run.result.estimates[run.result.headline].value,
                "n_items": len(run.result.items),
                "warnings": list(run.result.warnings),
            }
            for run in runs
        ]
        click.echo(to_json({"rows": rows, "refused": refused}), nl=False)
    elif runs:
        for line in describe(runs):
            click.echo(clean(line, 500))
    for warning in dict.fromkeys(warning for run in runs for warning in run.result.warnings):
        click.echo(f"note: {clean(warning, 500)}", err=True)
    for problem in refused:
        click.echo(f"error: left out: {clean(problem, 1000)}", err=True)
    return 2 if refused else 0


def _import_answers(path: Path, benchmark: str, results_dir: Path, data_dir: Path | None, as_json: bool) -> None:
    from harness.config import RunConfig
    from harness.errors import DataError
    from harness.interop.benchmarks import import_answers
    from harness.report.table import to_json

    if not path.is_file():
        raise DataError(f"there is no file {path}")
    config = RunConfig(data_dir=str(data_dir) if data_dir is not None else None, results_dir=str(results_dir))
    runs = [directory.name for directory in import_answers(path, benchmark, config)]
    if as_json:
        click.echo(to_json({"rows": [{"run_id": run} for run in runs]}), nl=False)
        return
    for run in runs:
        click.echo(run)
    click.echo(f"judge them with: harness judge {runs[0]} --judge ENGINE:NAME", err=True)
