"""`harness list KIND`: what there is, without importing any of it."""

from __future__ import annotations

from pathlib import Path

import click

from harness import catalog
from harness.cli import options
from harness.errors import UnknownName

_PLURALS = {kind if kind in ("judging", "diversity") else f"{kind}s": kind for kind in catalog.KINDS}


@click.command("list")
@click.argument("kind", default="suites", metavar="[KIND]")
@options.results_dir
@options.as_json
def command(kind: str, results_dir: Path, as_json: bool) -> None:
    """List everything of a KIND: suites, models, graders, metrics, protocols, or runs."""
    rows = _runs(results_dir) if kind in ("run", "runs") else _entries(kind)
    if as_json:
        import json

        click.echo(json.dumps({"rows": [{"name": name, "summary": summary} for name, summary in rows]}, indent=1))
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, summary in rows:
        click.echo(f"{name:<{width}}  {summary}".rstrip())


def _entries(kind: str) -> list[tuple[str, str]]:
    singular = _PLURALS.get(kind, kind)
    for known in catalog.KINDS:
        if singular == known:
            return [(name, summary) for name, (_, summary) in sorted(catalog.entries(known).items())]
    raise UnknownName("kind", kind, [*_PLURALS, "runs"])


def _runs(results_dir: Path) -> list[tuple[str, str]]:
    from harness.run.locate import JUDGED, list_runs

    runs = list_runs(results_dir)
    judged = {run.name.partition(JUDGED)[0] for run in runs if JUDGED in run.name}

    def state(run: Path) -> str:
        if (run / "result.json").exists():
            return "finished"
        # Answers that only judges score: their runs carry the results.
        return "judged" if run.name in judged else "unfinished: run the same command again"

    return [(run.name, state(run)) for run in runs]
