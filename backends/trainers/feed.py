"""Where the examples of an optimiser step come from: fixed before the first one, or made while training goes on.

The trainer draws numbers (order, epochs, processes and resuming are transformers' matter) and asks for the examples of
all micro-batches of a step at once, before the first of them is computed. So a feed that lets the student answer can
make them there, with the weights of that step, and sort and cut them as it likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Protocol

from backends.base import Step, Training
from backends.records.segments import Example


class Feed(Protocol):
    """Gives a step its examples."""

    @property
    def size(self) -> int:
        """How many numbers there are to draw from: one epoch."""

    def batch(self, step: Step, indices: Sequence[Sequence[int]], policy: Training) -> Sequence[Sequence[Example]]:
        """The micro-batches of this process in a step, as many as there are lists of numbers drawn for it.

        `policy` is the student as it is now. The same step of the same training gives the same examples, also after
        the training was stopped and goes on.
        """

    @property
    def numbers(self) -> Mapping[str, float]:
        """What is to be logged of the step whose examples were given last, beside the objective's own."""

    @property
    def gap_means(self) -> bool:
        """Whether the sampler's gap says anything of this step: not where the student has changed since, unread."""

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must keep: texts and numbers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the state of a checkpoint."""

    @property
    def stopped(self) -> bool:
        """Whether it has seen that training should end."""

    def settle(self, step: Step, policy: Training) -> Mapping[str, float]:
        """Called once after the last step: put the weights in their place; returns what is to be told of them."""

    def saved(self) -> None:
        """A checkpoint is whole: what only earlier ones need may go."""

    def finished(self) -> None:
        """The stage's model is saved: what only checkpoints need may go."""

    def close(self) -> None:
        """Give back what it holds; nothing is asked of it any more."""


class Fixed:
    """The same examples in every epoch, each under its number."""

    numbers: Mapping[str, float] = MappingProxyType({})
    stopped, gap_means = False, True

    def __init__(self, examples: Sequence[Example]) -> None:
        self.examples = tuple(replace(example, index=number) for number, example in enumerate(examples))

    @property
    def size(self) -> int:
        """All of them."""
        return len(self.examples)

    def batch(self, step: Step, indices: Sequence[Sequence[int]], policy: Training) -> Sequence[Sequence[Example]]:
        """Those with these numbers."""
        return [[self.examples[index] for index in part] for part in indices]

    def state_dict(self) -> dict[str, Any]:
        """It has none."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """It has none."""

    def settle(self, step: Step, policy: Training) -> Mapping[str, float]:
        """They stay."""
        return {}

    def saved(self) -> None:
        """It keeps nothing."""

    def finished(self) -> None:
        """It keeps nothing."""

    def close(self) -> None:
        """It holds nothing."""
