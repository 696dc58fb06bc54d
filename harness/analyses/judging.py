"""What a judge says of stored texts by rubrics.

Every reply is kept where `harness judge` keeps its own (`judgments.sqlite`): the same question is never paid for twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.analyses.base import AnalysisContext
from harness.errors import DataError, UsageError
from harness.models import load_model
from harness.models.reply_cache import Cache
from harness.run.folder import Key, RunFolder
from harness.run.judged.ask import CACHE
from harness.run.judged.choose import refuse_self
from harness.types import Completion, Model
from judges.ask import judge_tasks, refuse_unfit_judge
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judgment, Task, Verdict

Verdicts = dict[Key, Verdict | None]
"""Of each text that was judged; None where the judge's reply could not be read or failed."""


def judge_texts(
    spec: str,
    told: Sequence[str],
    tasks: Mapping[str, Sequence[Task]],
    context: AnalysisContext,
    runs: Sequence[RunFolder] = (),
) -> dict[str, Verdicts]:
    """Rubric -> verdicts of its tasks, by one judge; `told` are its options KEY=VALUE.

    Raises `UsageError` for a judge that is the model of one of `runs` (none: let it), and what loading models and
    rubrics raises, before anything is asked; `DataError` for a judge that answers nothing.
    """
    judgings = {name: RubricJudging(load_rubric(name)) for name in tasks}
    options = dict(_option(one) for one in told)
    model = load_model(spec, options, context.results_dir)
    refuse_self([model], [(run.result.model, run.spec.model_identity) for run in runs], allowed=False)
    for judging in judgings.values():
        refuse_unfit_judge(model, judging)
    found: dict[str, Verdicts] = {}
    asyncio.run(_judge(model, judgings, tasks, context, found))
    return found


async def _judge(
    model: Model,
    judgings: Mapping[str, RubricJudging],
    tasks: Mapping[str, Sequence[Task]],
    context: AnalysisContext,
    found: dict[str, Verdicts],
) -> None:
    def settled(one: Judgment) -> None:
        finish = "stop" if one.verdict is not None else "error"
        context.progress.advance(Completion(one.raw, finish, tokens_out=one.tokens_out))  # type: ignore[arg-type]

    try:
        with Cache(Path(context.results_dir) / CACHE) as cache:
            for name, judging in judgings.items():
                context.progress.start(f"{model.name} by {name}", len(tasks[name]))
                told = await judge_tasks(model, judging, tasks[name], cache, None, settled)
                context.progress.finish()
                _refuse_silence(model, name, [said[0] for said in told])
                found[name] = {task.key: said[0].verdict for task, said in zip(tasks[name], told, strict=True)}
    finally:
        await model.close()


def _refuse_silence(model: Model, rubric: str, said: Sequence[Judgment]) -> None:
    """Raise `DataError` if not one request was answered: such a judge was not there, it did not fail to rate."""
    if said and not any(one.verdict is not None or one.raw for one in said):
        raise DataError(f"{model.name} by {rubric} answered none of {len(said)} requests: {said[0].why}")


def _option(given: str) -> tuple[str, str]:
    key, equals, value = given.partition("=")
    if not equals or not key:
        raise UsageError(f"--judge-arg {given!r} must be KEY=VALUE")
    return key, value
