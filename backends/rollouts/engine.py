"""Who draws completions with the student's weights of the moment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from harness.models.hf_prompt import Prompt
from harness.types import Finish

if TYPE_CHECKING:
    from backends.base import Training


@dataclass(frozen=True, slots=True)
class Wanted:
    """One completion to draw."""

    prompt: Prompt
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """What was drawn for it."""

    tokens_T: NDArray[np.int32]
    """With the token that ended it, if one was drawn."""
    logps_T: NDArray[np.float32]
    """Under the sampler, over the whole vocabulary, at the sampling temperature."""
    text: str
    finish: Finish


Emit = Callable[[int, Drawn], None]
"""Takes what was drawn for the wanted completion of that number, in whatever order they finish."""


class Engine(Protocol):
    """Draws completions. Made for one temperature, nucleus and limit of new tokens."""

    def sync(self, policy: Training, version: int) -> None:
        """Take the student's weights as they are now, after so many optimiser steps."""

    def draw(self, wanted: Sequence[Wanted], emit: Emit) -> None:
        """Draw all of these; equal weights, prompts and seeds give equal completions. Raises `ModelError`."""

    def close(self) -> None:
        """Give back what it holds."""
