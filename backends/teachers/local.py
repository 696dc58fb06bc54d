"""A teacher whose weights are here: it reads what the student reads and says how likely each token was to it.

Its tokens must be the student's. A teacher that differs in the end of sequence alone (a base student, an instruct
teacher) is accepted with `end="mask"`: what it thinks of an end token is then left out, because it would punish every
completion for ending, and lengths would explode.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import Training
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.records.segments import tokenizer_difference
from backends.trainers.batch import Batch
from harness.errors import ConfigError

End = Literal["same", "mask"]
"""Whether the teacher's end of sequence must be the student's, or is left out of every comparison."""


def teacher_here(training: Training, method: str, instead: str = "") -> str:
    """The spec of the teacher. Raises `ConfigError` if there is none (what `method` takes `instead`), or on servers."""
    if training.teacher is None:
        raise ConfigError(f"{method} needs a teacher's weights: --teacher SPEC{instead}")
    if training.served is not None:
        raise ConfigError(
            f"{method} compares whole distributions, and a server tells log-probabilities of single tokens: leave out "
            "--teacher-server, so that the teacher's weights are loaded here"
        )
    return training.teacher


class Tokens:
    """What the tokens of a teacher and of the student have in common."""

    def __init__(self, training: Training, tokenizer: Any, method: str, end: End | None) -> None:
        """Raises `ConfigError` if a teacher's tokens are others. `end` None: `method` has no such option."""
        difference = tokenizer_difference(training.tokenizer, tokenizer, end=end != "mask")
        if difference is not None:
            only_end = end == "same" and not tokenizer_difference(training.tokenizer, tokenizer, end=False)
            raise ConfigError(
                f"{method} compares distributions token by token, and the tokenizer of {training.teacher!r} is not the "
                f"student's: {difference}. Train on its text instead (sft), or choose a teacher of the same family"
                + (", or leave the end of sequence out (end=mask)" if only_end else "")
            )
        ends = {training.tokenizer.eos_token_id, tokenizer.eos_token_id} if end == "mask" else set()
        self.left_out = sorted(token for token in ends if token is not None)
        """Tokens whose probability here says nothing to the student."""

    def compared(self, batch: Batch) -> Tensor:
        """Where the two are compared, (R, T) bool: on the learnt tokens, with `end="mask"` without the ends."""
        left_out = torch.tensor(self.left_out, dtype=torch.int64, device=batch.labels_RT.device)
        return batch.mask_RT & ~torch.isin(batch.labels_RT, left_out)


class LocalTeacher(Tokens):
    """The model of `--teacher`, beside the student."""

    def __init__(self, training: Training, method: str, *, end: End | None = None, instead: str = "") -> None:
        """Load it. Raises `ConfigError` if there is none (what `method` takes `instead`), or its tokens are others.

        `end` None: the method has no such option, and the ends must be the same.
        """
        self._training = training
        self.model, tokenizer = training.load(teacher_here(training, method, instead))
        super().__init__(training, tokenizer, method, end)
        self.tokens = len(training.tokenizer)
        """Rows of an output layer that are tokens; the rest is padding, of another number in each model."""

    def states(self, batch: Batch) -> HeadLogits:
        """Its hidden states and output layer, of which a loss makes scores a few positions at a time."""
        found: HeadLogits = self._training.forward(HeadLogits.detached, batch, self.model)
        return found

    def logps(self, batch: Batch, temperature: float) -> Tensor:
        """Its log-probabilities of the tokens that are learnt, at this temperature, (R, T); 0 elsewhere."""

        def score(logits: HeadLogits) -> Tensor:
            return token_logps(logits, batch.labels_RT, temperature=temperature)

        found: Tensor = self._training.forward(score, batch, self.model)
        return found
