"""Small run directories for the tests of whatever reads results."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.run.result import Item, RunResult
from harness.run.store import write_graded, write_result
from harness.types import STATUSES, Estimate, Graded, Score


def make_run(
    results: Path,
    model: str,
    values: Sequence[float | None],
    *,
    suite: str = "toy",
    run_id: str | None = None,
    n: int = 1,
    counts: Mapping[str, int] | None = None,
    tokens: int | None = 100,
    **changes: Any,
) -> Path:
    """Write a run with one value per problem (None: nothing was scored) and return its directory."""
    items = {f"p{i:03d}": Item(value, n if value is not None else 0) for i, value in enumerate(values)}
    known = [value for value in values if value is not None]
    mean = sum(known) / len(known) if known else 0.0
    status = {name: 0 for name in STATUSES} | {"scored": n * len(known), "unscored": n * (len(values) - len(known))}
    low = sum(known) / len(values)
    bounds = (low, low + (len(values) - len(known)) / len(values)) if len(known) < len(values) else None
    estimate = Estimate(
        mean, max(0.0, mean - 0.1), min(1.0, mean + 0.1), 0.05, len(known), n * len(known), counts or status, bounds
    )
    facts: dict[str, Any] = {
        "run_id": run_id or f"{suite}-{model.replace(':', '-')}-0000000000",
        "suite": suite,
        "suite_version": "1",
        "model": model,
        "headline": "avg@n",
        "estimates": {"avg@n": estimate, "tokens_out": Estimate(100.0, 90.0, 110.0, 5.0, len(values), len(values))},
        "items": items,
        "n": n,
        "limit": None,
        "seed": 0,
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": 2048, "stop": []},
        "data_sha256": "d" * 64,
        "graders": {"integer": "integer/1"},
        "model_identity": {},
        "environment": {},
        "totals": {"tokens_in": 1000, "tokens_out": 2000, "seconds": 1.5, "cost": None},
        "finished": "2026-01-02T03:04:05Z",
    }
    result = RunResult(**(facts | changes))
    directory = results / "runs" / result.run_id
    directory.mkdir(parents=True)
    graded = [
        Graded(key, attempt, Score(item.mean, "scored" if item.mean is not None else "unscored"), tokens_out=tokens)
        for key, item in items.items()
        for attempt in range(n)
    ]
    write_graded(directory, graded)
    write_result(directory, result)
    return directory


def coin(p: float, count: int, seed: int) -> list[float]:
    """`count` right-or-wrong values with probability p."""
    rng = random.Random(seed)
    return [float(rng.random() < p) for _ in range(count)]
