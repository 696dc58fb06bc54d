"""PPO: a completion compared with what was expected of it at each token, by a value function that is learnt beside.

    r_t = [last token] reward - kl_coef (log pi_old - log pi_ref),   A = GAE(gamma, lam) of r and V
    L = mean over tokens of -min(rho A, clip(rho) A),   V: mean over tokens of (V - sg(A + V))^2 / 2

No groups: one completion a prompt says something. The value function is a linear layer on the student's last hidden
states, which it does not move; it has an optimiser of its own, and is no part of the model that is saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from backends.base import Rolling, Stage, Step, Training, TrainMethod
from backends.losses.gae import gae
from backends.losses.policy import Norm
from backends.methods._assistant import step_together
from backends.methods._on_policy import OnPolicyObjective
from backends.methods._policy_options import PolicyOptions
from backends.methods._terms import PolicyTerm, Seen, Term
from backends.options import must_be
from backends.rollouts.prompts import prompts
from backends.rollouts.types import Credited, RolloutGroup
from harness.types import Json

SETTINGS: dict[str, Json] = {
    "learning_rate": 1e-6, "batch_size": 64, "scheduler": "constant", "warmup": 0.0, "epochs": 1,
}  # fmt: skip
ROLLOUT: dict[str, Json] = {"group": 1, "passes": 4, "temperature": 1.0}


@dataclass(frozen=True)
class PpoOptions(PolicyOptions):
    """Options of PPO."""

    norm: Norm | None = "token"
    """What the sum over tokens is divided by."""
    gamma: float = 1.0
    """How much a later reward counts less."""
    lam: float = 0.95
    """From 0, one step ahead by the value function, to 1, the whole return."""
    reward_kl: float = 0.02
    """How much of the distance to the student as it began is taken off each token's reward (k1)."""
    value_lr: float = 1e-3
    """Learning rate of the value function."""

    def __post_init__(self) -> None:
        super().__post_init__()
        must_be(self, "from 0 to 1", "gamma", "lam")
        must_be(self, "0 or more", "reward_kl")
        must_be(self, "above 0", "value_lr")


class Critic:
    """A linear value function of hidden states, and its optimiser."""

    def __init__(self, width: int, device: Any, learning_rate: float) -> None:
        """0 everywhere at first."""
        self.weight = torch.zeros(width, device=device, requires_grad=True)
        self.bias = torch.zeros((), device=device, requires_grad=True)
        self.optimizer = torch.optim.Adam([self.weight, self.bias], lr=learning_rate)

    def values(self, seen: Seen) -> Tensor:
        """What is expected of each completion before each of its tokens, (R, T); gradients reach the critic alone."""
        hidden_RTD = seen.logits.hidden_BTD.detach().float()
        return (hidden_RTD @ self.weight) + self.bias

    def step(self, training: Training) -> None:
        """Learn from the step's gradients, those of all processes."""
        step_together([self.weight, self.bias], self.optimizer, training)

    def state_dict(self) -> dict[str, Any]:
        """Of a checkpoint."""
        return {"weight": self.weight.detach(), "bias": self.bias.detach(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Of a checkpoint."""
        with torch.no_grad():
            self.weight.copy_(state["weight"])
            self.bias.copy_(state["bias"])
        self.optimizer.load_state_dict(state["optimizer"])


@dataclass(frozen=True)
class ValueTerm(Term):
    """Half the squared error of the value function."""

    objective: PpoObjective

    name: ClassVar[str] = "value"

    def values(self, seen: Seen) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The error against what the completion came to by its rewards and by later values."""
        found_RT, _, returns_RT = self.objective.estimate(seen)
        return (found_RT - returns_RT).square() / 2, {"expected": found_RT, "return": returns_RT}


class PpoObjective(OnPolicyObjective):
    """The clipped policy gradient of estimated advantages, and the value function."""

    options: PpoOptions
    critic: Critic | None = None

    def __init__(self, options: PpoOptions) -> None:
        """`options` are the method's."""
        worth = PolicyTerm(options.surrogates(), self._worth, ("reference",) if options.reward_kl else ())
        super().__init__("ppo", options, [worth, ValueTerm(self)])

    def setup(self, training: Training) -> None:
        """Begin with a value function that expects nothing."""
        super().setup(training)
        width = training.model.get_output_embeddings().weight.shape[1]
        self.critic = Critic(width, training.device, self.options.value_lr)

    def estimate(self, seen: Seen) -> tuple[Tensor, Tensor, Tensor]:
        """(values with gradient, advantages, returns), each (R, T)."""
        assert self.critic is not None
        values_RT, mask_RT = self.critic.values(seen), seen.batch.mask_RT
        last_RT = mask_RT & (mask_RT.flip(1).cumsum(1).flip(1) == 1)
        rewards_RT = torch.where(last_RT, seen.number("reward"), torch.zeros_like(seen.logps_RT))
        if seen.beside.reference_RT is not None:
            rewards_RT = rewards_RT - self.options.reward_kl * (seen.old_RT - seen.beside.reference_RT)
        return values_RT, *gae(rewards_RT, values_RT, mask_RT, gamma=self.options.gamma, lam=self.options.lam)

    def after_step(self, logged: Mapping[str, float], step: Step) -> None:
        """The value function learns."""
        assert self.critic is not None and self._training is not None
        self.critic.step(self._training)

    def state_dict(self) -> dict[str, Any]:
        """The value function's."""
        return {} if self.critic is None else {"critic": self.critic.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with the value function of a checkpoint."""
        if self.critic is not None and "critic" in state:
            self.critic.load_state_dict(state["critic"])

    def _worth(self, seen: Seen) -> tuple[Tensor, Tensor]:
        return seen.log_ratio_RT, self.estimate(seen)[1]


def credit(groups: Sequence[RolloutGroup], step: Step) -> list[list[Credited]]:
    """Each completion's reward as it is: nothing is compared."""
    return [
        [Credited(mark.value is not None, {"reward": mark.value or 0.0}) for mark in group.marks] for group in groups
    ]


def stages(options: PpoOptions) -> tuple[Stage, ...]:
    """One, on prompts alone."""
    rolling = Rolling(credit, options.weights, ROLLOUT, compares=False)
    return (Stage("train", ("prompt",), prompts, partial(PpoObjective, options), SETTINGS, rolling=rolling),)


METHOD = TrainMethod(
    name="ppo",
    summary="a value function says what was expected at each token: no groups, several passes (PPO with GAE)",
    paper="Schulman et al. 2017, Proximal Policy Optimization Algorithms, arXiv 1707.06347, equation 7; advantages of "
    "arXiv 1506.02438",
    options=PpoOptions,
    stages=stages,
    deviations=(
        "The value function is a linear layer on the student's states that does not move them, with its own optimiser.",
        "Advantages are estimated anew in each pass, with the value function as it is then, and are not whitened.",
        "All settings are ours: RLKD, whose control this is, gives none.",
    ),
)
