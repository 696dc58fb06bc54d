"""What tests of systems of models share: requests, scripted samples, and a command run in this process."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from harness.cli.main import entry
from harness.systems.base import Assembly
from harness.systems.vote import MajorityVote, VoteOptions
from harness.types import Completion, Problem, Request

PROBLEM = Problem("p", (), "7", "integer")


def request(problem: Problem | None = PROBLEM, **changes: Any) -> Request:
    """A request about a problem whose gold is 7."""
    return replace(Request("r", (), 0.7, 1.0, 64, (), 5, problem=problem), **changes)


def boxed(number: int) -> str:
    """A reply."""
    return f"The final answer is $\\boxed{{{number}}}$."


def asked_of(asked: Request) -> tuple[str, int]:
    """Role and number of a request to a system's model."""
    label = asked.id.rpartition("\x1f")[2]
    role = label.rstrip("0123456789")
    return role, int(label.removeprefix(role))


def sample(asked: Request) -> int:
    """Which sample of its model a request is for."""
    return asked_of(asked)[1]


def vote(model: Any, samples: int = 5, results_dir: Path | None = None) -> MajorityVote:
    """A vote over a model's samples."""
    return MajorityVote(Assembly(samples, VoteOptions(), {"model": model}, results_dir))


async def answered(system: Any, asked: Request) -> Completion:
    """One answer of a system, which is closed."""
    try:
        return await system.answer(asked)  # type: ignore[no-any-return]
    finally:
        await system.close()


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    exit_code: int
    stdout: str
    stderr: str


def command(*arguments: Any) -> Ran:
    """Run `harness …` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with (
        patch.object(sys, "argv", ["harness", *map(str, arguments)]),
        redirect_stdout(out),
        redirect_stderr(err),
        pytest.raises(SystemExit) as stop,
    ):
        entry()
    return Ran(int(stop.value.code or 0), out.getvalue(), err.getvalue())
