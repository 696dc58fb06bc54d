"""What every importer produces, and how it becomes a run directory that the leaderboard reads.

Prompts and replies of an imported run are kept as our own runs keep theirs. A problem that was found in one of our
suites gets that suite's grader and gold answer. Where options were shown, their order was the other tool's, so that
only its own gold letter tells which one is right. Texts of suites whose authors ask that none be posted are not kept.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from harness.errors import DataError, HarnessError
from harness.files import read_json as read_json_file
from harness.hashing import canonical_json, short_hash
from harness.plain import clean
from harness.redact import mask_fields, mask_pairs, redact
from harness.run.folder import RunFolder
from harness.run.result import Item, RunResult
from harness.run.spec import RunSpec, prompt_hash
from harness.run.store import write_graded, write_problems, write_records, write_result, write_spec
from harness.stats.distributions import Z95, t_quantile
from harness.stats.standard_errors import mean_interval, wilson
from harness.types import STATUSES, Completion, Estimate, Graded, Json, Message, Problem, Record, Sampling, Score

Tool = Literal["lighteval", "lm-eval"]
TOOLS: tuple[Tool, ...] = ("lighteval", "lm-eval")
MAX_RESULT_BYTES = 256 * 1024 * 1024
MAX_LINE_BYTES = 64 * 1024 * 1024
MAX_ROWS = 2_000_000


def safe_name(name: str) -> str:
    """A model's name as a file or folder name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "__", name).strip(".")


@dataclass(frozen=True)
class ForeignItem:
    """One problem of an imported run."""

    key: str
    """The other tool's own id or hash of the problem, unique in the run."""
    question: str
    """Text that contains the problem, for finding it among ours; empty if the file has none."""
    values: Mapping[str, float]
    """Metric -> this problem's value (a mean, if several samples were drawn)."""
    n: int = 1
    """Samples behind the values."""
    tokens_out: int | None = None
    """Generated tokens over all samples."""
    prompt: str = ""
    """What the model was sent; empty if the file does not have it."""
    target: str = ""
    """The gold answer as the tool has it."""
    replies: tuple[str, ...] = ()
    """What the model wrote, one text a sample; empty for a task that generates nothing."""


@dataclass(frozen=True)
class ForeignRun:
    """One task of one result file of another tool."""

    tool: Tool
    task: str
    task_version: str
    model: str
    metrics: Mapping[str, tuple[float, float | None]]
    """Metric -> (value, standard error or None), the main one first."""
    n_problems: int | None
    items: tuple[ForeignItem, ...] = ()
    """Empty if the file holds totals only."""
    limit: int | None = None
    sampling: Mapping[str, Json] = field(default_factory=dict)
    seed: int = 0
    finished: str = ""
    environment: Mapping[str, Json] = field(default_factory=dict)
    identity: Mapping[str, Json] = field(default_factory=dict)
    seconds: float | None = None
    source: str = ""
    """File name the run was read from."""
    warnings: tuple[str, ...] = ()
    suite: str = ""
    """The name it gets here (`mapping.located`): one of ours if every problem was found in it, else "<tool>:<task>"."""
    data_sha256: str = "unknown"
    ids: Mapping[str, str] = field(default_factory=dict)
    """The other tool's key -> problem id of ours."""
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    """Metric -> which way is better, of those of which the tool says so."""
    note: str = ""
    """Why it does not stand under the name of a suite of ours."""


def read_json(path: Path, limit: int = MAX_RESULT_BYTES) -> dict[str, Any]:
    """A JSON object from a file that others wrote; raises `DataError` naming the file."""
    try:
        value = read_json_file(path, limit)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise DataError(
            f"{path} is not complete JSON ({str(error)[:120]}): was the tool stopped while writing?"
        ) from error
    if not isinstance(value, dict):
        raise DataError(f"{path} is not a result file: its top level is a {type(value).__name__}")
    return value


def seconds_of(value: object) -> float | None:
    """A duration that another tool wrote as a number or as text; None if it is neither."""
    try:
        return number(float(value)) if isinstance(value, str | int | float) else None
    except (ValueError, OverflowError):
        return None


def number(value: object) -> float | None:
    """A finite number, or None for anything else ("N/A", NaN, a list, an integer beyond any float)."""
    if not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def table(value: object) -> dict[str, Any]:
    """A JSON object, or an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def safe(value: Any) -> Json:
    """A scalar that can be stored: finite, valid Unicode, without secrets, at most 2,000 characters; else a text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return value if number(value) is not None and abs(value) < 2**63 else str(value)
    text = mask_pairs(value) if isinstance(value, str) else json.dumps(mask_fields(value), sort_keys=True, default=str)
    return redact(text)[:2000].encode("utf-8", "replace").decode("utf-8")


def name(value: object) -> str:
    """A model, task or metric name from a file: one clean line."""
    return clean(redact(mask_pairs(str(value))), 300) or "unknown"


def whole(value: object) -> int | None:
    """A count, or None for what cannot be one."""
    found = number(value)
    return int(found) if found is not None and 0 <= found < 2**53 else None


def is_file_name(text: str) -> bool:
    """True if a name from a file may be part of a path: it stays in its folder."""
    return not any(char in text for char in "/\\\0") and text not in (".", "..")


def text_hash(text: str) -> str:
    """sha256 of a text, 64 hex digits, as lm-eval writes its hashes."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def with_checked_items(run: ForeignRun, metric: str) -> ForeignRun:
    """Keep the per-problem values only if they are complete and their mean is the total that the file states.

    A samples file that was cut short or belongs to another run would make paired tests wrong without a trace.
    """
    if not run.items:
        return run
    values = [item.values[metric] for item in run.items if metric in item.values]
    total = run.metrics[metric][0]
    reason = ""
    if len(values) < len(run.items):
        reason = f"{len(run.items) - len(values)} of {len(run.items)} have no value of {metric}"
    elif run.n_problems is not None and len(values) != run.n_problems:
        reason = f"they are {len(values)}, the result file counts {run.n_problems}"
    elif abs(sum(values) / len(values) - total) > 1e-6 + 1e-6 * abs(total):
        reason = f"their mean is {sum(values) / len(values):.6g}, the result file says {total:.6g}"
    elif len({item.key for item in run.items}) != len(run.items):
        reason = "problem ids repeat"
    if not reason:
        return run
    warning = f"per-problem values of {run.task} were not used: {reason}; no paired tests for this run"
    return replace(run, items=(), warnings=(*run.warnings, warning))


def _estimate(run: ForeignRun, metric: str) -> tuple[Estimate, str]:
    """The estimate of one metric and a warning, if the tool's standard error is not what its own values give."""
    value, stated = run.metrics[metric]
    values = [item.values[metric] for item in run.items if metric in item.values]
    n_problems = len(run.items) or run.n_problems or 0
    n_samples = sum(item.n for item in run.items) or n_problems
    se, warning = stated, ""
    low, high = math.nan, math.nan
    share = 0.0 <= value <= 1.0 and all(0.0 <= v <= 1.0 for v in values)
    if values and len(values) == len(run.items):
        mean = mean_interval(np.array(values, dtype=np.float64), share=share)
        if stated is not None and len(values) > 1 and abs(mean.se - stated) > 0.2 * max(mean.se, stated):
            warning = f"{run.tool} states a standard error of {stated:.4g} for {metric}, its values give {mean.se:.4g}"
        se, low, high = mean.se, mean.low, mean.high
    elif stated is not None and share and n_problems > 1:
        spread = value * (1.0 - value)
        worth = spread / stated**2 if stated > 0.0 and spread > 0.0 else n_problems  # how many single answers
        low, high = wilson(value, worth, t_quantile(n_problems - 1))
    elif stated is not None:
        low, high = value - Z95 * stated, value + Z95 * stated
    estimate = Estimate(
        value=value,
        low=low,
        high=high,
        se=math.nan if se is None else se,
        n_problems=n_problems,
        n_samples=n_samples,
        counts={status: n_samples if status == "scored" else 0 for status in STATUSES},
    )
    return estimate, warning


def to_result(run: ForeignRun, headline: str) -> tuple[RunResult, list[Graded]]:
    """The run as a `RunResult` and its per-problem scores; `headline` must be one of its metrics."""
    run = with_checked_items(run, headline)
    warnings = [*run.warnings, *([run.note] if run.note else [])]
    estimates: dict[str, Estimate] = {}
    for metric in [headline, *(m for m in run.metrics if m != headline)]:
        estimates[metric], warning = _estimate(run, metric)
        warnings += [warning] if warning else []
    warnings.append(f"{run.tool} does not record unanswered, cut or failed samples: their counts here are not measured")
    ids = {item.key: run.ids.get(item.key, item.key) for item in run.items}
    items = {ids[item.key]: Item(item.values[headline], item.n) for item in run.items}
    graded = [
        Graded(
            problem_id=ids[item.key],
            attempt=0,
            score=Score(
                item.values[headline], "scored", why=f"imported: mean of {item.n}" if item.n > 1 else "imported"
            ),
            tokens_out=item.tokens_out if item.n == 1 else None,
        )
        for item in run.items
    ]
    tokens = [item.tokens_out for item in run.items if item.tokens_out is not None]
    identity: dict[str, Json] = {"tool": run.tool, "source": run.source, **run.identity}
    result = RunResult(
        run_id=_run_id(run, headline),
        suite=run.suite,
        suite_version=f"{run.tool}/{run.task_version}",
        model=run.model,
        headline=headline,
        estimates=estimates,
        items=items,
        n=min((item.n for item in run.items), default=1),
        limit=run.limit,
        seed=run.seed,
        sampling=run.sampling,
        data_sha256=run.data_sha256,
        graders={run.tool: f"{run.tool}/{run.task_version}"},
        model_identity=identity,
        environment=run.environment,
        totals={
            "tokens_in": None,
            "tokens_out": sum(tokens) if len(tokens) == len(run.items) and tokens else None,
            "seconds": run.seconds,
            "cost": None,
        },
        finished=run.finished,
        imported_from=run.tool,
        warnings=tuple(warnings),
        higher_is_better={name: run.higher_is_better[name] for name in estimates if name in run.higher_is_better},
    )
    return result, graded


def _run_id(run: ForeignRun, headline: str) -> str:
    """Readable slug and a hash of the content: importing a file again, with more at hand, replaces the run."""
    facts = {
        "tool": run.tool,
        "task": run.task,
        "model": run.model,
        "headline": headline,
        "metrics": {name: value for name, (value, _) in run.metrics.items()},
        "sampling": dict(run.sampling),
        "finished": run.finished,
    }
    slug = re.sub(r"[^A-Za-z0-9._+-]+", "-", f"{run.tool}-{run.task}-{run.model}").strip("-.")[:80]
    return f"{slug}-{short_hash(canonical_json(facts), 10)}"


def write_run(
    results_dir: Path,
    result: RunResult,
    graded: Sequence[Graded],
    problems: Sequence[Problem] = (),
    records: Sequence[Record] = (),
) -> RunFolder:
    """Write an imported run as `<results>/runs/<run_id>/`: spec, prompts and replies, scores, and the result last."""
    folder = RunFolder.of(results_dir, result.run_id)
    folder.path.mkdir(parents=True, exist_ok=True)
    sampled = {key: result.sampling.get(key) for key in ("temperature", "top_p", "max_tokens", "stop")}
    spec = RunSpec(
        suite=result.suite,
        suite_version=result.suite_version,
        data_sha256=result.data_sha256,
        model=result.model,
        model_identity=result.model_identity,
        sampling=Sampling(),
        limit=result.limit,
        imported_from=result.imported_from,
        recorded={**sampled, "seed": result.seed},
    )
    write_spec(folder.path, spec)
    if problems:
        write_problems(folder.path, problems)
        write_records(folder.path, records)
    if graded:
        write_graded(folder.path, graded)
    write_result(folder.path, result)
    return folder


CONFIDENTIAL = frozenset({"gpqa"})
"""Suites whose authors ask that no text be posted: completions quote the questions."""
_LETTER = re.compile(r"\s*\(?([A-J])\)?\.?\s*")


def replies(run: ForeignRun, data_dir: Path | None) -> tuple[list[Problem], list[Record]]:
    """What was asked and answered, in the file's order; two empty lists where the file does not hold all of it."""
    if not run.items or not all(item.prompt and item.replies for item in run.items):
        return [], []
    if any(name in run.task.lower() or name == run.suite for name in CONFIDENTIAL):
        return [], []
    ours = _our_problems(run, data_dir)
    problems = [_problem(item, run.ids.get(item.key, item.key), ours) for item in run.items]
    records = [
        Record(problem.id, attempt, 0, prompt_hash(problem.messages), Completion(text, "stop"))
        for problem, item in zip(problems, run.items, strict=True)
        for attempt, text in enumerate(item.replies)
    ]
    return problems, records


def _our_problems(run: ForeignRun, data_dir: Path | None) -> Mapping[str, Problem]:
    from harness.suites import load_problems, load_suite

    if not run.ids:
        return {}
    try:
        return {problem.id: problem for problem in load_problems(load_suite(run.suite), data_dir, 0, None)}
    except HarnessError:  # found a moment ago: without them the replies are kept all the same
        return {}


def _problem(item: ForeignItem, name: str, known: Mapping[str, Problem]) -> Problem:
    asked, ours = (Message("user", item.prompt),), known.get(name)
    if ours is None:
        return Problem(name, asked, item.target, "")
    if not ours.choices:
        return replace(ours, messages=asked, meta={})
    letter = _LETTER.fullmatch(item.target)
    grader, target = (ours.grader, letter[1]) if letter is not None else ("", item.target)
    return replace(ours, messages=asked, target=target, grader=grader, choices=(), meta={})
