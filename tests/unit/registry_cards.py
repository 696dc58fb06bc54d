"""Cards and checkpoints for the tests of the model registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.registry import ModelCard, models_dir, write_card


def make_card(name: str = "tiny-sft-00000000", **changes: Any) -> ModelCard:
    facts: dict[str, Any] = {
        "id": name,
        "method": "sft",
        "base": "tiny",
        "teacher": None,
        "config": {"epochs": 2, "lr": 1e-5, "lora": {"r": 4}},
        "config_hash": "c" * 16,
        "data": "synth",
        "data_hash": "d" * 64,
        "seed": 0,
        "records": 100,
        "tokens": 20_000,
        "steps": 50,
        "seconds": 12.5,
        "device": "cpu",
        "commit": "abc1234",
        "created": "2026-01-02T03:04:05Z",
        "kind": "full",
        "stopped": "finished",
        "final": {"loss": 0.4},
        "versions": {"torch": "2.13.0", "harness": "0.1.0"},
        "fingerprint": None,
    }
    return ModelCard(**(facts | changes))


def add_card(results: Path, name: str = "tiny-sft-00000000", **changes: Any) -> Path:
    """Write a card without a checkpoint and return its folder."""
    folder = models_dir(results) / name
    folder.mkdir(parents=True)
    write_card(folder, make_card(name, **changes))
    return folder
