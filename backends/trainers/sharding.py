"""Passes of whole models where the launcher takes the student apart (FSDP, ZeRO-3).

FSDP's `fsdp_cpu_ram_efficient_loading` reads a checkpoint on the first process of a machine and fills the copies of the
others with zeros until training shares the weights out. A teacher is never shared out, and a reference is computed
before: on all processes but one they would silently be a model of zeros.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from transformers.integrations import is_deepspeed_zero3_enabled

from harness.errors import ConfigError

_EFFICIENT = "FSDP_CPU_RAM_EFFICIENT_LOADING"


@contextmanager
def whole_weights(needed: bool = True) -> Iterator[None]:
    """Within, every process loads the weights themselves, if that is `needed`."""
    before = os.environ.get(_EFFICIENT)
    if needed and before is not None:
        os.environ[_EFFICIENT] = "false"
    try:
        yield
    finally:
        if before is not None:
            os.environ[_EFFICIENT] = before


def refuse_zero3(what: str) -> None:
    """Raises `ConfigError` under ZeRO-3, which takes every model apart as it is loaded."""
    if is_deepspeed_zero3_enabled():
        raise ConfigError(f"{what} needs a whole model, which ZeRO-3 takes apart: launch with FSDP, ZeRO-2 or DDP")


def gathered(*parameters: Any) -> AbstractContextManager[Any]:
    """Within, parameters that ZeRO-3 has taken apart are whole. What is whole already stays as it is, None is none."""
    if not is_deepspeed_zero3_enabled():
        return nullcontext()
    import deepspeed
    from deepspeed.runtime.zero.partition_parameters import ZeroParamStatus

    apart = {id(one): one for one in parameters if one is not None and one.ds_status != ZeroParamStatus.AVAILABLE}
    whole: AbstractContextManager[Any] = deepspeed.zero.GatheredParameters(list(apart.values()))
    return whole if apart else nullcontext()
