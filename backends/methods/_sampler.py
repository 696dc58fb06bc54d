"""How far the sampler is from the student: every objective on drawn tokens logs it as "sampler_gap".

`backends.rollouts.sampler_gap` judges it: weights that do not arrive in an engine are otherwise seen by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from backends.trainers.batch import Batch

_SAMPLED = "sampled"


def sampled_counts(batch: Batch) -> dict[str, Tensor]:
    """Learnt tokens that a sampler drew, as a count of the step: a record's own response has no sampler."""
    return {_SAMPLED: _sampled(batch).sum()}


def sampler_gap(batch: Batch, logps_RT: Tensor, counts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The micro-batch's share of the mean |log p of the student - log p of the sampler|.

    `logps_RT` are at the sampling temperature; compared is the policy that the generation began with. Empty where no
    token of the step was drawn.
    """
    if not int(counts[_SAMPLED]):
        return {}
    sampler_RT = batch.extras.get("sampler_logps", logps_RT)
    began_RT = batch.extras.get("old_logps", logps_RT)
    distance_RT = (began_RT - sampler_RT).detach().abs().float()
    kept_RT = torch.where(_sampled(batch), distance_RT, torch.zeros_like(distance_RT))
    return {"sampler_gap": kept_RT.sum() / counts[_SAMPLED]}


def _sampled(batch: Batch) -> Tensor:
    found = batch.extras.get("sampler_logps")
    return torch.zeros_like(batch.mask_RT) if found is None else batch.mask_RT & ~torch.isnan(found)
