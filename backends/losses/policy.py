"""The policy gradient's surrogate: -min(r A, clip(r) A) of GRPO and its relatives, one value per token.

    log_ratio = log_ratio_of(logps, old, mask, level="token")
    found = surrogate(logps, log_ratio, advantages, mask, clip="ppo", low=0.2, high=0.2)
    loss = over_step(found.loss_RT, mask, norm="token", tokens=…, rows=…)

Equal in value and gradient to TRL's `GRPOTrainer._compute_loss` (tests/unit/test_losses_policy.py). All
log-probabilities are at the temperature that the tokens were drawn at.

Shapes: R completions, T positions. The mask is true on the tokens of the completion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from backends.losses.reduction import check_shape, row_sums
from harness.errors import ConfigError, DataError

Level = Literal["token", "sequence"]
"""Whether each token has its own ratio, or its completion's geometric mean (GSPO, arXiv 2507.18071)."""
Clip = Literal["ppo", "off", "cispo", "dual"]
"""How a large ratio is held back; see `surrogate`."""
Norm = Literal["token", "sequence", "constant"]
"""What the sum over tokens is divided by: tokens (DAPO), each completion's own length (GRPO), a constant (Dr. GRPO)."""
Correction = Literal["none", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]
"""What is done with the weight of a token whose sampler was not quite the policy; see `correction_weights`."""


@dataclass(frozen=True)
class Surrogate:
    """The loss of each token, and what the ratio was."""

    loss_RT: Tensor
    ratio_RT: Tensor
    """Without gradient."""
    low_RT: Tensor
    """Where the lower bound took the gradient away, bool."""
    high_RT: Tensor
    """Where an upper bound did."""


def log_ratio_of(logps_RT: Tensor, old_RT: Tensor | None, mask_RT: Tensor, *, level: Level = "token") -> Tensor:
    """log(pi / pi_old) of each token, (R, T); old None is the policy itself, before the first update.

    `level="sequence"` puts the mean over the completion at each of its tokens; its gradient reaches all of them.
    """
    _one_of("level", level, Level)
    check_shape("the mask", mask_RT, like=logps_RT)
    old_RT = logps_RT.detach() if old_RT is None else old_RT
    check_shape("the old log-probabilities", old_RT, like=logps_RT)
    ratio_RT = logps_RT - old_RT.detach()
    if level == "token":
        return ratio_RT
    length_R = mask_RT.bool().sum(1).clamp(min=1)
    return (row_sums(ratio_RT, mask_RT) / length_R)[:, None].expand_as(logps_RT)


def surrogate(
    logps_RT: Tensor,
    log_ratio_RT: Tensor,
    advantages: Tensor,
    mask_RT: Tensor,
    *,
    clip: Clip = "ppo",
    low: float | Tensor = 0.2,
    high: float | Tensor = 0.2,
    most: float = 3.0,
) -> Surrogate:
    """The loss of each token, 0 outside the mask; `advantages` (R,) or (R, T), without gradient.

    `low` and `high` are numbers, or (R, T) where each completion has its own (RLKD's adaptive clip).

    - `ppo`: -min(r A, clip(r, 1 - low, 1 + high) A);
    - `dual`: the same with r at most `most`, which bounds the loss of a token whose advantage is negative;
    - `off`: -r A, importance sampling;
    - `cispo`: -min(r, 1 + high) A log pi with the weight detached, so that no token loses its gradient (MiniMax-M1).
    """
    _one_of("clip", clip, Clip)
    check_shape("the ratio", log_ratio_RT, like=logps_RT)
    check_shape("the mask", mask_RT, like=logps_RT)
    advantages_RT = spread_rows(advantages, logps_RT)
    counted = mask_RT.bool()
    # What stands outside the mask is never read: an old log-probability of 0 there may overflow.
    ratio = torch.where(counted, log_ratio_RT, torch.zeros_like(log_ratio_RT)).exp()
    nothing = torch.zeros_like(counted)
    below, above = (ratio < 1 - low) & (advantages_RT < 0), (ratio > 1 + high) & (advantages_RT > 0)
    if clip == "off":
        loss, below, above = -(ratio * advantages_RT), nothing, nothing
    elif clip == "cispo":
        loss = -(ratio.detach().clamp(max=1 + high) * advantages_RT * logps_RT)
        below, above = nothing, ratio > 1 + high
    else:
        if clip == "dual" and bool(torch.as_tensor(most < 1 + high).any()):
            raise ConfigError(f"the dual clip's bound {most!r} must be at least 1 + high")
        bounded = ratio.clamp(1 - low, 1 + high)
        held = ratio.clamp(max=most) if clip == "dual" else ratio
        loss = -torch.minimum(held * advantages_RT, bounded * advantages_RT)
        if clip == "dual":
            above = above | ((ratio > most) & (advantages_RT < 0))
    kept = torch.where(counted, loss, torch.zeros_like(loss))
    return Surrogate(kept, ratio.detach(), below & counted, above & counted)


def correction_weights(
    old_RT: Tensor, sampler_RT: Tensor, mask_RT: Tensor, *, how: Correction, cap: float = 2.0
) -> Tensor:
    """Weight pi_old / pi_sampler of each token, (R, T), without gradient: where an engine is not quite the policy.

    `truncate` bounds it by `cap`; `mask` makes it 0 outside [1 / cap, cap]. A `sequence` has the product of its tokens'
    weights at each of them. A token whose sampler gave no log-probability (NaN) has the weight 1.
    """
    _one_of("correction", how, Correction)
    check_shape("the sampler's log-probabilities", sampler_RT, like=old_RT)
    if not cap > 1:
        raise ConfigError(f"the correction's cap must be above 1, not {cap!r}")
    if how == "none":
        return torch.ones_like(old_RT)
    gap = torch.where(mask_RT.bool(), old_RT - sampler_RT, torch.zeros_like(old_RT)).detach().nan_to_num(nan=0.0)
    if how.startswith("sequence"):
        gap = gap.sum(1, keepdim=True).expand_as(old_RT)
    weight = gap.exp()
    if how.endswith("truncate"):
        return weight.clamp(max=cap)
    return torch.where((weight < 1 / cap) | (weight > cap), torch.zeros_like(weight), weight)


def over_step(
    values_RT: Tensor,
    mask_RT: Tensor,
    *,
    norm: Norm,
    tokens: Tensor | int = 0,
    rows: Tensor | int = 0,
    width: int | None = None,
) -> Tensor:
    """A micro-batch's share of the optimiser step's loss, a scalar.

    `tokens` and `rows` are those of the whole step (rows: completions with a token that counts), `width` the constant
    of Dr. GRPO, the longest completion that could be drawn. Raises DataError where the divisor is 0.
    """
    _one_of("norm", norm, Norm)
    if norm == "token":
        return row_sums(values_RT, mask_RT).sum() / _divisor(tokens, "token")
    if norm == "sequence":
        length_R = mask_RT.bool().sum(1).clamp(min=1)
        return (row_sums(values_RT, mask_RT) / length_R).sum() / _divisor(rows, "completion")
    if width is None or width < 1:
        raise ConfigError(f"norm 'constant' divides by the longest completion's tokens, not by {width!r}")
    return row_sums(values_RT, mask_RT).sum() / (_divisor(rows, "completion") * width)


def spread_rows(values: Tensor, like_RT: Tensor) -> Tensor:
    """(R,) numbers at each position of their rows, (R, T); (R, T) stay. Without gradient."""
    values = values.detach().to(like_RT.dtype)
    if values.dim() == 1 and values.shape[0] == like_RT.shape[0]:
        return values[:, None].expand_as(like_RT)
    check_shape("the advantages", values, like=like_RT)
    return values


def _divisor(count: Tensor | int, what: str) -> float:
    value = float(count)
    if not value > 0:
        raise DataError(f"the optimiser step has no {what} that counts")
    return value


def _one_of(name: str, value: str, choices: object) -> None:
    if value not in get_args(choices):
        raise ConfigError(f"unknown {name} {value!r}; choose one of {', '.join(get_args(choices))}")
