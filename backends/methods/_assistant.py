"""A small network beside the student that learns with it: what it sees of a record's texts, and its own optimiser.

It reads pooled input embeddings of the student as it began, so that what it is told does not move while both learn. It
is in the checkpoints, and no part of the model that is saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from backends.base import Training
from backends.trainers.batch import Batch
from backends.trainers.sharding import refuse_zero3

Pool = Literal["mean", "max"]


def step_together(parameters: list[Tensor], optimizer: torch.optim.Optimizer, training: Training) -> None:
    """One step with the gradients of all processes."""
    for parameter in parameters:
        own = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        grads = [grad.to(parameter.device) for grad in training.gather(own.detach().cpu())]
        parameter.grad = torch.stack(grads).mean(0)
    optimizer.step()
    optimizer.zero_grad()


class Assistant:
    """A network in float32, and Adam."""

    def __init__(self, network: nn.Module, training: Training, learning_rate: float) -> None:
        """The same on every process: `network` must have been made so (`made_alike`)."""
        self.network, self._training = network.to(training.device).float(), training
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=learning_rate)

    def __call__(self, *inputs: Tensor) -> Tensor:
        """What the network says, in its own precision whatever the student's is."""
        with torch.autocast(inputs[0].device.type, enabled=False):
            found: Tensor = self.network(*inputs)
        return found

    def step(self, learning_rate: float | None = None) -> None:
        """Learn from the gradients of this step; None: at the rate that it was made with."""
        if learning_rate is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = learning_rate
        step_together(list(self.network.parameters()), self.optimizer, self._training)

    def learn(self, loss: Tensor) -> None:
        """A step of its own, before training; every process makes the same."""
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """Of a checkpoint."""
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Of a checkpoint."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])


def made_alike(make: type[nn.Module], *args: Any) -> nn.Module:
    """A network with the same weights on every process and in every run, which moves no other random numbers."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # torch.manual_seed would move those of devices too
        return make(*args)


def pooled(training: Training, batch: Batch, how: Pool) -> Tensor:
    """(R, 2, D): the pooled input embeddings of each row's prompt and of its response, without gradient.

    Raises `ConfigError` under ZeRO-3.
    """
    refuse_zero3("reading a student's embeddings")
    ids_RT, seen_RT = batch.inputs["input_ids"], batch.inputs["attention_mask"].bool()
    learnt_RT = torch.zeros_like(seen_RT)
    learnt_RT[:, 1:] = batch.mask_RT[:, :-1]  # the batch's own masks are at the position before
    with torch.no_grad():
        states_RTD = training.model.get_input_embeddings()(ids_RT).float()
    sides = []
    for mask_RT in (seen_RT & ~learnt_RT, learnt_RT):
        mask_RT1 = mask_RT[..., None]
        if how == "max":
            side_RD = states_RTD.masked_fill(~mask_RT1, -torch.inf).amax(1)
            sides.append(side_RD.masked_fill(side_RD.isneginf(), 0.0))
        else:
            sides.append((states_RTD * mask_RT1).sum(1) / mask_RT1.sum(1).clamp(min=1))
    return torch.stack(sides, 1)


def row_table(batch: Batch, values_R: Tensor, into: Tensor) -> None:
    """Put values of rows into a table (examples of the data set, slots, …) on the CPU."""
    into[batch.index_R.cpu(), batch.slot_R.cpu()] = values_R.detach().to("cpu", into.dtype)
