"""A whole session in the laboratory: every arm measured on the same pairs, and every comparison worth making."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from harness.models.budget import Budget
from harness.models.replies import NoProgress, Progress
from harness.models.reply_cache import Cache
from harness.models.under_way import beating
from harness.stats.multiple import holm
from harness.types import Estimate, Model
from judges.lab.arm import JudgeArm
from judges.lab.label_agreement import human_agreement
from judges.lab.measure import ArmReport, measure
from judges.lab.sets import PairSet
from judges.lab.versus import ArmDifference, prompt_diff, versus
from judges.lab.votes import PairVotes
from judges.types import Judgment


@dataclass(frozen=True)
class LabReport:
    """Everything that `harness judge lab` shows."""

    pairs: PairSet
    arms: tuple[ArmReport, ...]
    comparisons: tuple[ArmDifference, ...]
    humans: Estimate | None
    """Agreement of two people, ties included; None if the set has one vote per pair."""
    humans_decided: Estimate | None
    """The same over votes that are no ties."""
    seed: int


def lab(
    pairs: PairSet,
    arms: Sequence[JudgeArm],
    cache: Cache,
    *,
    budget: Budget | None = None,
    own_names: Sequence[str] = (),
    seed: int = 0,
    progress: Progress[Judgment] | None = None,
) -> LabReport:
    """Ask every arm about every pair, measure, and compare.

    `own_names` are names under which a judge's own answers appear in the set, besides its own name. Raises what
    `judges.ask.judge_tasks` raises; what was judged until then is in the cache, and the same call goes on from there.
    """
    outcomes = asyncio.run(_ask(arms, arm_names(arms), pairs, cache, budget, progress))
    return lab_report(pairs, arms, outcomes, own_names=own_names, seed=seed)


def lab_report(
    pairs: PairSet,
    arms: Sequence[JudgeArm],
    outcomes: Sequence[Sequence[PairVotes]],
    *,
    own_names: Sequence[str] = (),
    seed: int = 0,
) -> LabReport:
    """Measure and compare what every arm said about every pair; nobody is asked."""
    names = arm_names(arms)
    reports = tuple(
        measure(name, arm, found, _own(arm.judge, own_names), seed)
        for name, arm, found in zip(names, arms, outcomes, strict=True)
    )
    return LabReport(
        pairs=pairs,
        arms=reports,
        comparisons=_comparisons(reports, own_names),
        humans=human_agreement(pairs.pairs, ties=True),
        humans_decided=human_agreement(pairs.pairs, ties=False),
        seed=seed,
    )


def _own(judge: Model, own_names: Sequence[str]) -> list[str]:
    """Names under which the judge's own answers may appear: its name at its engine, and those that the user gives."""
    return [judge.name.partition(":")[2] or judge.name, *own_names]


async def _ask(
    arms: Sequence[JudgeArm],
    names: Sequence[str],
    pairs: PairSet,
    cache: Cache,
    budget: Budget | None,
    progress: Progress[Judgment] | None,
) -> list[list[PairVotes]]:
    """One arm after the other, in one event loop: a judge that serves two rubrics keeps its connections."""
    sizes = [arm.size(pairs.pairs) for arm in arms]  # what cannot be asked is told before anything is spent
    outcomes = []
    try:
        for name, arm, size in zip(names, arms, sizes, strict=True):
            if progress is not None:
                progress.start(name, size)
            told: Callable[[Judgment], None] | None = progress.advance if progress is not None else None
            try:
                async with beating(progress or NoProgress(), arm.judge):
                    outcomes.append(await arm.run(pairs.pairs, cache, budget, told))
            finally:
                if progress is not None:
                    progress.finish()
    finally:
        for judge in {id(arm.judge): arm.judge for arm in arms}.values():
            await judge.close()
    return outcomes


def arm_names(arms: Sequence[JudgeArm]) -> list[str]:
    """What tells the arms apart, no more: the rubric where all have one judge, the judge where all have one rubric."""
    rubrics, judges = [arm.rubric for arm in arms], [arm.judge.name for arm in arms]
    named = [rubric.name for rubric in rubrics]
    if len(set(named)) < len({rubric.id for rubric in rubrics}):  # two files of one name
        named = [f"{rubric.name}#{rubric.content_hash[:6]}" for rubric in rubrics]
    if len(set(judges)) == 1:
        return named
    if len(set(named)) == 1:
        return judges
    return [f"{rubric} by {judge}" for rubric, judge in zip(named, judges, strict=True)]


def _comparisons(arms: Sequence[ArmReport], own_names: Sequence[str]) -> tuple[ArmDifference, ...]:
    """Every later arm against the first that differs from it in one thing: the prompt, or the judge."""
    results = []
    for position, second in enumerate(arms):
        earlier = arms[:position]
        same_judge = next((one for one in earlier if one.arm.judge is second.arm.judge), None)
        same_rubric = next((one for one in earlier if one.arm.rubric == second.arm.rubric), None)
        for first in (same_judge, same_rubric):
            if first is not None:
                judges = {first.arm.judge.name, second.arm.judge.name}
                own = _own(second.arm.judge, own_names) if len(judges) == 1 else own_names  # two judges: two selves
                result = versus(first.outcomes, second.outcomes, own)
                diff = prompt_diff(first.arm.rubric, second.arm.rubric)
                results.append(replace(result, first=first.name, second=second.name, diff=diff))
    corrected = iter(holm([one.differences["accuracy"].p for one in results if "accuracy" in one.differences]))
    return tuple(replace(one, p_holm=next(corrected) if "accuracy" in one.differences else None) for one in results)
