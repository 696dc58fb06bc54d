"""`result.json`: the small file that is all a leaderboard reads.

A run directory `<results>/runs/<run_id>/` holds

    spec.json        what was asked (written first)
    records.jsonl    completions, appended as they finish; compacted to records.parquet when the run is complete
    scores.jsonl     one `Graded` per line, no texts; rewritten by scoring
    result.json      this file, written to a temporary name and renamed
    log.txt          warnings and errors, redacted
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.errors import StoreError
from harness.files import read_json, write_atomically
from harness.run.locate import written_by
from harness.types import Estimate, Json

SCHEMA = 1
_OPEN = ("low", "high", "se")  # what another tool may not state, and one problem alone leaves unbounded


@dataclass(frozen=True)
class Item:
    """The headline metric on one problem: enough for paired tests without opening the records."""

    mean: float | None
    """Mean value over scored samples; None if nothing was scored."""
    n: int
    """Samples behind the mean."""
    cluster: str = ""


@dataclass(frozen=True)
class RunResult:
    """The outcome of one run: one suite, one model."""

    run_id: str
    suite: str
    suite_version: str
    model: str
    headline: str
    """Name of the metric that a leaderboard sorts by and pairs on."""
    estimates: Mapping[str, Estimate]
    items: Mapping[str, Item]
    """Problem id -> headline value, for paired comparison."""
    n: int
    """Samples per problem that are stored for every problem."""
    limit: int | None
    seed: int
    sampling: Mapping[str, Json]
    """temperature, top_p, max_tokens, stop."""
    data_sha256: str
    graders: Mapping[str, str]
    """Grader name -> version string at the time of scoring."""
    model_identity: Mapping[str, Json]
    environment: Mapping[str, Json]
    totals: Mapping[str, Json]
    """tokens_in, tokens_out, seconds, cost (currency unknown: whatever the prices were given in; None if none)."""
    finished: str
    """UTC, ISO 8601."""
    protocol: str | None = None
    imported_from: str | None = None
    """"lighteval" or "lm-eval" for a run of another tool."""
    judge: str | None = None
    """What judged the answers, "rubric@version#hash by model"; None for a graded run."""
    judging: Mapping[str, Json] = field(default_factory=dict)
    """Of a judged run: `judged_from` (run id), `protocol`, `judges`, `against`, counts and tokens of judgments."""
    warnings: tuple[str, ...] = ()
    schema: int = field(default=SCHEMA)


def write_result(directory: Path, result: RunResult) -> None:
    """Write `result.json` into a run directory; an unknown or infinite error is null there, since JSON has neither."""
    raw = asdict(result)
    for estimate in raw["estimates"].values():
        for name in _OPEN:
            estimate[name] = estimate[name] if math.isfinite(estimate[name]) else None
    write_atomically(directory / "result.json", json.dumps(raw, ensure_ascii=False, allow_nan=False) + "\n")


def _estimate(raw: dict[str, Any]) -> Estimate:
    """An estimate from its JSON object; null errors are NaN."""
    known = {name: math.nan if raw[name] is None else raw[name] for name in _OPEN}
    return Estimate(**{**raw, **known, "bounds": tuple(raw["bounds"]) if raw.get("bounds") else None})


def read_result(directory: Path) -> RunResult:
    """Read `result.json`; raises `StoreError` naming the file if it is absent, torn or of another schema."""
    path = directory / "result.json"
    try:
        raw: dict[str, Any] = read_json(path)
        if raw["schema"] != SCHEMA:
            raise StoreError(f"{path} has schema {raw['schema']!r}, this version reads {SCHEMA}: score the run again")
        raw["estimates"] = {name: _estimate(value) for name, value in raw["estimates"].items()}
        raw["items"] = {name: Item(**value) for name, value in raw["items"].items()}
        raw["warnings"] = tuple(raw.get("warnings", ()))
        return RunResult(**raw)
    except FileNotFoundError:
        raise StoreError(f"{path} does not exist: finish the run with the same `harness run` command") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        how = written_by(directory)
        raise StoreError(f"{path} is not a result file ({error}): write it again with {how}") from error
