"""The comparison as tables and as JSON: scores, where the noise comes from, what was trained, and a dry run's plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from harness.bench.compare import Entry, SuiteComparison
from harness.bench.costs import costed, costs_of, frontier_table
from harness.bench.runner import ReadyBench, unequal
from harness.bench.samples import TOKENS, Quantity
from harness.bench.spec import Arm, BenchSpec
from harness.plain import clean
from harness.report.table import Column, Row, Table, at, column, number
from harness.report.text import count, p_value, signed_interval, with_interval
from harness.run.plan import PlannedRun
from harness.stats.seeds import SOURCES, Seeded
from harness.types import Json

_TIE = "ranks: 1 is best, equal ranks are ties, Holm over all pairs; p (Holm) is over all rows against the reference"


def suite_table(found: SuiteComparison) -> Table:
    """One row per method and model: accuracy, format, a judge's score, diversity, tokens, and what training took."""
    rows = tuple(_row(found, entry) for entry in found.entries)
    head = found.headline
    versus, against = versus_title(found), ("measures", head.key, "versus")
    columns = (
        Column("rank", lambda row: f"{row['rank']} {row['letters']}" if row["rank"] is not None else "-", right=True),
        column("method", "model"),
        Column("seeds", lambda row: "-" if row["seeds"] is None else str(row["seeds"]), right=True),
        Column(f"{head.title} [%]", partial(_mean_text, head), right=True),
        Column(versus, partial(_versus_text, head), right=True),
        Column("p (Holm)", lambda row: p_value(number(row, *against, "p_holm")), right=True),
        Column("decision", lambda row: str(at(row, *against, "decision") or "-")),
        *(
            column
            for measure in found.measures
            if measure != head
            for column in (
                Column(f"{measure.title}{' [%]' if measure.share else ''}", partial(_mean_text, measure), right=True),
                *(
                    [Column(f"{measure.title} {versus}", partial(_versus_text, measure), right=True)]
                    if measure == TOKENS
                    else []
                ),
            )
        ),
        Column("train tokens", lambda row: count(number(row, "train_tokens")), right=True),
        Column("train s", lambda row: count(number(row, "train_seconds")), right=True),
        Column("answer s", lambda row: count(number(row, "answer_seconds")), right=True),
        Column("cost", lambda row: count(number(row, "cost")), right=True),
    )
    notes = (*found.notes, *_disagreements(found), *((_TIE,) if found.reference is not None else ()))
    return Table(f"{found.suite}: mean over seeds and problems, 95 % interval", columns, rows, notes)


def versus_title(found: SuiteComparison) -> str:
    """Title of the differences to the reference."""
    return f"vs {found.reference}"


def _row(found: SuiteComparison, entry: Entry) -> Row:
    arm = entry.arm
    head = entry.means.get(found.headline.key)
    cards = [member.card for member in arm.members if member.card is not None]
    runs = [run for member in arm.members if (run := member.runs.get(found.suite)) is not None]
    return {
        "suite": found.suite,
        "model": arm.name,
        "kind": arm.kind,
        "metric": found.headline.key,
        "value": None if head is None else head.value,
        "low": None if head is None else head.low,
        "high": None if head is None else head.high,
        "rank": entry.rank,
        "letters": entry.letters,
        "reference": found.reference,
        "seeds": len(arm.members) if arm.kind == "method" else None,
        "n_problems": None if head is None else head.n_problems,
        "measures": {
            measure.key: _measure_json(entry, measure) for measure in found.measures if measure.key in entry.means
        },
        "train_tokens": _average([card.tokens for card in cards]),
        "spent": None if (spent := costs_of(arm)) == {} else spent,
        "frontier": next((list(row.best) for row in costed(found) if row.name == arm.name), []),
        "train_seconds": _average([card.seconds for card in cards]),
        "answer_seconds": _average([number(run.totals, "seconds") for run in runs]),
        "cost": _average([number(run.totals, "cost") for run in runs]),
        "models": [member.model for member in arm.members],
        "runs": [run.run_id for run in runs],
        "failures": list(arm.failures),
        "warnings": arm.warnings(found.suite),
    }


def _measure_json(entry: Entry, measure: Quantity) -> Json:
    versus = entry.versus.get(measure.key)
    return {
        **seeded_json(entry.means[measure.key]),
        "by_seed": list(entry.by_seed[measure.key]),
        "versus": None if versus is None else _versus_json(versus),
    }


def _versus_json(versus: Seeded) -> Json:
    decided = {"p_holm": versus.p_holm, "decision": versus.decision, "why": versus.why}
    return {**seeded_json(versus), "p": versus.p, **decided}


def seeded_json(found: Seeded) -> dict[str, Json]:
    """A mean or difference as plain values; components as standard errors of it."""
    return {
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "se": found.se,
        "n_problems": found.n_problems,
        "n_seeds": found.n_seeds,
        "components": [{"sources": list(c.sources), "se": c.se, "negative": c.negative} for c in found.components],
        "notes": list(found.notes),
    }


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _mean_text(measure: Quantity, row: Row) -> str:
    value, low, high = (number(row, "measures", measure.key, name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "failed" if row["failures"] and not row["measures"] else "-"
    return with_interval(value, low, high, 100.0 if measure.share else 1.0)


def _versus_text(measure: Quantity, row: Row) -> str:
    value, low, high = (number(row, "measures", measure.key, "versus", name) for name in ("value", "low", "high"))
    return signed_interval(value, low, high, 100.0 if measure.share else 1.0)


def _disagreements(found: SuiteComparison) -> list[str]:
    """A line for each difference in the table whose interval and test disagree."""
    shown = [measure for measure in found.measures if measure == found.headline or measure.key == TOKENS.key]
    return [
        f"{entry.arm.name} {versus_title(found)}, {measure.title}: {versus.why}"
        for entry in found.entries
        for measure in shown
        if (versus := entry.versus.get(measure.key)) is not None and versus.why
    ]


def variance_table(found: SuiteComparison) -> Table:
    """Where the noise of the headline comes from: standard errors of each mean, and of each difference."""
    head = found.headline
    rows: list[Row] = []
    notes: dict[str, None] = {}
    for entry in found.entries:
        pairs = [("mean", entry.means.get(head.key))]
        if head.key in entry.versus:
            pairs.append((f"minus {found.reference}", entry.versus[head.key]))
        for what, seeded in pairs:
            if seeded is None:
                continue
            notes |= {f"{entry.arm.name}, {what}: {note}": None for note in seeded.notes}
            rows.append({"suite": found.suite, "model": entry.arm.name, "of": what, **_shares(seeded)})
    columns = (
        column("method", "model"),
        column("of"),
        *(Column(f"from {source}", partial(_points, source, head), right=True) for source in SOURCES),
        Column("in all", partial(_points, "total", head), right=True),
    )
    title = (
        f"{found.suite}: where the noise of {head.title} comes from, standard errors{' [points]' if head.share else ''}"
    )
    return Table(title, columns, tuple(rows), tuple(notes))


def _shares(seeded: Seeded) -> dict[str, Json]:
    """Source -> standard error; sources that cannot be told apart stand under the first of them."""
    found: dict[str, Json] = {"total": seeded.se}
    for component in seeded.components:
        found[component.sources[0]] = component.se
        found |= {source: f"in {component.sources[0]}" for source in component.sources[1:]}
    return found


def _points(source: str, measure: Quantity, row: Row) -> str:
    value = row.get(source)
    if isinstance(value, int | float):
        return f"{(100.0 if measure.share else 1.0) * value:.2f}"
    return "-" if value is None else f"({value})"


def training_table(arms: Sequence[Arm]) -> Table:
    """One row for each trained model."""
    rows: list[Row] = [
        {
            "method": arm.name,
            "seed": member.seed,
            "model": member.model,
            "tokens": member.card.tokens,
            "spent": None if member.card.spent is None else asdict(member.card.spent),
            "seconds": member.card.seconds,
            "steps": member.card.steps,
            "stopped": member.card.stopped,
            "final": dict(member.card.final),
        }
        for arm in arms
        for member in arm.members
        if member.card is not None
    ]
    columns = (
        column("method"),
        column("seed", right=True),
        column("model"),
        Column("tokens", lambda row: count(number(row, "tokens")), right=True),
        *(
            Column(title, partial(_spent, name), right=True)
            for name, title in _SPENT.items()
            if any(number(row, "spent", name) for row in rows)
        ),
        Column("steps", lambda row: count(number(row, "steps")), right=True),
        Column("seconds", lambda row: count(number(row, "seconds")), right=True),
        Column("last loss", _loss, right=True),
        column("stopped by", "stopped"),
    )
    failures = tuple(f"{arm.name}: {reason}" for arm in arms for reason in arm.failures)
    return Table("Trainings", columns, tuple(rows), failures)


_SPENT = {
    "generated": "generated",
    "prefilled": "prefilled",
    "teacher": "teacher",
    "judge_in": "judge read",
    "judge_out": "judge wrote",
    "flops": "flops",
}
"""Kind of cost -> its column, which is there where anything was spent; `tokens` are those read."""


def _spent(name: str, row: Row) -> str:
    value = number(row, "spent", name)
    return "-" if value is None else f"{value:.3g}" if name == "flops" else count(value)


def _loss(row: Row) -> str:
    loss = number(row, "final", "loss")
    return "-" if loss is None else f"{loss:.4g}"


def all_tables(arms: Sequence[Arm], comparisons: Sequence[SuiteComparison]) -> list[Table]:
    """Scores of each suite, what they cost, where their noise comes from, then the trainings."""
    return [
        *(suite_table(found) for found in comparisons),
        *(table for found in comparisons if (table := frontier_table(found)) is not None),
        *(variance_table(found) for found in comparisons),
        training_table(arms),
    ]


def bench_json(spec: BenchSpec, arms: Sequence[Arm], comparisons: Sequence[SuiteComparison]) -> dict[str, Json]:
    """Everything beside the rows."""
    return {
        "bench": {
            "methods": list(spec.methods),
            "seeds": spec.seeds,
            "student": spec.student,
            "teacher": spec.teacher,
            "budget": spec.budget,
            "count": spec.count,
        },
        "trainings": [dict(row) for row in training_table(arms).rows],
        "notes": {found.suite: list(found.notes) for found in comparisons},
        "failures": [{"model": arm.name, "reason": clean(why, 1000)} for arm in arms for why in arm.failures],
    }


def dry_tables(bench: ReadyBench, plans: Sequence[PlannedRun]) -> list[Table]:
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
        for (method, seed), planned in bench.trainings.items()
    ]
    to_train = sum(planned.tokens for planned in bench.trainings.values() if not planned.finished)
    notes = [f"{method} cannot begin: {reason}" for method, reason in bench.failures.items()]
    notes += [f"{to_train:,} tokens to train in all", *unequal(bench.trainings)]
    columns = (
        column("method"),
        column("seed", right=True),
        column("model"),
        column("state"),
        *map(_number, ("records", "steps", "tokens")),
    )
    table = Table("Trainings (nothing is trained)", columns, tuple(trainings), tuple(notes))
    return [table, _evaluations(bench.spec, plans, len(bench.trainings))]


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
    notes = ["completions that are stored already are not made again"]
    if spec.models:
        several = "; of a model over models a request is one answer, which may take several"
        notes.append(f"the models beside students and teacher: {', '.join(spec.models)}{several}")
    return Table("Evaluations (nothing is generated)", columns, tuple(rows), tuple(notes))


def _number(name: str) -> Column:
    def show(row: Row) -> str:
        value = row[name]
        return count(value) if isinstance(value, int | float) else "-"

    return Column(name.replace("_", " "), show, right=True)
