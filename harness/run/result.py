"""`result.json`: the outcome of a run, the small file that is all a leaderboard reads.

JSON that parses can still hold anything: whatever is not of the documented shape is refused by name.

What a reader must know is said with the result wherever it is shown, not only when it was made: `harness run`, `judge`
and `import` store their warnings in result.json; leaderboard, compare, gate, bench and every page show them through
`warnings_of`. What follows from the counts is derived again, so that old results have it too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.files import is_number
from harness.types import Estimate, Json

SCHEMA = 1
CALIBRATION = "calibration"
"""Key in `RunResult.judging` of what labels said of the judge (`harness.run.judged.calibrate`)."""
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
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """Of an imported run, as far as its tool declares it: metric -> which way is better."""
    schema: int = field(default=SCHEMA)


def result_to_json(result: RunResult) -> dict[str, Any]:
    """As stored in result.json; an unknown or infinite error is null there, since JSON has neither."""
    raw = asdict(result)
    if not result.higher_is_better:  # as runs of ours are stored, and were before
        del raw["higher_is_better"]
    for estimate in raw["estimates"].values():
        for name in _OPEN:
            estimate[name] = estimate[name] if math.isfinite(estimate[name]) else None
    return raw


def result_from_json(raw: dict[str, Any]) -> RunResult:
    """Inverse of `result_to_json`.

    Raises ValueError, KeyError, TypeError or AttributeError saying what is wrong with a file that is not one.
    """
    raw["estimates"] = {name: _estimate(value) for name, value in raw["estimates"].items()}
    raw["items"] = {name: Item(**value) for name, value in raw["items"].items()}
    raw["warnings"] = tuple(raw.get("warnings", ()))
    result = RunResult(**raw)
    if problem := _problem(result):
        raise ValueError(problem)
    return result


def _estimate(raw: dict[str, Any]) -> Estimate:
    """An estimate from its JSON object; null errors are NaN."""
    known = {name: math.nan if raw[name] is None else raw[name] for name in _OPEN}
    return Estimate(**{**raw, **known, "bounds": tuple(raw["bounds"]) if raw.get("bounds") else None})


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
        if not _is_json(getattr(result, name)):
            return f"{name} holds a number that is none"
    directions = result.higher_is_better
    if not isinstance(directions, Mapping) or not all(isinstance(higher, bool) for higher in directions.values()):
        return "higher_is_better is not a table of yes and no"
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
        if item.mean is not None and not _is_value(item.mean):
            return f"the value of problem {key!r} is not a number"
        if type(item.n) is not int or type(item.cluster) is not str:
            return f"problem {key!r} has no count or cluster"
    return ""


def _is_json(value: object) -> bool:
    """Whether it can be written as it was read: Python reads NaN and 1e999, which JSON does not have."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return False
    return True


LARGEST = 1e150
"""No score is as large; the square of a larger one is no number any more, and a spread is made of squares."""


def _is_value(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def _is_estimate(estimate: Estimate) -> bool:
    numbers = (estimate.value, estimate.low, estimate.high, estimate.se, *(estimate.bounds or ()))
    counts = (estimate.n_problems, estimate.n_samples, *estimate.counts.values())
    return (
        (estimate.bounds is None or len(estimate.bounds) == 2)
        and all(isinstance(number, int | float) for number in numbers)
        and _is_value(estimate.value)  # low, high and se may be: another tool did not state them
        and all(isinstance(count, int) for count in counts)
    )


CUT = 0.02
"""Share of samples cut by the token limit above which it is said."""


def cut_share(counts: Mapping[str, int]) -> float | None:
    """Share of samples that the token limit cut before an answer; None where nothing was counted."""
    total = sum(counts.values())
    return counts.get("truncated", 0) / total if total else None


def cut_warning(share: float, max_tokens: Json) -> str:
    """The sentence for answers that were cut."""
    return (
        f"{share:.1%} of the samples were cut by the limit of {max_tokens} tokens: "
        "raise --max-tokens, or read the score as a lower bound"
    )


def count_warnings(counts: Mapping[str, int], max_tokens: Json) -> list[str]:
    """What the counts of a run's samples by status say."""
    found: list[str] = []
    share = cut_share(counts)
    if share is not None and share > CUT:
        found.append(cut_warning(share, max_tokens))
    refused = counts.get("refused", 0)
    if refused > CUT * sum(counts.values()):
        found.append(f"{refused} of {sum(counts.values())} samples refuse to answer: counted as wrong")
    unscored, errors = counts.get("unscored", 0), counts.get("error", 0)
    if unscored or errors:
        split = f"{unscored} unscored, {errors} errors"
        found.append(f"{unscored + errors} of {sum(counts.values())} samples have no score ({split})")
    return found


def judge_note(result: RunResult) -> str:
    """Who judged, with which prompt and when, and whether that judge was ever held against labels."""
    who = f"judged on {result.finished[:10]} with {result.judge}"
    facts = result.judging.get(CALIBRATION)
    if not isinstance(facts, Mapping):
        return f"{who}, an uncalibrated judge: how often it errs is in no interval (`harness judge calibrate`)"
    said = [_interval(facts.get("prediction_powered"), "prediction-powered")]
    said.append(_interval(facts.get("rogan_gladen"), "Rogan-Gladen"))
    return f"{who}, calibrated on {facts.get('labels')} labels: corrected mean {', '.join(filter(None, said))}"


def judge_notes(results: Iterable[RunResult]) -> list[str]:
    """A line for each judge behind these results, for the foot of a table; none for graded runs."""
    judged = [result for result in results if result.judge is not None]
    lines = []
    for result in judged:
        named = f"{result.model}, " if CALIBRATION in result.judging else ""
        lines.append(f"judge: {named}{judge_note(result)}")
    return list(dict.fromkeys(lines))


def _interval(found: Json, how: str) -> str:
    if not isinstance(found, Mapping):
        return ""
    value, low, high = (found.get(name) for name in ("value", "low", "high"))
    if not all(is_number(one) for one in (value, low, high)):
        return ""
    assert isinstance(value, int | float) and isinstance(low, int | float) and isinstance(high, int | float)
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({how})"


def warnings_of(result: RunResult) -> tuple[str, ...]:
    """Everything that is to be said beside a result, each thing once."""
    if result.judge is not None:  # its counts are of judgments
        return tuple(dict.fromkeys(result.warnings))
    counts = result.estimates[result.headline].counts
    return tuple(dict.fromkeys([*count_warnings(counts, result.sampling.get("max_tokens", "?")), *result.warnings]))
