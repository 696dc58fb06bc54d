"""Write a run of ours as result files of lm-eval or lighteval, for tools that read those.

The files carry what we measured under that tool's keys. They say that this harness made them: prompts and graders are
ours, so the numbers are not what the other tool would have measured.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import __version__, distribution
from harness.errors import StoreError, UnknownName
from harness.files import write_output
from harness.interop.common import CONFIDENTIAL, TOOLS, safe_name, text_hash
from harness.interop.lm_eval import doc_hash
from harness.report.table import finite
from harness.run.directions import described_in
from harness.run.folder import RunFolder
from harness.run.result import RunResult
from harness.types import Graded, Json


def export_run(folder: RunFolder, tool: str, out: Path, *, texts: bool = True) -> list[Path]:
    """Write one run in a tool's format below `out`; returns the files.

    `texts` also exports completions (lm-eval samples), except of suites that must not be shown in plain text.
    Raises `UnknownName` for a tool, `StoreError` for a run without scores.
    """
    if tool not in TOOLS:
        raise UnknownName("tool", tool, TOOLS)
    result = folder.result
    if tool == "lighteval":
        return [_lighteval(result, out)]
    replies = _replies(folder) if texts and result.suite not in CONFIDENTIAL else {}
    return _lm_eval(result, folder.graded, replies, out)


def _folder(result: RunResult, out: Path) -> Path:
    folder = out / safe_name(result.model)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _stamp(result: RunResult) -> str:
    """The other tools' time stamp: ISO 8601 with "-" for ":"."""
    return re.sub(r"[^0-9T.-]", "-", result.finished.removesuffix("Z").partition("+")[0]) or "unknown"


def _task(result: RunResult) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "_", result.suite)


def _dump(path: Path, value: Mapping[str, Any]) -> Path:
    write_output(path, json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return path


def _made_by(result: RunResult) -> dict[str, Json]:
    return {
        "made_by": f"{distribution.NAME} {__version__}",
        "run_id": result.run_id,
        "suite": f"{result.suite}@{result.suite_version}",
        "data_sha256": result.data_sha256,
        "graders": dict(result.graders),
        "imported_from": result.imported_from,
    }


def _lm_eval(
    result: RunResult, graded: Sequence[Graded], replies: Mapping[tuple[str, int], str], out: Path
) -> list[Path]:
    task, stamp, folder = _task(result), _stamp(result), _folder(result, out)
    metrics: dict[str, Json] = {"alias": task, "sample_len": len(result.items)}
    for name, estimate in _headline_first(result):
        metrics[f"{name},none"] = estimate.value
        metrics[f"{name}_stderr,none"] = estimate.se
    sampling = result.sampling
    generation = {
        "do_sample": sampling.get("temperature") not in (0, 0.0),
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
        "max_gen_toks": sampling.get("max_tokens"),
        "until": sampling.get("stop") or [],
    }
    samples = list(_samples(result, graded, replies))
    hashes = "".join(f"{s['doc_hash']}{s['prompt_hash']}{s['target_hash']}" for s in samples)
    higher: dict[str, Json] = {name: not described_in(name, [result]).lower_is_better for name in result.estimates}
    aggregated = {
        "results": {task: metrics},
        "group_subtasks": {task: []},
        "configs": {task: {"task": task, "output_type": "generate_until", "repeats": result.n, "num_fewshot": 0,
                           "generation_kwargs": generation, "metadata": _made_by(result)}},
        "versions": {task: result.suite_version},
        "n-shot": {task: 0},
        "higher_is_better": {task: higher},
        "n-samples": {task: {"original": len(result.items), "effective": len(samples)}},
        "config": {"model": "harness", "model_args": f"model={result.model}", "limit": result.limit,
                   "gen_kwargs": None, "random_seed": result.seed, "bootstrap_iters": 0},
        "git_hash": None,
        "date": None,
        "task_hashes": {task: text_hash(hashes)},
        "model_source": "harness",
        "model_name": result.model,
        "model_name_sanitized": folder.name,
        "chat_template": None,
        "chat_template_sha": None,
        "system_instruction": None,
        "total_evaluation_time_seconds": str(result.totals.get("seconds")),
    }  # fmt: skip
    lines = "".join(json.dumps(finite(sample), ensure_ascii=False, allow_nan=False) + "\n" for sample in samples)
    path = folder / f"samples_{task}_{stamp}.jsonl"
    write_output(path, lines)
    return [_dump(folder / f"results_{stamp}.json", aggregated), path]


def _headline_first(result: RunResult) -> list[tuple[str, Any]]:
    return sorted(result.estimates.items(), key=lambda pair: pair[0] != result.headline)


def _samples(
    result: RunResult, graded: Sequence[Graded], replies: Mapping[tuple[str, int], str]
) -> Iterator[dict[str, Json]]:
    """One row per problem in order of id; the value is the headline's on that problem."""
    attempts: dict[str, list[Graded]] = {}
    for row in graded:
        attempts.setdefault(row.problem_id, []).append(row)
    for position, (problem_id, item) in enumerate(sorted(result.items.items())):
        if item.mean is None:
            continue  # lm-eval has no way to say that a sample was never scored; n-samples tells the difference
        rows = attempts.get(problem_id, [])
        doc: dict[str, Json] = {"id": problem_id}
        yield {
            "doc_id": position,
            "doc": doc,
            "target": "",
            "arguments": {},
            "resps": [[replies.get((problem_id, row.attempt), "") for row in rows]],
            "filtered_resps": [row.score.answer for row in rows],
            "filter": "none",
            "metrics": [result.headline],
            "doc_hash": doc_hash(doc),
            "prompt_hash": text_hash(""),
            "target_hash": text_hash(""),
            "statuses": [row.score.status for row in rows],
            result.headline: item.mean,
        }


def _replies(folder: RunFolder) -> dict[tuple[str, int], str]:
    try:
        return {(record.problem_id, record.attempt): record.completion.text for record in folder.records}
    except StoreError as error:
        raise StoreError(f"the completions cannot be exported ({error}); --no-texts leaves them out") from error


def _lighteval(result: RunResult, out: Path) -> Path:
    key = f"{_task(result)}|0"
    values: dict[str, Json] = {}
    for name, estimate in _headline_first(result):
        values[name] = estimate.value
        values[f"{name}_stderr"] = estimate.se
    sampling = result.sampling
    generation: dict[str, Json] = {
        "temperature": sampling.get("temperature"),
        "top_p": sampling.get("top_p"),
        "max_new_tokens": sampling.get("max_tokens"),
        "stop_tokens": sampling.get("stop") or None,
        "seed": result.seed,
    }
    aggregated: dict[str, Any] = {
        "config_general": {
            "lighteval_sha": "?",
            "num_fewshot_seeds": 1,
            "max_samples": result.limit,
            "job_id": "0",
            "start_time": None,
            "end_time": None,
            "total_evaluation_time_secondes": str(result.totals.get("seconds")),
            "model_config": {"model_name": result.model, "generation_parameters": generation},
            "model_name": result.model,
        },
        "results": {key: values, "all": values},
        "versions": {key: result.suite_version},
        "config_tasks": {
            key: {
                "name": _task(result),
                "effective_num_docs": len(result.items),
                "num_samples": [result.n],
                "metadata": _made_by(result),
            }
        },
        "summary_tasks": {key: {"hashes": {}, "truncated": 0, "non_truncated": len(result.items)}},
        "summary_general": {"hashes": {}, "truncated": 0, "non_truncated": len(result.items)},
    }
    folder = out / "results" / _folder(result, out / "results").name
    return _dump(folder / f"results_{_stamp(result)}.json", aggregated)
