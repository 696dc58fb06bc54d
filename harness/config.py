"""Settings of a run: defaults < environment < TOML file < `--set key=value` < flags. An unknown key is an error."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from harness.errors import ConfigError, did_you_mean
from harness.options import convert, key_value, options_of, refuse_strays, required_type, to_text
from harness.redact import contains_secret
from judges.types import Aggregate, JudgingOptions


@dataclass(frozen=True)
class JudgeConfig(JudgingOptions):
    """Who judges, how (what a protocol is told, `JudgingOptions`), and how much of it."""

    names: tuple[str, ...] = ()
    """Models that judge, each "engine:rest"; several are a panel."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the judges' engines; a key "<judge>:<option>" is for that judge of a panel alone."""
    protocol: str | None = None
    """Judging protocol (`harness list judging`) in place of the suite's own; None and no rubric is the suite's own."""
    aggregate: Aggregate = "mean"
    samples: int | None = None
    """Judge only that many samples of each problem; None is all that are stored."""
    budget: str | None = None
    """Stop judging, resumably, once so much is spent: "200ktok", "5usd"."""
    allow_self: bool = False
    """Let a model judge its own answers."""

    @property
    def asked(self) -> bool:
        """True if something was said that only a judge can do."""
        return bool(self.names or self.protocol or self.rubric or self.budget)

    def options_of(self, judge: str) -> dict[str, str]:
        """What one judge's engine is told: the options of all, then its own."""
        return options_of(judge, self.options)


@dataclass(frozen=True)
class RunConfig:
    """Everything `harness run` can be told."""

    suite: tuple[str, ...] = ()
    """Suites, each "name" or "name:n"."""
    model: tuple[str, ...] = ()
    """Models, each "engine:rest"."""
    n: int | None = None
    """Samples per problem; None is the protocol's or the suite's own."""
    limit: int | None = None
    """Only that many problems of each suite, the same ones for every model."""
    seed: int = 0
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    """New tokens per completion."""
    protocol: str | None = None
    """Sampling preset (`harness list protocols`)."""
    metric: tuple[str, ...] = ()
    """Metrics to report beside the suite's own, e.g. "pass@16"."""
    data_dir: str | None = None
    results_dir: str = "results"
    max_failures: float = 0.02
    """Largest share of unscored and failed samples with which the command still exits 0."""
    grading_workers: int | None = None
    """Grader processes; None is one per core."""
    grading_timeout: float = 10.0
    """Seconds that one answer may take to grade."""
    model_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the engine (`harness show hf` lists them); a key "<model>:<option>" is for that model alone."""
    judge: JudgeConfig = JudgeConfig()
    """Its fields are keys beside the ones above: `_JUDGE_KEYS` has those that are called otherwise there."""

    def options_of(self, model: str) -> dict[str, str]:
        """What one model's engine is told: the options of all, then its own."""
        return options_of(model, self.model_options)


_JUDGE_KEYS = {"names": "judge", "options": "judge_options", "protocol": "judging", "temperature": "judge_temperature"}
"""Field of `JudgeConfig` -> the key that sets it; the other fields are their own keys."""
_RANGES = {
    "n": (1, 100_000),
    "limit": (1, 10**9),
    "seed": (0, 2**31 - 1),
    "temperature": (0, 10),
    "top_p": (1e-9, 1),
    "max_tokens": (1, 10**7),
    "max_failures": (0, 1),
    "grading_workers": (1, 1024),
    "grading_timeout": (0.01, 3600),
    "repeats": (1, 100),
    "judge_temperature": (0, 10),
    "samples": (1, 100_000),
}


@cache
def _keys() -> dict[str, tuple[str, object]]:
    """Key -> (field of `RunConfig`, or "judge." and one of `JudgeConfig`; its type)."""
    run, judge = get_type_hints(RunConfig), get_type_hints(JudgeConfig)
    places = {item.name: (item.name, run[item.name]) for item in fields(RunConfig) if item.name != "judge"}
    for item in fields(JudgeConfig):
        if item.name != "data_dir":  # the run's own
            places[_JUDGE_KEYS.get(item.name, item.name)] = f"judge.{item.name}", judge[item.name]
    return places


def resolve(
    config_file: Path | None,
    assignments: Iterable[str],
    flags: Mapping[str, object],
    environment: Mapping[str, object] | None = None,
) -> RunConfig:
    """Layer the sources; a flag that is None or an empty tuple was not given.

    Raises `ConfigError` naming the source for an unknown key (with a suggestion) or a value of the wrong type.
    """
    config = _layer(RunConfig(), environment or {}, "the environment")
    if config_file is not None:
        config = _layer(config, _read_toml(config_file), str(config_file))
    for assignment in assignments:
        try:
            key, value = key_value(assignment)
        except ValueError as error:
            raise ConfigError(f"--set {error}") from None
        name, dot, option = key.partition(".")
        config = _layer(config, {name: {option: value}} if dot else {name: value}, "--set")
    given = {key: value for key, value in flags.items() if value is not None and value != () and value != {}}
    return _layer(config, given, "the command line")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # wrong syntax, no UTF-8, a number of 5,000 digits, deep nesting
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _layer(config: RunConfig, values: Mapping[str, object], source: str) -> RunConfig:
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in _keys():
            known = sorted(_keys())
            hint = did_you_mean(key, known, cutoff=0.6)
            raise ConfigError(f"{source}: unknown setting {key!r}.{hint} Known: {', '.join(known)}")
        place, kind = _keys()[key]
        if get_origin(kind) is Mapping:
            if not isinstance(value, Mapping):
                raise ConfigError(f"{source}: {key} is a table, e.g. {key}.dtype=float32")
            changes[place] = {**_value(config, key), **_options(value)}
        else:
            changes[place] = _converted(key, value, kind, source)
    judge = {place.removeprefix("judge."): value for place, value in changes.items() if "." in place}
    own = {place: value for place, value in changes.items() if "." not in place}
    return replace(config, **own, judge=replace(config.judge, **judge))


def _options(table: Mapping[str, object], above: str = "") -> dict[str, str]:
    """Options as text; those in a table within are of a system's part, "part.option"."""
    found: dict[str, str] = {}
    for name, item in table.items():
        found |= _options(item, f"{above}{name}.") if isinstance(item, Mapping) else {above + name: to_text(item)}
    return found


def _value(config: RunConfig, key: str) -> Any:
    return attrgetter(_keys()[key][0])(config)


def _converted(key: str, value: object, kind: object, source: str) -> object:
    try:
        return convert(value, kind)
    except ValueError:
        kind = required_type(kind)
        if get_origin(kind) is Literal:
            raise ConfigError(f"{key} = {value!r}: choose from {', '.join(get_args(kind))}") from None
        wanted = "list" if get_origin(kind) is tuple else getattr(kind, "__name__", kind)
        raise ConfigError(f"{source}: {key} = {value!r} is not {'an' if wanted == 'int' else 'a'} {wanted}") from None


def validate(config: RunConfig) -> None:
    """Check ranges before anything is loaded; raises `ConfigError`."""
    if not config.suite:
        raise ConfigError("no suite: say --suite NAME (`harness list suites`)")
    if not config.model:
        raise ConfigError("no model: say --model NAME (`harness list models`)")
    refuse_strays(config.model_options, config.model, "--model-arg", "model")
    validate_settings(config)


def validate_settings(config: RunConfig) -> None:
    """Everything that `validate` checks but what it takes models or a suite to check; raises `ConfigError`."""
    for models, word in ((config.model, "model"), (config.judge.names, "judge")):
        if any(contains_secret(name) for name in models):
            raise ConfigError(f"a {word}'s name looks like a secret: names are stored, keys belong in the environment")
        if twice := [name for name in models if models.count(name) > 1]:
            raise ConfigError(f"the {word} {twice[0]!r} is named twice")
    refuse_strays(config.judge.options, config.judge.names, "--judge-arg", "judge")
    if not config.results_dir.strip():
        raise ConfigError("results_dir is empty: name a folder, or leave it out")
    for key, (low, high) in _RANGES.items():
        value = _value(config, key)
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{key} = {value!r} is out of range: {low:g} to {high:.12g}")
