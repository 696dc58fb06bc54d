"""A labelled pair: a question, two answers, and which one people (or a verifier) say is better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Label = Literal["a", "b", "tie"]
LABELS: tuple[Label, ...] = ("a", "b", "tie")


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """Two answers to one question and the label that a judge should reproduce."""

    id: str
    turns: tuple[str, ...]
    """What the user said, turn by turn."""
    a: tuple[str, ...]
    """One answer per turn; the last one is judged."""
    b: tuple[str, ...]
    label: Label
    """The better answer: the majority of `votes` where there are several."""
    subset: str = ""
    model_a: str = ""
    """Who wrote `a`, where known: for self-preference."""
    model_b: str = ""
    votes: tuple[Label, ...] = ()
    """Every human vote, where the set keeps them; empty for one."""
    cluster: str = ""
    """Pairs about the same question share a cluster."""


def majority(votes: Sequence[Label]) -> Label:
    """The label with most votes; "tie" where "a" and "b" are even, or no label is ahead of both others."""
    counts = Counter(votes)
    best = max(counts.values())
    leaders = [label for label in LABELS if counts[label] == best]
    return leaders[0] if len(leaders) == 1 else "tie"
