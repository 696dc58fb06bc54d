"""Rewards of a student's answers: the records' grader, a judge with a rubric, a reward model, or the user's function.

A judge's rubric is one of the harness's own (`harness list rubrics`) or a TOML file, of a kind that looks at one
answer; the reward is its value in [0, 1], its replies are stored like everything else. An answer whose judgment cannot
be read has no reward.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Sequence

from backends.records.inputs import require_checkable
from backends.records.record import TrainRecord
from backends.records.verify import grade_texts
from backends.rewards.asked import Likelihoods, ask_once
from backends.structure.judged import BAD, GOOD, end_request, ends_of, log_odds
from backends.structure.paths import question_of
from harness.errors import UsageError
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.types import Completion, Model, Request
from judges.ask import judge_tasks
from judges.pointwise import RubricJudging
from judges.prompts.rubric import load_rubric
from judges.types import Judged, Task

Reward = Callable[[Sequence[tuple[TrainRecord, str]]], Sequence[float | None]]
"""(record, the student's answer without the thought) -> reward of each; None: it cannot be rewarded."""


def grader_reward(records: Sequence[TrainRecord]) -> Reward:
    """1 for an answer that the record's grader finds right, 0 for a wrong one or none; None where it cannot tell.

    Raises `DataError` if a record cannot be checked.
    """
    require_checkable(records, "a reward by grader")

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        return [{"right": 1.0, "wrong": 0.0, "no_answer": 0.0}.get(verdict) for verdict in grade_texts(pairs)]

    return reward


def judge_reward(model: Model, rubric: str, cache: Callable[[], Cache], budget: Budget | None = None) -> Reward:
    """The reward by this judge and rubric; the model is closed after the one call that a maker makes.

    Raises what loading the rubric raises, and `UsageError` for one that compares two answers.
    """
    judging = RubricJudging(load_rubric(rubric))

    async def judge(tasks: Sequence[Task]) -> list[Judged]:
        try:
            judgments = await judge_tasks(model, judging, tasks, cache(), budget)
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


def model_reward(model: Model, cache: Callable[[], Cache], budget: Budget | None = None) -> Reward:
    """The log odds by a reward model (`rm`, `prm`) that an answer is good; None where it does not fit or cannot score.

    The model is closed after the one call that a maker makes.
    """

    async def ask(requests: Sequence[Request]) -> list[Completion]:
        try:
            return await ask_once(Likelihoods(model, (GOOD, BAD)), cache(), requests, budget)
        finally:
            await model.close()

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        asked = [(question_of(record), ends_of(answer)) for record, answer in pairs]
        replies = iter(asyncio.run(ask([end_request(question, ends[-1]) for question, ends in asked if ends])))
        told = [next(replies).alternatives if ends else None for _, ends in asked]
        return [None if labels is None else log_odds(labels) for labels in told]

    return reward


def own_reward(name: str) -> Reward:
    """A function "module:function" of the user's own: named by them, so imported. Raises `UsageError`."""
    module, colon, attribute = name.partition(":")
    if not colon or not attribute:
        raise UsageError(f"--reward {name!r}: say grader, judge, or module:function")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # another's code: whatever it raises while it is imported
        raise UsageError(f"--reward {name!r} does not load: {error!r}") from error
    if not callable(function):
        raise UsageError(f"--reward {name!r} is no function")

    def reward(pairs: Sequence[tuple[TrainRecord, str]]) -> list[float | None]:
        try:
            return [None if value is None else float(value) for value in function(pairs)]
        except Exception as error:  # likewise
            raise UsageError(f"--reward {name!r} failed: {error!r}; the replies are stored") from error

    return reward
