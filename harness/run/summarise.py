"""Summarise graded attempts into the run's `result.json`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from harness import __version__
from harness.clock import utc_now
from harness.errors import DataError, NotMeasured
from harness.metrics import estimate
from harness.models.base import NO_ROOM
from harness.run.components import break_even, component_totals, total_cost
from harness.run.gated import gate_report, loop_report
from harness.run.plan import PlannedRun, choose_metrics
from harness.run.result import Item, RunResult, count_warnings
from harness.run.score import grader_versions
from harness.run.sent import sent_sampling
from harness.types import Estimate, Graded, Json


def summarise(
    job: PlannedRun,
    graded: Sequence[Graded],
    environment: Mapping[str, Json],
    seconds: float | None,
    notes: Sequence[str] = (),
) -> RunResult:
    """Estimates, per-problem items, totals and warnings of one run.

    `seconds` is the wall time spent generating, None if unknown; `notes` are warnings of whoever read the replies.
    Raises `DataError` on an empty list.
    """
    if not graded:
        raise DataError(f"{job.spec.run_id}: no completion is stored, so there is nothing to summarise")
    attempts = Counter(row.problem_id for row in graded)
    n = min(attempts.get(problem.id, 0) for problem in job.problems)
    metrics = choose_metrics(job.suite, n, job.metrics)
    estimates, unsupported = _estimates(metrics, graded, job.metrics)
    tokens_in = [row.tokens_in for row in graded if row.tokens_in is not None]
    tokens_out = [row.tokens_out for row in graded if row.tokens_out is not None]
    components = component_totals(graded, environment)
    own_cost = _cost(sum(tokens_in), sum(tokens_out), environment)
    return RunResult(
        run_id=job.spec.run_id,
        suite=job.suite.name,
        suite_version=job.suite.version,
        model=job.spec.model,
        headline=metrics[0],
        estimates=estimates,
        items=_items(graded),
        n=n,
        limit=job.spec.limit,
        seed=job.spec.sampling.seed,
        sampling=sent_sampling(job.spec, job.problems),
        data_sha256=job.spec.data_sha256,
        graders=grader_versions(job),
        model_identity=dict(job.spec.model_identity),
        environment={"harness": __version__, **environment},
        totals={
            "tokens_in": sum(tokens_in) if tokens_in else None,
            "tokens_out": sum(tokens_out) if tokens_out else None,
            "seconds": round(seconds, 3) if seconds is not None else None,
            "cost": total_cost(components) if components else own_cost,
            **({"components": components} if components else {}),
            **({"lorid": loop} if (loop := loop_report(graded)) else {}),
            **({"gate": gate} if (gate := gate_report(graded)) else {}),
            **({"break_even": even} if (even := break_even(graded, environment)) else {}),
        },
        finished=utc_now(),
        protocol=job.spec.protocol,
        warnings=(*_warnings(job, graded, attempts), *notes, *unsupported),
    )


def _estimates(
    metrics: Sequence[str], graded: Sequence[Graded], asked: Sequence[str]
) -> tuple[dict[str, Estimate], list[str]]:
    """Every metric that these attempts support, and a warning for each other one but an absent token count.

    What the data do not hold at all (labels) is told once, whatever the number of metrics that need it. Failed attempts
    can leave no problem with k scored samples: that must not cost the run its other numbers.
    """
    found: dict[str, Estimate] = {}
    warnings: list[str] = []
    for name in metrics:
        if name == "tokens_out" and all(row.tokens_out is None for row in graded):
            continue  # the engine reports none
        try:
            found[name] = estimate(name, graded)
        except DataError as error:
            if name == metrics[0]:
                raise
            told_once = isinstance(error, NotMeasured) and name not in asked
            warnings.append(str(error) if told_once else f"{name} is not reported: {error}")
    return found, list(dict.fromkeys(warnings))


def _items(graded: Sequence[Graded]) -> dict[str, Item]:
    values: dict[str, list[float]] = defaultdict(list)
    clusters: dict[str, str] = {}
    for row in graded:
        clusters[row.problem_id] = row.cluster
        if row.score.value is not None:
            values[row.problem_id].append(row.score.value)
    return {
        problem: Item(
            sum(values[problem]) / len(values[problem]) if values[problem] else None, len(values[problem]), cluster
        )
        for problem, cluster in sorted(clusters.items())
    }


def _cost(tokens_in: int, tokens_out: int, environment: Mapping[str, Json]) -> float | None:
    price_in, price_out = environment.get("price_in"), environment.get("price_out")
    if not isinstance(price_in, int | float) or not isinstance(price_out, int | float):
        return None
    return (tokens_in * price_in + tokens_out * price_out) / 1e6


def _warnings(job: PlannedRun, graded: Sequence[Graded], attempts: Mapping[str, int]) -> list[str]:
    limit = sent_sampling(job.spec, job.problems)["max_tokens"]
    found = count_warnings(Counter(row.score.status for row in graded), limit)
    no_room = [row.score.why for row in graded if row.score.status == "error" and NO_ROOM in row.score.why]
    if no_room:
        found.append(f"{len(no_room)} of {len(graded)} samples do not {NO_ROOM}: {no_room[0]}")
    absent = [problem.id for problem in job.problems if problem.id not in attempts]
    if absent:
        found.append(f"{len(absent)} of {len(job.problems)} problems have no sample: run the same command again")
    return found
