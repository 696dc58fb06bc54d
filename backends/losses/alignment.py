"""Which tokens of two tokenisations of one response belong together, as groups (first, after the last) of each side.

"positions" pairs the i-th token with the i-th, as far as the shorter side goes (ULD). "bytes" cuts both at the bytes
where a token of either side ends (GOLD): a group is what lies between two such places, one token or several on a side.

Byte ends, not text: a character may be cut by either tokenizer, and what one side has more in front (a blank, a tag)
must not shift everything behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

import torch
from torch import Tensor

Alignment = Literal["positions", "bytes"]
"""The rule: the i-th token with the i-th, or what ends at the same byte."""
Span = tuple[int, int]
"""Tokens of a group: the first, and the one after the last."""


def by_position(student: int, teacher: int) -> list[tuple[Span, Span]]:
    """Groups of one token each, of two sides of so many tokens."""
    return [((place, place + 1), (place, place + 1)) for place in range(min(student, teacher))]


def by_bytes(student: Sequence[bytes], teacher: Sequence[bytes]) -> list[tuple[Span, Span]]:
    """Groups that end at the same byte, counted from the end of the text; what is before the shorter side has none.

    One side's bytes must end in the other's.
    """
    ours, theirs = ([*accumulate(map(len, side))] for side in (student, teacher))
    shift = (theirs[-1] if theirs else 0) - (ours[-1] if ours else 0)
    last_of_ours = {end + shift: place for place, end in enumerate(ours) if end + shift > 0}
    last_of_theirs = {end: place for place, end in enumerate(theirs) if end - shift > 0}
    first_of_ours = next((place for place, end in enumerate(ours) if end + shift > 0), 0)
    first_of_theirs = next((place for place, end in enumerate(theirs) if end - shift > 0), 0)
    groups = []
    for end in sorted(last_of_ours.keys() & last_of_theirs.keys()):
        spans = ((first_of_ours, last_of_ours[end] + 1), (first_of_theirs, last_of_theirs[end] + 1))
        groups.append(spans)
        first_of_ours, first_of_theirs = spans[0][1], spans[1][1]
    return groups


@dataclass(frozen=True)
class Groups:
    """The groups of a batch on one side; places count through its rows, at the position that predicts a token."""

    last_G: Tensor
    """Where the last token of each group is predicted."""
    earlier_M: Tensor
    """Where the earlier tokens of groups are predicted."""
    tokens_M: Tensor
    """Those tokens."""
    group_M: Tensor
    """The groups that they are of."""


def side(groups: Sequence[tuple[Sequence[int], Sequence[int]]], device: torch.device | str = "cpu") -> Groups:
    """Of groups given as (places, tokens) of each, at least one token a group."""
    earlier = [
        (place, token, number)
        for number, (places, tokens) in enumerate(groups)
        for place, token in zip(places[:-1], tokens[:-1], strict=True)
    ]
    columns = torch.tensor(earlier, dtype=torch.int64, device=device).reshape(-1, 3).T
    last_G = torch.tensor([places[-1] for places, _ in groups], dtype=torch.int64, device=device)
    return Groups(last_G, *columns)
