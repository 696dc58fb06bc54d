"""Drawing from a mixture of student and teacher, token by token: a (1 - a) p + a p_T at the sampling temperature.

Both models read every token that is drawn, each with keys and values of its own, in one decode loop. What is told of a
token is its log-probability under the mixture, so that a policy term weighs it by p over the mixture
(`correction=token_truncate`): at most 1 / (1 - a).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from backends.rollouts.engine_hf import HfEngine, decoding, student_of
from harness.errors import ConfigError
from harness.models.hf_attention import grouped_attention
from harness.models.hf_cache import SlotCache
from harness.models.hf_decode import Decoder
from harness.models.hf_load import cached_numbers, columns_in_memory, default_rows, end_tokens
from harness.models.hf_prompt import PromptRenderer

if TYPE_CHECKING:
    from backends.base import Mixture, ReadingTeacher, Training
    from backends.rollouts.settings import RolloutSettings


class MixedEngine(HfEngine):
    """The student and its teacher, between two of the student's optimiser steps."""

    def __init__(self, settings: RolloutSettings, mixture: Mixture) -> None:
        """See `HfEngine`."""
        super().__init__(settings)
        self._mixture = mixture
        self._teacher: ReadingTeacher | None = None

    def teacher(self, policy: Training) -> ReadingTeacher:
        """The other model, which reads all that is drawn."""
        if self._teacher is None:
            self._teacher = self._mixture.teacher(policy)
        return self._teacher

    @contextmanager
    def _decoder(self, policy: Training) -> Iterator[Decoder]:
        model, teacher = student_of(policy), self.teacher(policy)
        mixed = _Mixed(model, teacher, self._mixture.share, self._settings.temperature)
        own, both = (cached_numbers(one.config.get_text_config()) for one in (model, teacher.model))
        room = columns_in_memory(model.config.get_text_config(), model) * own // (own + both)
        with decoding(policy.model, model), grouped_attention(teacher.model), policy.autocast():
            yield Decoder(
                mixed,
                PromptRenderer(policy.tokenizer, None, False, None),
                end_tokens(model, policy.tokenizer),
                default_rows(model.device.type),
                max(1, room),
                None,
                slot_layers=mixed.layers,
            )

    def close(self) -> None:
        """Let both go."""
        super().close()
        self._teacher = None


class _Said(NamedTuple):
    logits: Tensor


class _Mixed:
    """Two models as one, as far as a decode loop sees: scores of the next token, of which the softmax is the mixture.

    Its cache has the student's layers first.
    """

    def __init__(self, student: Any, teacher: ReadingTeacher, share: float, temperature: float) -> None:
        """Raises `ConfigError` where a model's layers do not attend to the whole past."""
        self.config, self._share, self._temperature = student.config, share, temperature
        self._models = (student, teacher.model)
        self._left_out = teacher.left_out
        self._split, more = (SlotCache.fits(one.config) for one in self._models)
        if not self._split or not more:
            raise ConfigError(
                "a mixture of student and teacher is drawn from where all layers of both attend to the whole past, and "
                "these have windows or states: set teacher_mix=0"
            )
        self.layers = self._split + more
        self.get_input_embeddings = student.get_input_embeddings

    def forward(self, past_key_values: SlotCache, logits_to_keep: int = 1, **read: Any) -> _Said:
        """Scores of the last position, (B, 1, V)."""
        layers = past_key_values.layers
        caches = (Cache(layers=layers[: self._split]), Cache(layers=layers[self._split :]))
        student_BV, teacher_BV = (
            _last(model, past_key_values=cache, **read).float().div(self._temperature).log_softmax(-1)
            for model, cache in zip(self._models, caches, strict=True)
        )
        mixed_BV = student_BV + math.log1p(-self._share)
        both = min(student_BV.shape[-1], teacher_BV.shape[-1])  # beyond is padding
        teacher_BV = teacher_BV[:, :both].index_fill(
            1, torch.tensor(self._left_out, dtype=torch.int64, device=teacher_BV.device), -math.inf
        )
        teacher_BV = teacher_BV.log_softmax(-1).to(mixed_BV.device) + math.log(self._share)
        mixed_BV[:, :both] = torch.logaddexp(mixed_BV[:, :both], teacher_BV)
        return _Said(mixed_BV[:, None] * self._temperature)  # the loop divides by it

    __call__ = forward


def _last(model: Any, **read: Any) -> Tensor:
    keep = {"logits_to_keep": 1} if "logits_to_keep" in inspect.signature(model.forward).parameters else {}
    found: Tensor = model(**read, **keep).logits[:, -1]
    return found
