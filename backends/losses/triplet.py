"""Learn-to-Reason's loss: a likelihood in which the prompt counts a little, and a triplet of rationales' last states.

    L = Σ_t w_t ℓ_t / #{w_t > 0} + cl_ratio · mean over triplets of max(0, margin − cos(a, p) + cos(a, n))

w is 1 on the rationale and mle_w on the prompt; a, p and n are the last hidden states of a right rationale, of another
right one of the same question and of a wrong one.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from backends.losses.reduction import check_shape


def triplet_loss(anchor_MD: Tensor, positive_MD: Tensor, negative_MD: Tensor, *, margin: float = 1.0) -> Tensor:
    """max(0, margin − cos(a, p) + cos(a, n)) of each triplet, (M,). Raises ConfigError for shapes that differ."""
    check_shape("the positives", positive_MD, like=anchor_MD)
    check_shape("the negatives", negative_MD, like=anchor_MD)
    near_M, far_M = (functional.cosine_similarity(anchor_MD, side, dim=-1) for side in (positive_MD, negative_MD))
    return functional.relu(margin - near_M + far_M)
