"""The table of `harness plan`: which difference every suite can detect, and what a smaller one takes."""

from __future__ import annotations

import math

from harness.power import Noise, mde, n_needed, problems_needed
from harness.report.table import Column, Row, Table, column
from harness.report.text import count
from harness.run.result import RunResult
from harness.stats.exact import least_share
from harness.types import Suite


def power_row(
    suite: Suite,
    n: int,
    limit: int | None,
    noise: Noise,
    runs: list[RunResult],
    target: float,
    alpha: float,
    power: float,
) -> Row:
    """What `n` samples of a suite can detect, and what `target` takes; shares, not points."""
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


def power_table(rows: list[Row], target: float, power: float) -> Table:
    """One row a suite, with what the numbers do and do not say."""

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
        column("suite"),
        column("problems", right=True),
        column("n", right=True),
        Column("detects (pp)", lambda row: points(row, "mde"), right=True),
        Column("unpaired (pp)", lambda row: points(row, "mde_unpaired"), right=True),
        Column(f"n for {100 * target:g} pp", needed, right=True),
        column("or problems", "problems_needed", right=True),
        Column("tokens", lambda row: number(row, "tokens"), right=True),
        Column("tokens needed", lambda row: number(row, "tokens_needed"), right=True),
        column("noise"),
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
