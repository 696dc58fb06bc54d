"""What `harness bench` does once its options are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import click

from backends.assign import parse_budget
from backends.config import TrainConfig
from backends.world import processes
from harness.bench.page import check_report, write_report
from harness.bench.presets import find_preset
from harness.bench.report import dry_tables
from harness.bench.runner import ReadyBench, Say, check_arms, preflight, run_bench, unequal, unequal_budgets
from harness.bench.spec import BenchSpec, Trainer
from harness.bench.training import BackendTrainer
from harness.cli import options
from harness.config import RunConfig, resolve, validate
from harness.errors import HarnessError, UnknownName, UsageError
from harness.models.trained import OTHER_WEIGHTS
from harness.options import options_of, refuse_strays
from harness.plain import clean
from harness.registry import SCHEME
from harness.report.table import Format
from harness.run.pipeline import Outcome, run
from harness.run.plan import PlannedRun, plan_suites, refuse_temperatures
from harness.spent import Counted
from harness.systems.shots import solved_items

_TRAINING = (*options.TRAINING, "teacher")
_SHOTS, _VOTES, _VOTES_AT = 4, 5, "0.7"
"""Of the controls: solved items shown, samples of a vote and their temperature."""
_OWN = (
    *("preset", "methods", "reference", "model", "controls", "seeds", "budget", "assignments"),
    *("report", "dry_run", "quiet", "form"),
)


def bench(given: Mapping[str, Any]) -> None:
    """The whole command; `given` are click's parameters. Raises `TooManyFailures` once everything has been shown."""
    from harness.bench.compare import compare_suites
    from harness.bench.report import all_tables, bench_json

    form = cast(Format, given["form"])
    if given["report"] is not None:
        check_report(given["report"])
    say = partial(_say, given["quiet"])
    ready, plans, warnings = ask(given, say)
    spec, results_dir = ready.spec, Path(given["results_dir"])
    if given["dry_run"]:
        options.emit(dry_tables(ready, plans), form)
        return
    arms = run_bench(ready, partial(_evaluate, _as_student(ready), given["quiet"]), say)
    n_of = {plan.suite.name: plan.spec.sampling.n for plan in plans}
    warnings += [*unequal(ready.trainings), *unequal_budgets(arms, spec.budget, spec.count)]
    comparisons = compare_suites(arms, n_of, results_dir, spec.reference, warnings)
    tables = all_tables(arms, comparisons)
    if given["report"] is not None:
        write_report(given["report"], spec, arms, comparisons, results_dir)
        say(f"report written to {given['report']}")
    try:
        if form in ("json", "csv"):
            tables = tables[: len(comparisons)]
        extra = bench_json(spec, arms, comparisons)
        options.emit(tables, form, extra)
    finally:  # whether anybody reads the table or not
        check_arms(arms)


def _say(quiet: bool, line: str) -> None:
    if not quiet:
        click.echo(clean(line, 1000), err=True)


def _evaluate(config: RunConfig, quiet: bool, model: str) -> Outcome:
    from harness.cli.progress import JudgeProgress, RunProgress

    chosen = replace(config, model=(model,), model_options=config.options_of(model))
    return run(chosen, lambda: RunProgress(quiet=quiet), lambda: JudgeProgress(quiet=quiet))


def _as_student(ready: ReadyBench) -> RunConfig:
    """How every model is evaluated: what is said of the student's engine is said of what is trained from it too."""
    spec, config = ready.spec, ready.spec.evaluation
    own = {key: value for key, value in config.model_options.items() if key.startswith(f"{spec.student}:")}
    told = {key: value for key, value in options_of(spec.student, own).items() if key not in OTHER_WEIGHTS}
    trained = {
        f"{SCHEME}{planned.model_id}:{key}": value
        for planned in ready.trainings.values()
        for key, value in told.items()
    }
    return replace(config, model_options={**trained, **config.model_options})


def ask(given: Mapping[str, Any], say: Say) -> tuple[ReadyBench, list[PlannedRun], list[str]]:
    """Check the options and put the comparison together: its trainings, its evaluations, and what is to be said of it.

    Nothing is trained or generated. Raises `ConfigError` and whatever planning and finding the models raises.
    """
    if processes() > 1:
        raise UsageError(
            "harness bench is one process: train with `accelerate launch … harness train` and the same student, data, "
            "budget, settings and seeds, and it finds the models"
        )
    given = with_preset(given)
    for name in ("student", "data"):
        if given[name] is None:
            raise UsageError(f"a comparison needs --{name}, or --preset demo (`harness bench --help` has examples)")
    if given["controls"]:
        given = with_controls(given, say)
    warnings: list[str] = []
    if given["budget"] is None and not any(key.endswith("max_steps") for key in given["assignments"]):
        warnings.append("no --budget: every method trains for its own epochs, which compares recipes and not methods")
    for line in warnings:
        say(line)
    methods = _methods(given)
    given["count"] = _count(given, methods, say)
    config = _evaluation(given)
    plans = plan_suites(config)
    refuse_temperatures(plans, config)
    _check_models(given, config, plans)
    spec = BenchSpec(
        methods=methods,
        seeds=3 if given["seeds"] is None else given["seeds"],
        student=given["student"],
        evaluation=config,
        teacher=_teacher(given, config, say),
        models=given["model"],
        budget=given["budget"],
        count=given["count"],
        reference=given["reference"],
    )
    return preflight(spec, _trainer(given, spec)), plans, warnings


def with_preset(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options, with the preset's values where none was said."""
    if given["preset"] is None:
        return dict(given)
    preset = find_preset(given["preset"], given["student"])
    said = {name: value for name, value in given.items() if value is not None and value != ()}
    both = {**given, **preset, **said}
    idle = {*preset["methods"]} - {*_methods(both)}  # what the preset sets for a method that was left out is idle
    usual = {key: value for key, value in preset["assignments"].items() if key.partition(".")[0] not in idle}
    return {**both, "assignments": {**usual, **given["assignments"]}}


def with_controls(given: Mapping[str, Any], say: Say) -> dict[str, Any]:
    """The options, with the controls that train nothing as further models; the student's options are theirs too.

    Raises `UsageError` for an option of all models, which a model over models would not know.
    """
    student, told = given["student"], given["model_options"]
    if shared := [key for key in told if ":" not in key]:
        raise UsageError(
            f"--controls adds models over the student, which have no option {shared[0]!r}: say "
            f"--model-arg {student}:{shared[0]}=…"
        )
    own: dict[str, dict[str, str]] = {
        f"cot:{student}": {},
        f"vote:{_VOTES}:{student}": {"temperature": _VOTES_AT},
    }
    items = given["data"]
    try:
        solved_items((items,))
    except HarnessError as error:
        say(f"few-shot gets no row: {error}")
    else:
        own = {f"fewshot:{_SHOTS}:{student}": {"items": items}, **own}
    of_student = {f"model.{key}": value for key, value in options_of(student, told).items()}
    added = {f"{name}:{key}": value for name, one in own.items() for key, value in (one | of_student).items()}
    return {**given, "model": (*given["model"], *own), "model_options": {**added, **told}}


def _methods(given: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name.strip() for part in given["methods"] for name in part.split(",") if name.strip())


def _count(given: Mapping[str, Any], methods: Sequence[str], say: Say) -> Counted:
    """What the budget counts. Where a student writes, methods differ most in what is not read by the student: all."""
    if given["budget"] is None or parse_budget(given["budget"])[0] is None:
        if given["count"] == "all":
            raise UsageError("--count all says what a budget of tokens counts: say --budget 2Mtok too")
        return "student"
    if given["count"] is not None:
        return cast(Counted, given["count"])
    rolling = [name for name in methods if _lets_student_write(name)]
    if not rolling:
        return "student"
    say(f"--count all: the budget counts teachers' and judges' tokens too, since {rolling[0]} lets the student write")
    return "all"


def _lets_student_write(name: str) -> bool:
    """Whether a stage of the method trains on what the student writes meanwhile, with its default options."""
    from backends.base import load_method, student_writes

    try:
        return student_writes(load_method(name))
    except UnknownName:
        return False  # it is refused where it is planned


def _evaluation(given: Mapping[str, Any]) -> RunConfig:
    """How every model is evaluated, with the student standing in for the model."""
    other = {*_OWN, *_TRAINING}
    flags = {name: value for name, value in given.items() if name not in other}
    paths = {name: str(flags[name]) for name in ("data_dir", "results_dir") if flags[name] is not None}
    config = resolve(None, (), {**flags, **paths, "model": (given["student"],)})
    refuse_strays(
        config.model_options,
        tuple(filter(None, (given["student"], given["teacher"], *given["model"]))),
        "--model-arg",
        "model",
    )
    validate(replace(config, model_options={}))
    return config


def _check_models(given: Mapping[str, Any], config: RunConfig, plans: Sequence[PlannedRun]) -> None:
    """Refuse, before hours of training, a judge or a further model that cannot be asked after them."""
    from harness.models import load_model
    from harness.run.judged.choose import check_judging

    models = [load_model(name, config.options_of(name), config.results_dir) for name in given["model"]]
    if config.judge.asked or any(plan.suite.judging for plan in plans):
        check_judging([plan.suite for plan in plans], models, config)


def _teacher(given: Mapping[str, Any], config: RunConfig, say: Say) -> str | None:
    """The teacher's spec if it can be evaluated; a mere name for the card cannot."""
    from harness.models import load_model

    if given["teacher"] is None:
        return None
    try:
        load_model(given["teacher"], config.options_of(given["teacher"]), config.results_dir)
    except HarnessError as error:
        say(f"the teacher gets no row: {error}")
        return None
    return str(given["teacher"])


def _trainer(given: Mapping[str, Any], spec: BenchSpec) -> Trainer:
    from harness.cli.progress import TrainProgress

    tokens, seconds = parse_budget(given["budget"]) if given["budget"] is not None else (None, None)
    told = {name: given[name] for name in _TRAINING if given[name] is not None}
    base = TrainConfig(method=spec.methods[0], budget_tokens=tokens, budget_seconds=seconds, **told)
    quiet = bool(given["quiet"])
    return BackendTrainer(
        base, spec.methods, given["assignments"], Path(given["results_dir"]), lambda: TrainProgress(quiet=quiet)
    )
