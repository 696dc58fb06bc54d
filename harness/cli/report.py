"""`harness report`: stored runs as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.run.folder import RunFolder


@click.command("report")
@click.argument("runs", nargs=-1, metavar="[RUN|MODEL...]")
@click.option(
    "-o",
    "--out",
    type=options.FilePath(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="File to write.",
)
@click.option("--baseline", metavar="MODEL", help="What the others are held against; drawn as a line.")
@click.option("--teacher", metavar="MODEL", help="Drawn as a line too.")
@click.option("--title", default="Report", show_default=True, help="Heading of the page.")
@click.option(
    "--texts",
    type=click.Choice(["all", "flips", "none"]),
    default="all",
    show_default=True,
    help="Questions and answers: as many as fit, only where runs differ, or none.",
)
@click.option(
    "--max-size",
    type=options.FiniteRange(min=0.1, max=1000),
    default=10.0,
    show_default=True,
    metavar="MB",
    help="Largest file; numbers are always whole, texts give way.",
)
@options.data_dir
@options.results_dir
def command(
    runs: tuple[str, ...],
    out: Path,
    baseline: str | None,
    teacher: str | None,
    title: str,
    texts: Literal["all", "flips", "none"],
    max_size: float,
    data_dir: Path | None,
    results_dir: Path,
) -> int:
    """Write stored runs as one HTML file: who won, whether that is shown, and the answers behind it.

    RUN is as for `harness compare`, a model means all its runs; without any, all finished runs are taken. The file
    opens from disk, asks nothing of any network, and holds its data; questions are in it where the suite's data are at
    hand. Texts of suites whose authors ask not to post them (GPQA) are never in it. A run that cannot be read is named
    and left out, and the exit code is 1.
    """
    from harness.errors import UnknownName
    from harness.files import write_output
    from harness.plain import clean, plural
    from harness.report.page.document import PageSpec, report

    folders, refused = _found(runs, results_dir)
    models = {folder.result.model for folder in folders}
    if teacher is not None and teacher not in models:
        raise UnknownName("model among these runs", teacher, models)
    page = report(folders, PageSpec(title, baseline, teacher, texts, max_size, data_dir))
    write_output(out, page)
    click.echo(f"{out}: {plural(len(folders), 'run')}, {len(page) / 1e6:.1f} MB")
    for problem in refused:
        click.echo(f"error: left out: {clean(problem, 1000)}", err=True)
    return 1 if refused else 0


def _found(names: tuple[str, ...], results_dir: Path) -> tuple[list[RunFolder], list[str]]:
    """The runs meant, each once, and of all that are stored those that cannot be read."""
    from harness.errors import SeveralRuns, StoreError
    from harness.run.folder import RESULT, find_runs, list_runs, runs_of_model

    found: dict[Path, RunFolder] = {}
    for name in names:
        try:
            meant = find_runs(results_dir, name)
        except SeveralRuns:  # a report shows them beside each other
            meant = [run for run in runs_of_model(list_runs(results_dir), name) if run.has(RESULT)]
            if not meant:
                raise
        found |= {run.path.resolve(): run for run in meant}
    refused: list[str] = []
    if not names:
        for run in list_runs(results_dir):
            try:
                if run.has(RESULT) and run.result:
                    found[run.path] = run
            except (StoreError, OSError) as error:
                refused.append(str(error))
    return list(found.values()), refused
