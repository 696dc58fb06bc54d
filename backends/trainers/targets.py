"""Whether `lora_targets` names layers of the student: told when it is planned, and again of the loaded model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import transformers

from backends.config import Settings
from harness.errors import UnknownName


def check_targets(model: Any, targets: str) -> None:
    """Raises `UnknownName` for a name that is no layer: peft ignores it as long as another name is one."""
    head = model.get_output_embeddings()
    layers = {
        name
        for name, layer in model.named_modules()
        if layer is not head and isinstance(layer, torch.nn.Linear | transformers.pytorch_utils.Conv1D)
    }
    for target in () if targets == "all-linear" else targets.split("+"):
        if not any(name == target or name.endswith(f".{target}") for name in layers if target):
            raise UnknownName("layer for lora_targets", target, {name.rpartition(".")[2] for name in layers})


def check_planned_targets(config: Any, stages: Iterable[Settings]) -> None:
    """As `check_targets` of the model that a config of transformers describes, without its weights."""
    told = {one.lora_targets for one in stages if one.lora_rank is not None} - {"all-linear"}
    if not told:
        return
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    for targets in sorted(told):
        check_targets(model, targets)
