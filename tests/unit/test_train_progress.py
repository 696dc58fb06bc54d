"""Progress of a training: what a line says, when there is one, and that a reader that left stops nothing."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from backends.trainers.callbacks import TrainStatus
from harness.cli import progress
from harness.cli.progress import RunProgress, TrainProgress
from harness.types import Completion


def at(step: int, seconds: float = 0.0, stage: str = "train") -> TrainStatus:
    return TrainStatus(stage=stage, step=step, total=100, tokens=step * 1000, seconds=seconds, loss=1.5)


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.0)


@pytest.mark.usefixtures("always")
def test_lines_say_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    show = TrainProgress(quiet=False)
    for now in (at(1, 10.0), at(11, 30.0), at(100, 208.0), at(10, 0.0, "second")):
        show(now)
    assert capsys.readouterr().err.splitlines() == [
        "train: step 1/100  loss 1.5000  1,000 tokens",
        "train: step 11/100  loss 1.5000  11,000 tokens  ETA 2:58 min",
        "train: step 100/100  loss 1.5000  100,000 tokens",
        "second: step 10/100  loss 1.5000  10,000 tokens",
    ]


@pytest.mark.usefixtures("always")
def test_of_a_student_that_writes_the_reward_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    TrainProgress(quiet=False)(replace(at(1), reward=0.25))
    assert capsys.readouterr().err == "train: step 1/100  reward 0.250  1,000 tokens\n"


def test_elsewhere_than_on_a_terminal_only_the_last_step_is_sure_of_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show = TrainProgress(quiet=False)
    show(at(1))
    show(at(100))
    assert capsys.readouterr().err == "train: step 100/100  loss 1.5000  100,000 tokens\n"
    quiet = TrainProgress(quiet=True)
    quiet(at(100))
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("always")
def test_a_slow_model_has_a_rate_with_a_decimal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    for tokens, rate in ((2, "0.2 tokens/s"), (94, "9.4 tokens/s"), (12_345, "1,234 tokens/s")):
        show = RunProgress(quiet=False)
        show.start("hf:x", 2)
        now += 10.0
        show.advance(Completion("", "stop", tokens_out=tokens))
        show.finish()
        assert [rate in line for line in capsys.readouterr().err.splitlines()] == [False, True, True]


@pytest.mark.usefixtures("always")
def test_a_reader_that_left_does_not_stop_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    show = TrainProgress(quiet=False)
    show(at(1))
    show(at(100))
