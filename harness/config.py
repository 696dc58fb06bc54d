"""Settings of a run: defaults < environment < TOML file < `--set key=value` < flags. An unknown key is an error."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.redact import contains_secret


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
    """Options of the engine (`harness show hf` lists them)."""
    judge: tuple[str, ...] = ()
    """Models that judge, each "engine:rest"; several are a panel."""
    judge_options: Mapping[str, str] = field(default_factory=dict)
    """Options of the judges' engines; a key "<judge>:<option>" is for that judge of a panel alone."""
    rubric: str | None = None
    """Rubric to judge by: a name (`harness list rubrics`) or a TOML file; None is the suite's own protocol."""
    judging: str | None = None
    """Judging protocol (`harness list judging`) in place of the suite's own."""
    weighting: str | None = None
    """One of the rubric's named weightings."""
    prompt: str = "auto"
    """A benchmark's own judge prompt: "official", "own" (our rubric) or "auto" (official where it is installed)."""
    repeats: int = 1
    """How often each question is put to the judge."""
    orders: str | None = None
    """"both" or "random"; None is the protocol's own."""
    judge_temperature: float | None = None
    """None is the protocol's own: 0 for rubrics."""
    aggregate: str = "mean"
    """How a panel decides: "mean", "median" or "majority"."""
    samples: int | None = None
    """Judge only that many samples of each problem; None is all that are stored."""
    budget: str | None = None
    """Stop judging, resumably, once so much is spent: "200ktok", "5usd"."""
    allow_self: bool = False
    """Let a model judge its own answers."""

    def options_of(self, judge: str) -> dict[str, str]:
        """What one judge's engine is told: the options of all, then its own."""
        own = {key.removeprefix(f"{judge}:"): value for key, value in self.judge_options.items() if ":" in key}
        shared = {key: value for key, value in self.judge_options.items() if ":" not in key}
        return shared | {key: value for key, value in own.items() if ":" not in key}


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
        key, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment!r} is not of the form key=value")
        name, dot, option = key.strip().partition(".")
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
    known = {f.name: str(f.type) for f in fields(RunConfig)}
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"{source}: unknown setting {key!r}.{hint} Known: {', '.join(sorted(known))}")
        if key in ("model_options", "judge_options"):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{source}: {key} is a table, e.g. {key}.dtype=float32")
            changes[key] = {**getattr(config, key), **{name: _plain(item) for name, item in value.items()}}
        else:
            changes[key] = _convert(key, value, known[key], source)
    return replace(config, **changes)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _convert(key: str, value: object, kind: str, source: str) -> object:
    try:
        if kind.startswith("tuple"):
            parts: Sequence[object] = value.split(",") if isinstance(value, str) else list(value)  # type: ignore[call-overload]
            return tuple(str(part).strip() for part in parts)
        if kind == "bool":
            return _FLAGS[str(value).lower()]
        if isinstance(value, bool):
            raise ValueError
        if kind.startswith("int"):
            if isinstance(value, float) and not value.is_integer():
                raise ValueError
            return int(value)  # type: ignore[call-overload]
        if kind.startswith("float"):
            return float(value)  # type: ignore[arg-type]
        if not isinstance(value, str):
            raise ValueError
        return value
    except (TypeError, ValueError, KeyError):
        wanted = kind.replace(" | None", "").replace("tuple[str, ...]", "list")
        raise ConfigError(f"{source}: {key} = {value!r} is not {'an' if wanted == 'int' else 'a'} {wanted}") from None


_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CHOICES = {
    "prompt": ("auto", "own", "official"),
    "orders": ("both", "random", None),
    "aggregate": ("mean", "median", "majority"),
}


def validate(config: RunConfig) -> None:
    """Check ranges before anything is loaded; raises `ConfigError`."""
    if not config.suite:
        raise ConfigError("no suite: say --suite NAME (`harness list suites`)")
    if not config.model:
        raise ConfigError("no model: say --model NAME (`harness list models`)")
    validate_settings(config)


def validate_settings(config: RunConfig) -> None:
    """Everything that `validate` checks but the presence of a suite and a model; raises `ConfigError`."""
    for models, word in ((config.model, "model"), (config.judge, "judge")):
        if any(contains_secret(name) for name in models):
            raise ConfigError(f"a {word}'s name looks like a secret: names are stored, keys belong in the environment")
        if twice := [name for name in models if models.count(name) > 1]:
            raise ConfigError(f"the {word} {twice[0]!r} is named twice")
    for key in config.judge_options:
        judge, colon, _ = key.rpartition(":")
        if colon and judge not in config.judge:
            raise ConfigError(
                f"--judge-arg {key}=…: no judge is named {judge!r}; the judges are {', '.join(config.judge)}"
            )
    if not config.results_dir.strip():
        raise ConfigError("results_dir is empty: name a folder, or leave it out")
    for name, allowed in _CHOICES.items():
        if getattr(config, name) not in allowed:
            raise ConfigError(f"{name} = {getattr(config, name)!r}: choose from {', '.join(filter(None, allowed))}")
    rules: list[tuple[str, float | None, float, float]] = [
        ("n", config.n, 1, 100_000),
        ("limit", config.limit, 1, 10**9),
        ("seed", config.seed, 0, 2**31 - 1),
        ("temperature", config.temperature, 0, 10),
        ("top_p", config.top_p, 1e-9, 1),
        ("max_tokens", config.max_tokens, 1, 10**7),
        ("max_failures", config.max_failures, 0, 1),
        ("grading_workers", config.grading_workers, 1, 1024),
        ("grading_timeout", config.grading_timeout, 0.01, 3600),
        ("repeats", config.repeats, 1, 100),
        ("judge_temperature", config.judge_temperature, 0, 10),
        ("samples", config.samples, 1, 100_000),
    ]
    for name, value, low, high in rules:
        if value is not None and not low <= value <= high:
            raise ConfigError(f"{name} = {value!r} is out of range: {low:g} to {high:.12g}")
