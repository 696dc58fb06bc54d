"""Parts of a run, and panels whose members live at different places."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import entry
from harness.config import JudgeConfig, RunConfig, validate_settings
from harness.errors import ConfigError
from harness.run.folder import RunFolder
from tests.scripted_model import ScriptedModel

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Call:
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path))

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *arguments, "--quiet"])
        with pytest.raises(SystemExit) as stop:
            entry()
        return int(stop.value.code or 0), capsys.readouterr().err

    assert call("run", "--suite", "synth_easy", "--limit", "12", "--model", "mock:gold")[0] == 0
    return call


@pytest.fixture
def judges(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    """Judges that give 7 of 10; maps each to the options it was loaded with."""
    loaded: dict[str, dict[str, str]] = {}

    def load(name: str, options: dict[str, str], results_dir: str) -> ScriptedModel:
        loaded[name] = dict(options)
        return ScriptedModel(lambda request: json.dumps({"reason": "so", "rating": 7}), name)

    monkeypatch.setattr("harness.run.judged.ask.load_model", load)
    monkeypatch.setattr("harness.run.judged.choose.load_model", load)
    return loaded


RATING = ("judge", "synth_easy", "--rubric", "rating_10", "--judge", "openai:j")


def judged(results: Path) -> dict[int | None, Any]:
    """Judged runs by their limit."""
    found = [RunFolder(path).result for path in (results / "runs").iterdir() if "@" in path.name]
    assert len({result.limit for result in found}) == len(found)
    return {result.limit: result for result in found}


def test_a_limit_judges_a_nested_part_of_the_run(harness: Call, judges: Any, tmp_path: Path) -> None:
    for limit in ("4", "8", "50"):
        assert harness(*RATING, "--limit", limit)[0] == 0
    runs = judged(tmp_path)
    assert sorted(runs) == [4, 8, 12]  # 50 leaves nothing of the 12 out
    assert set(runs[4].items) < set(runs[8].items) < set(runs[12].items)
    assert len(runs[4].items) == 4


def test_a_limit_of_nothing_is_refused(harness: Call, judges: Any) -> None:
    code, err = harness(*RATING, "--limit", "0")
    assert code == 2 and "limit" in err


def test_each_judge_of_a_panel_may_have_its_own_options(harness: Call, judges: dict[str, dict[str, str]]) -> None:
    options = ("--judge-arg", "retries=2", "--judge-arg", "openai:k:base_url=http://k/v1")
    assert harness(*RATING, "--judge", "openai:k", *options)[0] == 0
    assert judges == {"openai:j": {"retries": "2"}, "openai:k": {"retries": "2", "base_url": "http://k/v1"}}


def test_options_of_nobody_are_refused() -> None:
    config = RunConfig(judge=JudgeConfig(names=("openai:j",), options={"openai:k:base_url": "http://k/v1"}))
    with pytest.raises(ConfigError, match="no judge is named 'openai:k'"):
        validate_settings(config)


def test_a_name_that_begins_another_keeps_to_its_own_options() -> None:
    options = {"hf:a:b:dtype": "float32", "hf:a:dtype": "bfloat16"}
    judge = JudgeConfig(names=("hf:a", "hf:a:b"), options=options)
    validate_settings(RunConfig(judge=judge))
    assert judge.options_of("hf:a") == {"dtype": "bfloat16"}
    assert judge.options_of("hf:a:b") == {"dtype": "float32"}
