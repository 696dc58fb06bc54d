"""Losses on pairs of a preferred and a rejected response: DPO, SimPO, ORPO, REDI.

They read sequence log-probabilities, and the papers differ in which: DPO takes *sums* over the response tokens
(`reduction.row_sums`), SimPO, ORPO and REDI take *means* (`row_means`). Every function returns one loss for each pair;
the papers average over pairs, so a trainer adds them up and divides by the pairs of the whole optimiser step.

Shapes: P pairs; everything in nats. Inputs are float32 or float64: a margin is a small difference of large numbers.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from backends.losses.reduction import check_shape
from harness.errors import ConfigError

_CERTAIN = -1e-6
"""Largest mean log-probability that odds are taken of: p = 1 has infinite odds (and 1 - p no float32 digits)."""


class PreferenceLoss(NamedTuple):
    """Per pair: what is minimised and what is watched."""

    loss_P: Tensor
    """Differentiable."""
    margin_P: Tensor
    """Detached. By how much the preferred response is ahead, in the method's own units; above 0 is right."""


def dpo_loss(
    chosen_sum_P: Tensor,
    rejected_sum_P: Tensor,
    reference_chosen_sum_P: Tensor,
    reference_rejected_sum_P: Tensor,
    *,
    beta: float = 0.01,
) -> PreferenceLoss:
    """−log σ(β[(log π(y_w) − log π_ref(y_w)) − (log π(y_l) − log π_ref(y_l))]), sums of token log-probabilities.

    Rafailov et al. 2023, Eq. 7 (arXiv 2305.18290); β = 0.01 is Zephyr's (arXiv 2310.16944). The reference is detached.
    The margin is the bracket times β. Equal policies, or equal responses, give log 2; the latter with no gradient.
    Raises ConfigError for β that is not above 0 and for shapes that differ.
    """
    _positive("DPO", beta)
    _same_shape(chosen_sum_P, rejected_sum_P, reference_chosen_sum_P, reference_rejected_sum_P)
    chosen_P = chosen_sum_P - reference_chosen_sum_P.detach()
    rejected_P = rejected_sum_P - reference_rejected_sum_P.detach()
    margin_P = beta * (chosen_P - rejected_P)
    return PreferenceLoss(-functional.logsigmoid(margin_P), margin_P.detach())


def simpo_loss(
    chosen_mean_P: Tensor, rejected_mean_P: Tensor, *, beta: float = 2.0, gamma: float = 1.0
) -> PreferenceLoss:
    """−log σ(β·mean log π(y_w) − β·mean log π(y_l) − γ); SimPO, Meng et al. 2024, Eq. 6 (arXiv 2405.14734).

    No reference. `gamma` is the absolute margin; the authors' setting `gamma_beta_ratio` is γ/β (0.5 here). The
    returned margin is the difference before γ is taken off. Raises as `dpo_loss` does, and ConfigError for γ below 0.
    """
    _positive("SimPO", beta)
    if gamma < 0:
        raise ConfigError(f"gamma of SimPO must be 0 or more, not {gamma!r}")
    _same_shape(chosen_mean_P, rejected_mean_P)
    margin_P = beta * (chosen_mean_P - rejected_mean_P)
    return PreferenceLoss(-functional.logsigmoid(margin_P - gamma), margin_P.detach())


def orpo_loss(chosen_mean_P: Tensor, rejected_mean_P: Tensor, *, beta: float = 0.3) -> PreferenceLoss:
    """−mean log π(y_w) − β·log σ(log odds(y_w) − log odds(y_l)), odds = p/(1−p), p = exp(mean log π).

    ORPO, Hong et al. 2024, Eqs. 6 and 7 (arXiv 2403.07691); β = 0.3 is R2Vul's. The margin is the difference of log
    odds. The NLL is of the response alone (the ORPO authors' trainer adds the prompt's). β = 0 is SFT by sequence mean.
    Raises ConfigError for β below 0 and for shapes that differ.
    """
    if beta < 0:
        raise ConfigError(f"beta of ORPO must be 0 or more, not {beta!r}")
    _same_shape(chosen_mean_P, rejected_mean_P)
    margin_P = _log_odds(chosen_mean_P) - _log_odds(rejected_mean_P)
    return PreferenceLoss(-chosen_mean_P - beta * functional.logsigmoid(margin_P), margin_P.detach())


def redi_loss(chosen_mean_P: Tensor, rejected_mean_P: Tensor, *, alpha: float = 0.8) -> PreferenceLoss:
    """−mean log π(y_w) + α·mean log π(y_l): asymmetric, no reference, no lower bound; REDI stage 2 (arXiv 2505.24850).

    The margin is the difference of the means. α = 0 is SFT by sequence mean on the preferred responses, α = 1 is
    symmetric. Watch the rejected mean: it has no floor. Raises ConfigError for α outside [0, 1] and for shapes that
    differ.
    """
    if not 0 <= alpha <= 1:
        raise ConfigError(f"alpha of REDI must be from 0 to 1, not {alpha!r}")
    _same_shape(chosen_mean_P, rejected_mean_P)
    margin_P = chosen_mean_P.detach() - rejected_mean_P.detach()
    return PreferenceLoss(alpha * rejected_mean_P - chosen_mean_P, margin_P)


def _log_odds(mean_P: Tensor) -> Tensor:
    """Log of p/(1 − p) for log-probabilities; exact from p near 0 to 1 − 1e-6, above which its slope is 1."""
    return mean_P - torch.log(-torch.expm1(mean_P.clamp(max=_CERTAIN)))


def _positive(method: str, beta: float) -> None:
    if not beta > 0:
        raise ConfigError(f"beta of {method} must be above 0, not {beta!r}")


def _same_shape(first_P: Tensor, *others: Tensor) -> None:
    for other_P in others:
        check_shape("the other side of the pairs", other_P, like=first_P)
