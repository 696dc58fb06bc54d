"""Files of a run that may have come from anywhere: whatever is not of the documented shape is refused by name.

JSON that parses can still hold anything, and folders are copied, edited and exchanged: types are checked here, where
the files come in, so that nothing behind has to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.run.locate import written_by
from harness.run.result import RunResult, read_result
from harness.types import STATUSES, Estimate, Graded, Json, Score


def read_checked(directory: Path) -> RunResult:
    """Read `result.json`; raises `StoreError` naming the file and the first thing that is wrong with it."""
    result = read_result(directory)
    try:
        problem = _problem(result)
    except (TypeError, ValueError, AttributeError) as error:
        problem = str(error)
    if problem:
        path = directory / "result.json"
        raise StoreError(f"{path} is not a result file ({problem}): write it again with {written_by(directory)}")
    return result


def _problem(result: RunResult) -> str:
    """What is wrong, or an empty text."""
    for name in ("run_id", "suite", "suite_version", "model", "headline", "data_sha256", "finished"):
        if not isinstance(getattr(result, name), str):
            return f"{name} is not a text"
    for name in ("protocol", "imported_from", "judge"):
        if not isinstance(getattr(result, name), str | None):
            return f"{name} is not a text"
    for name in ("sampling", "graders", "totals", "model_identity", "environment", "judging"):
        if not isinstance(getattr(result, name), Mapping):
            return f"{name} is not a table"
    if not all(isinstance(version, str) for version in result.graders.values()):
        return "a grader's version is not a text"
    if not all(isinstance(warning, str) for warning in result.warnings):
        return "a warning is not a text"
    if not isinstance(result.n, int) or not (result.limit is None or isinstance(result.limit, int)):
        return "n or limit is not a number"
    if result.headline not in result.estimates:
        return f"it has no estimate of its headline {result.headline!r}"
    bad = next((name for name, estimate in result.estimates.items() if not _is_estimate(estimate)), None)
    if bad is not None:
        return f"the estimate of {bad!r} is not made of numbers"
    for key, item in result.items.items():
        mean = item.mean
        if mean is not None and (type(mean) is not float or not math.isfinite(mean)) and type(mean) is not int:
            return f"the value of problem {key!r} is not a number"
        if type(item.n) is not int or type(item.cluster) is not str:
            return f"problem {key!r} has no count or cluster"
    return ""


def _is_estimate(estimate: Estimate) -> bool:
    numbers = (estimate.value, estimate.low, estimate.high, estimate.se, *(estimate.bounds or ()))
    counts = (estimate.n_problems, estimate.n_samples, *estimate.counts.values())
    return (
        (estimate.bounds is None or len(estimate.bounds) == 2)
        and all(isinstance(number, int | float) for number in numbers)
        and math.isfinite(estimate.value)  # low, high and se may be: another tool did not state them
        and all(isinstance(count, int) for count in counts)
    )


def spec_problem(spec: Mapping[str, Json]) -> str:
    """What keeps a stored spec from being planned again, or an empty text."""
    for name in ("suite", "suite_version", "data_sha256", "model"):
        if not isinstance(spec.get(name), str):
            return f"{name} is not a text"
    if not isinstance(spec.get("model_identity"), Mapping):
        return "model_identity is not a table"
    for name in ("temperature", "top_p"):
        if not _is_number(spec.get(name)):
            return f"{name} is not a number"
    for name in ("max_tokens", "seed"):
        if type(spec.get(name)) is not int:
            return f"{name} is not a whole number"
    if not {"limit", "protocol"} <= set(spec):
        return "it has no limit or no protocol"
    if not (spec["limit"] is None or type(spec["limit"]) is int):
        return "limit is not a whole number"
    return "" if isinstance(spec["protocol"], str | None) else "protocol is not a text"


def graded_from_json(row: dict[str, Any]) -> Graded:
    """One line of scores.jsonl; raises KeyError, TypeError or ValueError if it is not one of ours."""
    score = Score(**row["score"])
    graded = Graded(**{**row, "score": score})
    counts = (graded.tokens_in, graded.tokens_out)
    if not (
        all(type(text) is str for text in (graded.problem_id, graded.cluster, score.why))
        and isinstance(score.answer, str | None)
        and score.status in STATUSES
        and (score.value is None or _is_number(score.value))
        and type(graded.attempt) is int
        and all(count is None or type(count) is int for count in counts)
        and isinstance(graded.formats, Mapping)
    ):
        raise ValueError("a field has the wrong type")
    return graded


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
