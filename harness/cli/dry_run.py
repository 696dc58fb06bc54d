"""`harness run --dry-run`: what a run would do and cost, without doing it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import click

from harness.cli import options
from harness.config import RunConfig
from harness.models import load_model
from harness.models.budget import Prices
from harness.report.table import Column, Format, Table, column
from harness.run.folder import RunFolder
from harness.run.plan import (
    PlannedRun,
    expect,
    first_prompt,
    make_jobs,
    plan_suites,
    refuse_temperatures,
    refuse_unfit_suites,
)
from harness.run.sent import sent_sampling
from harness.run.shards import Shard
from harness.run.turns import count_stored, count_turns
from harness.systems.base import calls_of, unplanned_of
from harness.types import Json, Model


def show_plan(config: RunConfig, form: Format, shard: Shard | None = None) -> None:
    """Print the plan of a config: requests to make, expected tokens, cost and time, and the first prompt."""
    plans = [replace(plan, shard=shard) for plan in plan_suites(config)]
    refuse_temperatures(plans, config)
    rows: list[dict[str, Json]] = []
    prompt: list[dict[str, Json]] = []
    unplanned: dict[str, None] = {}
    for spec in config.model:
        model = load_model(spec, config.options_of(spec), config.results_dir)
        refuse_unfit_suites(model, plans)
        jobs = make_jobs(plans, model.name, model.describe(), config)
        unplanned |= dict.fromkeys(unplanned_of(model))
        prompt = prompt or first_prompt(jobs[0])
        rows += [_row(job, model, Path(config.results_dir)) for job in jobs]
    columns = (
        column("suite"),
        column("model"),
        Column("problems", lambda row: f"{row['n_problems']:,}", right=True),
        column("n", right=True),
        Column("to make", lambda row: f"{row['requests']:,}", right=True),
        Column("stored", lambda row: f"{row['stored']:,}", right=True),
        Column("tokens in", lambda row: f"{row['tokens_in']:,}", right=True),
        Column("tokens out", lambda row: f"{row['tokens_out']:,}", right=True),
        column("tokens from", "tokens_source"),
        Column("cost", lambda row: "-" if row["cost"] is None else f"{row['cost']:,.2f}", right=True),
        Column("hours", lambda row: "-" if row["hours"] is None else f"{row['hours']:,.2f}", right=True),
        column("temperature", right=True),
        Column("max tokens", lambda row: f"{row['max_tokens']:,}", right=True),
        column("run", "run_id"),
    )
    table = Table("Plan (nothing is generated)", columns, tuple(rows))
    options.emit([table], form, {"first_prompt": prompt})
    if form in ("table", "md"):
        if any(row["hours"] is None for row in rows):
            click.echo("hours: unknown before this model's first run here; `--limit 5` measures it")
        for line in unplanned:
            click.echo(line)
        if config.judge.names:
            click.echo(
                "judging is not counted: its prompts hold the answers; `harness judge RUN --dry-run` plans it then"
            )
        click.echo("\nFirst prompt:")
        for message in prompt:
            click.echo(f"[{message['role']}]\n{message['content']}")


def _row(job: PlannedRun, model: Model, results_dir: Path) -> dict[str, Json]:
    sampling = job.spec.sampling
    sent = sent_sampling(job.spec, job.problems)
    done = RunFolder(job.directory).usable()
    stored = sum(
        done.get((problem.id, attempt)) == job.prompt_hashes[problem.id] for problem, attempt in job.attempts()
    )
    if job.suite.follow_up is not None:
        stored = count_stored(job)
    requests = count_turns(job) - stored
    expected = expect(job, requests, results_dir, calls_of(model))
    hours, tokens = expected.pop("hours"), (cast(int, expected["tokens_in"]), cast(int, expected["tokens_out"]))
    prices = Prices.of(model.environment())
    return {
        "suite": job.suite.name,
        "model": job.spec.model,
        "n_problems": len(job.problems),
        "n": sampling.n,
        "requests": requests,
        "stored": stored,
        **expected,
        "cost": prices.cost(*tokens) if prices is not None else None,
        "hours": hours,
        "temperature": sent["temperature"],
        "top_p": sent["top_p"],
        "max_tokens": sent["max_tokens"],
        "seed": sampling.seed,
        "run_id": job.spec.run_id,
    }
