"""Which answers of a model are the same one, by the problem's grader and never by its gold."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import replace

from backends.rewards.vote import count_votes
from harness.errors import ConfigError
from harness.grading import get_grader
from harness.grading.base import InProcessGrader
from harness.grading.pool import GradingPool
from harness.systems.base import Asking
from harness.types import Completion, Problem

_APART = ("gym", "lighteval")
"""Graders whose target is more than an answer: they cannot hold one answer against another."""


def refuse_graders(name: str, graders: Collection[str]) -> None:
    """Raise `ConfigError` for problems whose answers cannot be compared with each other."""
    for grader in graders:
        if not grader:
            raise ConfigError(f"{name} compares answers, and no grader reads what is asked here: only a judge could")
        if grader in _APART:
            raise ConfigError(f"{name} compares answers, and the grader {grader!r} holds them only against the gold")


class Voting:
    """Counts votes; its workers start when a grader first needs them."""

    def __init__(self) -> None:
        self._pool = GradingPool()

    async def count(self, asking: Asking, completions: Sequence[Completion]) -> list[set[int]]:
        """The completions of each different answer, in the order in which the answers came.

        A completion without an answer and one that is cut before it are in none; nor is one that the grader could not
        read (it crashed, it took too long): how many these are is a fact of the answer, `unread`.
        Raises `ConfigError` for a request about no problem whose answers can be compared.
        """
        problem = asking.request.problem
        if problem is None or not problem.grader:
            raise ConfigError("answers can be compared where a problem says by which grader: ask problems of a suite")
        refuse_graders("a vote", [problem.grader])
        blind = replace(problem, target="")
        if isinstance(get_grader(problem.grader), InProcessGrader):
            votes, unread = self._count(blind, completions)
        else:
            votes, unread = await asyncio.to_thread(self._count, blind, completions)
        if unread:
            asking.facts["unread"] = len(unread)
        return votes

    def _count(self, problem: Problem, completions: Sequence[Completion]) -> tuple[list[set[int]], dict[int, str]]:
        return count_votes(problem, completions, self._pool)

    def close(self) -> None:
        """Stop the workers."""
        self._pool.close(cancel=True)


def first_of_largest(votes: Sequence[set[int]]) -> int:
    """The first completion of the answer with most votes, of equals of the one that came first; 0 without any vote."""
    sizes = [len(voters) for voters in votes]
    return min(votes[sizes.index(max(sizes))]) if votes else 0
