"""`harness plan`: which difference a suite can detect now, and what a smaller one takes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.power import Noise
    from harness.report.table import Format, Row, Table
    from harness.run.result import RunResult
    from harness.types import Suite


_USUAL = "aime,gpqa,math500"


@click.command("plan")
@click.option("--detect", required=True, metavar="DIFFERENCE", help="The difference to find: 3pp, 3% or 0.03.")
@click.option("--suite", "suites", help=f"Suites; aime:64 sets n. [default: those of --run and --model, else {_USUAL}]")
@click.option("--n", type=click.IntRange(min=1), help="Samples per problem now; default: the run's, or the suite's.")
@click.option("--protocol", help="Take n from a sampling protocol, for example r1.")
@click.option("--limit", type=click.IntRange(min=2), help="Only the first problems of every suite.")
@click.option("--run", "runs", multiple=True, help="Measure the noise on this stored run; two of a suite are better.")
@click.option("--model", "models", multiple=True, help="Measure it on the newest stored run of this model.")
@click.option("--power", type=float, default=0.8, show_default=True, help="Chance of finding it if it is there.")
@click.option("--alpha", type=float, default=0.05, show_default=True, help="Chance of finding it if it is not.")
@options.results_dir
@options.output_format
def command(
    detect: str,
    suites: str | None,
    n: int | None,
    protocol: str | None,
    limit: int | None,
    runs: tuple[str, ...],
    models: tuple[str, ...],
    power: float,
    alpha: float,
    results_dir: Path,
    form: Format,
    as_json: bool,
) -> int:
    """Say which difference between two models each suite can detect, and how many samples a smaller one needs.

    Two models are compared on the same problems (paired); where few differ, the exact test's power counts. Without
    --run or --model the spread of scores is assumed: what is typical of 7B reasoning models. No data is loaded and
    nothing is generated.
    """
    from harness.datasets import pinned
    from harness.plain import clean
    from harness.power import ASSUMED, ASSUMED_ELSEWHERE, measured, parse_difference
    from harness.report.table import render
    from harness.suites import load_suite, parse_suite_arg

    target = parse_difference(detect)
    stored = _stored(results_dir, runs, models)
    rows: list[Row] = []
    asked = suites or ",".join(dict.fromkeys(run.suite for run in stored)) or _USUAL
    for name, own_n in parse_suite_arg(asked):
        suite = load_suite(name)
        suite = replace(suite, data=pinned(suite.data))  # without a published pin, the rows are counted
        mine = [run for run in stored if run.suite == name]
        noise = ASSUMED.get(name, ASSUMED_ELSEWHERE)
        if mine:
            noise = measured(mine, noise)
        samples = own_n if own_n is not None else n
        if samples is None:
            samples = mine[0].n if mine and protocol is None else _protocol_n(suite, protocol)
        own_limit = limit if limit is not None or not mine else mine[0].limit
        rows.append(_row(suite, samples, own_limit, noise, mine, target, alpha, power))
    unused = sorted({run.suite for run in stored} - {str(row["suite"]) for row in rows})
    if unused:
        click.echo(f"note: no suite asked for has the runs of {clean(', '.join(unused))}; add --suite", err=True)
    shown: Format = "json" if as_json else form
    click.echo(render([_table(rows, target, power)], shown, tty=shown == "table" and sys.stdout.isatty()), nl=False)
    return 0


def _stored(results_dir: Path, names: tuple[str, ...], models: tuple[str, ...]) -> list[RunResult]:
    """The runs named, then the newest of each suite for every model named."""
    from harness.errors import StoreError, UnknownName
    from harness.run.checked import read_checked
    from harness.run.locate import find_run, list_runs

    found = [read_checked(find_run(results_dir, name)) for name in names]
    if not models:
        return found
    everything: list[RunResult] = []
    for directory in list_runs(results_dir):
        try:
            everything.append(read_checked(directory))
        except StoreError:  # unfinished or damaged: `leaderboard` names it, planning does not need it
            continue
    for model in models:
        newest: dict[str, RunResult] = {}
        for run in sorted((run for run in everything if run.model == model), key=lambda run: run.finished):
            newest[run.suite] = run
        if not newest:
            raise UnknownName("model among the stored runs", model, {run.model for run in everything})
        found += newest.values()
    return found


def _protocol_n(suite: Suite, protocol: str | None) -> int:
    from harness import catalog
    from harness.run.presets import SamplingPreset

    if protocol is None:
        return suite.sampling.n
    chosen = catalog.load("protocol", protocol)
    assert isinstance(chosen, SamplingPreset)
    return chosen.apply(suite.name, suite.sampling).n


def _row(
    suite: Suite,
    n: int,
    limit: int | None,
    noise: Noise,
    runs: list[RunResult],
    target: float,
    alpha: float,
    power: float,
) -> Row:
    import math

    from harness.power import mde, n_needed, problems_needed
    from harness.stats.exact import least_share

    problems = min(suite.data.rows, limit) if limit is not None else suite.data.rows
    needed = n_needed(target, problems, noise, alpha=alpha, power=power)
    lengths = [run.estimates["tokens_out"].value for run in runs if "tokens_out" in run.estimates]
    tokens = sum(lengths) / len(lengths) if lengths else float(suite.sampling.max_tokens)
    return {
        "suite": suite.name,
        "problems": problems,
        "n": n,
        "mde": mde(problems, n, noise, alpha=alpha, power=power),
        "mde_unpaired": mde(problems, n, noise, paired=False, alpha=alpha, power=power),
        "target": target,
        "n_needed": needed,
        "least_on_few": least_share(problems, alpha, power),
        "floor": mde(problems, math.inf, noise, alpha=alpha, power=power),
        "problems_needed": problems_needed(target, n, noise, alpha=alpha, power=power),
        "tokens": problems * n * tokens,
        "tokens_needed": problems * needed * tokens if needed is not None else None,
        "tokens_source": "mean of the stored samples" if lengths else "upper bound: max_tokens",
        "greedy": all(
            at == 0 for at in [run.sampling.get("temperature") for run in runs] or [suite.sampling.temperature]
        ),
        "mean": noise.mean,
        "between_sd": noise.between_sd,
        "within_sd": noise.within_sd,
        "delta_sd": noise.delta_sd,
        "noise": noise.source,
    }


def _table(rows: list[Row], target: float, power: float) -> Table:
    from harness.report.table import Column, Table
    from harness.report.text import count

    def points(row: Row, key: str) -> str:
        value = row[key]
        return f"{100 * value:.1f}" if isinstance(value, float) else "-"

    def needed(row: Row) -> str:
        if row["n_needed"] is None:
            return f"cannot: {points(row, 'floor')} pp even as n grows"
        return str(row["n_needed"])

    def number(row: Row, key: str) -> str:
        value = row[key]
        return count(value) if isinstance(value, int | float) else "-"

    columns = (
        Column("suite", lambda row: str(row["suite"])),
        Column("problems", lambda row: str(row["problems"]), right=True),
        Column("n", lambda row: str(row["n"]), right=True),
        Column("detects (pp)", lambda row: points(row, "mde"), right=True),
        Column("unpaired (pp)", lambda row: points(row, "mde_unpaired"), right=True),
        Column(f"n for {100 * target:g} pp", needed, right=True),
        Column("or problems", lambda row: str(row["problems_needed"]), right=True),
        Column("tokens", lambda row: number(row, "tokens"), right=True),
        Column("tokens needed", lambda row: number(row, "tokens_needed"), right=True),
        Column("noise", lambda row: str(row["noise"])),
    )
    notes = [
        f"a true difference of this size between two models on the same problems is found with {power:.0%} power; "
        "smaller ones are more likely missed than found: do not name a winner below it",
        "a difference that falls whole on few problems takes more, however many samples: at least "
        + ", ".join(f"{points(row, 'least_on_few')} pp on {row['suite']}" for row in rows),
    ]
    if any(row["n_needed"] is None for row in rows):
        notes.append(
            "'cannot': the models differ from problem to problem, and samples do not average that out; more problems do"
        )
    if any(row["noise"] == "assumed" for row in rows):
        notes.append("noise is assumed where no stored run is named with --run or --model")
    if any(row["tokens_source"] != "mean of the stored samples" for row in rows):
        notes.append("tokens are for one model, and an upper bound (max_tokens for every sample) where no run is named")
    if any(row["greedy"] and isinstance(row["n_needed"], int) and row["n_needed"] > 1 for row in rows):
        notes.append("more than one sample needs a temperature above 0")
    return Table("What a comparison can detect", columns, tuple(rows), tuple(notes))
