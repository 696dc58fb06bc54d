"""Divergences between a student's and a teacher's next-token distributions, a few positions at a time.

`token_divergence` compares two sets of logits, whole or on the k most likely tokens of one side; `stored_divergence`
compares logits with a teacher's stored top-k log-probabilities; `sampled_divergence` needs only the log-probability of
the sampled token. Logits may be `HeadLogits`, which are never built whole. All give one value per position in nats;
`reduction.reduce_tokens` makes a loss of them.

Gradients flow to whichever argument asks for one: a teacher runs under `no_grad`, and a symmetric loss between two
views of one student (MCC-KD) gets both sides. Nothing here averages, and positions outside the mask are not visited.

Shapes: B rows, T positions, V vocabulary, K tokens kept, n positions of a chunk. Results are float32 (float64 for
float64 student logits), 0 outside the mask.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from backends.losses.chunks import accumulation_dtype, map_rows, spread
from backends.losses.positions import (
    Logits,
    chunk_of,
    over_positions,
    positions_shape,
    row_scores,
    row_states,
    vocabulary_size,
)
from backends.losses.reduction import check_shape
from harness.errors import ConfigError, DataError

Kind = Literal["forward_kl", "reverse_kl", "jsd", "tvd"]
Mass = Literal["renormalise", "tail"]
Estimator = Literal["k1", "k2", "k3"]


def token_divergence(
    student: Logits,
    teacher: Logits,
    mask_BT: Tensor,
    *,
    kind: Kind,
    beta: float = 0.5,
    temperature: float = 1.0,
    tau2_scale: bool = False,
    vocabulary: int | None = None,
    top_k: int | None = None,
    top_k_of: Literal["teacher", "student"] = "teacher",
    mass: Mass = "renormalise",
    most: float | None = None,
    chunk: int | None = None,
) -> Tensor:
    """D(teacher, student) at each position where the mask (B, T) is true, from logits, as (B, T).

    - `forward_kl`: sum p_T (log p_T - log p_S); `reverse_kl`: sum p_S (log p_S - log p_T); `tvd`: half the L1 distance;
    - `jsd`: beta KL(p_T || M) + (1 - beta) KL(p_S || M) with M = beta p_T + (1 - beta) p_S (GKD Eq. 1, as in TRL). As
      in TRL the ends are special: beta 0 is the forward KL and beta 1 the reverse, although the formula tends to 0.

    `temperature` divides both logits; `tau2_scale` then multiplies the value by its square (Hinton's scaling; GKD and
    TRL do not). `top_k` compares only the k most likely tokens of `top_k_of`: `mass="renormalise"` makes both sum to
    one over them, `mass="tail"` keeps their probabilities and adds one bucket with each model's rest. `most`
    bounds what each token adds to a KL's sum (OPSD's pointwise clip): where it does, no gradient flows.

    `vocabulary`: only the first so many logits count. One tokenizer's models differ in padding (Qwen2.5 has 151,936 or
    152,064 rows), so different widths are refused until the caller, who has compared the tokenizers, says how many rows
    both mean. Cutting equals setting the padding to -inf, which is understood too: where both models have -inf, nothing
    is added. Where only the model inside the logarithm has it, the KL is infinite, as it should be.

    Raises ConfigError for widths, shapes or options that do not fit.
    """
    limit = _vocabulary(student, teacher, vocabulary)
    check_shape("the mask", mask_BT, like=positions_shape(student))
    check_shape("the teacher's positions", positions_shape(teacher), like=positions_shape(student))
    _check(kind, beta, temperature, mass)
    if top_k is not None and top_k < 1:
        raise ConfigError(f"top_k is {top_k!r}; it must be at least 1")
    if top_k_of not in ("teacher", "student"):
        raise ConfigError(f"unknown top_k_of {top_k_of!r}; choose 'teacher' or 'student'")
    kept = None if top_k is None or top_k >= limit else top_k
    (student_N, student_head), (teacher_N, teacher_head) = row_states(student), row_states(teacher)
    wide, heads = accumulation_dtype(student_N.dtype), len(student_head)

    def compare(student: Tensor, teacher: Tensor, *head: Tensor) -> Tensor:
        scores = (row_scores(student, head[:heads]), row_scores(teacher, head[heads:]))
        student, teacher = (z[:, :limit].to(wide) / temperature for z in scores)
        if kept is not None:
            ids = (teacher if top_k_of == "teacher" else student).detach().topk(kept, dim=-1).indices
            student, teacher = (_restrict(z, ids, mass) for z in (student, teacher))
        return divergence(student.log_softmax(-1), teacher.log_softmax(-1), kind=kind, beta=beta, most=most)

    rows = mask_BT.reshape(-1).bool().nonzero().flatten()
    width = min(chunk_of(student, chunk), chunk_of(teacher, chunk))
    found = map_rows(compare, (student_N, teacher_N), (*student_head, *teacher_head), chunk=width, index=rows)
    return spread(found * temperature**2 if tau2_scale else found, rows, like=mask_BT)


def stored_divergence(
    student: Logits,
    teacher_logps_BTK: Tensor,
    ids_BTK: Tensor,
    mask_BT: Tensor,
    *,
    kind: Kind,
    beta: float = 0.5,
    temperature: float = 1.0,
    tau2_scale: bool = False,
    mass: Mass = "renormalise",
    chunk: int | None = None,
) -> Tensor:
    """As `token_divergence` with `top_k`, from a teacher's stored log-probabilities (B, T, K) of the tokens `ids_BTK`.

    The log-probabilities are those of the whole vocabulary at temperature 1. -inf marks an unused slot (its id is not
    read); the first slot is always used. A temperature other than 1 needs `mass="renormalise"`: what the stored tokens'
    rest would weigh at another temperature is not known.

    Raises DataError for stored values that are no log-probabilities or ids outside the student's vocabulary, and
    ConfigError as `token_divergence`.
    """
    check_shape("the stored ids", ids_BTK, like=teacher_logps_BTK)
    check_shape("the teacher's positions", teacher_logps_BTK[..., 0], like=mask_BT)
    _check(kind, beta, temperature, mass)
    if mass == "tail" and temperature != 1.0:
        raise ConfigError(
            "mass 'tail' needs temperature 1: a stored top-k does not tell the rest's mass at another one"
        )
    vocabulary, counted_BT = vocabulary_size(student), mask_BT.bool()
    _check_stored(teacher_logps_BTK[counted_BT], ids_BTK[counted_BT], vocabulary)

    def compare(student: Tensor, b_n: Tensor, t_n: Tensor) -> tuple[Tensor]:
        teacher, ids = teacher_logps_BTK[b_n, t_n].to(student.dtype), ids_BTK[b_n, t_n]
        unused = teacher.isneginf()
        # An unused slot takes the first slot's id, so that nothing else leaves the student's rest.
        student = _restrict(student / temperature, torch.where(unused, ids[:, :1], ids), mass)
        if mass == "tail":
            most = 1 - torch.finfo(student.dtype).eps
            rest = torch.log1p(-teacher.exp().sum(-1, keepdim=True).clamp_max(most))
            teacher = torch.cat([teacher, rest], dim=-1)
            unused = torch.cat([unused, torch.zeros_like(unused[:, :1])], dim=-1)
        else:
            teacher = (teacher / temperature).log_softmax(-1)
        student = student.masked_fill(unused, -math.inf).log_softmax(-1)
        return (divergence(student, teacher, kind=kind, beta=beta),)

    (found_BT,) = over_positions(compare, student, counted_BT, chunk=chunk)
    return found_BT * temperature**2 if tau2_scale else found_BT


def sampled_divergence(student_logps_BT: Tensor, teacher_logps_BT: Tensor, *, estimator: Estimator) -> Tensor:
    """Estimates of KL(p_S || p_T) from the log-probabilities (any shape) of tokens that the student sampled.

    With u = log p_S - log p_T: k1 = u, k2 = u^2 / 2, k3 = exp(-u) + u - 1. As losses only k2 has the reverse KL's
    gradient in expectation: k1's is 0 (use it as a reward), k3's is E_S[(1 - p_T / p_S) grad log p_S].
    """
    check_shape("the teacher's log-probabilities", teacher_logps_BT, like=student_logps_BT)
    u = student_logps_BT - teacher_logps_BT
    if estimator == "k1":
        return u
    if estimator == "k2":
        return u.square() / 2
    if estimator == "k3":
        return torch.expm1(-u) + u
    raise ConfigError(f"unknown estimator {estimator!r}; choose one of {', '.join(get_args(Estimator))}")


def divergence(student: Tensor, teacher: Tensor, *, kind: Kind, beta: float = 0.5, most: float | None = None) -> Tensor:
    """The divergence of log-probabilities (..., V) along the last dimension, whole and unchunked: (...)."""
    if kind == "forward_kl" or (kind == "jsd" and beta == 0.0):
        return _expected(teacher, teacher - student, most)
    if kind == "reverse_kl" or (kind == "jsd" and beta == 1.0):
        return _expected(student, student - teacher, most)
    if most is not None:
        raise ConfigError(f"only a KL's summands can be bounded, not those of {kind!r}")
    if kind == "tvd":
        return (student.exp() - teacher.exp()).abs().sum(-1) / 2
    to_teacher, to_student = _mixture(student - teacher, beta)
    return beta * _expected(teacher, to_teacher) + (1 - beta) * _expected(student, to_student)


def _expected(log_p: Tensor, value: Tensor, most: float | None = None) -> Tensor:
    """sum_v p_v value_v with 0 where p_v = 0, also for infinite values, and no NaN in the gradient."""
    p = log_p.exp()
    found = p * torch.where(p > 0, value, torch.zeros_like(value))
    return (found if most is None else found.clamp_max(most)).sum(-1)


def _mixture(gap: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Of gap = log p_S - log p_T: log p_T - log M and log p_S - log M, for 0 < beta < 1.

    This way both are exactly 0 for equal inputs, where a difference of logarithms is noise, and nothing overflows.
    """
    gap = gap.nan_to_num(nan=0.0, posinf=math.inf, neginf=-math.inf)  # both -inf: no mass on either side
    below = gap <= 0
    zero = torch.zeros_like(gap)
    # Of M's two parts the larger is factored out; `where`, not |gap|, whose slope at 0 would be wrong.
    smaller = torch.expm1(torch.where(below, gap, -gap)) * torch.where(
        below, gap.new_full((), 1 - beta), gap.new_full((), beta)
    )
    rest = torch.log1p(smaller)
    return -rest - torch.where(below, zero, gap), torch.where(below, gap, zero) - rest


def _restrict(logits: Tensor, ids: Tensor, mass: Mass) -> Tensor:
    """Logits (n, K) of the chosen tokens, with `tail` (n, K + 1): the last is the log of all others' mass."""
    chosen = logits.gather(1, ids)
    if mass == "renormalise":
        return chosen
    others = logits.scatter(1, ids, -math.inf)
    nothing = others.isneginf().all(dim=-1, keepdim=True)  # a log-sum-exp of nothing has a NaN gradient
    rest = others.masked_fill(nothing, 0.0).logsumexp(-1, keepdim=True).masked_fill(nothing, -math.inf)
    return torch.cat([chosen, rest], dim=-1)


def _vocabulary(student: Logits, teacher: Logits, vocabulary: int | None) -> int:
    """How many logits of both sides count."""
    widths = (vocabulary_size(student), vocabulary_size(teacher))
    if vocabulary is None:
        if widths[0] != widths[1]:
            raise ConfigError(
                f"the student has {widths[0]} logits and the teacher {widths[1]}: "
                "if their tokenizers are the same, pass the number of rows both mean as `vocabulary`"
            )
        return widths[0]
    if not 1 <= vocabulary <= min(widths):
        raise ConfigError(f"vocabulary {vocabulary!r} does not fit logits of {widths[0]} and {widths[1]} tokens")
    return vocabulary


def _check(kind: str, beta: float, temperature: float, mass: str) -> None:
    if kind not in get_args(Kind):
        raise ConfigError(f"unknown divergence {kind!r}; choose one of {', '.join(get_args(Kind))}")
    if not 0.0 <= beta <= 1.0:
        raise ConfigError(f"beta is {beta!r}; it must lie between 0 and 1")
    if not 0.0 < temperature < math.inf:
        raise ConfigError(f"a temperature must be above 0 and finite, not {temperature!r}")
    if mass not in get_args(Mass):
        raise ConfigError(f"unknown mass {mass!r}; choose one of {', '.join(get_args(Mass))}")


def _check_stored(logps_NK: Tensor, ids_NK: Tensor, vocabulary: int) -> None:
    """Raise DataError unless every row is a part of a distribution over this vocabulary."""
    if logps_NK.numel() == 0:
        return
    total = logps_NK.exp().sum(-1)
    if bool(logps_NK[:, 0].isneginf().any()) or not bool((total <= 1.001).all()):  # `not <=` also catches NaN
        raise DataError("stored teacher values are no log-probabilities: a row is empty or sums to more than 1")
    used = ids_NK[~logps_NK.isneginf()]
    low, high = int(used.min()), int(used.max())
    if low < 0 or high >= vocabulary:
        raise DataError(f"stored id {low if low < 0 else high} is outside the student's {vocabulary} tokens")
