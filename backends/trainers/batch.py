"""One micro-batch as a method's loss sees it: per-token tensors are already at the position that predicts the token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from backends.losses.nll import next_token
from backends.records.segments import CODE, IGNORED, Segment


@dataclass(frozen=True)
class Batch:
    """R rows (examples x slots, slot by slot) of T positions. Position t of a `_RT` tensor speaks of token t + 1.

    So a loss pairs position t with the scores of position t and shifts nothing. The last position predicts nothing.
    """

    inputs: Mapping[str, Tensor]
    """What the model's forward pass takes: "input_ids" and "attention_mask", (R, T), not shifted."""
    labels_RT: Tensor
    """Token to predict, -100 where nothing is learnt."""
    segments_RT: Tensor
    """Segment of the token to predict, codes of `backends.records.segments.SEGMENTS`."""
    example_R: Tensor
    """Which example of this micro-batch a row belongs to."""
    slot_R: Tensor
    """Which of its example's sequences a row is: 0 chosen, 1 rejected; the number of the view or of the candidate."""
    index_R: Tensor
    """The example's number in the whole data set."""
    rewards_R: Tensor | None
    """Of candidates."""
    extras: Mapping[str, Tensor]
    """Further per-token arrays of the examples, (R, T, …), at the predicting position; 0 in the padding."""
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    """Of completions that the student drew: one number a row, (R,) float32."""
    aside: Batch | None = None
    """The same rows behind other prompts. The i-th learnt token of a row is the i-th of its row aside: values move
    from one to the other by their masks alone."""

    @property
    def mask_RT(self) -> Tensor:
        """Where a token is learnt, bool."""
        return self.labels_RT != IGNORED

    def part(self, *segments: Segment) -> Tensor:
        """Where a token of these segments is learnt, (R, T) bool."""
        codes = torch.tensor([CODE[name] for name in segments], device=self.segments_RT.device)
        return torch.isin(self.segments_RT, codes) & self.mask_RT

    @property
    def examples(self) -> int:
        """Number of examples."""
        return int(self.example_R.max()) + 1

    def rows(self, slot: int) -> Tensor:
        """Row numbers of a slot, in the order of the examples that have it."""
        return (self.slot_R == slot).nonzero()[:, 0]

    def table(self, values_R: Tensor) -> tuple[Tensor, Tensor]:
        """Values of rows as (examples, slots), 0 where an example has fewer, and which are there; differentiable."""
        shape = (self.examples, int(self.slot_R.max()) + 1)
        where = (self.example_R, self.slot_R)
        valid_BK = torch.zeros(shape, dtype=torch.bool, device=values_R.device)
        valid_BK[where] = True
        return values_R.new_zeros(shape).index_put(where, values_R), valid_BK


_INPUTS = ("input_ids", "attention_mask")
_KNOWN = {*_INPUTS, "labels", "segments", "example", "slot", "index", "rewards", "numbers", "aside"}


def as_batch(collated: Mapping[str, Any]) -> Batch:
    """The batch of what `backends.records.collate.collate` returned."""
    return Batch(
        inputs={name: collated[name] for name in _INPUTS},
        labels_RT=next_token(collated["labels"], IGNORED),
        segments_RT=next_token(collated["segments"], CODE["pad"]),
        example_R=collated["example"],
        slot_R=collated["slot"],
        index_R=collated["index"],
        rewards_R=collated.get("rewards"),
        extras={name: next_token(value, 0) for name, value in collated.items() if name not in _KNOWN},
        numbers=collated.get("numbers", {}),
        aside=as_batch(collated["aside"]) if "aside" in collated else None,
    )
