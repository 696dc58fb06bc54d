"""`harness plan`: which difference a suite can detect now, and what a smaller one takes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.report.table import Format, Row
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
@click.option(
    "--power", type=options.NUMBER, default=0.8, show_default=True, help="Chance of finding it if it is there."
)
@click.option(
    "--alpha", type=options.NUMBER, default=0.05, show_default=True, help="Chance of finding it if it is not."
)
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
) -> int:
    """Say which difference between two models each suite can detect, and how many samples a smaller one needs.

    Two models are compared on the same problems (paired); where few differ, the exact test's power counts. Without
    --run or --model the spread of scores is assumed: what is typical of 7B reasoning models. No data is loaded and
    nothing is generated.
    """
    from harness.datasets import pinned
    from harness.plain import clean
    from harness.power import ASSUMED, ASSUMED_ELSEWHERE, measured, parse_difference
    from harness.report.power import power_row, power_table
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
        rows.append(power_row(suite, samples, own_limit, noise, mine, target, alpha, power))
    unused = sorted({run.suite for run in stored} - {str(row["suite"]) for row in rows})
    if unused:
        click.echo(f"note: no suite asked for has the runs of {clean(', '.join(unused))}; add --suite", err=True)
    options.emit([power_table(rows, target, power)], form)
    return 0


def _stored(results_dir: Path, names: tuple[str, ...], models: tuple[str, ...]) -> list[RunResult]:
    """The runs named, then the newest of each suite for every model named."""
    from harness.errors import StoreError, UnknownName
    from harness.run.folder import find_run, list_runs

    found = [find_run(results_dir, name).result for name in names]
    if not models:
        return found
    everything: list[RunResult] = []
    for folder in list_runs(results_dir):
        try:
            everything.append(folder.result)
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
