"""`--probe`: what a training on the student's own completions would begin with, and alarms on their way to the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backends.config import Runtime, TrainConfig
from backends.probe import RolloutProbe, probe
from backends.train import train
from backends.trainers.callbacks import TrainStatus
from harness.cli.train import command
from harness.errors import ConfigError, TrainingStopped, UnknownName, UsageError
from harness.registry import read_card
from tests.tiny_model import write_model

EACH = Runtime(logging_steps=1, save_steps=2)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("probe") / "student", context=512)


def config(student: Path, method: str = "grpo", **more: Any) -> TrainConfig:
    settings = {"batch_size": 16, "micro_batch": 8, "max_steps": 4, "lora_rank": None, "learning_rate": 3e-3}
    told: dict[str, Any] = {"options": {"weights": "letters=1"}, "rollout": {"group": 4, "max_new": 8}}
    if method != "grpo":
        told = {}
    return TrainConfig(
        method=method,
        student=f"hf:{student}",
        data="synth:levels=1,per_level=8",
        settings=settings | more.pop("settings", {}),
        max_length=512,
        **{**told, **more},
    )


# --- the probe --------------------------------------------------------------------------------------------------------


def test_it_draws_and_trains_nothing(student: Path, tmp_path: Path) -> None:
    found = probe(config(student), tmp_path, 2)
    assert (found.groups, found.completions, found.steps, found.scale) == (2, 8, 4, 2.0)
    assert found.numbers["completions"] == 8 and 0 <= found.numbers["reward/letters"] <= 1
    assert found.step_seconds == 2 * found.seconds > 0 and found.tokens_per_second > 0
    assert list(tmp_path.iterdir()) == []  # no model, no folder


def test_it_shows_what_the_first_step_of_the_training_would(student: Path, tmp_path: Path) -> None:
    found = probe(config(student), tmp_path, 4)  # as many as a step has
    train(config(student), tmp_path, EACH)
    (path,) = tmp_path.glob("models/*/metrics.jsonl")
    first = json.loads(path.read_text().splitlines()[0])
    for name in ("reward", "reward/letters", "length", "cut", "flat", "generated"):
        assert found.numbers[name] == pytest.approx(first[name])


def test_the_command_prints_it(student: Path, tmp_path: Path) -> None:
    arguments = [
        *(
            "--method",
            "grpo",
            "--student",
            f"hf:{student}",
            "--data",
            "synth:levels=1,per_level=8",
            "--max-length",
            "512",
        ),
        *(
            "--set",
            "weights=letters=1",
            "--set",
            "rollout.group=4",
            "--set",
            "rollout.max_new=8",
            "--set",
            "max_steps=3",
        ),
        *("--set", "batch_size=8", "--probe", "2", "--results-dir", str(tmp_path)),
    ]
    text = CliRunner().invoke(command, arguments, standalone_mode=False, catch_exceptions=False).stdout
    assert text.startswith("probe: 8 completions of the untrained student in 2 groups\n")
    for told in ("letters 0", "groups without signal: ", "tokens/s drawn", "s a step (draw ", "3 steps"):
        assert told in text
    raw = CliRunner().invoke(command, [*arguments, "--json"], standalone_mode=False, catch_exceptions=False).stdout
    assert json.loads(raw)["numbers"]["completions"] == 8 and json.loads(raw)["step_seconds"] > 0


def numbers(**more: float) -> dict[str, float]:
    told = {"generated": 80, "length": 10, "length_p95": 12, "cut": 0.0, "seconds/draw": 2.0, "seconds/mark": 0.1}
    return {**told, "flat": 0.25, "reward": 0.5, "std/reward": 0.5, "none/reward": 0.0, "reward/accuracy": 0.5, **more}


@pytest.mark.parametrize(
    ("more", "warning"),
    [
        ({}, None),
        ({"flat": 1.0, "reward": 0.0}, "nothing to learn from: all groups are flat, mean reward 0"),
        ({"cut": 0.75}, "75% of the completions are cut off: raise rollout.max_new"),
        ({"unscored": 0.5}, "50% of the completions have no value"),
    ],
)
def test_a_training_that_cannot_learn_is_told(more: dict[str, float], warning: str | None) -> None:
    text = "\n".join(RolloutProbe(4, 32, numbers(**more), 5.0, 2.0, 60).lines())
    assert ("warning" in text) == (warning is not None) and (warning or "") in text
    assert "40 tokens/s drawn; about 10.0 s a step (draw 4.0, mark 0.2, train 5.8), 60 steps 10 min" in text


def test_methods_on_given_responses_have_nothing_to_draw(student: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sft"):
        probe(config(student, "sft"), tmp_path, 2)


# --- alarms -----------------------------------------------------------------------------------------------------------


def test_alarms_reach_metrics_display_and_card(student: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Collapse by a rule that is made to see one: the wiring is what is tested."""
    monkeypatch.setattr("backends.rollouts.alarms.LONGER", 0.0)
    seen: list[TrainStatus] = []
    card = train(config(student, settings={"max_steps": 7}), tmp_path, EACH, watch=seen.append)
    (line,) = card.final["alarms"]  # type: ignore[misc]
    assert str(line).startswith("step 5: length: ")  # once there is a beginning
    assert [(one.step, one.alarms) for one in seen if one.alarms] == [(5, (line,))]
    (path,) = tmp_path.glob("models/*/metrics.jsonl")
    assert [row["alarms"] for row in map(json.loads, path.read_text().splitlines()) if "alarms" in row] == [[line]]
    assert read_card(path.parent).final["alarms"] == [line] and card.stopped == "finished"


def test_stop_on_ends_it_there_and_a_killed_training_too(student: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("backends.rollouts.alarms.LONGER", 0.0)
    told = config(student, settings={"max_steps": 9}, stop_on=("length",))

    def die(now: TrainStatus) -> None:
        if now.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(told, tmp_path, EACH, watch=die)
    card = train(told, tmp_path, EACH)
    assert (card.stopped, card.steps) == ("length alarm", 5)
    assert len(card.final["alarms"]) == 1  # type: ignore[arg-type]


def test_what_cannot_get_better_ends_the_training_as_failed(student: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("backends.rollouts.alarms.FLAT_STOP", 3)
    told = config(student, options={"weights": "accuracy=1"}, settings={"max_steps": 6})  # a random model knows nothing
    with pytest.raises(TrainingStopped, match="step 3: in 3 generations in a row all groups are flat, mean reward"):
        train(told, tmp_path, EACH)
    assert list(tmp_path.glob("models/*/checkpoints/train/checkpoint-2"))


def test_stop_on_is_refused_where_it_means_nothing(student: Path, tmp_path: Path) -> None:
    from backends.plan import plan_training

    with pytest.raises(ConfigError, match="--stop-on"):
        plan_training(config(student, "sft", stop_on=("hacking",)), tmp_path)
    with pytest.raises(UnknownName, match="alarm 'hackin'"):
        config(student, stop_on=("hackin",))
    assert "stop_on" not in config(student).identity()
    assert config(student, stop_on=("leak",)).identity()["stop_on"] == ("leak",)
