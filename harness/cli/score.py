"""`harness score RUN`: grade stored completions again, and say what changed."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import options
from harness.report.table import Format
from harness.types import Json


@click.command("score")
@click.argument("run")
@options.data_dir
@options.results_dir
@click.option(
    "--show", "shown", type=click.IntRange(min=0), default=20, show_default=True, help="Changed verdicts to list."
)
@options.output_format
def command(run: str, data_dir: Path | None, results_dir: Path, shown: int, form: Format) -> None:
    """Grade a stored RUN again with the graders of this version; nothing is generated.

    RUN is a run id, the beginning of one, or a path. Prints every verdict that changed.
    """
    from harness.config import RunConfig
    from harness.plain import clean
    from harness.report.judged import show_results
    from harness.run.folder import find_run
    from harness.run.pipeline import rescore

    folder = find_run(results_dir, run)
    config = RunConfig(data_dir=str(data_dir) if data_dir is not None else None, results_dir=str(results_dir))
    old, new, result = rescore(folder, config)
    before = {(graded.problem_id, graded.attempt): graded.score for graded in old}
    changed = [
        (graded, before[graded.problem_id, graded.attempt])
        for graded in new
        if (graded.problem_id, graded.attempt) in before
        and (before[graded.problem_id, graded.attempt].value, before[graded.problem_id, graded.attempt].status)
        != (graded.score.value, graded.score.status)
    ]
    extra: dict[str, Json] = {
        "changed": [
            {
                "problem_id": graded.problem_id,
                "attempt": graded.attempt,
                "old": {"value": was.value, "status": was.status, "answer": was.answer},
                "new": {"value": graded.score.value, "status": graded.score.status, "answer": graded.score.answer},
            }
            for graded, was in changed
        ]
    }
    click.echo(show_results([result], form, extra=extra), nl=False)
    if form != "json":
        note = "first grading of this run" if not before else f"{len(changed)} of {len(new)} verdicts changed"
        print(note, file=sys.stderr)
        for graded, was in changed[:shown]:
            print(
                f"  {clean(graded.problem_id)} #{graded.attempt}: {was.status} {was.value} -> "
                f"{graded.score.status} {graded.score.value}  ({clean(graded.score.why)})",
                file=sys.stderr,
            )
