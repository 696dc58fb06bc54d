"""lighteval: `results/<model>/results_<time>.json` and `details/<model>/<time>/details_<task>_<time>.parquet`.

`results["task|shots"]` maps a metric to a value and "<metric>_stderr" to its standard error; older versions write
"suite|task|shots" or "suite|task|shots|truncate". The details' columns have changed twice: `doc`, `metric` and
`model_response` since 0.11, `__doc__` in between, and `example`, `full_prompt`, `metrics` before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.files import open_binary
from harness.interop.common import (
    MAX_ROWS,
    ForeignItem,
    ForeignRun,
    is_file_name,
    number,
    read_json,
    safe,
    seconds_of,
    table,
    whole,
)
from harness.interop.common import name as name_of
from harness.types import Json

_MAX_PARQUET_BYTES = 8 * 1024**3
_COLUMNS = {
    "doc": ("doc", "__doc__"),
    "metric": ("metric", "__metric__", "metrics"),
    "response": ("model_response", "__model_response__"),
}


def is_lighteval(raw: Mapping[str, Any]) -> bool:
    """True if a result file's top level looks like lighteval's."""
    return isinstance(raw.get("results"), dict) and isinstance(raw.get("config_general"), dict)


def read(path: Path) -> list[ForeignRun]:
    """Every task of a result file; "all" and averages over subsets are left out.

    Raises `DataError` naming the file if it is not readable or holds no task.
    """
    raw = read_json(path)
    if not is_lighteval(raw):
        raise DataError(f"{path} is not a result file of lighteval: it has no results with config_general")
    runs = [
        _task(path, raw, key, values)
        for key, values in raw["results"].items()
        if isinstance(values, dict) and key != "all" and ":_average" not in key and _metrics(values)
    ]
    if not runs:
        raise DataError(f"{path} holds no task with a metric")
    return runs


def split_key(key: str) -> tuple[str, str]:
    """Task and number of shots: "aime24|0", "lighteval|aime24|0" and "lighteval|aime24|0|0" -> ("aime24", "0")."""
    parts = key.split("|")
    if len(parts) == 1:
        return key, "0"
    return (parts[0], parts[1]) if len(parts) == 2 else (parts[1], parts[2])


def _metrics(values: Mapping[str, Any]) -> dict[str, tuple[float, float | None]]:
    return {
        name_of(name): (float(value), number(values.get(f"{name}_stderr")))
        for name, value in values.items()
        if not name.endswith("_stderr") and number(value) is not None
    }


def _task(path: Path, raw: Mapping[str, Any], key: str, values: Mapping[str, Any]) -> ForeignRun:
    general = table(raw.get("config_general"))
    task, shots = split_key(key)
    metrics = _metrics(values)
    model = str(general.get("model_name") or "unknown")
    items, warnings = _details(path, model, key, task)
    version = table(raw.get("versions")).get(key, table(raw.get("versions")).get(task, "?"))
    generation = table(general.get("generation_parameters"))
    generation = {**generation, **table(table(general.get("model_config")).get("generation_parameters"))}
    seconds = general.get("total_evaluation_time_secondes")
    return ForeignRun(
        tool="lighteval",
        task=name_of(task),
        task_version=name_of(version),
        model=name_of(model),
        metrics=metrics,
        n_problems=_n_problems(raw, key) or (len(items) or None),
        items=items,
        limit=whole(general.get("max_samples")),
        sampling=_sampling(generation, general, shots),
        seed=whole(generation.get("seed")) or 0,
        finished=_time(path),
        environment={"lighteval_sha": safe(general.get("lighteval_sha"))},
        identity={
            "model_sha": safe(general.get("model_sha")),
            "dtype": safe(general.get("model_dtype") or table(general.get("model_config")).get("dtype")),
        },
        seconds=seconds_of(seconds),
        source=path.name,
        warnings=warnings,
        higher_is_better=_directions(raw, key),
    )


def _n_problems(raw: Mapping[str, Any], key: str) -> int | None:
    """Count the documents: lighteval counts the documents of a task in one of two places, by version."""
    summary = table(table(raw.get("summary_tasks")).get(key))
    effective = whole(_task_config(raw, key).get("effective_num_docs"))
    return effective or sum(whole(summary.get(name)) or 0 for name in ("truncated", "non_truncated")) or None


def _task_config(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    config = table(raw.get("config_tasks"))
    return table(config.get(key)) or table(config.get("|".join(key.split("|")[:-1])))


def _directions(raw: Mapping[str, Any], key: str) -> dict[str, bool]:
    """Metric -> higher is better, as the task's configuration says of one metric, or of several computed together."""
    config, found = _task_config(raw, key), dict[str, bool]()
    metrics = config.get("metrics", config.get("metric"))
    for metric in map(table, metrics if isinstance(metrics, list) else ()):
        names, higher = metric.get("metric_name"), metric.get("higher_is_better")
        said = higher if isinstance(higher, dict) else {names: higher} if isinstance(names, str) else {}
        found |= {name_of(name): value for name, value in said.items() if isinstance(value, bool)}
    return found


def _sampling(generation: Mapping[str, Any], general: Mapping[str, Any], shots: str) -> dict[str, Json]:
    stop = generation.get("stop_tokens")
    prompt = table(general.get("model_config")).get("system_prompt")
    return {
        "temperature": number(generation.get("temperature")),
        "top_p": number(generation.get("top_p")),
        "max_tokens": number(generation.get("max_new_tokens")),
        "stop": [safe(s) for s in stop[:50]] if isinstance(stop, list) else [],
        "few-shot": shots,
        "system prompt": bool(prompt),
    }


def _time(path: Path) -> str:
    day, t, clock = path.stem.removeprefix("results_").partition("T")
    return f"{day}T{clock.replace('-', ':')}" if t and len(day) == 10 else ""


def _details(path: Path, model: str, key: str, task: str) -> tuple[tuple[ForeignItem, ...], tuple[str, ...]]:
    """Per-document values from the details file of the same moment, or nothing and why."""
    stamp = path.stem.removeprefix("results_")
    folders = [path.parent]
    inside = model.strip("/") if all(map(is_file_name, model.strip("/").split("/"))) else "."
    for parent in list(path.parents)[:6]:
        folders += [parent / "details" / inside / stamp, parent / stamp]
    keys = (key, task, key.replace("|", "_"))
    names = {f"details_{name}_{stamp}.parquet" for name in keys if is_file_name(name)}
    found = next((folder / name for folder in folders for name in sorted(names) if (folder / name).is_file()), None)
    if found is None:
        return (), (
            f"no details file for {name_of(task)} of {stamp}: totals only, no paired tests (lighteval --save-details)",
        )
    try:
        return tuple(_items(found)), ()
    except DataError as error:
        return (), (f"{error}: not used, no paired tests",)


def _items(path: Path) -> Iterator[ForeignItem]:
    import pyarrow
    import pyarrow.parquet

    try:
        if path.stat().st_size > _MAX_PARQUET_BYTES:
            raise DataError(f"{path.name} is larger than {_MAX_PARQUET_BYTES:,} bytes")
        with open_binary(path) as stream, pyarrow.parquet.ParquetFile(stream) as file:
            if file.metadata.num_rows > MAX_ROWS:
                raise DataError(f"{path.name} has more than {MAX_ROWS:,} rows")
            present = set(file.schema_arrow.names)
            columns = {kind: next((n for n in names if n in present), None) for kind, names in _COLUMNS.items()}
            metric = columns["metric"]
            if metric is None:
                raise DataError(f"{path.name} has no column of metric values, only {', '.join(sorted(present)[:10])}")
            wanted = [c for c in columns.values() if c is not None]
            wanted += [c for c in ("example", "full_prompt", "predictions") if c in present]
            position = 0
            for batch in file.iter_batches(batch_size=64, columns=wanted):
                for row in batch.to_pylist():
                    yield _item(row, columns, metric, position)
                    position += 1
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is not a complete Parquet file ({str(error)[:100]})") from error


def _item(row: Mapping[str, Any], columns: Mapping[str, str | None], metric: str, position: int) -> ForeignItem:
    doc = _struct(row.get(columns["doc"] or ""))
    response = _struct(row.get(columns["response"] or ""))
    values = {name_of(name): value for name, raw in _struct(row[metric]).items() if (value := number(raw)) is not None}
    texts = response.get("text") or row.get("predictions")
    tokens = response.get("output_tokens")
    counted = [len(one) for one in tokens if isinstance(one, list)] if isinstance(tokens, list) else []
    question = doc.get("query") or row.get("example") or row.get("full_prompt")
    return ForeignItem(
        key=str(position),
        question=question if isinstance(question, str) else "",
        values=values,
        n=max(1, len(texts)) if isinstance(texts, list) else 1,
        tokens_out=sum(counted) if counted else None,
        prompt=next((text for text in (row.get("full_prompt"), question) if isinstance(text, str)), ""),
        target=_gold(doc),
        replies=tuple(texts) if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else (),
    )


def _gold(doc: Mapping[str, Any]) -> str:
    """The gold choice of a document."""
    choices, index = doc.get("choices"), doc.get("gold_index")
    index = index[0] if isinstance(index, list) and index else index
    if isinstance(choices, list) and isinstance(index, int) and 0 <= index < len(choices):
        return str(choices[index])
    return ""


def _struct(value: object) -> dict[str, Any]:
    """A nested column: an object, or (in files whose writer fell back to text) the Python literal of one."""
    if isinstance(value, str) and value[:1] == "{" and len(value) < 1_000_000:
        try:
            value = ast.literal_eval(value)  # literals only: runs nothing
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return {}
    if isinstance(value, list) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value):
        value = dict(value)
    return table(value)
