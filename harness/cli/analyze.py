"""`harness analyze NAME RUN…`: the command of an analysis, generated from its class."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import click

from harness import catalog
from harness.cli import options
from harness.cli.lazy import Subcommands
from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.analyses.base import Analysis


class Analyses(Subcommands):
    """The analyses of the catalog."""

    def table(self) -> Mapping[str, tuple[str, str]]:
        """In the catalog's order."""
        return catalog.entries("analysis")

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Made from the class."""
        if cmd_name not in self.table():
            return None
        from harness.analyses.base import load_analysis

        return analysis_command(cmd_name, load_analysis(cmd_name))


@click.group("analyze", cls=Analyses, table={})
def command() -> None:
    """Say what stored runs hold beyond their scores (docs/analyses.md).

    \b
    harness analyze teacher STUDENT_RUN --base BASE_RUN --teacher TEACHER_RUN
    harness analyze difficulty RUN_BEFORE RUN_AFTER
    """  # noqa: D301  # a real backspace: it tells click to keep these lines


def analysis_command(name: str, kind: type[Analysis]) -> click.Command:
    """Arguments and options from the fields; raises `UsageError` for a plugin whose field cannot be an option."""
    from harness.cli.fields import field_docs, field_option

    def callback(**given: Any) -> None:
        analyze(kind, given)

    hints, docs = get_type_hints(kind), field_docs(kind)
    decorated: Any = callback
    for shared in (options.output_format, options.data_dir, options.results_dir):
        decorated = shared(decorated)
    for field in reversed(dataclasses.fields(kind)):
        decorated = field_option(field, hints[field.name], docs.get(field.name), "analysis")(decorated)
    if kind.runs:
        decorated = click.argument("runs", nargs=-1, required=True, metavar=kind.runs)(decorated)
    return click.command(name, help=kind.__doc__)(decorated)


def analyze(kind: type[Analysis], given: Mapping[str, Any]) -> None:
    """Carry it out and print its tables."""
    from harness.analyses.base import AnalysisContext
    from harness.cli.progress import ScoreProgress
    from harness.plain import clean
    from harness.report.table import finite
    from harness.run.folder import find_run

    own = {field.name: given[field.name] for field in dataclasses.fields(kind)}
    runs = given.get("runs", ())
    if len(runs) < kind.least:
        raise UsageError(f"it needs at least {kind.least} runs: {kind.runs}")
    folders = [find_run(given["results_dir"], run) for run in runs]
    context = AnalysisContext(
        given["results_dir"],
        given["data_dir"],
        lambda line: click.echo(clean(line, 1000), err=True),
        ScoreProgress(),
    )
    tables = kind(**own).tables(folders, context)
    extra: dict[str, Any] = {}
    if given["form"] in ("json", "csv"):
        extra = {"notes": list(tables[0].notes)}
        extra["tables"] = [{"title": one.title, "rows": finite(list(one.rows))} for one in tables[1:]]
        tables = tables[:1]
    options.emit(tables, given["form"], extra)
