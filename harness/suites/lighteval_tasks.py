"""`lighteval:<task>`: lighteval's tasks (its prompt functions and metrics, not its registry), zero-shot.

    harness run --suite lighteval:math_500 --model vllm:owner/name --data-dir DIR

Rows come from `DIR/lighteval/<task>.jsonl` (":" and "/" in the name become "_"), in the columns of the task's hub data
set, else from the hub. lighteval publishes no pin for its data, so the pin is taken when the data is loaded: row count
and content hash are stored with the run, and a run is only continued on the same data.

A prompt is what lighteval sends a chat model: the task's instruction and query as one user turn, without its stop
sequences. Tasks that shuffle choices with Python's global random numbers get a generator seeded by the row's content.
"""

from __future__ import annotations

import importlib
import random
import re
from collections.abc import Mapping
from typing import Any

from harness.datasets import INDEX, PART
from harness.errors import UsageError
from harness.grading.lighteval import (
    DOC_FIELDS,
    choose_metric,
    find_config,
    library_version,
    make_target,
    metric_name,
    task_modules,
    task_names,
)
from harness.hashing import canonical_json, short_hash
from harness.suites._render import text
from harness.types import DataRef, HubRef, Json, Message, Problem, Sampling, Suite

__all__ = ["build", "data_file", "task_names"]

_MAX_TOKENS = 2048
"""For tasks that set no limit."""


def data_file(task: str) -> str:
    """File of a task's rows within a data folder."""
    return f"lighteval/{re.sub(r'[^A-Za-z0-9_.-]', '_', task)}.jsonl"


def build(task: str) -> Suite:
    """The suite of one task; "math_500" or, as lighteval writes it, "math_500|0".

    Raises `MissingExtra`, `UnknownName` with a suggestion, `PrerequisiteError` if its module does not import, and
    `UsageError` for a task that cannot be scored from a generated reply, with the reason.
    """
    name, bar, shots = task.partition("|")
    if bar and shots != "0":
        raise UsageError(f"lighteval:{task}: only zero-shot tasks are run here; write lighteval:{name}")
    version = library_version()
    config = find_config(name)
    metric = choose_metric(config)

    def normalise(raw: Mapping[str, Json]) -> Mapping[str, Json] | None:
        return _normalise(config, raw)

    return Suite(
        name=f"lighteval:{name}",
        version=f"1+lighteval-{version}.{config.version}",
        summary=f"lighteval task {name}, scored by its {metric_name(metric)}",
        data=DataRef(
            files=(data_file(name),),
            rows=0,
            sha256="",
            from_local=normalise,
            hub=tuple(
                HubRef(config.hf_repo, config.hf_subset, split, config.hf_revision or "main")
                for split in config.evaluation_splits
            ),
            from_hub=normalise,
        ),
        render=lambda row, seed: _render(name, row),
        grader="lighteval",
        sampling=Sampling(n=1, temperature=0.0, max_tokens=config.generation_size or _MAX_TOKENS),
        metrics=("avg@n", "tokens_out"),
        formats=("think",),
        licence=f"that of the data set {config.hf_repo}",
        paper=_paper(name),
    )


def _normalise(config: Any, raw: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """A row of the task's table -> the fields of lighteval's doc; None for a row that the task leaves out."""
    row: dict[str, Any] = {key: value for key, value in raw.items() if key not in (INDEX, PART)}
    content = short_hash(canonical_json(_plain(row)))
    if config.hf_filter is not None and not config.hf_filter(row):
        return None
    # Keys that lighteval itself adds for its prompt functions.
    row |= {"__few_shots": False, "__index": raw[INDEX]}
    before = random.getstate()
    random.seed(content)
    try:
        doc = config.prompt_function(row, config.name)
    except AssertionError as error:
        raise ValueError(f"lighteval's prompt function refuses the row: {error}") from error
    finally:
        random.setstate(before)
    if not doc:
        return None
    if doc.images:
        raise ValueError("the task shows images, which no engine here takes")
    fields = {name: _plain(getattr(doc, name)) for name in DOC_FIELDS}
    return {"id": f"{raw[INDEX]}-{content[:8]}", **fields}


def _plain(value: Any) -> Json:
    """A value as JSON has it: tuples become lists, arrays of the hub's tables too; raises `TypeError` for the rest."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if callable(getattr(value, "tolist", None)):  # numpy
        return _plain(value.tolist())
    raise TypeError(f"a field holds a {type(value).__name__}, which is no text, number or list")


def _render(task: str, row: Mapping[str, Json]) -> Problem:
    """The user turn as lighteval's prompt manager writes it for chat models without examples."""
    query, instruction = text(row, "query"), row["instruction"]
    if isinstance(instruction, str):
        if query.startswith(instruction):
            query = query[len(instruction) :].strip()
        query = instruction + query
    choices = row["choices"]
    return Problem(
        id=f"lighteval-{task}-{text(row, 'id')}",
        messages=(Message("user", query),),
        target=make_target(task, row),
        grader="lighteval",
        choices=tuple(str(choice) for choice in choices) if isinstance(choices, list) else (),
    )


def _paper(task: str) -> str:
    """What the module's own heading gives as the paper; else lighteval's page."""
    doc = importlib.import_module(task_modules()[task]).__doc__ if task in task_modules() else None
    found = re.search(r"^paper:\s*(\S+)", doc or "", re.MULTILINE)
    return found.group(1) if found else "see lighteval's documentation of the task"
