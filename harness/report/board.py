"""A leaderboard as tables: one table per group of comparable runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.leaderboard import Group, GroupKey, Standing
from harness.metrics import described
from harness.models.budget import Prices
from harness.report.curve import curve_notes
from harness.report.gated import system_notes
from harness.report.published import Reference
from harness.report.table import Column, Row, Table, number
from harness.report.text import count, p_value, signed_interval, with_interval
from harness.run.directions import described_in
from harness.run.result import RunResult, judge_note, judge_notes, warnings_of
from harness.stats.multiple import decide, disagreement
from harness.types import STATUSES, Json

_TOLD = {"no_answer": "no answer", "error": "failed"}
_PUBLISHED = "published"
DECISION = "decision"
"""Title of the column that says whether a run is shown to be higher or lower than the baseline."""
TRAINED = "trained"
"""Title of the column of lineages, which shows only where a model of the registry is among the rows."""


def board_tables(groups: Sequence[Group], references: Sequence[Reference] = ()) -> list[Table]:
    """One table per group, best first; reference rows, marked, after our own."""
    return [_group_table(group, references) for group in groups]


def wide_tables(groups: Sequence[Group], references: Sequence[Reference] = ()) -> list[Table]:
    """One table for all metrics of comparable runs: the headline's, with the others as columns behind it."""
    together: dict[GroupKey, list[Group]] = {}
    for group in groups:
        together.setdefault(group.key, []).append(group)
    return [_wide(members, references) for members in together.values()]


def _wide(groups: Sequence[Group], references: Sequence[Reference]) -> Table:
    first = _group_table(groups[0], references)
    others = groups[1:]
    if not others:
        return first
    more = {
        (standing.result.run_id, group.standings[0].metric): standing_row(standing)
        for group in others
        for standing in group.standings
    }

    known = {row.get("run_id") for row in first.rows}
    unlike: dict[str, Json] = dict.fromkeys(("value", "low", "high", "rank"))
    without = {run: {**row, **unlike, "letters": ""} for (run, _), row in more.items() if run not in known}

    def titled(group: Group) -> str:
        metric = group.standings[0].metric
        unit = described_in(metric, [one.result for one in group.standings]).own_unit
        return f"{metric} [{unit}]" if unit else metric

    def column_of(group: Group) -> Column:
        metric = group.standings[0].metric

        def show(row: Row) -> str:
            found = more.get((str(row.get("run_id")), metric))
            return "-" if found is None else _value(found)

        return Column(titled(group), show, right=True)

    value = next(index for index, one in enumerate(first.columns) if one.title == "value")
    own = replace(first.columns[value], title=titled(groups[0]))
    columns = (*first.columns[:value], own, *map(column_of, others), *first.columns[value + 1 :])
    notes = [*first.notes, *(note for group in others for note in group.notes if "no per-problem values" not in note)]
    notes.append(f"ranks and ties are those of {groups[0].standings[0].metric}")
    return Table(groups[0].key.describe(), columns, (*first.rows, *without.values()), tuple(dict.fromkeys(notes)))


def _group_table(group: Group, references: Sequence[Reference]) -> Table:
    first = group.standings[0]
    rows = [standing_row(standing) for standing in group.standings]
    headline = first.metric == first.result.headline
    shown = _matching(group, references)
    rows += [reference_row(reference, group.key.suite, first.metric) for reference in shown]
    notes = [*group.notes, *curve_notes(group.standings), *system_notes(group.standings)]
    notes += [f"{s.model} against the baseline: {why}" for s in group.standings if (why := _why(s))]
    if shown:
        sources = sorted({reference.source for reference in shown})
        notes.append("* published, not measured here; other prompts, samples and judges. " + "; ".join(sources))
    notes += judge_notes(standing.result for standing in group.standings)
    if any(s.tied for s in group.standings):
        notes.append("runs that share a letter are tied: no paired test tells them apart (5 %, Holm over all tables)")
    title = f"{group.key.describe()} - {first.metric}{'' if headline else ' (not the headline metric)'}"
    metric = described_in(first.metric, [standing.result for standing in group.standings])
    words = [metric.shown(first.estimate.value)[1], "lower is better" if metric.lower_is_better else ""]
    if any(words):
        title += f" [{', '.join(filter(None, words))}]"
    return Table(title, COLUMNS, tuple(rows), tuple(notes))


def _matching(group: Group, references: Sequence[Reference]) -> list[Reference]:
    """References for this suite and metric; of averages over several sample counts only the largest is shown."""
    metric = group.standings[0].metric
    best: dict[tuple[str, str, str], Reference] = {}
    for reference in references:
        if reference.suite != group.key.suite or not reference.answers(metric):
            continue
        key = (reference.system, reference.student, reference.source)
        if key not in best or (best[key].samples or 0) < (reference.samples or 0):
            best[key] = reference
    return sorted(best.values(), key=lambda reference: -reference.value)


def standing_row(standing: Standing) -> Row:
    """One measured row as data: the documented keys first, then what else is known."""
    estimate, result = standing.estimate, standing.result
    counts: dict[str, Json] = {status: estimate.counts.get(status, 0) for status in STATUSES} if estimate.counts else {}
    row: dict[str, Json] = {
        "suite": result.suite,
        "model": standing.model,
        "metric": standing.metric,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n_problems": estimate.n_problems,
        "n_samples": estimate.n_samples,
        "counts": counts,
        "rank": standing.rank,
        "letters": standing.letters,
        "tied_with": list(standing.tied),
        "se": estimate.se,
        "n": result.n,
        "suite_version": result.suite_version,
        "data_sha256": result.data_sha256,
        "limit": result.limit,
        "sampling": dict(result.sampling),
        "protocol": result.protocol,
        "imported_from": result.imported_from,
        "tokens_in": result.totals.get("tokens_in"),
        "tokens_out": result.totals.get("tokens_out"),
        "seconds": result.totals.get("seconds"),
        "cost": result.totals.get("cost"),
        **{name: found for name in ("components", "break_even") if (found := result.totals.get(name))},
        **({"judge_note": judge_note(result)} if result.judge is not None else {}),
        **({"judging_cost": cost} if (cost := judging_cost(result)) is not None else {}),
        "finished": result.finished,
        "warnings": list(warnings_of(result)),
        "run_id": result.run_id,
        "published": False,
    }
    if (trained := lineage_of(result.model_identity)) is not None:
        row["trained"] = trained
    if standing.versus is not None:
        row |= {
            "delta": standing.versus.diff,
            "delta_low": standing.versus.low,
            "delta_high": standing.versus.high,
            "delta_p": standing.versus.p,
            "delta_p_holm": standing.versus_p,
            "delta_decision": decide(standing.versus.diff, standing.versus_p),
            "delta_why": _why(standing),
        }
    return row


def judging_cost(result: RunResult) -> float | None:
    """What the judgments of a judged run take at its judges' prices, those from the cache included.

    None where a judge has no prices or does not count tokens, and for a panel whose members cost differently.
    """
    counts, judges = result.judging.get("judgments"), result.environment.get("judges")
    if not isinstance(counts, Mapping) or not isinstance(judges, Sequence):
        return None
    prices = {Prices.of(judge) for judge in judges if isinstance(judge, Mapping)}
    tokens_in, tokens_out = number(counts, "tokens_in"), number(counts, "tokens_out")
    if len(prices) != 1 or tokens_in is None or tokens_out is None:
        return None
    (price,) = prices
    return None if price is None else price.cost(tokens_in, tokens_out)


def _why(standing: Standing) -> str:
    """Why the difference to the baseline is not what its interval looks like, or an empty text."""
    versus = standing.versus
    return "" if versus is None else disagreement(versus.low, versus.high, versus.p, standing.versus_p)


def lineage_of(identity: Mapping[str, Json]) -> dict[str, Json] | None:
    """What a run of a model of the registry kept of its card (`harness.models.trained.lineage_facts`); else None."""
    facts = identity.get("trained")
    if not isinstance(facts, Mapping):
        return None
    return {name: value for name, value in facts.items() if isinstance(value, str | int | float | None)}


def _lineage(row: Row) -> str:
    """How a trained model came about: "krsl ← smollm2, seed 1, 2.0M tokens"."""
    facts = row.get("trained")
    if not isinstance(facts, Mapping):
        return "-"
    parts = [f"{facts.get('method', '?')} ← {facts.get('base', '?')}"]
    if facts.get("seed") is not None:
        parts.append(f"seed {facts['seed']}")
    if (tokens := number(facts, "tokens")) is not None:
        parts.append(f"{count(tokens)} tokens")
    return ", ".join(parts)


def reference_row(reference: Reference, suite: str, metric: str) -> Row:
    """A published number as a row: no interval, no counts, marked."""
    system = "" if reference.system in reference.student else f" ({reference.system})"
    return {
        "suite": suite,
        "model": f"{reference.student}{system}",
        "metric": metric,
        "value": reference.on_our_scale,
        "low": None,
        "high": None,
        "n_problems": None,
        "n_samples": None,
        "counts": {},
        "rank": None,
        "n": reference.samples,
        "protocol": reference.metric,
        _PUBLISHED: True,
        "source": reference.source,
    }


def _rank(row: Row) -> str:
    if row[_PUBLISHED]:
        return "*"
    return f"{row['rank']} {row['letters']}" if row["rank"] is not None else "-"


def _value(row: Row) -> str:
    value, low, high = number(row, "value"), number(row, "low"), number(row, "high")
    if value is None:
        return "-"
    scale, _ = described(str(row["metric"])).shown(value)
    return with_interval(value, low, high, scale) if low is not None and high is not None else f"{scale * value:.1f}"


def value_of(standing: Standing) -> str:
    """A standing's number with its interval and, where that is no share, its unit."""
    row = standing_row(standing)
    return f"{_value(row)} {described(standing.metric).own_unit}".strip()


def missing_of(standing: Standing) -> str:
    """How many of its samples have no score or no answer, by why: "5 no answer, 2 truncated of 40"; empty for none."""
    counts = standing.estimate.counts or {}
    found = [f"{counts[name]} {_TOLD.get(name, name)}" for name in STATUSES if name != "scored" and counts.get(name)]
    return f"{', '.join(found)} of {sum(counts.values())}" if found else ""


def _samples(row: Row) -> str:
    problems, n = number(row, "n_problems"), number(row, "n")
    if problems is None:
        return "-" if n is None else f"x {n:.0f}"
    return f"{problems:.0f}" + (f" x {n:.0f}" if n is not None else "")


def _warned(row: Row) -> str:
    """How many warnings stand under the table for this row: nobody reads the notes of a number that looks clean."""
    found = row.get("warnings")
    return str(len(found)) if isinstance(found, list) and found else "-"


def _status(status: str) -> Column:
    def show(row: Row) -> str:
        counts = row["counts"]
        of_status = counts.get(status, 0) if isinstance(counts, dict) else 0
        return str(of_status) if of_status else "-"

    return Column(_TOLD.get(status, status), show, right=True)


def _takes(row: Row) -> str:
    """What one answer of a system takes of each of its models: "model: 5 calls, 450 in, 160 out"."""
    components = row.get("components")
    return "; ".join(f"{role}: {_each(row, role)}" for role in components) if isinstance(components, Mapping) else "-"


def _breaks_even(row: Row) -> str:
    """After how many answers a cascade has paid for what its student is shown."""
    even = row.get("break_even")
    if not isinstance(even, Mapping):
        return "-"
    answers = number(row, "break_even", "answers")
    return f"no: {even.get('why')}" if answers is None else f"after {count(answers)}"


def _each(row: Row, role: str) -> str:
    answers, shown = number(row, "components", role, "answers") or 1.0, []
    for name, unit in (("calls", "calls"), ("tokens_in", "in"), ("tokens_out", "out"), ("cost", "cost")):
        if (value := number(row, "components", role, name)) is not None:
            shown.append(f"{f'{value / answers:.3g}' if name == 'cost' else count(value / answers)} {unit}")
    return ", ".join(shown)


def _delta(row: Row) -> str:
    scale, _ = described(str(row["metric"])).shown(number(row, "value") or 0.0)
    return signed_interval(number(row, "delta"), number(row, "delta_low"), number(row, "delta_high"), scale)


COLUMNS = (
    Column("rank", _rank, right=True),
    Column("model", lambda row: str(row["model"])),
    Column(TRAINED, _lineage),
    Column("value", _value, right=True),
    Column("problems x n", _samples, right=True),
    Column("vs baseline", _delta, right=True),
    Column("p (Holm)", lambda row: p_value(number(row, "delta_p_holm")), right=True),
    Column(DECISION, lambda row: str(row.get("delta_decision", "-"))),
    *(_status(status) for status in STATUSES if status != "scored"),
    Column("warnings", _warned, right=True),
    Column("an answer takes", _takes),
    Column("breaks even", _breaks_even, right=True),
    Column("tokens total", lambda row: count(number(row, "tokens_out")), right=True),
    Column("cost", lambda row: count(number(row, "cost")), right=True),
    Column("judging cost", lambda row: count(number(row, "judging_cost")), right=True),
)
