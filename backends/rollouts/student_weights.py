"""The student's weights of the moment: told apart, and as a checkpoint in a folder for an engine in another process."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness.errors import ConfigError
from harness.hashing import short_hash

_MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one."""
_COPIES = 2.5
"""Room for so many: the one before is still there while the next is written."""


def fingerprint(model: Any) -> str:
    """sha256 over the sum of each parameter's bits: tells weights apart, and takes one pass over them.

    Sums of whole numbers do not depend on their order, so that another number of threads gives the same.
    """
    whole = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    told = hashlib.sha256()
    for name, parameter in model.named_parameters():
        values = parameter.detach()
        local = values.to_local() if hasattr(values, "to_local") else values  # FSDP2: this process's share
        bits = int(local.contiguous().view(whole[local.element_size()]).sum(dtype=torch.int64))
        told.update(f"{name} {tuple(local.shape)} {bits}\n".encode())
    return told.hexdigest()


def weights_folder(model: Any) -> Path:
    """An empty folder for them, in memory where there is room; whoever asks for it removes it."""
    return Path(tempfile.mkdtemp(prefix="harness-weights-", dir=_MEMORY if _roomy(model) else None))


def shared_folder(model: Any, place: Path, near: bool) -> Path:
    """An empty folder for them in `place`; in memory, where there is room, if all who read them are `near`.

    A training that was killed removes nothing: what it left is in the same place, so that the next one does. Its own
    folder has another name each time, since a disk that several machines share may show one of them what was there.
    """
    if near and _roomy(model):
        place = _MEMORY / f"harness-weights-{short_hash(str(place.resolve()))}"
    shutil.rmtree(place, ignore_errors=True)
    own = place.resolve() / secrets.token_hex(4)
    own.mkdir(parents=True)
    return own


def _roomy(model: Any) -> bool:
    size = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    return _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _COPIES * size


def write_weights(model: Any, folder: Path) -> None:
    """Write config and weights, an adapter's added to what they adapt. The student stays as it is, to the bit.

    peft's own merging and unmerging would leave rounding behind. Raises `ConfigError` for packed weights.
    """
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    if getattr(base, "is_loaded_in_4bit", False) or getattr(base, "is_loaded_in_8bit", False):
        raise ConfigError("an adapter over packed weights reaches no other engine: draw with rollout.engine=hf")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
        if base is model:
            model.save_pretrained(folder)
        else:
            base.save_pretrained(folder, state_dict=_merged(base))


def _merged(base: Any) -> dict[str, Tensor]:
    from peft.tuners.lora import LoraLayer

    adapted = {name: module for name, module in base.named_modules() if isinstance(module, LoraLayer)}
    found: dict[str, Tensor] = {}
    for name, weight in base.state_dict().items():
        owner, _, last = name.partition(".base_layer.")
        if not last:
            if not any(name.startswith(f"{one}.") for one in adapted):  # else a part of the adapter
                found[name] = weight
            continue
        layer: Any = adapted[owner]
        if last == "weight":
            weight = weight + sum(layer.get_delta_weight(active) for active in layer.active_adapters)
        found[f"{owner}.{last}"] = weight
    return found
