"""Who judges and how: from a suite's protocol or the user's rubric to a `Judging`, and which judges are refused.

A judge may not judge its own answers unnoticed. Where weights lie here two models are told apart by their fingerprints,
the base's and those of the adapters on top: a copy in another folder, or in another engine, is the same model, and a
folder whose weights have changed is another. Where they lie elsewhere there is only what they are called: a hub's or a
server's name, in any case, at any address, with or without the owner before it; two names of what is served
(`checkpoint`) tell two models apart. What neither can tell is written in docs/judging.md.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from harness import catalog
from harness.config import JudgeConfig, RunConfig
from harness.errors import ConfigError, UsageError
from harness.models import load_model
from harness.models.budget import Budget
from harness.types import Json, Model, Suite
from judges.ask import refuse_unfit_judge
from judges.pairwise import PairwiseJudging
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judging, JudgingOptions

Identity = Mapping[str, Json]
"""What `Model.describe` says."""


def same_model(one: tuple[str, Identity], two: tuple[str, Identity]) -> bool:
    """True if the two (name on the command line, identity) are one model as far as anybody can tell from here."""
    (name, identity), (other_name, other) = one, two
    if _base(identity) is not None and _base(other) is not None:
        return (_base(identity), _adapters(identity)) == (_base(other), _adapters(other))
    if identity == other:
        return True
    if _adapters(identity) != _adapters(other):
        return False
    served, others = _text(identity.get("served")), _text(other.get("served"))  # what the user says is served
    if served is not None and others is not None:
        return served == others
    mine, theirs = _called(identity), _called(other)
    if mine is None or theirs is None:
        return name.casefold() == other_name.casefold()
    if ("/" in mine) != ("/" in theirs):  # "gpt-4o" and "openai/gpt-4o"
        return mine.rpartition("/")[2] == theirs.rpartition("/")[2]
    return mine == theirs


def _share_a_model(one: tuple[str, Identity], two: tuple[str, Identity]) -> bool:
    """True if a model of the one is a model of the other: a system of models is each of them."""
    return any(same_model(mine, theirs) for mine in _models_of(*one) for theirs in _models_of(*two))


def _models_of(name: str, identity: Identity) -> Iterator[tuple[str, Identity]]:
    """The model; of a system all of its models, which have no name of their own there."""
    parts = identity.get("parts")
    if not isinstance(parts, Mapping):
        yield name, identity
        return
    for role, part in parts.items():
        if isinstance(part, Mapping):
            yield from _models_of(f"{name}.{role}", part)


def _base(identity: Identity) -> str | None:
    """Fingerprint of the weights below all adapters; None if they do not lie here."""
    return _text(identity.get("fingerprint"))


def _adapters(identity: Identity) -> tuple[str | None, ...]:
    """Every adapter in the order in which they lie on the base: its fingerprint, or what a hub calls it."""
    earlier = identity.get("earlier_adapters")
    found = [_text(one) for one in earlier] if isinstance(earlier, list | tuple) else []
    if identity.get("adapter") is not None:
        found.append(_text(identity.get("adapter_fingerprint")) or _text(identity.get("adapter")))
    return tuple(found)


def _called(identity: Identity) -> str | None:
    """What a hub or a server calls it; None for weights that lie here."""
    return _text(identity.get("model")) if _base(identity) is None else None


def _text(value: Json) -> str | None:
    """A text as it is compared, None for anything else."""
    return value.casefold() if isinstance(value, str) else None


def choose_judging(suite: Suite, config: RunConfig) -> Judging:
    """The suite's own protocol, unless a rubric is named that judges in another way.

    A rubric that a protocol can use (the same kind as its own) takes the place of the protocol's prompt, so that a
    judge prompt can be tried out on AlpacaEval with all of its statistics. Raises `ConfigError` if nothing says how to
    judge or if what is said does not go together, and what loading a rubric raises.
    """
    told = config.judge
    if config.data_dir is not None:
        told = replace(told, data_dir=Path(config.data_dir))
    if told.rubric is not None and told.prompt == "official":
        raise ConfigError(f"--rubric {told.rubric} and --prompt official are two prompts: leave one of them out")
    try:
        judging = _chosen(suite, told)
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise UsageError(f"judging protocol {told.protocol or suite.judging!r} is unfinished: {error}") from error
    if not isinstance(judging, Judging):
        lacking = [name for name in dir(Judging) if not name.startswith("_") and not hasattr(judging, name)]
        raise UsageError(
            f"judging protocol {told.protocol or suite.judging!r} has no {', '.join(lacking)}: inherit from "
            "`judges.types.Judging`, which has the usual answers"
        )
    if len(told.names) > 1 and told.aggregate == "majority" and not judging.decides:
        raise ConfigError(
            f"--aggregate majority counts who prefers what, and {judging.name} gives points: say mean or median"
        )
    return judging


def _chosen(suite: Suite, told: JudgeConfig) -> Judging:
    protocol = told.protocol or suite.judging
    if protocol:
        build = cast(Callable[[JudgingOptions], Judging], catalog.load("judging", protocol))
        if told.rubric is None:
            return build(told)
        load_rubric(told.rubric, told.weighting)  # a broken rubric is told as such, not taken for another kind
        if told.protocol is not None or _takes(build, told):
            return build(told)
    if told.rubric is None:
        raise ConfigError(f"{suite.name} is no judged suite: say how with --rubric NAME (`harness list rubrics`)")
    return rubric_judging(told.rubric, told)


def _takes(build: Callable[[JudgingOptions], Judging], told: JudgingOptions) -> bool:
    """True if the protocol can use this rubric; what else it is told may still be wrong, and is told by it."""
    try:
        build(JudgingOptions(told.rubric, told.weighting))
    except ConfigError:
        return False
    return True


def rubric_judging(name: str, told: JudgingOptions) -> Judging:
    """A rubric on its own: pairwise in both orders, everything else one answer at a time."""
    rubric = load_rubric(name, told.weighting)
    temperature = told.temperature if told.temperature is not None else 0.0
    if rubric.kind == "pairwise":
        return PairwiseJudging(rubric, told.orders or "both", told.repeats, temperature)
    if told.orders is not None:
        raise ConfigError(f"orders = {told.orders!r}: rubric {rubric.name!r} shows one answer, it has no order")
    return RubricJudging(rubric, told.repeats, temperature)


def check_judging(suites: Sequence[Suite], models: Sequence[Model], config: RunConfig) -> None:
    """Refuse what could not be judged in the end, before anything is generated.

    Raises `ConfigError`, `UsageError`, `UnknownName`, and what loading a judge raises.
    """
    told = config.judge
    judged = [suite.name for suite in suites if suite.judging]
    if not told.names:
        if judged or told.asked:
            what = f"{judged[0]} is scored by a judge" if judged else "a rubric, a protocol or a budget is for judging"
            raise ConfigError(f"{what}: say --judge NAME, e.g. --judge openai:gpt-4.1 --judge-arg base_url=…")
        return
    judgings = [choose_judging(suite, config) for suite in suites]
    for suite, judging in zip(suites, judgings, strict=True):
        if judging.needs_opponent() and suite.baseline is None:
            raise ConfigError(
                f"{suite.name} has no baseline to hold answers against: run it first, then say "
                "`harness judge RUN --against RUN --rubric NAME`"
            )
    if told.budget is not None:
        Budget.parse(told.budget)
    judges = [load_model(name, told.options_of(name), config.results_dir) for name in told.names]
    for judge, judging in itertools.product(judges, judgings):
        refuse_unfit_judge(judge, judging)
    refuse_self(judges, [(model.name, model.describe()) for model in models], told.allow_self)


def refuse_self(judges: Sequence[Model], judged: Sequence[tuple[str, Mapping[str, Json]]], allowed: bool) -> None:
    """Raise `UsageError` if a judge is one of the models (name, identity) it is to judge: it would prefer itself."""
    for judge in judges:
        for name, identity in judged:
            if not allowed and _share_a_model((judge.name, judge.describe()), (name, identity)):
                raise UsageError(
                    f"the judge {judge.name!r} is the model being judged, and models prefer their own answers: "
                    "name another judge, or say --allow-self"
                )
