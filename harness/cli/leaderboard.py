"""`harness leaderboard`: rank all stored runs."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.report.table import Format


@click.command("leaderboard")
@options.results_dir
@click.option("--suite", "suites", multiple=True, help="Only these suites (repeat or separate with commas).")
@click.option("--model", "models", multiple=True, help="Only these models (repeat or separate with commas).")
@click.option("--metric", "metrics", multiple=True, help="Metrics to show; default: each suite's headline; 'all'.")
@click.option("--baseline", metavar="MODEL", help="Show every run's paired difference to this model.")
@click.option("--reference", is_flag=True, help="Show published numbers, marked *, beside ours.")
@options.output_format
@click.option(
    "--html", type=options.FilePath(path_type=Path, dir_okay=False), help="Also write the page of `harness report`."
)
def command(
    results_dir: Path,
    suites: tuple[str, ...],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    baseline: str | None,
    reference: bool,
    form: Format,
    html: Path | None,
) -> int:
    """Rank all stored runs, with intervals and ties.

    Only runs of the same suite version, data, problem limit and sampling are ranked together; the others get tables
    of their own. Runs that no paired test tells apart share a rank. Reads result files only, so it is quick however
    many completions are stored. A result file that cannot be read is named and left out, and the exit code is 1.
    """
    from harness.leaderboard import build, load_results, split_notes
    from harness.plain import clean
    from harness.report.board import board_tables, wide_tables
    from harness.report.published import find_folder, load_references

    results, refused, unfinished = load_results(results_dir)
    references = load_references(find_folder(results_dir)) if reference else []
    groups = build(results, suites=_split(suites), models=_split(models), metrics=_split(metrics), baseline=baseline)
    tables = board_tables(groups, references)
    notes = split_notes(groups)
    if results or form == "json":
        # Machines get a row for each number, people all numbers of a model beside each other.
        options.emit(tables if form in ("json", "csv") else wide_tables(groups, references), form)
    else:
        click.echo(f"no finished runs in {results_dir}; try: harness run --suite synth --model mock:gold", err=True)
    if html is not None:
        from harness.files import write_output
        from harness.report.page.document import Own, PageSpec, report
        from harness.run.folder import stored_folders

        shown = (standing.result for group in groups for standing in group.standings)
        spec = PageSpec("Leaderboard", baseline=baseline)
        write_output(html, report(stored_folders(results_dir, shown), spec, Own(tables, notes)))
    for note in notes:
        click.echo(clean(note, 1000), err=True)
    if unfinished:
        names = ", ".join(clean(name) for name in unfinished[:5]) + (", ..." if len(unfinished) > 5 else "")
        click.echo(f"note: {len(unfinished)} run(s) without a result yet, left out: {names}", err=True)
    for problem in refused:
        click.echo(f"error: left out: {clean(problem, 1000)}", err=True)
    return 1 if refused else 0


def _split(values: tuple[str, ...]) -> tuple[str, ...]:
    """Repeated options and comma lists alike."""
    return tuple(part.strip() for value in values for part in value.split(",") if part.strip())
