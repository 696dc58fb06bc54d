"""The student's own weights of another time, without a second model: as it began, or a running mean of it.

Only what is trained is kept twice; with LoRA that is the adapter. For a pass the weights hold the other values and then
their own again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from backends.schedules import ParameterMean
from harness.errors import ConfigError


def trained_weights(model: Any, what: str) -> dict[str, Tensor]:
    """The weights that are trained. Raises `ConfigError` where each device holds only a part; `what` needs all."""
    found = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    if any(hasattr(weight, "full_tensor") or weight.numel() == 0 for weight in found.values()):
        raise ConfigError(
            f"{what} and cannot do so where they are sharded over devices: train with a whole copy on each (DDP)"
        )
    return found


@contextmanager
def holding(mean: ParameterMean, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """The weights hold the mean within the block, and what they were after it."""
    kept = {name: weight.detach().clone() for name, weight in weights.items()}
    mean.copy_to(weights)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(kept[name])
