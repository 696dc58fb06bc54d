"""Groups of completions made by hand, and scorers that ask nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from backends.records.record import TrainRecord
from backends.rewards.scorers import Scorers
from backends.rollouts.types import Rollout, RolloutGroup
from harness.grading.pool import GradingPool
from harness.types import Finish, Json, Message


def record(gold: str | None = "42", grader: str | None = "integer", **more: object) -> TrainRecord:
    """A question with a gold answer and what checks it."""
    meta: Mapping[str, Json] = {"grader": grader} if grader is not None else {}
    fields: dict[str, object] = {"id": "r1", "prompt": (Message("user", "6 * 7?"),), "gold": gold, "meta": meta}
    return TrainRecord(**{**fields, **more})  # type: ignore[arg-type]


def rollout(
    text: str, sample: int = 0, finish: Finish = "stop", opened: bool = False, tokens: Sequence[int] = ()
) -> Rollout:
    """A completion; its tokens are its characters unless told."""
    ids = np.array(tokens if len(tokens) else [ord(letter) for letter in text], dtype=np.int32)
    zeros = np.zeros(len(ids), dtype=np.float32)
    return Rollout("r1", 0, sample, 7, np.array([1], dtype=np.int32), ids, zeros, text, finish, 0, opened)


def group(texts: Sequence[str], of: TrainRecord | None = None, **more: object) -> RolloutGroup:
    """Completions of one prompt."""
    made = tuple(rollout(text, number, **more) for number, text in enumerate(texts))  # type: ignore[arg-type]
    return RolloutGroup(of if of is not None else record(), made)


def unused_scorers() -> Scorers:
    """For rewards that share nothing: nobody is asked, no worker starts."""
    return Scorers(GradingPool(), lambda spec, requests: [], Path("results"))
