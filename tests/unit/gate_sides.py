"""Sides of a gate, made by hand, for its tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.gate.values import Side, Value


def make_side(values: Sequence[float | None], name: str = "base", **changes: Any) -> Side:
    """A side with one value per problem (None: its samples have no score); `clusters` names their clusters."""
    n = int(changes.get("n", 1))
    clusters = changes.pop("clusters", [""] * len(values))
    rows = {
        f"p{i:04d}": Value(v, n, 0, v, v, c, "42", "41") if v is not None else Value(None, 0, n, 0.0, 1.0, c)
        for i, (v, c) in enumerate(zip(values, clusters, strict=True))
    }
    facts: dict[str, Any] = {
        "run_id": f"toy-{name}",
        "suite": "toy",
        "suite_version": "1",
        "data_sha256": "d" * 64,
        "model": f"mock:{name}",
        "metric": "avg@n",
        "n": n,
        "limit": None,
        "seed": 0,
        "sampling": {"temperature": 0.6, "top_p": 1.0, "max_tokens": 256, "stop": []},
        "values": rows,
        "graders": {"integer": "integer/1"},
    }
    return Side(**(facts | changes))
