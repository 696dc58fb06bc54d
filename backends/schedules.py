"""Numbers that change while training: a straight line, the balanced ratio of ThinkAnswer, running means of parameters.

The balanced ratio depends on the losses seen so far and the running mean on the parameters, so these two hold state,
which a checkpoint must keep (`state_dict`, `load_state_dict`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.errors import ConfigError, DataError

if TYPE_CHECKING:
    from torch import Tensor


def linear(start: float, end: float, step: int, total_steps: int) -> float:
    """A straight line from `start` at the first step (0) to `end` at the last; `end` beyond it.

    One step alone is the start. Raises `ConfigError` for a step below 0 and for no steps.
    """
    if step < 0 or total_steps < 1:
        raise ConfigError(f"step {step!r} of {total_steps!r}: a step counts from 0 and there is at least one")
    return start + (end - start) * min(step / max(total_steps - 1, 1), 1.0)


class BalancedRatio:
    """alpha = C / (C + M): the weight of M, with weight 1 - alpha on C, at which both weigh the same.

    C and M are running means of two non-negative losses (ThinkAnswer: the answer's cross entropy and the reasoning's
    distance; our reading of the paper's "dynamically adjusted weight"). The first losses start the
    means. alpha stays within [low, high] and is 0.5 before anything was seen or where both means are 0.
    """

    def __init__(self, *, rho: float = 0.99, low: float = 0.1, high: float = 0.9) -> None:
        if not 0.0 <= rho < 1.0:
            raise ConfigError(f"rho is {rho!r}; it must lie in [0, 1)")
        if not 0.0 <= low <= 0.5 <= high <= 1.0:
            raise ConfigError(f"the bounds {low!r} and {high!r} must lie in [0, 1] on either side of 0.5")
        self.rho, self.low, self.high = rho, low, high
        self._means: tuple[float, float] | None = None

    @property
    def value(self) -> float:
        """The ratio alpha from what was seen so far."""
        if self._means is None or sum(self._means) == 0.0:
            return 0.5
        c, m = self._means
        return min(max(c / (c + m), self.low), self.high)

    def update(self, c: float, m: float) -> float:
        """Take in one optimiser step's losses and return the new alpha. Raises DataError unless finite and >= 0."""
        if not (math.isfinite(c) and math.isfinite(m) and c >= 0 and m >= 0):
            raise DataError(f"the balanced ratio needs finite losses of at least 0, got {c!r} and {m!r}")
        if self._means is None:
            self._means = (c, m)
        else:
            old_c, old_m = self._means
            self._means = (self.rho * old_c + (1 - self.rho) * c, self.rho * old_m + (1 - self.rho) * m)
        return self.value

    def state_dict(self) -> dict[str, float]:
        """The two running means; empty before the first update."""
        return {} if self._means is None else {"c": self._means[0], "m": self._means[1]}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continue from `state_dict()`. Raises ConfigError for anything else."""
        if set(state) not in (set(), {"c", "m"}):
            raise ConfigError(f"not the state of a balanced ratio: keys {sorted(state)}")
        self._means = (float(state["c"]), float(state["m"])) if state else None


class ParameterMean:
    """A running mean of parameters: mean <- rho * mean + (1 - rho) * parameter, kept in float32.

    It holds a copy of every tensor it is given (4 bytes per number): under LoRA give it the trained ones only. In
    bfloat16 the mean itself would not do: with rho 0.99 most updates are below its rounding.
    """

    def __init__(self, parameters: Mapping[str, Tensor], *, rho: float) -> None:
        if not 0.0 <= rho <= 1.0:
            raise ConfigError(f"rho is {rho!r}; it must lie between 0 and 1")
        if not parameters:
            raise ConfigError("a running mean of no parameters")
        self.rho = rho
        self._means = {name: _wide(tensor) for name, tensor in parameters.items()}

    def update(self, parameters: Mapping[str, Tensor]) -> None:
        """Take in the parameters as they are now. Raises ConfigError for other names or shapes than at the start."""
        self._match(parameters)
        for name, mean in self._means.items():
            # The weighted form, not mean + (1 - rho) * difference: exact at rho 0 and 1.
            mean.mul_(self.rho).add_(parameters[name].detach().to(mean), alpha=1 - self.rho)

    def copy_to(self, parameters: Mapping[str, Tensor]) -> None:
        """Overwrite the tensors (of a reference model, say) with the means, rounded to each tensor's dtype."""
        self._match(parameters)
        for name, tensor in parameters.items():
            tensor.detach().copy_(self._means[name])

    def state_dict(self) -> dict[str, Tensor]:
        """The means themselves by name, not copies."""
        return dict(self._means)

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Continue from `state_dict()`. Raises ConfigError for other names or shapes."""
        self._match(state)
        for name, mean in self._means.items():
            mean.copy_(state[name])

    def _match(self, parameters: Mapping[str, Tensor]) -> None:
        if parameters.keys() != self._means.keys():
            odd = sorted(parameters.keys() ^ self._means.keys())
            raise ConfigError(f"these parameters are in only one of the model and its running mean: {odd[:5]}")
        for name, mean in self._means.items():
            if parameters[name].shape != mean.shape:
                shapes = (tuple(parameters[name].shape), tuple(mean.shape))
                raise ConfigError(f"{name!r} has the shape {shapes[0]}, its running mean {shapes[1]}")


def _wide(tensor: Tensor) -> Tensor:
    """A copy in float32, or in float64 if it is that."""
    copy = tensor.detach().clone()
    return copy if copy.element_size() >= 4 else copy.float()
