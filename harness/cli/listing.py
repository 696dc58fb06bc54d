"""`harness list KIND`: what there is, without importing any of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness import catalog
from harness.cli import options
from harness.errors import UnknownName, UsageError

if TYPE_CHECKING:
    from harness.run.folder import RunFolder

AGAIN = "unfinished: run the same command again"
IMPORTED = "imported: judge it with `harness judge`"
"""What is said of a run without a result."""

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
@options.results_dir
@options.as_json
def command(kind: str, by: str | None, results_dir: Path, as_json: bool) -> None:
    """List everything of a KIND: suites, models, graders, metrics, rubrics, diversity, runs, makers of training data,
    training methods, rewards, recipes, chains, or one of two sorts of protocol: protocols (how answers are sampled)
    and judging (how a judged suite is judged).
    """
    if by is not None:
        if kind not in ("method", "methods"):
            raise UsageError(f"--by groups training methods, not {kind}: harness list methods --by {by}")
        from backends.methods.taxonomy import groups

        rows = [(value, ", ".join(names)) for value, names in groups(by).items()]
    elif kind in ("run", "runs"):
        rows = _runs(results_dir)
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
            return [(name, summary) for name, (_, summary) in sorted(catalog.entries(known).items())]
    raise UnknownName("kind", kind, [*_PLURALS, "recipes", "chains", "runs"])


def _runs(results_dir: Path) -> list[tuple[str, str]]:
    from harness.run.folder import JUDGED, RESULT, list_runs

    runs = list_runs(results_dir)
    judged = {run.name.partition(JUDGED)[0] for run in runs if JUDGED in run.name}

    def state(run: RunFolder) -> str:
        if run.has(RESULT):
            return "finished"
        if run.name in judged:
            return "judged"  # answers that only judges score: their runs carry the results
        return IMPORTED if of_a_file(run) else AGAIN

    return [(run.name, state(run)) for run in runs]


def of_a_file(run: RunFolder) -> bool:
    """True for answers that `harness import` made a run of: no command generates them again, a judge comes next."""
    from harness.errors import StoreError

    try:
        return run.spec.model_identity.get("engine") == "file"
    except StoreError:  # a list of runs does not stop at a damaged one
        return False
