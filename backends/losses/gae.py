"""Generalised advantage estimation (Schulman et al. 2015, arXiv 1506.02438).

Rewards fall at tokens; a completion's value behind its last token is 0. Shapes: R completions, T positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.losses.reduction import check_shape
from harness.errors import ConfigError


def gae(
    rewards_RT: Tensor, values_RT: Tensor, mask_RT: Tensor, *, gamma: float = 1.0, lam: float = 0.95
) -> tuple[Tensor, Tensor]:
    """(advantages, returns), both (R, T) without gradient and 0 outside the mask.

    A_t = sum_k (gamma lam)^k delta_{t+k},  delta_t = r_t + gamma V_{t+1} - V_t;  a return is A_t + V_t. With lam 1 and
    V 0 everywhere both are the discounted sum of the rewards that are still to come.
    """
    check_shape("the values", values_RT, like=rewards_RT)
    check_shape("the mask", mask_RT, like=rewards_RT)
    for name, number in (("gamma", gamma), ("lam", lam)):
        if not 0 <= number <= 1:
            raise ConfigError(f"{name} must be from 0 to 1, not {number!r}")
    counted, zero = mask_RT.bool(), torch.zeros_like(values_RT[:, 0])
    later_R, value_R, columns = zero, zero, []
    for t in range(rewards_RT.shape[1] - 1, -1, -1):
        here_R, own_R = counted[:, t], values_RT[:, t].detach()
        delta_R = rewards_RT[:, t] + gamma * value_R - own_R
        later_R = torch.where(here_R, delta_R + gamma * lam * later_R, zero)
        value_R = torch.where(here_R, own_R, zero)
        columns.append(later_R)
    advantages_RT = torch.stack(columns[::-1], dim=1)
    returns_RT = torch.where(counted, advantages_RT + values_RT.detach(), torch.zeros_like(advantages_RT))
    return advantages_RT, returns_RT
