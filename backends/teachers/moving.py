"""The student's own weights of another time, without a second model: as it began, or a running mean of it.

Only what is trained is kept twice; with LoRA that is the adapter. For a pass the weights hold the other values and then
their own again. `SelfTeacher` reads with them the rows aside: what the student wrote, behind a prompt that tells more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from backends.base import Step, Training
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.options import must_be, refuse_unused
from backends.schedules import ParameterMean
from backends.trainers.batch import Batch
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


Which = Literal["initial", "ema", "self"]
"""As it began, a running mean of it, or as it is."""


@dataclass(frozen=True)
class SelfTeacherOptions:
    """Options of methods whose teacher is the student itself: whose weights it has."""

    teacher: Which = "initial"
    """The student as it began, a running mean of it, or as it is."""
    rate: float = 0.05
    """Of teacher=ema: how much of itself the student gives to the mean at each step."""

    def __post_init__(self) -> None:
        must_be(self, "from 0 to 1", "rate")
        refuse_unused(self, self.teacher == "ema", "teacher=ema", "rate")


class SelfTeacher:
    """The student at another time, told more: it reads the rows aside, and what it says is moved to the student's."""

    def __init__(self, training: Training, method: str, own: SelfTeacherOptions) -> None:
        """Keep the weights as they are. Raises `ConfigError` where each device holds a part of them."""
        self._training, self._own, self._at = training, own, 0
        self._what = f"{method} keeps weights of another time"
        self._mean: ParameterMean | None = None
        if own.teacher != "self":
            rho = 1.0 if own.teacher == "initial" else 1.0 - own.rate
            self._mean = ParameterMean(trained_weights(training.model, self._what), rho=rho)
        self.tokens = len(training.tokenizer)
        """Rows of an output layer that are tokens."""

    def follow(self, step: Step) -> None:
        """Take in what the step before has made of the student, once a step."""
        if self._mean is not None and self._own.teacher == "ema" and step.number != self._at:
            self._mean.update(trained_weights(self._training.model, self._what))
            self._at = step.number

    def states(self, batch: Batch) -> HeadLogits:
        """Its hidden states at the student's positions and its output layer; 0 where nothing is learnt."""
        found: HeadLogits = self._pass(lambda logits: logits, batch)
        return found

    def logps(self, batch: Batch, temperature: float) -> Tensor:
        """Its log-probabilities of the tokens that are learnt, at this temperature, (R, T); 0 elsewhere."""
        found: Tensor = self._pass(lambda logits: token_logps(logits, batch.labels_RT, temperature=temperature), batch)
        return found

    def compared(self, batch: Batch) -> Tensor:
        """Where the two are compared: wherever something is learnt."""
        return batch.mask_RT

    def state_dict(self) -> dict[str, Any]:
        """The running mean, and the step it was last updated at; what never moves is made again."""
        return {"mean": self._mean.state_dict(), "at": self._at} if self._mean and self._own.teacher == "ema" else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the running mean of a checkpoint."""
        if self._mean is not None and state:
            self._mean.load_state_dict(state["mean"])
            self._at = int(state["at"])

    def _pass(self, function: Callable[[HeadLogits], Any], batch: Batch) -> Any:
        aside = batch.aside
        assert aside is not None

        def read(logits: HeadLogits) -> Any:
            # The head is the student's own: where it holds another time's weights, it has its own again later.
            said = logits.detached(copy=self._mean is not None)
            return function(replace(said, hidden_BTD=moved(said.hidden_BTD, aside, batch)))

        weights = {} if self._mean is None else trained_weights(self._training.model, self._what)
        with nullcontext() if self._mean is None else holding(self._mean, weights):
            return self._training.forward(read, aside)


def moved(values_RTx: Tensor, aside: Batch, batch: Batch) -> Tensor:
    """Values of the rows aside at the same learnt tokens of the rows themselves, 0 elsewhere."""
    found = values_RTx.new_zeros((*batch.mask_RT.shape, *values_RTx.shape[2:]))
    found[batch.mask_RT] = values_RTx[aside.mask_RT]
    return found
