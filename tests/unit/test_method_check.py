"""What `harness check --plugin METHOD` says of methods that break a promise: trainings are scripted here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from backends import method_check
from backends.config import TrainConfig
from backends.method_check import check_method

FALLING = [3.0, 2.5, 2.0, 1.8, 1.6, 1.4, 1.2, 1.0]


class Training:
    """Writes what a training leaves behind; `broken` names what is wrong with it."""

    def __init__(self, broken: str) -> None:
        self.broken, self.killed = broken, False

    def __call__(self, config: TrainConfig, results: Path, _: object, watch: Any = None) -> None:
        if watch is not None:
            try:
                for step in range(8):
                    watch(step)
            except BaseException:
                self.killed = True
                raise
        loss = [3.0] * 8 if self.broken == "loss" else FALLING
        if self.broken == "micro" and config.settings["micro_batch"] == 4:
            loss = [1.01 * one for one in loss]
        weight = 0.0 if self.broken == "still" else 2.0 if self.broken == "resume" and results.name == "cut" else 1.0
        folder = results / "models" / "m" / "model"
        folder.mkdir(parents=True)
        save_file({"a": torch.tensor([weight])}, folder / "model.safetensors")
        lines = [json.dumps({"loss": one}) for one in loss]
        (folder.parent / "metrics.jsonl").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("", ""),
        ("still", "weights that did not move in 8 steps: a"),
        ("loss", "the loss did not fall: 3.0000 at first, 3.0000 at last"),
        ("resume", "killed and resumed it ends with other weights"),
        ("micro", "step 1: loss 3.000000 in micro-batches of 2, 3.030000 in one of 4"),
    ],
)
def test_each_promise_that_is_broken_has_its_line(broken: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def student(folder: Path, seed: int) -> Path:
        folder.mkdir()
        save_file({"a": torch.tensor([0.0])}, folder / "model.safetensors")
        return folder

    training = Training(broken)
    monkeypatch.setattr(method_check, "train", training)
    monkeypatch.setattr(method_check, "_student", student)
    _, failures = check_method("sft")
    assert training.killed
    assert (failures == []) if not said else (len(failures) == 1 and failures[0].startswith(said)), failures


def test_what_cannot_be_tried_is_said() -> None:
    assert "harness train --probe" in check_method("grpo")[0]
    assert "makes a model of models" in check_method("merge")[0]
