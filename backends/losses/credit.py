"""What each completion of a prompt is worth beside the others: rewards to advantages.

A reward of NaN is none: its scorer failed. It is not in its group's statistics and its advantage is NaN, which drops
the completion. A group with fewer than two rewards compares nothing and is dropped whole. Equal rewards give exact 0.

Shapes: G completions of one prompt, P parts of a reward. Everything is float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from harness.errors import ConfigError, DataError

Scale = Literal["sample", "population", "off", "batch", "task", "mean"]
"""What a reward's distance from its group's mean is divided by: the group's standard deviation over n - 1 or n (plus
1e-4), nothing (Dr. GRPO), that of all rewards of the generation, that of all of its task (Chem-R: a task with a wide
range does not drown the others), or the group's mean (MaxRL)."""

_EPSILON = 1e-4
"""TRL's and the RLKD authors' own: beside a standard deviation of .5 it is nothing, and it bounds a nearly flat one."""


def advantages(rewards: Sequence[Tensor], scale: Scale = "sample", tasks: Sequence[str] = ()) -> list[Tensor]:
    """The advantages (G,) of each group's rewards (G,), NaN where a completion is dropped.

    `tasks`: each group's, for `scale="task"`; without them all groups are of one task, and it is "batch". Raises
    DataError for `scale="mean"` with a mean that is negative: it would turn the sign around.
    """
    if scale not in get_args(Scale):
        raise ConfigError(f"unknown scale {scale!r}; choose one of {', '.join(get_args(Scale))}")
    groups = [group.double() for group in rewards]
    named = tasks if scale == "task" and tasks else [""] * len(groups)
    scored: dict[str, list[Tensor]] = {}
    for task, group in zip(named, groups, strict=True):
        scored.setdefault(task, []).append(_scored(group))
    together = {task: torch.cat(found) for task, found in scored.items()}
    return [_advantages(group, scale, together[task]) for task, group in zip(named, groups, strict=True)]


def normalised_sum(parts: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
    """GDPO (arXiv 2601.05242): each part (P, G) becomes its own advantage, then they are summed, then all are scaled.

    So a part with a wide range does not drown the others. A part with weight 0 is not read; else a part of NaN makes
    its completion's advantage NaN. The last step gives all completions of the generation mean 0 and deviation 1.
    """
    counted = weights != 0
    sums = []
    for part_PG in parts:
        own = advantages([*part_PG[counted]], "sample")
        weighed = [weight * value for weight, value in zip(weights[counted].double(), own, strict=True)]
        total = torch.stack(weighed).sum(0) if weighed else torch.zeros(part_PG.shape[1], dtype=torch.float64)
        sums.append(total if len(_scored(total)) > 1 else torch.full_like(total, math.nan))
    everything = _scored(torch.cat(sums)) if sums else torch.zeros(0)
    if len(everything) < 2 or _flat(everything):
        return [total - total for total in sums]  # 0 and NaN stay what they are
    return [(total - everything.mean()) / (everything.std() + _EPSILON) for total in sums]


def _advantages(group: Tensor, scale: Scale, everything: Tensor) -> Tensor:
    scored = _scored(group)
    if len(scored) < 2:
        return torch.full_like(group, math.nan)
    if _flat(scored):  # rounding would leave a mean that is not quite the value
        return group - group
    distance = group - scored.mean()
    if scale == "off":
        return distance
    if scale == "mean":
        if scored.mean() < 0:
            raise DataError(f"scale 'mean' needs rewards of at least 0; a group has the mean {float(scored.mean()):g}")
        return distance / (scored.mean() + _EPSILON)
    if scale in ("batch", "task"):
        return distance / (everything.std() + _EPSILON)
    return distance / (scored.std(correction=int(scale == "sample")) + _EPSILON)


def _scored(values: Tensor) -> Tensor:
    return values[~values.isnan()]


def _flat(values: Tensor) -> bool:
    return bool(values.max() == values.min())


def perplexity_weights(mean_logps: Tensor, chosen: Tensor, *, likely: bool, tau: float = 1.0) -> Tensor:
    """SCOPE's weights (G,) of the chosen completions of a group, which average 1; 0 for the others.

    A softmax of mean log-probabilities / tau: `likely` weighs up what is likely (the teacher's perplexity to -1 / tau),
    else what is unlikely (the student's to 1 / tau). Without gradient.
    """
    chosen, weights = chosen.bool(), torch.zeros_like(mean_logps, dtype=torch.float64)
    if not tau > 0:
        raise ConfigError(f"tau must be above 0, not {tau!r}")
    if bool(chosen.any()):
        scores = mean_logps.detach().double()[chosen] * (1 if likely else -1) / tau
        weights[chosen] = scores.softmax(0) * chosen.sum()
    return weights
