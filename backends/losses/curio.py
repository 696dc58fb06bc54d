"""CurioSFT: SFT that keeps its curiosity, by a pull towards a warmer copy of itself (arXiv 2602.02244).

For each token of a demonstration, with π_ref a moving average of the student and τ_t a temperature of its own,

    L_t = −log π(y_t) + λ · ½(log π(y_t) − log π_ref,τ_t(y_t))²

τ_t is solved so that π_ref,τ's entropy is H + ½σ(2(H − 1.2)): uncertain positions are warmed most, and where the
reference is certain (H ≤ 0.03 nats) τ is its lower bound. Log-probabilities are the whole vocabulary's; the entropies
are those of the 512 likeliest tokens, as the authors have it.

    tau_BT = curio_temperature(reference_logits_BTV, mask_BT)
    reference_BT = token_logps(reference_logits_BTV, labels_BT, temperature=tau_BT)
    curio_values(token_logps(logits_BTV, labels_BT), reference_BT)          # then reduce_tokens

Shapes: B rows, T positions, V vocabulary, n positions of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from backends.losses.entropy import entropy
from backends.losses.positions import Logits, over_positions
from backends.losses.reduction import check_shape
from harness.errors import ConfigError

TAU_LOW, TAU_HIGH = 1.1, 1.5
"""Bounds of the temperature."""
CERTAIN = 0.03
"""Nats. An entropy up to this takes the lower bound: there is nothing to be curious about."""
TOP_K = 512
"""Likeliest tokens whose entropy counts; the rest adds little and costs a pass over the vocabulary per bisection."""
_BISECTIONS = 20


def curio_temperature(
    reference: Logits,
    mask_BT: Tensor,
    *,
    low: float = TAU_LOW,
    high: float = TAU_HIGH,
    chunk: int | None = None,
) -> Tensor:
    """τ of each position where the mask (B, T) is true, 1 elsewhere, (B, T); no gradient.

    Entropy grows with temperature, so 20 bisections of [`low`, `high`] find the target to 4e-7, or stop at the bound
    next to it. `reference`: the reference's logits; `chunk`: positions at a time. Raises ConfigError for shapes that
    differ and unless 0 < low <= high.
    """
    if not 0 < low <= high:
        raise ConfigError(f"the temperatures' bounds {low!r} and {high!r} must be above 0 and in order")

    def solve(scores_nV: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor]:
        return (_solve(scores_nV, low, high) - 1.0,)

    with torch.no_grad():
        return over_positions(solve, reference, mask_BT, chunk=chunk)[0] + 1.0


def curio_values(logps_BT: Tensor, reference_logps_BT: Tensor, *, lam: float = 1.0) -> Tensor:
    """−log π + λ·½(log π − log π_ref,τ)² of each token; the reference is detached. λ = 0 is the NLL.

    The authors take the token mean over the response. Raises ConfigError for λ below 0 and for shapes that differ.
    """
    if lam < 0:
        raise ConfigError(f"lam of CurioSFT must be 0 or more, not {lam!r}")
    check_shape("the reference's log-probabilities", reference_logps_BT, like=logps_BT)
    return lam * 0.5 * (logps_BT - reference_logps_BT.detach()).square() - logps_BT


def _solve(logits_nV: Tensor, low: float, high: float) -> Tensor:
    top_nK = logits_nV.topk(min(TOP_K, logits_nV.shape[-1]), dim=-1).values
    entropy_n = entropy(top_nK)
    target_n = entropy_n + 0.5 * torch.sigmoid(2.0 * (entropy_n - 1.2))
    low_n, high_n = torch.full_like(entropy_n, low), torch.full_like(entropy_n, high)
    for _ in range(_BISECTIONS):
        middle_n = (low_n + high_n) / 2
        colder = entropy(top_nK / middle_n[:, None]) < target_n
        low_n, high_n = torch.where(colder, middle_n, low_n), torch.where(colder, high_n, middle_n)
    return torch.where(entropy_n <= CERTAIN, low, (low_n + high_n) / 2)
