"""Grader for `lighteval:<task>`: lighteval's own metric of the task decides, on one completion at a time.

The library is used as a library: its task modules are imported one by one, its registry (which downloads a file at
import) never is. The target holds what the metric needs: the task's name and the fields of lighteval's `Doc`. `grade`
runs in the main thread of a worker process, which is what the timeouts of lighteval's math metrics need.

Metrics that look at several samples (pass@k, maj@n, avg@n) are set to a single one: how samples are combined is this
harness's business, with its own estimators and errors.
"""

from __future__ import annotations

import ast
import copy
import importlib
import importlib.util
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.errors import DataError, MissingExtra, PrerequisiteError, UnknownName, UsageError
from harness.grading.base import BaseGrader
from harness.hashing import canonical_json
from harness.types import Extracted, Json, Problem, Score

_PACKAGE = "lighteval.tasks.tasks"
DOC_FIELDS = ("query", "choices", "gold_index", "instruction", "specific", "original_query")
"""Fields of a `Doc` that prompts and metrics read."""
_NEEDS_A_MODEL = ("Judge", "BLEURT", "BertScore", "Faithfulness")
"""Starts of the names of metrics that ask another model; a judge is a separate step here."""
_NEEDS_SAMPLES = ("GPassAtK",)


def library_version() -> str:
    """Version of the installed lighteval; raises `MissingExtra`."""
    try:
        return metadata.version("lighteval")
    except metadata.PackageNotFoundError:
        raise MissingExtra("lighteval:<task>", "lighteval") from None


def _library(module: str) -> Any:
    """A module of lighteval, which has no types."""
    return importlib.import_module(module)


@cache
def task_modules() -> Mapping[str, str]:
    """Task name -> module, read from the source text of lighteval's task modules: nothing of theirs is run.

    Names that a module computes are found as "*": the module has to be imported to know them.
    """
    library_version()
    spec = importlib.util.find_spec("lighteval")
    folders = spec.submodule_search_locations if spec is not None else None
    found: dict[str, str] = {}
    for folder in folders or ():
        root = Path(folder) / "tasks" / "tasks"
        for path in sorted(root.rglob("*.py")):
            module = ".".join([_PACKAGE, *path.relative_to(root).with_suffix("").parts])
            for name in _declared(path):
                found.setdefault(name if name is not None else f"*{module}", module)
    return found


def _declared(path: Path) -> list[str | None]:
    """Names of the tasks in a file's `TASKS_TABLE`; None for what is computed."""
    configs: dict[str, ast.expr] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            configs[node.targets[0].id] = node.value
    table = configs.get("TASKS_TABLE")
    if table is None:
        return []
    if not isinstance(table, ast.List) or not table.elts:
        return [None]
    return [_config_name(configs.get(item.id) if isinstance(item, ast.Name) else item) for item in table.elts]


def _config_name(config: ast.expr | None) -> str | None:
    """The literal `name` of a config that is made by a call."""
    words = config.keywords if isinstance(config, ast.Call) else []
    value = next((word.value for word in words if word.arg == "name"), None)
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def task_names() -> list[str]:
    """Every task that a literal in lighteval's source names, sorted; a few more have computed names."""
    return sorted(name for name in task_modules() if not name.startswith("*"))


@cache
def find_config(task: str) -> Any:
    """The library's config of a task (its class has no types).

    Raises `MissingExtra`, `UnknownName` with a suggestion, `PrerequisiteError` for a task module that does
    not import here.
    """
    modules = task_modules()
    own = modules.get(task)
    computed = [module for name, module in modules.items() if name.startswith("*")]
    for module in [own] if own is not None else computed:
        try:
            table = getattr(importlib.import_module(module), "TASKS_TABLE", ())
        except Exception as error:  # a task module may do anything at import: download, ask for its own packages
            if own is None:
                continue  # most likely not the module of this task
            reason = " ".join(str(error).split())[:200]
            raise PrerequisiteError(
                f"lighteval's module {module} does not import: {type(error).__name__}: {reason}"
            ) from error
        for config in table:
            if config.name == task:
                return config
    raise UnknownName("lighteval task", task, task_names())


def choose_metric(config: Any) -> Any:
    """A copy of the task's first metric that scores one generated reply; raises `UsageError` with the reason if none.

    A copy, because a metric is shared by every task that uses it, and some write into themselves.
    """
    refused = []
    for shared in config.metrics:
        kind = type(shared).__name__
        sample = type(shared.sample_level_fn).__name__
        label = shared.metric_name if isinstance(shared.metric_name, str) else shared.metric_name[0]
        if shared.category.value != "GENERATIVE":
            refused.append(f"{label} needs the log-likelihood of given texts")
        elif kind.startswith("CorpusLevel") or shared.batched_compute:
            refused.append(f"{label} is defined on the whole data set")
        elif sample.startswith(_NEEDS_A_MODEL):
            refused.append(f"{label} asks another model")
        elif sample in _NEEDS_SAMPLES:
            refused.append(f"{label} is defined on many samples")
        else:
            metric = copy.deepcopy(shared)
            if isinstance(metric.sample_level_fn, _library("lighteval.metrics.metrics_sample").SamplingMetric):
                metric.sample_level_fn.n = metric.sample_level_fn.k = 1
            return metric
    raise UsageError(f"lighteval:{config.name} cannot be scored from a generated reply: {'; '.join(refused)}")


def metric_name(metric: Any) -> str:
    """The metric's name without the sample counts that do not apply here; of a group, its first."""
    name = metric.metric_name if isinstance(metric.metric_name, str) else metric.metric_name[0]
    return str(name).partition(":")[0]


def make_target(task: str, doc: Mapping[str, Json]) -> str:
    """The target of a problem: task and doc, as canonical JSON."""
    return canonical_json({"task": task, "doc": {name: doc[name] for name in DOC_FIELDS}})


class LightevalGrader(BaseGrader):
    """See the module docstring."""

    name = "lighteval"

    def version(self) -> str:
        """Own version, lighteval's and math-verify's, which decides most math metrics."""
        return f"{super().version()}+lighteval-{_version('lighteval')}+math-verify-{_version('math-verify')}"

    def preload(self) -> None:
        """Import what task modules import, about ten seconds, by importing a small one of them."""
        library_version()
        _library(f"{_PACKAGE}.gsm8k")

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """The whole reply after the think block: lighteval's metrics find the answer themselves."""
        return Extracted(answer_text, True) if answer_text.strip() else None

    def grade(self, target: str, answer: str) -> Score:
        """The value of the task's metric; raises `DataError` for a target that is no lighteval problem."""
        task, doc = _read_target(target)
        metric = choose_metric(find_config(task))
        response = _library("lighteval.models.model_output").ModelResponse(text=[answer])
        values = metric.compute_sample(doc=doc, model_response=response)
        value = float(next(iter(values.values())))
        shown = answer.strip()[-200:]
        if not math.isfinite(value):
            return Score(None, "unscored", shown, f"lighteval {metric_name(metric)} gave {value}")
        return Score(value, "scored", shown, f"lighteval {metric_name(metric)} {value:.3g}")

    def gold_text(self, problem: Problem) -> str:
        """The first gold text of the doc."""
        _, doc = _read_target(problem.target)
        return str(doc.get_golds()[0]).strip()

    def wrong_text(self, problem: Problem) -> str:
        """A reply without an answer: what a near miss is depends on the metric, which only lighteval knows."""
        return "I do not know."


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "none"


def _read_target(target: str) -> tuple[str, Any]:
    """(task, lighteval's doc) of a target."""
    try:
        fields = json.loads(target)
        task, doc = str(fields["task"]), dict(fields["doc"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"target {target[:200]!r} does not name a lighteval problem") from error
    made = _library("lighteval.tasks.requests").Doc(**doc, task_name=task, id="0")
    return task, made


GRADER = LightevalGrader()
"""The instance that the catalog names."""
