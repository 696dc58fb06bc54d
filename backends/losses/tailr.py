"""TaiLr: tailoring likelihood towards total variation distance (Ji et al. 2023, ICLR; as in the EMO repository).

The total variation distance forgets what the student holds impossible, where the likelihood insists on it. TaiLr
weights each token's likelihood by how much of the reference token's mass the student already covers, and mixes the
plain likelihood back in:

    loss_t = (g + (1 - g) * sg[clip(q_t / ((1 - g) + g * q_t), m, 1)]) * nll_t,   q_t = exp(-nll_t)

It needs the reference tokens' log-probabilities only. Shapes: B sequences, T positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.errors import ConfigError


def tailr_weights(logps_BT: Tensor, gamma: float, min_weight: float) -> Tensor:
    """Weight of each token's likelihood, without gradient: B x T in [g + (1 - g) m, 1].

    `gamma` g in [0, 1]: 1 is plain maximum likelihood. `min_weight` m in [0, 1] keeps tokens that the student holds
    impossible from being forgotten. Raises `ConfigError` for values outside.
    """
    for name, value in (("gamma", gamma), ("min_weight", min_weight)):
        if not 0.0 <= value <= 1.0:
            raise ConfigError(f"TaiLr's {name} is between 0 and 1, got {value!r}")
    q_BT = logps_BT.detach().exp()
    # At g = 1 a probability that underflows would be 0 / 0; its weight there is 1 whatever the quotient is.
    covered_BT = q_BT / ((1.0 - gamma) + gamma * q_BT).clamp_min(torch.finfo(q_BT.dtype).tiny)
    return gamma + (1.0 - gamma) * covered_BT.clamp(min_weight, 1.0)
