"""lm-eval (EleutherAI lm-evaluation-harness 0.4): `results_<time>.json` and `samples_<task>_<time>.jsonl`.

`results[task]` maps "metric,filter" to a value and "metric_stderr,filter" to its standard error. A samples file has
one row per document and filter, written line by line, so a stopped run leaves a short or torn file.
Format as written by `lm_eval/loggers/evaluation_tracker.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.files import open_binary
from harness.interop.common import (
    MAX_LINE_BYTES,
    MAX_ROWS,
    ForeignItem,
    ForeignRun,
    is_file_name,
    number,
    read_json,
    safe,
    seconds_of,
    table,
    text_hash,
    whole,
)
from harness.interop.common import name as name_of
from harness.types import Json

QUESTION_FIELDS = ("question", "problem", "Problem", "Question", "input", "query", "prompt")
_MAX_TEXT = 2_000_000
"""Characters of a prompt or a reply that are kept: several times the longest."""
_NOT_METRICS = frozenset({"alias", "sample_len", "sample_count", "name"})


def is_lm_eval(raw: Mapping[str, Any]) -> bool:
    """True if a result file's top level looks like lm-eval's."""
    return isinstance(raw.get("results"), dict) and any(key in raw for key in ("configs", "lm_eval_version", "n-shot"))


def read(path: Path) -> list[ForeignRun]:
    """Every task of a result file; groups and averages over tasks are left out.

    Raises `DataError` naming the file if it is not readable or holds no task.
    """
    raw = read_json(path)
    if not is_lm_eval(raw):
        raise DataError(f"{path} is not a result file of lm-eval: it has no results with configs")
    groups = table(raw.get("groups"))
    runs = [
        _task(path, raw, task, values)
        for task, values in raw["results"].items()
        if isinstance(values, dict) and task not in groups and _metrics(values)
    ]
    if not runs:
        raise DataError(f"{path} holds no task with a metric")
    return runs


def _metrics(values: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    """Map "metric,filter" to (value, standard error) in lm-eval's order: the first is the main one."""
    found: dict[str, tuple[float, float | None]] = {}
    for name, value in values.items():
        metric, _, filter_name = name.partition(",")
        if metric.endswith("_stderr") or name in _NOT_METRICS or number(value) is None:
            continue
        stderr = number(values.get(f"{metric}_stderr,{filter_name}" if filter_name else f"{metric}_stderr"))
        found[name_of(name)] = (float(value), stderr)
    return found


def _task(path: Path, raw: Mapping[str, Any], task: str, values: Mapping[str, Any]) -> ForeignRun:
    config, task_config = table(raw.get("config")), table(table(raw.get("configs")).get(task))
    counts = table(table(raw.get("n-samples")).get(task))
    n_problems = whole(counts.get("effective")) or whole(values.get("sample_len"))
    items, warnings = _items(path, task)
    version = table(raw.get("versions")).get(task, "?")
    seconds = raw.get("total_evaluation_time_seconds")
    metrics = _metrics(values)
    declared = {
        name_of(metric): higher for metric, higher in table(table(raw.get("higher_is_better")).get(task)).items()
    }
    return ForeignRun(
        tool="lm-eval",
        task=name_of(task),
        task_version=name_of(version),
        model=name_of(_model(raw, config)),
        metrics=metrics,
        n_problems=n_problems,
        items=items,
        limit=n_problems if config.get("limit") is not None else None,
        sampling=_sampling(raw, config, task_config, task),
        seed=whole(config.get("random_seed")) or 0,
        finished=_time(path, "results_"),
        environment={
            "lm_eval_version": safe(raw.get("lm_eval_version")),
            "transformers_version": safe(raw.get("transformers_version")),
            "git_hash": safe(raw.get("git_hash")),
        },
        identity={
            "model_args": safe(config.get("model_args")),
            "model_sha": safe(config.get("model_sha")),
            "dtype": safe(config.get("model_dtype")),
        },
        seconds=seconds_of(seconds),
        source=path.name,
        warnings=warnings,
        higher_is_better={
            name: higher for name in metrics if isinstance(higher := declared.get(name.partition(",")[0]), bool)
        },  # null where the parts of a group disagree
    )


def _model(raw: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    name = raw.get("model_name")
    if isinstance(name, str) and name:
        return name
    args = config.get("model_args")
    if isinstance(args, str):
        pairs = dict(part.partition("=")[::2] for part in args.split(","))
    else:
        pairs = {key: str(value) for key, value in table(args).items()}
    return next((pairs[key] for key in ("pretrained", "model", "path", "engine") if pairs.get(key)), None) or str(
        config.get("model") or "unknown"
    )


def _sampling(
    raw: Mapping[str, Any], config: Mapping[str, Any], task_config: Mapping[str, Any], task: str
) -> dict[str, Json]:
    """Everything that makes two runs of a task comparable: generation settings, shots, chat template."""
    generation = {**table(task_config.get("generation_kwargs")), **_gen_kwargs(config.get("gen_kwargs"))}
    stop = generation.get("until")
    greedy = generation.get("do_sample") is False and "temperature" not in generation
    return {
        "temperature": 0.0 if greedy else safe(generation.get("temperature")),
        "top_p": safe(generation.get("top_p")),
        "max_tokens": safe(generation.get("max_gen_toks", generation.get("max_new_tokens"))),
        "stop": [safe(s) for s in stop[:50]] if isinstance(stop, list) else [],
        "few-shot": safe(table(raw.get("n-shot")).get(task, task_config.get("num_fewshot"))),
        "chat template": raw.get("chat_template_sha") is not None or bool(raw.get("chat_template")),
    }


def _gen_kwargs(value: object) -> dict[str, Any]:
    """lm-eval stores the command line's text "temperature=0.6,top_p=0.95" or an object."""
    if isinstance(value, str):
        pairs = (part.partition("=") for part in value.split(",") if "=" in part)
        return {key.strip(): _scalar(text.strip()) for key, _, text in pairs}
    return table(value)


def _scalar(text: str) -> Json:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        return json.loads(text) if text[:1].isdigit() or text[:1] == "-" else text
    except ValueError:
        return text


def _time(path: Path, prefix: str) -> str:
    """`results_2025-03-01T10-11-12.345.json` -> "2025-03-01T10:11:12.345"; empty for another name."""
    day, t, clock = path.stem.removeprefix(prefix).partition("T")
    return f"{day}T{clock.replace('-', ':')}" if t and len(day) == 10 else ""


def _items(path: Path, task: str) -> tuple[tuple[ForeignItem, ...], tuple[str, ...]]:
    """Per-document values from the samples file of the same moment, or nothing and why."""
    stamp = path.stem.removeprefix("results")
    if not is_file_name(task):
        return (), (f"{name_of(task)!r} is no file name: no samples read, no paired tests",)
    samples = path.with_name(f"samples_{task}{stamp}.jsonl")
    if not samples.is_file():
        others = [other for other in path.parent.glob("samples_*.jsonl") if other.name.startswith(f"samples_{task}_2")]
        if not others:
            return (), (f"no samples file for {task}: totals only, no paired tests",)
        return (), (f"{others[0].name} is of another moment than {path.name}: not used, no paired tests",)
    items: dict[str, ForeignItem] = {}
    try:
        for row in _rows(samples):
            _add(items, row)
    except (DataError, OSError) as error:
        return (), (f"{error}: not used, no paired tests",)
    return tuple(items.values()), ()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a samples file; raises `DataError` naming file and line."""
    with open_binary(path) as stream:
        for number_, line in enumerate(iter(lambda: stream.readline(MAX_LINE_BYTES + 1), b""), start=1):
            if len(line) > MAX_LINE_BYTES or number_ > MAX_ROWS:
                raise DataError(f"{path.name}, line {number_} is beyond what is read ({MAX_LINE_BYTES:,} bytes a line)")
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path.name}, line {number_} is torn or not JSON") from error
            if not isinstance(row, dict) or "doc_id" not in row:
                raise DataError(f"{path.name}, line {number_} is not a sample: it has no doc_id")
            yield row


def _add(items: dict[str, ForeignItem], row: Mapping[str, Any]) -> None:
    """Merge one row: a document has a row per filter, with that filter's metric values."""
    key = str(safe(row["doc_id"]))
    filter_name = row.get("filter", "none")
    names = row.get("metrics")
    known = names if isinstance(names, list) else [name for name in row if number(row[name]) is not None]
    values = {
        name_of(f"{name},{filter_name}"): value
        for name in known
        if isinstance(name, str) and (value := number(row.get(name))) is not None
    }
    old = items.get(key)
    if old is not None and set(old.values) & set(values):
        raise DataError(f"document {key} stands twice (an appended second run)")
    items[key] = ForeignItem(
        key=key,
        question=old.question if old is not None else _question(row),
        values={**(old.values if old is not None else {}), **values},
        prompt=old.prompt if old is not None else _prompt(row),
        target=old.target if old is not None else str(row.get("target", ""))[:_MAX_TEXT],
        replies=old.replies if old is not None else _replies(row),
    )


def _question(row: Mapping[str, Any]) -> str:
    doc = table(row.get("doc"))
    for name in QUESTION_FIELDS:
        if isinstance(doc.get(name), str):
            choices = table(doc.get("choices")).get("text", doc.get("choices"))
            return "\n".join(
                [doc[name], *(str(choice) for choice in choices)] if isinstance(choices, list) else [doc[name]]
            )
    return _prompt(row)


def _prompt(row: Mapping[str, Any]) -> str:
    """What was sent: `arguments` is an object in new files, a list of argument lists in old ones."""
    arguments = row.get("arguments")
    if isinstance(arguments, list):
        first = arguments[0] if arguments else None
        prompt = first[0] if isinstance(first, list) and first else None
    else:
        prompt = table(table(arguments).get("gen_args_0")).get("arg_0")
    return prompt[:_MAX_TEXT] if isinstance(prompt, str) else ""


def _replies(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The generated texts of a document, one a repeat; none for a task that scores given continuations."""
    responses = row.get("resps")
    texts = responses[0] if isinstance(responses, list) and len(responses) == 1 else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return ()
    return tuple(text[:_MAX_TEXT] for text in texts)


def doc_hash(doc: Mapping[str, Json]) -> str:
    """lm-eval's hash of a document."""
    return text_hash(json.dumps(doc, indent=2, ensure_ascii=False))
