"""`harness show NAME|RUN`: everything about one thing."""

from __future__ import annotations

import dataclasses
import glob
import inspect
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import click

from harness import catalog
from harness.cli import options
from harness.cli.fields import field_docs
from harness.errors import SeveralRuns, StoreError, UnknownName, UsageError
from harness.plain import visible_json
from harness.types import Metric

if TYPE_CHECKING:
    from backends.base import Method, Stage
    from backends.makers.base import Maker
    from harness.analyses.base import Analysis
    from harness.metrics.diversity import Measure
    from harness.types import DataRef


@click.command("show")
@click.argument("name")
@options.results_dir
@options.data_dir
@click.option("--problem", help="Of a run: this problem's question, gold, replies and verdicts; an id or its ending.")
@options.as_json
def command(name: str, results_dir: Path, problem: str | None, data_dir: Path | None, as_json: bool) -> None:
    """Show everything about a NAME of the catalog (suite, model, metric, training method, …), a recipe, a rubric
    FILE.toml, or a stored RUN.
    """
    from harness.suites import PREFIXES

    kinds = [kind for kind in catalog.KINDS if name in catalog.entries(kind)]
    recipe = _recipe_facts(name) if problem is None else {}
    if (kinds or recipe) and problem is None:
        facts: dict[str, Any] = {kind: _facts(kind, name) for kind in kinds} | recipe
    elif name.partition(":")[0] in PREFIXES and ":" in name:
        facts = {"suite": _suite_facts(name)}
    elif name.endswith(".toml"):
        facts = {"rubric": _rubric_facts(name)}
    elif name.partition(":")[0] in catalog.entries("model") and problem is None:
        facts = _model_facts(name)
    elif kinds:
        raise UsageError(f"--problem is about a run, and {name!r} is a {kinds[0]}: name a run (`harness list runs`)")
    else:
        facts = _run_facts(name, results_dir, problem, data_dir)
    if as_json:
        click.echo(visible_json(json.dumps(facts, indent=1, ensure_ascii=False, default=str)))
        return
    print_facts(facts)


def _facts(kind: catalog.Kind, name: str) -> dict[str, Any]:
    if kind == "suite":
        return _suite_facts(name)
    entry, summary = catalog.entries(kind)[name]
    if kind == "rubric":
        return {"summary": summary, "defined in": entry} | _rubric_facts(name)
    thing = catalog.load(kind, name)
    facts: dict[str, Any] = {"summary": summary, "defined in": entry}
    if kind == "model":
        facts["about"] = inspect.getdoc(sys.modules[getattr(thing, "__module__", "")])
        facts["options (--model-arg)"] = _engine_options(thing)
    elif kind == "grader":
        facts["version"] = thing.version()  # type: ignore[attr-defined]
        facts["about"] = inspect.getdoc(sys.modules[type(thing).__module__])
    elif isinstance(thing, Metric):
        facts |= {"unit": thing.unit, "better": "lower" if thing.lower_is_better else "higher"}
        facts["about"] = inspect.getdoc(thing.function)
    elif kind == "diversity":
        measure = cast("Measure", thing)
        facts |= {"from": measure.low, "to": measure.high, "needs": measure.needs, "source": measure.source}
        facts["more diverse"] = "higher" if measure.higher_is_more_diverse else "lower"
    elif kind == "protocol":
        facts |= dataclasses.asdict(thing)  # type: ignore[call-overload]
    elif kind == "maker":
        from harness.cli.data_make import own_fields

        facts |= {"about": inspect.getdoc(thing), "options": _fields(thing, own_fields(cast("type[Maker]", thing)))}
    elif kind == "analysis":
        own = list(dataclasses.fields(cast("type[Analysis]", thing)))
        facts |= {"about": inspect.getdoc(thing), "options": _fields(thing, own)}
    elif kind == "reward":
        facts |= _reward_facts(name)
    elif kind == "method":
        facts |= _method_facts(cast("Method", thing))
    else:
        facts["about"] = inspect.getdoc(thing)
    return facts


def _model_facts(name: str) -> dict[str, Any]:
    """Of "mock:gold" what is known of `mock`. Raises `UsageError` for a model of the registry, which has its own."""
    engine, _, rest = name.partition(":")
    if engine == "trained":
        raise UsageError(f"{name!r} is a model of the registry: `harness models show {rest or 'ID'}` shows it")
    return {f"model {name}, of the engine {engine}": _facts("model", engine)}


def _recipe_facts(name: str) -> dict[str, Any]:
    """What a packaged recipe says, or the names of its variants; nothing for any other name."""
    from backends.recipe import ABOUT, load_recipe, recipes

    known = recipes(name.partition(":")[0])
    if name in known:
        recipe = load_recipe(name)
        values = {key: f"{value} ({recipe.sources[key]})" for key, value in recipe.values.items()}
        about = {key: getattr(recipe, key) for key in ABOUT if getattr(recipe, key)}
        about |= {"notes": "\n".join(recipe.notes)} if recipe.notes else {}
        return {"recipe": about | {"values (and where they come from)": values}}
    from backends.chain import chain_lines, chains, load_chain

    if name in chains():
        return {"chain": "\n".join(chain_lines(load_chain(name)))}
    variants = {one: summary for one, summary in known.items() if one.startswith(f"{name}:")}
    return {"recipes": variants} if variants else {}


def _method_facts(method: Method) -> dict[str, Any]:
    """Options and settings are the defaults; those of a stage are the paper's."""
    from backends.base import TrainMethod
    from backends.config import Settings
    from backends.methods.taxonomy import TAXONOMY
    from backends.rollouts.settings import RolloutSettings

    stages = method.stages(method.options()) if isinstance(method, TrainMethod) else ()
    kind = TAXONOMY.get(method.name)
    facts = {
        "paper": method.paper,
        "kind (harness list methods --by)": dataclasses.asdict(kind) if kind is not None else {},
        "needs": method.needs,
        "options (--set)": _fields(method.options),
        "stages": {stage.name: _stage_facts(stage) for stage in stages},
        "settings (--set, or --set STAGE.NAME)": _fields(Settings) if stages else {},
        "drawing (--set rollout.NAME)": _fields(RolloutSettings) if any(stage.rolling for stage in stages) else {},
        "deviations": "\n".join(method.deviations),
    }
    return {name: fact for name, fact in facts.items() if fact}


def _stage_facts(stage: Stage) -> dict[str, Any]:
    drawing = (
        {} if stage.rolling is None else {f"rollout.{key}": value for key, value in stage.rolling.settings.items()}
    )
    return {"records need": stage.needs, **stage.settings, **drawing}


def _reward_facts(name: str) -> dict[str, Any]:
    from backends.rewards.base import load_reward

    reward = load_reward(name)
    facts: dict[str, Any] = {"about": inspect.getdoc(reward), "version": reward.version}
    facts |= {"from": reward.low, "to": reward.high, "records need": reward.needs}
    facts[f"options (--set reward.{name}.NAME)"] = _fields(reward)
    return {key: fact for key, fact in facts.items() if fact not in ((), {})}


def _suite_facts(name: str) -> dict[str, Any]:
    from harness.suites import load_suite

    suite = load_suite(name)
    facts = {field.name: getattr(suite, field.name) for field in dataclasses.fields(suite) if field.name != "render"}
    facts["data"] = _data_facts(suite.data)
    facts["baseline"] = _data_facts(suite.baseline) if suite.baseline is not None else None
    facts["follow_up"] = "the next turn follows from the answer" if suite.follow_up is not None else None
    facts["sampling"] = dataclasses.asdict(suite.sampling)
    facts["reference_scores"] = [dataclasses.asdict(score) for score in suite.reference_scores]
    return facts


def _data_facts(data: DataRef) -> dict[str, Any]:
    return {
        "rows": data.rows,
        "sha256": data.sha256,
        "files": ", ".join(data.files),
        "hub": [dataclasses.asdict(ref) for ref in data.hub],
    }


def _rubric_facts(name: str) -> dict[str, Any]:
    from judges.prompts.rubric import load_rubric, weightings

    rubric = load_rubric(name)
    facts: dict[str, Any] = {"id": rubric.id, "kind": rubric.kind, "source": rubric.source, "judged": rubric.part}
    facts |= {"reply": rubric.reply, "max_tokens": rubric.max_tokens}
    if rubric.kind == "points":
        facts["dimensions"] = {
            one.key: {"name": one.name, "question": one.question, "weight": one.weight}
            | ({"labels": one.labels} if one.labels else {})
            | {f"level {level}": text for level, text in enumerate(one.levels, 1)}
            for one in rubric.dimensions
        }
        facts["weightings"] = {
            one: {dimension.key: dimension.weight for dimension in load_rubric(name, one).dimensions}
            for one in weightings(name)
        }
    elif rubric.kind == "rating":
        facts["scale"] = f"{rubric.low} to {rubric.high}"
    else:
        facts["choices"] = [dataclasses.asdict(choice) for choice in rubric.choices]
    return facts | {"system": rubric.system, "template": rubric.template, "with reference": rubric.reference_template}


def _engine_options(build: object) -> dict[str, str]:
    """Options of an engine: the fields of the dataclass named *Options in its module, with their defaults.

    The last of them: what a module imports comes before its own.
    """
    module = sys.modules[getattr(build, "__module__", "")]
    options = [thing for name, thing in vars(module).items() if name.endswith("Options")]
    return _fields(options[-1]) if options else {}


def _fields(options: Any, own: Sequence[dataclasses.Field[Any]] | None = None) -> dict[str, str]:
    """Type, default and docstring of each field of a dataclass."""
    docs, hints = field_docs(options), _hints(options)
    found = {}
    for field in dataclasses.fields(options) if own is None else own:
        default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
        about = f" ({docs[field.name].rstrip('.')})" if field.name in docs else ""
        found[field.name] = f"{_kind(field.type, hints.get(field.name))}{default}{about}"
    return found


def _hints(options: Any) -> dict[str, Any]:
    """The types that the annotations stand for, where they can be had."""
    try:
        return get_type_hints(options)
    except (NameError, TypeError):  # a name that is there for type checkers alone
        return {}


def _kind(written: Any, hint: Any) -> str:
    """A type as it was written; where that is the name of a closed set, what is in it."""
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not any(get_origin(part) is Literal for part in parts):
        return written if isinstance(written, str) else inspect.formatannotation(written)
    return " | ".join(
        f"Literal[{', '.join(map(repr, get_args(part)))}]"
        if get_origin(part) is Literal
        else "None"
        if part is NoneType
        else inspect.formatannotation(part)
        for part in parts
    )


def _run_facts(name: str, results_dir: Path, problem: str | None, data_dir: Path | None) -> dict[str, Any]:
    from harness.cli.run_list import SAID, of_a_file
    from harness.run.folder import JUDGED, RESULT, find_run
    from harness.run.problem import listed, problem_facts

    try:
        folder = find_run(results_dir, name)
    except SeveralRuns:
        raise
    except (UsageError, StoreError) as error:
        names = {known for kind in catalog.KINDS for known in catalog.entries(kind)}
        raise UnknownName("name or run", name, names) from error
    if problem is not None:
        return problem_facts(folder, problem, data_dir)
    facts: dict[str, Any] = {"directory": str(folder), "spec": folder.spec_json}
    if command := folder.spec_json.get("command"):
        facts["run again"] = command
    if folder.has(RESULT):
        shown = dataclasses.asdict(folder.result)
        left_out = {"items", *([] if folder.result.higher_is_better else ["higher_is_better"])}
        facts["result"] = {key: value for key, value in shown.items() if key not in left_out}
        facts["problems"] = f"{listed(sorted(folder.result.items))} (--problem ID)"
    elif any(folder.path.parent.glob(f"{glob.escape(folder.name + JUDGED)}*")):
        facts["result"] = "in the judged runs: only judges score these answers (`harness list runs`)"
    else:
        facts["result"] = SAID["imported" if of_a_file(folder) else "unfinished"]
    return facts


def print_facts(value: Any, depth: int = 0) -> None:
    """Nested facts as indented lines; foreign text loses its control characters."""
    from harness.plain import clean

    indent = "  " * depth
    for key, item in value.items():
        if isinstance(item, dict) and item:
            click.echo(f"{indent}{clean(str(key))}:")
            print_facts(item, depth + 1)
        elif isinstance(item, list | tuple) and item and isinstance(item[0], dict):
            click.echo(f"{indent}{clean(str(key))}:")
            for part in item:
                click.echo(f"{indent}  - " + ", ".join(f"{name} {clean(str(fact))}" for name, fact in part.items()))
        elif isinstance(item, str) and "\n" in item:
            click.echo(f"{indent}{clean(str(key))}:")
            for line in item.splitlines():
                own = line[: len(line) - len(line.lstrip(" "))]  # a prompt is shown as it is
                click.echo(f"{indent}  {own}{clean(line, 2000)}".rstrip())
        else:
            shown = ", ".join(map(str, item)) if isinstance(item, list | tuple) else str(item)
            click.echo(f"{indent}{clean(str(key))}: {clean(shown, 2000)}")
