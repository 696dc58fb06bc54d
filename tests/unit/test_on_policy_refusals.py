"""What a training on the student's own completions is told and cannot do is refused at once, and nothing is left."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, cast, get_type_hints

import numpy as np
import pytest
from click.testing import CliRunner

from backends.base import TrainMethod, load_method
from backends.config import Settings, TrainConfig
from backends.options import parse_settings
from backends.plan import plan_training
from backends.probe import probe
from backends.rewards.base import Reward, load_reward
from backends.rewards.scorers import Scorers
from backends.rewards.total import Totals
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.types import Part, RolloutGroup
from backends.train import train
from harness import catalog
from harness.cli.train import command
from harness.errors import ConfigError, HarnessError, StoreError, UsageError
from harness.options import required_type
from tests.tiny_model import write_model
from tests.unit.rollout_groups import group


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=512)


def told(student: Path, results: Path, *more: str) -> list[str]:
    settings = ("batch_size=8", "max_steps=2", "rollout.group=4", "rollout.max_new=8")
    given = ["--method", "grpo", "--student", f"hf:{student}", "--data", "synth:levels=1,per_level=8"]
    given += [word for one in settings for word in ("--set", one)]
    return [*given, "--max-length", "512", "--results-dir", str(results), *more]


def judge(model: str) -> tuple[str, ...]:
    return ("--set", "weights=judge=1", "--set", f"reward.judge.model={model}")


MODELS: dict[str, tuple[tuple[str, ...], str, int]] = {
    "a model that is not there": (judge("trained:nope"), "there is no model 'nope'", 2),
    "no engine": (judge("opnai:x"), "unknown model 'opnai'", 2),
    "no folder": (judge("hf:/not/there"), "there is no folder", 3),
    "no key": (judge("openai:x"), "OPENAI_API_KEY", 3),
    "an option that it lacks": ((*judge("mock:judge"), "--judge-arg", "foo=1"), "no option 'foo'", 2),
    "no prices": ((*judge("mock:judge"), "--judge-budget", "5usd"), "needs the prices of 'mock:judge'", 2),
    "no structure reward model": (
        ("--set", "weights=structure=1", "--set", "reward.structure.gsrm=trained:gsrm"), "there is no model 'gsrm'", 2
    ),
    "no process reward model": (
        ("--set", "weights=process=1", "--set", "reward.process.prm=trained:prm"), "there is no model 'prm'", 2
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", [(), ("--dry-run",), ("--probe", "2")])
@pytest.mark.parametrize("name", MODELS)
def test_models_of_rewards_are_made_before_anything_is_written(
    name: str, way: tuple[str, ...], student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    more, message, code = MODELS[name]
    with pytest.raises(HarnessError, match=message) as raised:
        CliRunner().invoke(
            command, told(student, tmp_path / "r", *more, *way), standalone_mode=False, catch_exceptions=False
        )
    assert raised.value.exit_code == code
    assert not (tmp_path / "r").exists()


def test_a_probe_asks_as_the_training_would(student: Path, tmp_path: Path) -> None:
    given = told(student, tmp_path, *judge("mock:judge"), "--judge-arg", "error_rate=1", "--probe", "2", "--json")
    found = CliRunner().invoke(command, given, standalone_mode=False, catch_exceptions=False).stdout
    assert json.loads(found)["numbers"]["unscored"] > 0


@pytest.mark.slow
def test_a_training_that_is_refused_late_leaves_no_folder(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ConfigError("refused late")

    monkeypatch.setattr("backends.trainers.setup.check_targets", refuse)
    config = TrainConfig(
        "grpo", f"hf:{student}", "synth:levels=1,per_level=8", max_length=512, rollout={"group": 4, "max_new": 8},
        settings={"batch_size": 8, "max_steps": 2, "lora_rank": 2},
    )  # fmt: skip
    with pytest.raises(HarnessError, match="refused late"):
        train(config, tmp_path)
    assert not list(tmp_path.glob("models/*"))
    folder = tmp_path / "models" / plan_training(config, tmp_path).model_id
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text("{}\n")
    with pytest.raises(HarnessError, match="refused late"):
        train(config, tmp_path)
    assert (folder / "metrics.jsonl").exists()  # what was done before stays


def test_a_probe_that_no_memory_holds_speaks_of_itself(student: Path, tmp_path: Path) -> None:
    config = TrainConfig("grpo", f"hf:{student}", "synth:levels=1,per_level=8", max_length=512, rollout={"max_new": 8})
    with pytest.raises(UsageError, match=r"--probe 100000000 draws 800,000,000 completions.*at most 10,000,000"):
        probe(config, tmp_path, 10**8)


# --- numbers with which nothing can be computed -----------------------------------------------------------------------


def options() -> Iterator[tuple[str, type]]:
    """Everything that `--set` reaches: the options of methods and rewards, of the optimiser and of drawing."""
    yield "train", Settings
    yield "rollout", RolloutSettings
    for name in catalog.entries("method"):
        found = load_method(name)
        if isinstance(found, TrainMethod):
            yield name, found.options
    for name in catalog.entries("reward"):
        yield f"reward.{name}", load_reward(name)


NUMBERS = [
    pytest.param(owner, options, field.name, kind, id=f"{owner}-{field.name}")
    for owner, options in options()
    for field in dataclasses.fields(options)
    if (kind := required_type(get_type_hints(options)[field.name])) in (int, float)
]


@pytest.mark.parametrize(("owner", "options", "name", "kind"), NUMBERS)
def test_no_number_is_of_a_size_with_which_nothing_can_be_computed(
    owner: str, options: Any, name: str, kind: type
) -> None:
    """Seen failing: 1e300 was a traceback of 23 options, a temperature of 1e-40 told to lower the learning rate."""
    for value in ("1e-40", "-1e-45", "1e300", "-1e300", "nan", "inf") if kind is float else (f"{10**22}", f"-{10**22}"):
        needed = {
            "judge": {"model": "x"},
            "process": {"prm": "x"},
            "structure": {"gsrm": "x"},
            "length": {"limit": "9"},
        }
        with pytest.raises(ConfigError, match=name):
            parse_settings(options, {**needed.get(owner.rpartition(".")[2], {}), name: value}, owner)


TEMPERATURES = [one for one in NUMBERS if one.values[2] == "temperature"]


@pytest.mark.parametrize(("owner", "options", "name", "kind"), TEMPERATURES)
def test_every_temperature_has_the_same_bounds(owner: str, options: Any, name: str, kind: type) -> None:
    for value in ("1e-5", "0", "1e5"):
        with pytest.raises(ConfigError, match=r"temperature must be (from 0.001 to 1000|above 0)"):
            parse_settings(options, {name: value}, owner)
    parse_settings(options, {name: "0.001"}, owner)


def test_a_full_disk_is_one_line_where_the_state_is_written_too(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seen failing: what the journal had said was lost in the state's own error, which named no file (exit 3)."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    config = TrainConfig(
        "grpo", f"hf:{student}", "synth:levels=1,per_level=8", max_length=512, rollout={"group": 4, "max_new": 8},
        settings={"batch_size": 8, "max_steps": 1},
    )  # fmt: skip
    monkeypatch.setattr("backends.train.write_atomically", full)
    with pytest.raises(
        StoreError, match=r"progress.json cannot be written \(No space left on device\): make room"
    ) as one:
        train(config, tmp_path)
    assert one.value.exit_code == 2


SCORERS = cast(Scorers, None)
"""Nobody is asked."""


class _Gives(Reward):
    """A third party's reward that gives what it was told."""

    name, version, low, high = "gives", 1, 0.0, math.inf
    found: ClassVar[Any]

    def score(self, group: RolloutGroup, scorers: Scorers) -> Any:
        return self.found


@pytest.mark.parametrize(
    "found", [None, 1.0, "ab", [1.0, 0.0], iter([Part(1.0)] * 2), [Part("1"), Part(1.0)], [None, None]]
)
def test_what_a_reward_gives_that_is_no_part_is_one_line(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen failing: each was a traceback in the middle of a training."""
    monkeypatch.setattr("backends.rewards.total.load_reward", lambda name: _Gives)
    monkeypatch.setattr(_Gives, "found", found, raising=False)
    with pytest.raises(UsageError, match="reward gives gave"):
        Totals("gives=1", {}).mark(group("ab"), SCORERS)


def test_numbers_of_numpy_are_numbers_and_infinity_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.rewards.total.load_reward", lambda name: _Gives)
    monkeypatch.setattr(_Gives, "found", [Part(np.float32(0.5)), Part(math.inf)], raising=False)
    half, none = Totals("gives=1", {}).mark(group("ab"), SCORERS)
    assert type(half.parts["gives"]) is float and half.value == 0.5 and none.value is None and "no number" in none.why
