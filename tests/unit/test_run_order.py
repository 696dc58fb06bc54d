"""The order in which a run asks: all samples of a prompt within sight of the engine, prefilled once for them all."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from test_pipeline import Scripted, directory, go, right, toy_suite

from harness.models import base
from harness.run.folder import RunFolder
from harness.types import Completion, Request

__all__ = ["go", "toy_suite"]  # fixtures


class Slow(Scripted):
    """A model whose callers wait, so that they begin in order."""

    async def answer(self, request: Request) -> Completion:
        self.asked.append(request)
        await asyncio.sleep(0)
        return self.reply(request)


def asked(model: Scripted) -> list[tuple[str, int]]:
    return [(request.problem.id, request.attempt) for request in model.asked]


def scores(results: Path) -> list[Any]:
    found = RunFolder(directory(results)).latest.values()
    return sorted((one.problem_id, one.attempt, one.seed, one.completion) for one in found)


def test_what_an_engine_sees_at_once_is_asked_attempt_by_attempt(go: Any, tmp_path: Path) -> None:
    model = Scripted(right)
    go(model, n=3)
    assert asked(model) == [(f"q{problem}", attempt) for attempt in range(3) for problem in range(10)]


def test_more_than_an_engine_sees_at_once_is_asked_problem_by_problem(
    go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "AHEAD", 29)
    model = Slow(right)
    go(model, n=3)
    assert asked(model) == [(f"q{problem}", attempt) for problem in range(10) for attempt in range(3)]
    more = Slow(right)
    go(more, n=6)  # what is missing keeps the problems' order, whatever is stored
    assert asked(more) == [(f"q{problem}", attempt) for problem in range(10) for attempt in range(3, 6)]


def test_the_order_changes_no_seed_and_no_result(go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = Scripted(right)
    (result,) = go(at_once, n=3, results_dir=str(tmp_path / "a")).results
    monkeypatch.setattr(base, "AHEAD", 4)
    in_turn = Scripted(right)
    (other,) = go(in_turn, n=3, results_dir=str(tmp_path / "b")).results
    assert sorted((r.id, r.seed) for r in at_once.asked) == sorted((r.id, r.seed) for r in in_turn.asked)
    assert (result.run_id, result.estimates) == (other.run_id, other.estimates)
    assert scores(tmp_path / "a") == scores(tmp_path / "b")


def test_the_samples_of_a_prompt_are_prefilled_together_however_many_are_asked(
    go: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten prompts, eight samples of each, an engine that sees 16 of the 80 requests at once and has room for 8."""
    pytest.importorskip("transformers", reason="needs the extra hf")
    from tiny_model import tiny, write_model

    monkeypatch.setattr(base, "AHEAD", 16)
    model = tiny(write_model(tmp_path / "model"), batch_size="8")
    prefilled: list[int] = []
    decoder = model.load()
    real = decoder._admit

    def admit(rows: list[Any], batch: Any) -> Any:
        prefilled.append(len({row.prompt.tokens for row in rows}))
        return real(rows, batch)

    monkeypatch.setattr(decoder, "_admit", admit)
    go(model, n=8, max_tokens=1)
    assert sum(prefilled) <= 12
