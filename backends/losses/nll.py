"""Token log-probabilities and the weighted negative log-likelihood: the base of most methods.

`token_logps` reads logits, or the last hidden states and the LM head, of which it never holds the logits of more than
one chunk. It has its own backward pass (the gradient of log p_y with respect to the logits is onehot(y) - p), visits
only positions with a label, and in the backward pass only those whose gradient is not zero: under key-step weights
(KRSL) that is a small part of the response.

Alignment: everywhere in `backends.losses`, position t holds what is *predicted at t*, that is token t + 1 of the
sequence. `next_token` moves labels, masks and weights there. The logits are not cut, which would copy them.

Shapes: B rows, T positions, V vocabulary, D hidden size. Log-probabilities are in nats, float32 (float64 for float64).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from backends.losses.chunks import (
    CHUNK_ELEMENTS,
    HEADLESS_ELEMENTS,
    accumulation_dtype,
    chunk_rows,
    spans,
    spread,
)
from backends.losses.positions import Logits, states_of
from backends.losses.reduction import Reduction, check_shape, reduce_tokens
from harness.errors import ConfigError, DataError

IGNORE = -100
"""The label of a position that has no target (prompt, padding, the last one)."""


def next_token(values_BT: Tensor, fill: float) -> Tensor:
    """Per-token values (B, T, …) moved one place left, to the position that predicts the token; `fill` goes last.

    Labels take `IGNORE`, masks and weights 0.
    """
    return torch.cat([values_BT[:, 1:], torch.full_like(values_BT[:, :1], fill)], dim=1)


def token_logps(
    logits: Logits, labels_BT: Tensor, *, temperature: float | Tensor = 1.0, chunk: int | None = None
) -> Tensor:
    """Natural log of softmax(logits / temperature)[label], (B, T); exactly 0 where the label is `IGNORE`.

    `HeadLogits` are computed chunk by chunk, twice, and never stored; gradients reach the hidden states, the head and
    the bias (the head's is summed in float32), and the product runs in autocast's dtype where autocast is on.

    `temperature`: a number or a tensor (B, T), never differentiated (CurioSFT's reference has one per token). `chunk`:
    positions at a time; it changes memory, not the result. Raises DataError for a label outside the vocabulary and
    ConfigError for shapes or a temperature that cannot be.
    """
    rows_N, found_N, _ = _label_values(logits, labels_BT, temperature, chunk, entropy=False)
    return spread(found_N, rows_N, like=labels_BT)


def token_logps_and_entropies(
    logits: Logits, labels_BT: Tensor, *, temperature: float = 1.0, chunk: int | None = None
) -> tuple[Tensor, Tensor]:
    """What `token_logps` gives, and the entropy of each labelled position's distribution in nats, without gradient.

    Both come of one product with the head.
    """
    rows_N, *found = _label_values(logits, labels_BT, temperature, chunk, entropy=True)
    logps_BT, entropy_BT = (spread(values_N, rows_N, like=labels_BT) for values_N in found)
    return logps_BT, entropy_BT


def _label_values(
    logits: Logits, labels_BT: Tensor, temperature: float | Tensor, chunk: int | None, *, entropy: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """(places of the labels, log-probabilities there, entropies there or nothing)."""
    states, parameters = states_of(logits)
    head, bias = (*parameters, None, None)[:2]
    if states.dim() != 3:
        raise ConfigError(f"expected (B, T, width), got the shape {tuple(states.shape)}")
    check_shape("the labels", labels_BT, like=states[..., 0])
    vocabulary = states.shape[-1] if head is None else head.shape[0]
    if head is not None and head.shape[1] != states.shape[-1]:
        raise ConfigError(f"hidden states of size {states.shape[-1]} do not fit a head of shape {tuple(head.shape)}")
    labels = labels_BT.reshape(-1)
    rows_N = (labels != IGNORE).nonzero().flatten()
    targets_N = labels[rows_N]
    if targets_N.numel() > 0:
        low, high = int(targets_N.min()), int(targets_N.max())
        if low < 0 or high >= vocabulary:  # on an accelerator the index error would end the process
            raise DataError(f"label {low if low < 0 else high} is outside the vocabulary of {vocabulary} tokens")
    inverse_N = _inverse_temperature(temperature, labels_BT, rows_N, accumulation_dtype(states.dtype))
    rows = chunk_rows(vocabulary, chunk, HEADLESS_ELEMENTS if head is None else CHUNK_ELEMENTS)
    flat = states.reshape(-1, states.shape[-1])
    found_N, entropy_N = _TokenLogps.apply(flat, head, bias, rows_N, targets_N, inverse_N, rows, entropy)
    return rows_N, found_N, entropy_N


def weighted_nll(
    logps_BT: Tensor,
    mask_BT: Tensor,
    weights_BT: Tensor | None = None,
    *,
    reduction: Reduction = "token",
    num_items: int | Tensor | None = None,
) -> Tensor:
    """The sum over counted positions of -weight * log p, reduced to a scalar.

    Weights may be negative (unlikelihood terms) and are detached. The denominator counts positions, not weights: a
    token with weight 0 still counts, so scaling the weights scales the loss. Errors: those of `reduce_tokens`.
    """
    values_BT = -logps_BT
    if weights_BT is not None:
        check_shape("the weights", weights_BT, like=logps_BT)
        values_BT = values_BT * weights_BT.detach().to(values_BT.dtype)
    return reduce_tokens(values_BT, mask_BT, reduction=reduction, num_items=num_items)


def _inverse_temperature(
    temperature: float | Tensor, labels_BT: Tensor, rows_N: Tensor, dtype: torch.dtype
) -> Tensor | None:
    """1 / temperature for each labelled position, or None when there is nothing to divide by."""
    if isinstance(temperature, Tensor):
        check_shape("the temperature", temperature, like=labels_BT)
        chosen = temperature.detach().reshape(-1)[rows_N].to(dtype)
        if bool((chosen <= 0).any()):
            raise ConfigError("a temperature must be above 0")
        return 1.0 / chosen
    if not temperature > 0:
        raise ConfigError(f"a temperature must be above 0, not {temperature!r}")
    if temperature == 1.0:
        return None
    return torch.full(rows_N.shape, 1.0 / temperature, dtype=dtype, device=rows_N.device)


class _TokenLogps(torch.autograd.Function):  # type: ignore[misc]  # torch is untyped here
    """Log-probabilities (N,) of `targets_N` at the positions `rows_N` of the states (B * T, V or D); entropies (N,)."""

    @staticmethod
    def forward(
        ctx: Any,
        states: Tensor,
        head: Tensor | None,
        bias: Tensor | None,
        rows_N: Tensor,
        targets_N: Tensor,
        inverse_N: Tensor | None,
        chunk: int,
        entropy: bool,
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(states, head, bias, rows_N, targets_N, inverse_N)
        ctx.chunk = chunk
        parts, entropies = [], []
        for span in spans(rows_N.shape[0], chunk):
            inverse = None if inverse_N is None else inverse_N[span]
            logits = _logits(states[rows_N[span]], head, bias, inverse)
            log_p = logits.log_softmax(dim=-1)
            parts.append(log_p.gather(1, targets_N[span, None]).squeeze(1))
            if entropy:  # a token of probability 0 adds 0, not 0 x infinity
                entropies.append(-(log_p.exp() * log_p.clamp(min=torch.finfo(log_p.dtype).min)).sum(-1))
        found, beside = torch.cat(parts), torch.cat(entropies) if entropy else parts[0].new_zeros(0)
        ctx.mark_non_differentiable(beside)
        return found, beside

    @staticmethod
    @torch.autograd.function.once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, grad_N: Tensor, _: Tensor) -> tuple[Any, ...]:
        states, head, bias, rows_N, targets_N, inverse_N = ctx.saved_tensors
        need_states, need_head, need_bias = ctx.needs_input_grad[:3]
        wide = accumulation_dtype(states.dtype)
        grad_states = torch.zeros_like(states) if need_states else None
        grad_head = torch.zeros_like(head, dtype=wide) if need_head else None
        grad_bias = torch.zeros_like(bias, dtype=wide) if need_bias else None
        active = grad_N.nonzero().flatten()
        for span in spans(active.shape[0], ctx.chunk):
            pick = active[span]
            rows, inverse = rows_N[pick], None if inverse_N is None else inverse_N[pick]
            chosen = states[rows]
            scale = grad_N[pick] if inverse is None else grad_N[pick] * inverse
            slope = _logits(chosen, head, bias, inverse).softmax(dim=-1).mul_(-scale[:, None])
            slope.scatter_add_(1, targets_N[pick, None], scale[:, None])
            if grad_bias is not None:
                grad_bias += slope.sum(dim=0)
            narrow = slope.to(states.dtype)
            with torch.autocast(states.device.type, enabled=False):
                if grad_head is not None:
                    grad_head += narrow.t() @ chosen
                if grad_states is not None:
                    grad_states[rows] = narrow if head is None else narrow @ head
        return (
            grad_states,
            None if grad_head is None else grad_head.to(head.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            *(None,) * 5,
        )


def _logits(states: Tensor, head: Tensor | None, bias: Tensor | None, inverse: Tensor | None) -> Tensor:
    """float32 logits (n, V) of a few positions, divided by their temperatures; always a fresh tensor."""
    if head is not None:
        with torch.autocast(states.device.type, enabled=False):
            states = torch.nn.functional.linear(states, head, bias)
    logits = states.to(accumulation_dtype(states.dtype))
    return logits if inverse is None else logits * inverse[:, None]
