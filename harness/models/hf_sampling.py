"""Choosing the next token of many rows at once, each row with its own temperature, nucleus and random numbers.

Why not `torch.multinomial`: it has one generator for the whole batch, so a sample would depend on what else was in the
batch. Here every row brings one uniform number per step (from its request's own seed) and the token is read off the
row's cumulative distribution, so a sample depends on the row's logits and its seed alone.

Shapes: B rows, V vocabulary entries, K candidates for the nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Choice(NamedTuple):
    """One chosen token for each row."""

    token_B: list[int]
    logprob_B: list[float]
    """Log-probability (nats) under the model itself: before temperature and nucleus."""
    drawn_logprob_B: list[float]
    """The same after temperature, still over the whole vocabulary; at temperature 0 and 1 the model's own."""


def choose(
    logits_BV: Tensor, temperature_B: Sequence[float], top_p_B: Sequence[float], uniform_B: Sequence[float]
) -> Choice:
    """Pick each row's next token: the likeliest at temperature 0, else by inverse CDF at `uniform` in [0, 1).

    The nucleus of `top_p` < 1 is the smallest set of likeliest tokens whose mass, after temperature, reaches `top_p`
    (Holtzman et al. 2020); among equal probabilities the lower token id comes first.
    """
    logits_BV = logits_BV.float()
    drawn = [row for row, temperature in enumerate(temperature_B) if temperature > 0]
    greedy = len(drawn) < len(temperature_B)
    token_B = logits_BV.argmax(-1) if greedy else torch.zeros(len(drawn), dtype=torch.long, device=logits_BV.device)
    if drawn:
        token_B = _draw(logits_BV, token_B, drawn, temperature_B, top_p_B, uniform_B)
    logprob_B = _logprobs(logits_BV, token_B)
    drawn_B = logprob_B
    tempered = [row for row in drawn if temperature_B[row] != 1.0]
    if tempered:
        index = torch.tensor(tempered, device=logits_BV.device)
        temperature = torch.tensor([temperature_B[row] for row in tempered], device=logits_BV.device)
        drawn_B = logprob_B.index_copy(0, index, _logprobs(logits_BV[index] / temperature[:, None], token_B[index]))
    return Choice(token_B.tolist(), logprob_B.tolist(), drawn_B.tolist())


def _logprobs(logits_BV: Tensor, token_B: Tensor) -> Tensor:
    return logits_BV.gather(-1, token_B[:, None])[:, 0] - logits_BV.logsumexp(-1)


def _draw(
    logits_BV: Tensor,
    token_B: Tensor,
    drawn: list[int],
    temperature_B: Sequence[float],
    top_p_B: Sequence[float],
    uniform_B: Sequence[float],
) -> Tensor:
    device = logits_BV.device
    token_B = token_B.clone()
    for nucleus in (False, True):
        rows = [row for row in drawn if (top_p_B[row] < 1.0) is nucleus]
        if not rows:
            continue
        index = torch.tensor(rows, device=device)
        chosen_BV = logits_BV if len(rows) == logits_BV.shape[0] else logits_BV[index]
        uniform = torch.tensor([uniform_B[row] for row in rows], device=device, dtype=torch.float64)
        if any(temperature_B[row] != 1.0 for row in rows):  # a pass over the vocabulary that would change nothing
            chosen_BV = chosen_BV / torch.tensor([temperature_B[row] for row in rows], device=device)[:, None]
        probability_BV = chosen_BV.softmax(-1)
        if nucleus:
            top_p = torch.tensor([top_p_B[row] for row in rows], device=device, dtype=torch.float64)
            token_B[index] = _from_nucleus(probability_BV, top_p, uniform)
        else:
            token_B[index] = _invert(probability_BV, uniform)
    return token_B


def _invert(probability_BV: Tensor, uniform_B: Tensor) -> Tensor:
    """First entry whose cumulative mass exceeds `uniform` times the total; float64, as V terms are added up."""
    cumulative_BV = probability_BV.cumsum(-1, dtype=torch.float64)
    goal_B = uniform_B * cumulative_BV[:, -1]
    found_B = torch.searchsorted(cumulative_BV, goal_B[:, None], right=True)[:, 0]
    return found_B.clamp(max=probability_BV.shape[-1] - 1)


def _from_nucleus(probability_BV: Tensor, top_p_B: Tensor, uniform_B: Tensor) -> Tensor:
    """Inverse CDF within the nucleus, likeliest first, without sorting the vocabulary.

    Tokens below (1 - top_p) / V have less mass together than the nucleus leaves out, so none of them is in it: only the
    few above it (K at most in a row) are sorted.
    """
    floor_B = (1.0 - top_p_B) / probability_BV.shape[-1]
    row, token = (probability_BV >= floor_B[:, None]).nonzero(as_tuple=True)
    count_B = torch.bincount(row, minlength=probability_BV.shape[0])
    place = torch.arange(row.numel(), device=row.device) - (count_B.cumsum(0) - count_B)[row]
    shape = (probability_BV.shape[0], int(count_B.max()))
    token_BK = token.new_zeros(shape).index_put_((row, place), token)
    probability_BK = probability_BV.new_zeros(shape).index_put_((row, place), probability_BV[row, token])
    # Stable, and tokens come in ascending order: ties never depend on the batch or the device.
    probability_BK, order_BK = probability_BK.sort(dim=-1, descending=True, stable=True)
    cumulative_BK = probability_BK.cumsum(-1, dtype=torch.float64)
    inside_BK = (cumulative_BK - probability_BK) < top_p_B[:, None]
    last_B1 = inside_BK.sum(-1, keepdim=True).clamp(min=1) - 1
    goal_B1 = uniform_B[:, None] * cumulative_BK.gather(-1, last_B1)
    place_B1 = torch.searchsorted(cumulative_BK, goal_B1, right=True).minimum(last_B1)
    return token_BK.gather(-1, order_BK.gather(-1, place_B1))[:, 0]
