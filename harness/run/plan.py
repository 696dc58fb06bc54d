"""Plan a run: load the data, fix the specs, count the work. Whatever can fail without a model fails here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness import catalog
from harness.config import RunConfig
from harness.datasets import pinned
from harness.errors import ConfigError, StoreError
from harness.metrics import parse_metric
from harness.models.base import refuse_unfit
from harness.run.folder import RunFolder, list_runs
from harness.run.presets import SamplingPreset
from harness.run.result import RunResult
from harness.run.sent import changed_by_options
from harness.run.shards import Shard
from harness.run.spec import RunSpec, prompt_hash
from harness.suites import load_problems, load_suite, parse_suite_arg
from harness.types import Json, Model, Problem, Sampling, Suite

_CHARS_PER_TOKEN = 3.5  # English and LaTeX under common tokenizers; only for estimates, never for a stored number

ALWAYS = ("tokens_out", "truncated")
"""Metrics of every graded run."""


@dataclass(frozen=True)
class PlannedRun:
    """One suite for one model: the problems, the spec and where it is stored."""

    suite: Suite
    problems: Sequence[Problem]
    spec: RunSpec
    """Of no model until one is named (`make_jobs`)."""
    metrics: tuple[str, ...] = ()
    """Metrics asked for beside the suite's own."""
    directory: Path = Path()
    """Empty until a model is named."""
    shard: Shard | None = None
    """The part of its attempts that is asked here; None is all."""

    @cached_property
    def prompt_hashes(self) -> Mapping[str, str]:
        """Problem id -> hash of its rendered prompt."""
        return {problem.id: prompt_hash(problem.messages) for problem in self.problems}

    def attempts(self) -> Iterator[tuple[Problem, int]]:
        """Every attempt that is asked here, attempt-major: a half-done run of few has whole attempts."""
        places = ((problem, attempt) for attempt in range(self.spec.sampling.n) for problem in self.problems)
        for ordinal, place in enumerate(places):
            if self.shard is None or self.shard.has(ordinal):
                yield place


def plan_suites(config: RunConfig) -> list[PlannedRun]:
    """Load and check every suite of a config, before a model is named.

    Raises `UnknownName`, `DataError`, `ConfigError`, `MissingExtra`: all before anything is generated.
    """
    protocol = catalog.load("protocol", config.protocol) if config.protocol is not None else None
    assert protocol is None or isinstance(protocol, SamplingPreset)
    data_dir = Path(config.data_dir) if config.data_dir is not None else None
    plans: list[PlannedRun] = []
    for name, own_n in parse_suite_arg(",".join(config.suite)):
        suite = load_suite(name)
        suite = replace(suite, data=pinned(suite.data, data_dir))
        sampling = _sampling(suite, config, protocol, own_n)
        check_metrics(suite, sampling.n, config.metric)
        problems = load_problems(suite, data_dir, config.seed, config.limit)
        for model in config.model or ("",):
            _check_samples(suite, problems, sampling, changed_by_options(config.options_of(model)))
        # A limit that leaves nothing out is none: the run is the same as without it, and ranked with such runs.
        limited = config.limit is not None and not 0 < suite.data.rows <= config.limit
        spec = RunSpec(
            suite=suite.name,
            suite_version=suite.version,
            data_sha256=suite.data.sha256,
            model="",
            model_identity={},
            sampling=sampling,
            limit=config.limit if limited else None,
            protocol=config.protocol,
        )
        plans.append(PlannedRun(suite, problems, spec, config.metric))
    return plans


def _sampling(suite: Suite, config: RunConfig, protocol: SamplingPreset | None, own_n: int | None) -> Sampling:
    sampling = replace(suite.sampling, seed=config.seed)
    if protocol is not None:
        sampling = protocol.apply(suite.name, sampling)
    n = own_n if own_n is not None else config.n
    return replace(
        sampling,
        n=n if n is not None else sampling.n,
        temperature=config.temperature if config.temperature is not None else sampling.temperature,
        top_p=config.top_p if config.top_p is not None else sampling.top_p,
        max_tokens=config.max_tokens if config.max_tokens is not None else sampling.max_tokens,
    )


def _check_samples(suite: Suite, problems: Sequence[Problem], sampling: Sampling, changed: Mapping[str, Json]) -> None:
    """Refuse several samples where they would all be the same, and turns that nothing could score.

    `changed`: what the engine's options send in place of the sampling (`harness.run.sent`).
    """
    own = {problem.temperature for problem in problems} - {None}
    sent = {changed["temperature"]} if "temperature" in changed else own or {sampling.temperature}
    if sampling.n > 1 and 0 in sent:
        where = "its protocol has some problems at temperature 0, where" if own else "n ="
        raise ConfigError(
            f"{suite.name}: {where} {sampling.n} samples {'' if own else 'at temperature 0 '}are {sampling.n} copies "
            f"of one answer; say --n 1{'' if own else ' or --temperature 0.6'}"
        )
    if suite.follow_up is not None and not suite.judging:
        raise ConfigError(f"suite {suite.name!r} has several turns, which only a judging protocol can score")


def refuse_temperatures(plans: Sequence[PlannedRun], config: RunConfig) -> None:
    """Refuse a temperature of the user's, or of a preset, for suites whose problems have their own.

    Not part of `plan_suites`, which also plans runs again from what they stored. Raises `ConfigError`.
    """
    said = f"--temperature {config.temperature:g}" if config.temperature is not None else None
    said = said if config.protocol is None else f"--protocol {config.protocol}"
    for plan in plans:
        if said is not None and any(problem.temperature is not None for problem in plan.problems):
            raise ConfigError(
                f"{plan.suite.name}: its protocol has a temperature for each category of questions, and scores at "
                f"another one are not comparable: leave out {said} (suites that need it go in a command of their own)"
            )


def refuse_unfit_suites(model: Model, plans: Sequence[PlannedRun]) -> None:
    """Raise `ConfigError` for suites that a system of models could not answer as it is asked."""
    for plan in plans:
        refuse_unfit(model, {problem.grader for problem in plan.problems}, plan.spec.sampling)


def check_metrics(suite: Suite, n: int, asked: tuple[str, ...]) -> None:
    """Refuse what a run could not report in the end, before anything is spent.

    Raises `ConfigError` for a metric that n does not support or a format check that the suite does not record,
    `UnknownName` for a metric that is not listed.
    """
    if suite.judging:
        if asked:
            raise ConfigError(f"suite {suite.name!r} is scored by a judge: --metric {asked[0]} is of graded suites")
        return
    if suite.metrics[:1] != ("avg@n",):
        raise ConfigError(f"suite {suite.name!r}: its first metric must be avg@n, by which problems are paired")
    for name in asked:
        entry, k = parse_metric(name)
        if k is not None and k > n:
            raise ConfigError(f"{name} needs at least {k} samples per problem, the run has n = {n}: raise --n")
        check = entry.removeprefix("format:")
        if check != entry and check not in suite.formats:
            recorded = ", ".join(f"format:{other}" for other in suite.formats) or "none"
            raise ConfigError(f"suite {suite.name!r} does not record {name}; it has {recorded}")


def choose_metrics(suite: Suite, n: int, extra: Sequence[str]) -> tuple[str, ...]:
    """The suite's own metrics and the extra ones, as far as n stored samples per problem support them."""
    names = dict.fromkeys([*suite.metrics, *extra, *ALWAYS])
    return tuple(name for name in names if (parse_metric(name)[1] or 0) <= n)


def make_jobs(
    plans: Sequence[PlannedRun], model: str, identity: Mapping[str, Json], config: RunConfig
) -> list[PlannedRun]:
    """Name the model (and what makes its answers its own), which settles the directories."""
    specs = [replace(plan.spec, model=model, model_identity=dict(identity)) for plan in plans]
    return [
        replace(plan, spec=spec, directory=RunFolder.of(Path(config.results_dir), spec.run_id).path)
        for plan, spec in zip(plans, specs, strict=True)
    ]


def expect(job: PlannedRun, requests: int, results_dir: Path, calls: int = 1) -> dict[str, Json]:
    """What so many requests will probably take, from what the store knows of this model; nothing is loaded or asked.

    `calls`: requests to models that one answer takes at most, of a system. Comes back with
    tokens_in, tokens_out, tokens_source (the store's past, or the limit as an upper bound) and hours, at the throughput
    last seen for this model: None if it never ran here.
    """
    characters = sum(len(message.content) for problem in job.problems for message in problem.messages)
    each, source, tokens_per_second = float(job.spec.sampling.max_tokens * calls), "max_tokens (upper bound)", None
    for result in _results_of(job.spec.model, results_dir):
        made, seconds = result.totals.get("tokens_out"), result.totals.get("seconds")
        if isinstance(made, int | float) and isinstance(seconds, int | float) and seconds > 0:
            tokens_per_second = made / seconds
        if result.suite == job.suite.name and "tokens_out" in result.estimates:
            each, source = result.estimates["tokens_out"].value, "mean of an earlier run"
    return {
        "tokens_in": round(characters / len(job.problems) / _CHARS_PER_TOKEN * requests * calls),
        "tokens_out": round(each * requests),
        "tokens_source": source,
        "hours": each / tokens_per_second * requests / 3600 if tokens_per_second else None,
    }


def _results_of(model: str, results_dir: Path) -> list[RunResult]:
    """Readable results of a model, oldest first."""
    found: list[RunResult] = []
    for folder in list_runs(results_dir) if results_dir.is_dir() else []:
        try:
            result = folder.result
        except StoreError:  # unfinished or damaged: says nothing about speed, and the board names it
            continue
        if result.model == model:
            found.append(result)
    return sorted(found, key=lambda result: result.finished)


def first_prompt(job: PlannedRun) -> list[dict[str, Json]]:
    """The first problem's messages, for `--dry-run`."""
    return [{"role": message.role, "content": message.content} for message in job.problems[0].messages]
