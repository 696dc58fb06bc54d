"""A judge's score of an answer as a reward: one rubric, one judge, replies cached like everything else.

The rubric is one of the harness's own (`harness list rubrics`) or a TOML file, of a kind that looks at one answer; the
reward is its value in [0, 1]. An answer whose judgment cannot be read has no reward.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backends.makers.cotd import Reward
from backends.records.record import TrainRecord
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.types import Model
from judges.ask import judge_tasks
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judged, Task


def judge_reward(model: Model, rubric: str, cache: Cache, budget: Budget | None = None) -> Reward:
    """The reward by this judge and rubric; the model is closed after the one call that a recipe makes.

    Raises what loading the rubric raises, and `UsageError` for one that compares two answers.
    """
    judging = RubricJudging(load_rubric(rubric))

    async def judge(tasks: Sequence[Task]) -> list[Judged]:
        try:
            judgments = await judge_tasks(model, judging, tasks, cache, budget)
        finally:
            await model.close()
        return [judging.fold(task, found) for task, found in zip(tasks, judgments, strict=True)]

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        places: dict[str, int] = {}
        tasks = []
        for record, answer in pairs:
            attempt = places[record.id] = places.get(record.id, -1) + 1
            turns = tuple(message.content for message in record.prompt if message.role == "user")
            tasks.append(Task(record.id, attempt, turns[-1:], (answer,)))
        return [judged.value for judged in asyncio.run(judge(tasks))]

    return reward
