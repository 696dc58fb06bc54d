"""What `harness bench --dry-run` shows: the trainings and the evaluations that the command would make."""

from __future__ import annotations

from collections.abc import Sequence

from harness.bench.runner import Preflight, unequal
from harness.bench.spec import BenchSpec
from harness.report.table import Column, Row, Table, column
from harness.report.text import count
from harness.run.plan import PlannedRun


def dry_tables(spec: BenchSpec, plans: Sequence[PlannedRun], found: Preflight) -> list[Table]:
    """Trainings and evaluations that the command would make."""
    trainings: list[Row] = [
        {
            "method": method,
            "seed": seed,
            "model": planned.model_id,
            "state": "trained" if planned.finished else "to train",
            "records": planned.records,
            "steps": planned.steps,
            "tokens": planned.tokens,
        }
        for (method, seed), planned in found.plans.items()
    ]
    to_train = sum(planned.tokens for planned in found.plans.values() if not planned.finished)
    notes = [f"{method} cannot begin: {reason}" for method, reason in found.failures.items()]
    notes += [f"{to_train:,} tokens to train in all", *unequal(found)]
    columns = (
        column("method"),
        column("seed", right=True),
        column("model"),
        column("state"),
        *map(_number, ("records", "steps", "tokens")),
    )
    table = Table("Trainings (nothing is trained)", columns, tuple(trainings), tuple(notes))
    return [table, _evaluations(spec, plans, len(found.plans))]


def _evaluations(spec: BenchSpec, plans: Sequence[PlannedRun], trained: int) -> Table:
    models = trained + 1 + (spec.teacher is not None) + len(spec.models)
    rows: list[Row] = [
        {
            "suite": plan.suite.name,
            "models": models,
            "problems": len(plan.problems),
            "n": plan.spec.sampling.n,
            "requests": models * len(plan.problems) * plan.spec.sampling.n,
            "max_tokens": plan.spec.sampling.max_tokens,
            "temperature": plan.spec.sampling.temperature,
        }
        for plan in plans
    ]
    columns = (
        column("suite"),
        *map(_number, ("models", "problems", "n", "requests", "max_tokens", "temperature")),
    )
    notes = ("completions that are stored already are not made again",)
    return Table("Evaluations (nothing is generated)", columns, tuple(rows), notes)


def _number(name: str) -> Column:
    def show(row: Row) -> str:
        value = row[name]
        return count(value) if isinstance(value, int | float) else "-"

    return Column(name.replace("_", " "), show, right=True)
