"""`harness list KIND`: what there is, without importing any of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from harness import catalog
from harness.cli import options
from harness.errors import UnknownName, UsageError

_IRREGULAR = {"judging": "judging", "diversity": "diversity", "analysis": "analyses"}
_PLURALS = {_IRREGULAR.get(kind, f"{kind}s"): kind for kind in catalog.KINDS}
_ALSO = {"judgings": "judging"}


@click.command("list")
@click.argument("kind", default="suites", metavar="[KIND]")
@click.option(
    "--by",
    type=click.Choice(["feedback", "access", "granularity", "divergence"]),
    help="Methods in groups: what they learn from, what they need of a teacher, what is credited, what is minimised.",
)
@click.option("--suite", multiple=True, metavar="NAME", help="Of runs: those of this suite; repeat it.")
@click.option("--model", multiple=True, metavar="NAME", help="Of runs: those of this model; repeat it.")
@click.option(
    "--state",
    type=click.Choice(["finished", "judged", "imported", "unfinished"]),
    help="Of runs: those that are so far; judged: answers that a judge has read, and what it said.",
)
@options.results_dir
@options.as_json
def command(
    kind: str,
    by: str | None,
    suite: tuple[str, ...],
    model: tuple[str, ...],
    state: str | None,
    results_dir: Path,
    as_json: bool,
) -> None:
    """List everything of a KIND: suites, models, graders, metrics, rubrics, diversity, runs, makers of training data,
    training methods, rewards, recipes, chains, or one of two sorts of protocol: protocols (how answers are sampled)
    and judging (how a judged suite is judged).
    """
    if kind in ("run", "runs") and by is None:
        from harness.cli.run_list import show_runs

        show_runs(results_dir, suite, model, state, as_json=as_json)
        return
    if suite or model or state:
        raise UsageError(f"--suite, --model and --state choose among runs, not {kind}: harness list runs --model NAME")
    if by is not None:
        if kind not in ("method", "methods"):
            raise UsageError(f"--by groups training methods, not {kind}: harness list methods --by {by}")
        from backends.methods.taxonomy import groups

        rows = [(value, ", ".join(names)) for value, names in groups(by).items()]
    elif kind in ("recipe", "recipes"):
        from backends.recipe import recipes

        rows = list(recipes().items())
    elif kind in ("chain", "chains"):
        from backends.chain import chains

        rows = list(chains().items())
    else:
        rows = _entries(kind)
    if as_json:
        import json

        click.echo(json.dumps({"rows": [{"name": name, "summary": summary} for name, summary in rows]}, indent=1))
        return
    from harness.report.terminal import listed, terminal_width

    tty = sys.stdout.isatty()
    narrow = tty or "COLUMNS" in os.environ  # a pipe gets one line for each name
    for line in listed(rows, terminal_width(tty=tty) if narrow else sys.maxsize):
        click.echo(line)


def _entries(kind: str) -> list[tuple[str, str]]:
    singular = _ALSO.get(kind) or _PLURALS.get(kind, kind)
    for known in catalog.KINDS:
        if singular == known:
            rows = [(name, summary) for name, (_, summary) in sorted(catalog.entries(known).items())]
            if known == "suite":
                from harness.catalog.names_evaluation import SUITE_FORMS

                rows += SUITE_FORMS.items()
            return rows
    raise UnknownName("kind", kind, [*_PLURALS, "recipes", "chains", "runs"])
