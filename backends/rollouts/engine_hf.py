"""Drawing in the training process, with the very weights that are trained: nothing to copy, nothing to go stale.

The decode loop is evaluation's (`harness.models.hf_decode`), over the student in evaluation mode and in training's
precision. An adapter's layers stay active and unmerged.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from backends.rollouts.engine import Drawn, Emit, Wanted
from harness.errors import ConfigError, ModelError
from harness.models.hf_attention import grouped_attention
from harness.models.hf_cache import SlotCache
from harness.models.hf_decode import Decoder
from harness.models.hf_load import columns_in_memory, default_rows, end_tokens
from harness.models.hf_prompt import PromptRenderer
from harness.models.hf_row import Row
from harness.types import Completion, Request

if TYPE_CHECKING:
    from backends.base import Training
    from backends.rollouts.settings import RolloutSettings


_CPU_ROWS = 64


def rows_at_once(device: str) -> int:
    """How many completions are decoded at a time.

    On a CPU twice evaluation's: a generation is there at once, and rows that begin together read no keys that only
    an earlier neighbour needs.
    """
    return _CPU_ROWS if device == "cpu" else default_rows(device)


def refuse_sharded() -> None:
    """Raises `ConfigError` under a launcher that takes the student's weights apart."""
    stage = os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE")
    sharded = "FSDP" if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true" else None
    if stage == "3" or (stage is None and _zero3()):
        sharded = "ZeRO-3"
    if sharded is not None:
        raise ConfigError(
            f"the student draws with its own weights in this process, and {sharded} takes them apart: launch with DDP "
            "or ZeRO-2, or train on one device"
        )


def _zero3() -> bool:
    from transformers.integrations import is_deepspeed_zero3_enabled

    return bool(is_deepspeed_zero3_enabled())


class HfEngine:
    """The student itself, between two of its optimiser steps."""

    def __init__(self, settings: RolloutSettings) -> None:
        """`settings` must have `max_new`. Raises `ConfigError` under FSDP and ZeRO-3."""
        refuse_sharded()
        assert settings.max_new is not None
        self._settings, self._max_new = settings, settings.max_new
        self._policy: Training | None = None

    def sync(self, policy: Training, version: int) -> None:
        """Nothing to copy: the weights are the same tensors."""
        self._policy = policy

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        """See `Engine`."""
        policy = self._policy
        assert policy is not None
        failed: list[str | BaseException] = []

        def ask(decoder: Decoder) -> None:
            for number, one in enumerate(wanted):
                row = self._row(one)
                row.reply.add_done_callback(_handed(number, row, emit, failed))
                decoder.add(row)

        _give_back()  # what the training pass keeps is not free for keys and values otherwise
        with self._decoder(policy) as decoder:
            decoder.run(deque([ask]))
        _give_back()  # the pass that comes wants the room of keys and values
        for one in failed:
            if isinstance(one, BaseException):
                raise one
            raise ModelError(f"{len(failed)} of {len(wanted)} completions could not be drawn: {one}")

    @contextmanager
    def _decoder(self, policy: Training) -> Iterator[Decoder]:
        model = student_of(policy)
        with decoding(policy.model, model), policy.autocast():
            yield Decoder(
                model,
                PromptRenderer(policy.tokenizer, None, False, None),
                end_tokens(model, policy.tokenizer),
                rows_at_once(model.device.type),
                columns_in_memory(model.config.get_text_config(), model),
                None,
            )

    def close(self) -> None:
        """Let the student go."""
        self._policy = None

    def _row(self, wanted: Wanted) -> Row:
        request = Request(
            id="",
            messages=(),
            temperature=self._settings.temperature,
            top_p=self._settings.top_p,
            max_tokens=self._max_new,
            stop=(),
            seed=wanted.seed,
        )
        return Row(request, Future(), prompt=wanted.prompt)


def _give_back() -> None:
    """Let the device have what torch holds and does not use: the decode loop asks the device how much is free."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _handed(
    number: int, row: Row, emit: Emit, failed: list[str | BaseException]
) -> Callable[[Future[Completion]], None]:
    """Called by the decoder as a row finishes."""

    def hand(reply: Future[Completion]) -> None:
        done = reply.result()
        if done.finish == "error":
            failed.append(str(done.error))
            return
        tokens_T, logps_T = np.array(row.tokens, np.int32), np.array(row.drawn_logprobs, np.float32)
        try:
            emit(number, Drawn(tokens_T, logps_T, done.text, done.finish))
        except BaseException as error:  # a future's callback must not raise: it would be lost
            failed.append(error)

    return hand


def student_of(policy: Training) -> Any:
    """The student as transformers has it; an adapter's layers are in it."""
    return policy.model.get_base_model() if hasattr(policy.model, "get_base_model") else policy.model


@contextmanager
def decoding(trained: Any, model: Any) -> Iterator[None]:
    """Within, the student is in evaluation mode, with the attention of the decode loop."""
    was_training = trained.training
    trained.eval()
    try:
        if SlotCache.fits(model.config):
            with grouped_attention(model):
                yield
        else:
            yield
    finally:
        trained.train(was_training)
