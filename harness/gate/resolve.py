"""From names to sides: stored runs, baseline files, and models that are evaluated first.

A model is evaluated by the ordinary pipeline, so what is stored is found, and what was interrupted resumes. It is
sampled as the stored side was; settings that say otherwise are refused before anything is spent.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness import catalog
from harness.config import RunConfig
from harness.errors import DataError, UsageError
from harness.gate.baseline import read_baseline
from harness.gate.decide import GateVerdict, decide_all
from harness.gate.needs import check_reach
from harness.gate.pairs import Rule, parse_margin
from harness.gate.values import Side, read_side
from harness.metrics import described
from harness.models.replies import Progress
from harness.run.folder import RunFolder, find_run
from harness.run.plan import ALWAYS, plan_suites
from harness.run.sent import changed_by_options
from harness.suites import load_suite, parse_suite_arg
from harness.types import Completion

_TAKEN = ("seed", "limit", "temperature", "top_p", "max_tokens")


@dataclass(frozen=True)
class Named:
    """One side as a person names it."""

    role: str
    """"baseline" or "candidate"."""
    names: tuple[str, ...]
    """Runs (of one suite each), baseline files, or one model spec."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Options of the model's engine."""

    @property
    def model(self) -> str | None:
        """The model spec, if it is one."""
        return self.names[0] if self.names and is_model(self.names[0]) else None


def is_model(name: str) -> bool:
    """True for "engine:rest", or an engine's name alone."""
    engine, colon, _ = name.partition(":")
    return engine in catalog.entries("model") and (bool(colon) or not os.path.exists(name))


def find_sides(
    baseline: Named,
    candidate: Named,
    config: RunConfig,
    metric: str | None,
    progress: Callable[[], Progress[Completion]],
    check: Callable[[RunConfig, Side | None], None] = lambda config, stored: None,
) -> list[tuple[Side, Side]]:
    """(baseline, candidate) of every suite, in the order asked; models are evaluated.

    `check` sees every suite for which a model will be asked, with the side that is stored, before any is. `config` has
    the suites (none: those of the stored runs), the sampling asked for and the folders. Raises
    `UsageError` for names that do not fit together, and whatever reading, planning or evaluating raises.
    """
    results = Path(config.results_dir)
    stored = [_stored(side, results, metric) for side in (baseline, candidate)]
    asked = parse_suite_arg(",".join(config.suite)) if config.suite else []
    asked = asked or [(suite, None) for suite in dict.fromkeys([*stored[0], *stored[1]])]
    suites = [suite for suite, _ in asked]
    if not suites:
        raise UsageError("two models need --suite: which questions are they to be held against each other on?")
    for side, known in zip((baseline, candidate), stored, strict=True):
        absent = [suite for suite in suites if suite not in known]
        if absent and side.model is None:
            raise UsageError(f"no {side.role} run of suite {absent[0]!r} is named; add --{side.role} RUN")
    pairs: list[tuple[Side, Side]] = []
    configs = {
        suite: replace(config, suite=(suite,), n=n if n is not None else config.n)  # as evaluated
        for suite, n in asked
    }
    for suite, own in configs.items():
        there = [side[suite] for side in stored if suite in side]
        if len(there) < 2:
            check(own, there[0] if there else None)
    for suite, own in configs.items():
        left, right = stored[0].get(suite), stored[1].get(suite)
        left = left or evaluate(baseline, own, right, metric, progress)
        right = right or evaluate(candidate, own, left, metric, progress)
        pairs.append((left, right))
    return pairs


def run_gate(
    baseline: Named,
    candidate: Named,
    config: RunConfig,
    metric: str | None,
    rule: Rule,
    progress: Callable[[], Progress[Completion]],
    say: Callable[[str], None] = lambda line: None,
) -> list[GateVerdict]:
    """Find both sides and decide; a margin that cannot be meant, or never pass, is refused before a model is asked.

    `say` is told what each suite can show; a line that begins with "warning:" is one.
    """
    name = metric or "avg@n"  # by which every graded suite is paired
    margin = None
    if baseline.model or candidate.model:
        margin = parse_margin(rule.margin, name, share=described(name).is_share, superior=rule.test == "superior")

    def check(own: RunConfig, stored: Side | None) -> None:
        share = described(stored.metric if stored is not None else name).is_share
        if margin is not None and share and not load_suite(own.suite[0]).judging:
            plan = plan_suites(own if stored is None else _sampled_as(own, stored))[0]
            temperature = changed_by_options(own.model_options).get("temperature", plan.spec.sampling.temperature)
            say(check_reach(plan, temperature != 0, _sampling_noise(stored), margin.value, rule))

    verdicts = decide_all(find_sides(baseline, candidate, config, metric, progress, check), rule)
    options = {side.role: side.options for side in (baseline, candidate) if side.model}
    return [replace(verdict, options=options, folders=_folders(config)) for verdict in verdicts]


def _folders(config: RunConfig) -> tuple[str, ...]:
    """The options that name this gate's folders, without those that the environment or the default names."""
    found: tuple[str, ...] = ()
    for option, folder, usual in (
        ("--data-dir", config.data_dir, os.environ.get("HARNESS_DATA_DIR")),
        ("--results-dir", config.results_dir, os.environ.get("HARNESS_RESULTS_DIR") or "results"),
    ):
        if folder and folder != usual:
            found += (option, folder)
    return found


def _sampling_noise(side: Side | None) -> float | None:
    """Standard deviation of one sample given its problem, as measured on a stored side; None where it cannot be."""
    if side is None or not side.share:
        return None
    noise = [v.mean * (1.0 - v.mean) * v.n / (v.n - 1) for v in side.values.values() if v.mean is not None and v.n > 1]
    return math.sqrt(sum(noise) / len(noise)) if noise else None


def find_side(side: Named, config: RunConfig, metric: str | None, progress: Callable[[], Progress[Completion]]) -> Side:
    """One side alone, of exactly one suite: what is saved as a baseline."""
    stored = _stored(side, Path(config.results_dir), metric)
    if len(stored) == 1:
        return next(iter(stored.values()))
    suites = parse_suite_arg(",".join(config.suite)) if config.suite else []
    if side.model is None or len(suites) != 1:
        raise UsageError("a baseline file holds one suite: name one run, or a model and one --suite")
    name, n = suites[0]
    return evaluate(side, replace(config, suite=(name,), n=n if n is not None else config.n), None, metric, progress)


def _stored(side: Named, results: Path, metric: str | None) -> dict[str, Side]:
    """Suite -> the stored run or file of a side; empty for a model."""
    if side.model is not None:
        if len(side.names) > 1:
            raise UsageError(f"--{side.role} is one model, or one stored run for each suite, not {len(side.names)}")
        return {}
    found: dict[str, Side] = {}
    for name in side.names:
        is_file = name.endswith(".json") and Path(name).name != "result.json"
        one = read_baseline(Path(name), metric) if is_file else read_side(find_run(results, name), metric)
        if one.suite in found:
            raise UsageError(
                f"--{side.role} names two runs of suite {one.suite!r}: {found[one.suite].run_id} and {name}"
            )
        found[one.suite] = one
    return found


def evaluate(
    side: Named, config: RunConfig, like: Side | None, metric: str | None, progress: Callable[[], Progress[Completion]]
) -> Side:
    """Evaluate a model on one suite, sampled as `like` was; raises `DataError` if nothing could be scored."""
    from harness.run.pipeline import run

    assert side.model is not None
    config = replace(config, model=(side.model,), model_options=side.options)
    if like is not None:
        config, metric = _sampled_as(config, like), metric or like.metric
    if load_suite(config.suite[0]).judging:
        raise UsageError(
            f"{config.suite[0]} is scored by a judge: `harness run --judge …` both, then name the judged runs"
        )
    if like is not None and (like.judge is not None or like.imported_from is not None):
        kind = "judged" if like.judge is not None else f"a run of {like.imported_from}"
        raise UsageError(f"{like.run_id} is {kind}, and a model is evaluated here: name a stored run like it instead")
    plan = plan_suites(config)[0]
    if like is not None and (plan.suite.version, plan.suite.data.sha256) != (like.suite_version, like.data_sha256):
        raise UsageError(
            f"{like.run_id} is of version {like.suite_version!r} of {like.suite} with data {like.data_sha256[:12]}; "
            f"the suite is now version {plan.suite.version!r} with {plan.suite.data.sha256[:12]}: evaluate the "
            f"{side.role} with the same code, or make the stored side again"
        )
    if metric is not None and metric not in (*plan.suite.metrics, *ALWAYS):
        config = replace(config, metric=(*config.metric, metric))
    outcome = run(config, progress)
    if not outcome.results:
        raise DataError("; ".join(outcome.failures) or f"{side.model} gave no answer that could be scored")
    return read_side(RunFolder.of(Path(config.results_dir), outcome.results[0].run_id), metric)


def _sampled_as(config: RunConfig, like: Side) -> RunConfig:
    """The config with the sampling of a stored side; raises `ConfigError` where it asks for another."""
    theirs = {"seed": like.seed, "limit": like.limit, **{key: like.sampling.get(key) for key in _TAKEN[2:]}}
    default = RunConfig()
    if config.seed != default.seed:
        theirs["seed"] = config.seed  # other samples of the same distribution; the verdict notes it
    for key, value in theirs.items():
        asked = getattr(config, key)
        if key == "limit" and asked is not None and value is None and asked >= len(like.values):
            continue  # a limit that leaves nothing out is none
        if asked != getattr(default, key) and asked != value:
            raise UsageError(
                f"--{key.replace('_', '-')} {asked}: {like.run_id} was made with {value}, and sides sampled "
                "differently cannot be held against each other; leave the option out"
            )
    # What the server chose, or the engine's options put in its place, is not the config's to say.
    theirs = {
        key: value if isinstance(value, int | float | None) else getattr(default, key) for key, value in theirs.items()
    }
    # What the run stores is the outcome of its preset, if any.
    return replace(config, **theirs, n=config.n if config.n is not None else like.n, protocol=None)  # type: ignore[arg-type]
