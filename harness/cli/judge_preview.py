"""`harness judge RUN --dry-run`: how much there is to judge, what it may cost, and the first prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import click

from harness.config import RunConfig
from harness.plain import clean
from harness.report.table import Format, to_json
from harness.run.folder import RunFolder
from harness.run.judged.preview import judging_plan
from harness.types import Json


def show_preview(folder: RunFolder, against: RunFolder | None, config: RunConfig, form: Format) -> None:
    """Print the plan; no judge is asked."""
    facts = judging_plan(folder, against, config)
    if form == "json":
        click.echo(to_json(facts), nl=False)
        return
    _print(facts)
    for message in cast("list[dict[str, str]]", facts["first_prompt"]):
        click.echo(f"\n--- {message['role']}")
        for line in message["content"].splitlines():
            indent = line[: len(line) - len(line.lstrip(" "))]
            click.echo(indent + clean(line, 2000))


def _repeated(facts: Mapping[str, Json]) -> str:
    return f", {facts['repeated']:,} the same as another" if facts["repeated"] else ""


def _print(facts: Mapping[str, Json]) -> None:
    judging = facts["judging"]
    assert isinstance(judging, Mapping)
    details = [f"{key} {value}" for key, value in judging.items() if key != "judging" and value not in (None, "")]
    cost = facts["cost_at_most"]
    judges = facts["judges"]
    assert isinstance(judges, Sequence)
    rows = {
        "run": facts["run"],
        "against": facts["against"],
        "answers": f"{facts['answers']}, {facts['failed']} of them failed" if facts["failed"] else facts["answers"],
        "judge": ", ".join(map(str, judges)) or "none yet: --judge NAME",
        "judging": f"{judging['judging']} ({', '.join(details)})",
        "judgments": f"{facts['judgments']:,}, {facts['cached']:,} of them known already{_repeated(facts)}",
        "tokens": f"about {facts['tokens_in']:,} in, at most {facts['tokens_out_at_most']:,} out",
        "cost": f"at most {cost:,.2f}"
        if cost is not None
        else "unknown without --judge-arg price_in=… --judge-arg price_out=… (per million tokens)",
    }
    click.echo("Plan (nobody is asked)")
    for name, value in rows.items():
        if value is not None:
            click.echo(f"{name:<11}{clean(str(value), 2000)}")
    click.echo("\nFirst prompt:", nl=False)
