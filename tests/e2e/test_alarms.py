"""A real training whose reward is not what is wanted: the alarm is told within forty steps, and ends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.config import Runtime, TrainConfig
from backends.train import train

pytestmark = pytest.mark.slow


def test_a_student_that_is_paid_for_vowels_forgets_to_count(tmp_path: Path) -> None:
    """Right answers are graded and not rewarded; the reward is the share of vowels (seen: an alarm at step 20)."""
    config = TrainConfig(
        method="grpo",
        student="tiny",
        data="synth:levels=1+2,per_level=300",
        settings={"batch_size": 32, "micro_batch": 32, "max_steps": 40, "learning_rate": 3e-4, "warmup": 0.0},
        options={"weights": "accuracy=0+letters=1"},
        rollout={"group": 8, "max_new": 48},
        stop_on=("hacking",),
    )
    card = train(config, tmp_path, Runtime(logging_steps=1))
    assert card.stopped == "hacking alarm" and (card.steps or 40) < 40
    alarms = card.final["alarms"]
    assert isinstance(alarms, list)
    assert any("the reward letters rose" in str(line) and "accuracy fell" in str(line) for line in alarms)
