"""RLKD with models that cut and compare: a killed training asks nothing twice and ends the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from backends.config import TrainConfig
from backends.rewards import asked
from backends.structure.steps import PathStep, write_steps
from backends.train import train
from harness.types import Request
from tests.contract.test_on_policy_methods import EACH, config, killed, rows, same
from tests.scripted_model import ScriptedModel
from tests.tiny_model import write_model

pytestmark = pytest.mark.slow
STEPS = 4


def cut(request: Request) -> str:
    """A list of two steps for most paths, and none for some."""
    path = request.messages[0].content.rpartition("Reasoning:\n")[2].strip("~\n")
    digest = hashlib.sha256(path.encode("utf-8", "replace")).digest()
    return (
        "I cannot." if digest[0] < 30 else write_steps([PathStep(f"why {path[:2]}", "what", str(digest[1] % 3))] * 2)[0]
    )


def judge(request: Request) -> str:
    """Yes, no, or nothing that can be read."""
    digest = hashlib.sha256(request.messages[1].content.encode("utf-8", "replace")).digest()
    return ("yes", "yes", "no", "perhaps")[digest[0] % 4]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Request]]:
    """Everything that either is asked, by spec."""
    seen: dict[str, list[Request]] = {"openai:gsrm": [], "openai:judge": []}

    def load(spec: str, options: Mapping[str, str], results_dir: Path) -> ScriptedModel:
        made = ScriptedModel(cut if spec == "openai:gsrm" else judge, spec)
        made.asked = seen[spec]
        return made

    monkeypatch.setattr(asked, "load_model", load)
    return seen


def told(student: Path) -> TrainConfig:
    found = config(student, "rlkd", settings={"max_steps": STEPS, "train.max_steps": STEPS})
    return replace(
        found,
        options={"weights": "letters=1+structure=1"},
        reward={"letters.right": "0.1", "structure.gsrm": "openai:gsrm", "structure.match": "openai:judge"},
    )


def test_killed_and_resumed_it_asks_nothing_twice(tmp_path: Path, models: dict[str, list[Request]]) -> None:
    student = write_model(tmp_path / "student", context=512)
    train(told(student), tmp_path / "whole", EACH)
    whole = {spec: len(requests) for spec, requests in models.items()}
    assert whole["openai:gsrm"] > 8 * STEPS and whole["openai:judge"] > 0
    last = rows(tmp_path / "whole")[-1]
    assert {"reward/structure", "reward/structure.match", "reward/structure.unclosed"} <= set(last)
    for requests in models.values():
        requests.clear()
    killed(told(student), tmp_path / "cut", STEPS - 1)
    card = train(told(student), tmp_path / "cut", EACH)
    assert {spec: len(requests) for spec, requests in models.items()} == whole
    for requests in models.values():
        asked_once = [(one.messages, one.temperature, one.attempt) for one in requests]
        assert len(set(asked_once)) == len(asked_once)
    assert same(tmp_path / "cut", tmp_path / "whole")
    assert card.spent is not None and card.spent.judge_in > 0
