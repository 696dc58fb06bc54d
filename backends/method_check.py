"""Whether a training method keeps what every method promises, on a small random student: for `harness check --plugin`.

It trains and all weights move, the loss falls, a training that is killed and resumed ends with the same weights to the
bit, and how a step is cut into micro-batches changes no loss. About a dozen seconds.
"""

from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from backends.base import TrainMethod, load_method
from backends.config import Runtime, Settings, TrainConfig
from backends.train import train

DATA = "synth:levels=1,per_level=8,positives=2,candidates=3"
_EACH = Runtime(logging_steps=1, save_steps=3)
_SETTINGS: dict[str, Any] = {
    "batch_size": 4, "max_steps": 8, "learning_rate": 3e-3, "scheduler": "constant", "warmup": 0.0,
    "lora_rank": None, "micro_batch": 2,
}  # fmt: skip
_CLOSE = 2e-4
"""Relative: sums in another order."""


class _Killed(Exception):
    """Stands for the process dying."""


def check_method(name: str) -> tuple[str, list[str]]:
    """What was checked, and what the method does not keep.

    Raises what `train` raises where it cannot be trained at all, and `UnknownName`.
    """
    method = load_method(name)
    if not isinstance(method, TrainMethod):
        return "loads; it makes a model of models, which nothing here tries", []
    options: Any = method.options()
    stages = method.stages(options)
    if any(stage.rolling for stage in stages):
        return "loads; it draws from the student: try `harness train --probe`", []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        reads = method.reads_teacher is not None and method.reads_teacher(options)
        settings = _SETTINGS | {f"{stage.name}.{key}": value for stage in stages for key, value in _SETTINGS.items()}
        assert set(_SETTINGS) <= set(Settings.__dataclass_fields__)
        config = TrainConfig(
            method=name,
            student=f"hf:{_student(folder / 'student', 0)}",
            data=DATA,
            teacher=f"hf:{_student(folder / 'teacher', 1)}" if reads else None,
            settings=settings,
            max_length=1024,
        )
        return "trains, learns, resumes, accumulates", _failures(config, folder)


def _failures(config: TrainConfig, folder: Path) -> list[str]:
    import torch
    from safetensors.torch import load_file

    def weights(results: Path) -> dict[str, Any]:
        (path,) = results.glob("models/*/model/model.safetensors")
        return dict(load_file(path))

    def losses(results: Path) -> list[float]:
        (path,) = results.glob("models/*/metrics.jsonl")
        return [json.loads(line)["loss"] for line in path.read_text(encoding="utf-8-sig").splitlines()]

    whole, cut, other = (folder / name for name in ("whole", "cut", "other"))
    train(config, whole, _EACH)
    after, told = weights(whole), losses(whole)
    before = load_file(folder / "student" / "model.safetensors")
    failures = []
    if still := [name for name, value in before.items() if torch.equal(value, after[name])]:
        failures.append(f"weights that did not move in {len(told)} steps: {', '.join(still[:4])}")
    if not sum(told[-2:]) < sum(told[-8:][:2]):
        failures.append(f"the loss did not fall: {told[-8]:.4f} at first, {told[-1]:.4f} at last")
    seen = 0

    def die(_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == len(told) - 3:  # in the last stage, two steps after its first checkpoint
            raise _Killed

    try:
        train(config, cut, _EACH, watch=die)
    except _Killed:
        train(config, cut, _EACH)
    ours = weights(cut)
    if not all(torch.equal(ours[name], value) for name, value in after.items()):
        failures.append(
            "killed and resumed it ends with other weights: what a step sees must depend on its number alone"
        )
    one = {key: 4 if key.endswith("micro_batch") else value for key, value in config.settings.items()}
    train(replace(config, settings=one), other, _EACH)
    for step, (a, b) in enumerate(zip(losses(other), told, strict=True), 1):
        if not math.isclose(a, b, rel_tol=_CLOSE, abs_tol=1e-5):
            failures.append(
                f"step {step}: loss {b:.6f} in micro-batches of 2, {a:.6f} in one of 4: average over the step"
            )
            break
    return failures


def _student(folder: Path, seed: int) -> Path:
    """A random model of the smallest kind, with the tokenizer of `tiny`."""
    import torch
    import transformers

    from harness.models.tiny_tokenizer import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
