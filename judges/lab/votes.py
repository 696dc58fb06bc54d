"""From judgments to votes: one choice per time the judge compared the two answers of a pair.

A pairwise rubric is asked in both orders, and every readable reply is one vote. A rubric that looks at one answer at a
time (points, rating, label) is asked about both, and repeat i of one answer against repeat i of the other is one vote
for the higher value; equal values are a tie. A pair is *scored* if there is a vote in every order that was asked for,
since a vote in one order alone would carry the judge's taste for a position into every mean; otherwise it is missing:
never wrong, never a tie. A vote is a choice and no more: how strongly the judge put it ("A>>B", log-probabilities)
matters to a leaderboard, not to whether people agree.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from judges.lab.labelled_pair import Label, LabelledPair
from judges.types import Judgment, Order

Side = Literal["a", "b"]
SIGN: dict[Label, int] = {"a": 1, "b": -1, "tie": 0}


@dataclass(frozen=True, slots=True)
class Vote:
    """One comparison of the two answers."""

    choice: Label
    order: Order
    """"candidate_first": `a` was read first; "single": each answer was judged alone."""
    repeat: int
    reason: str = ""

    @property
    def first(self) -> int:
        """+1 if `a` was shown first, -1 if `b` was, 0 if neither."""
        return {"candidate_first": 1, "opponent_first": -1, "single": 0}[self.order]


@dataclass(frozen=True)
class PairVotes:
    """What one judge with one rubric said about one pair."""

    pair: LabelledPair
    votes: tuple[Vote, ...]
    """Readable votes only."""
    orders: tuple[Order, ...]
    """Orders that were asked for."""
    judgments: Mapping[Side, tuple[Judgment, ...]] = field(default_factory=dict)
    """By judged answer; everything is under "a" for a pairwise rubric."""

    @property
    def scored(self) -> bool:
        """True if every order has a readable vote."""
        return {vote.order for vote in self.votes} == set(self.orders)

    def mean(self, worth: Mapping[Vote, float]) -> float:
        """Mean over orders of the mean over that order's votes, so that a lost repeat does not tip the balance."""
        parts = []
        for order in self.orders:
            values = [worth[vote] for vote in self.votes if vote.order == order]
            parts.append(math.fsum(values) / len(values))
        return math.fsum(parts) / len(parts)

    @property
    def verdict(self) -> Label | None:
        """The choice that most of the votes agree on, orders weighing the same; "tie" if they cancel out.

        With one vote per order: the choice of both, or of one where the other saw a tie. None if not scored.
        """
        if not self.scored:
            return None
        net = self.mean({vote: float(SIGN[vote.choice]) for vote in self.votes})
        return "a" if net > 1e-9 else "b" if net < -1e-9 else "tie"

    @property
    def accuracy(self) -> float | None:
        """Chance that one judgment agrees with the label: a vote for it is 1, against it 0, a tie 1/2.

        A flip (one order right, the other wrong) is therefore worth 1/2. None if not scored, or if the label itself
        is a tie: there is no better answer to find.
        """
        if not self.scored or self.pair.label == "tie":
            return None
        right = SIGN[self.pair.label]
        return self.mean({vote: (1 + right * SIGN[vote.choice]) / 2 for vote in self.votes})

    @property
    def strict(self) -> float | None:
        """1.0 if the verdict over all orders is the label, else 0.0; a flip is wrong (JudgeBench's accuracy).

        Defined for labels that are ties as well: a verdict "tie" is then right. None if not scored.
        """
        verdict = self.verdict
        return None if verdict is None else float(verdict == self.pair.label)

    @property
    def flipped(self) -> float | None:
        """Share of repeats whose decision (a, b, tie) was not the same in both orders; None where no repeat has both.

        A tie in one order and a winner in the other is a flip as well: the order decided whether there is a winner.
        """
        both = self._both()
        return math.fsum(x != y for x, y in both) / len(both) if both else None

    @property
    def reversed(self) -> float | None:
        """Share of repeats in which the winner in one order was the loser in the other; None as `flipped`."""
        both = self._both()
        return math.fsum(x * y < 0 for x, y in both) / len(both) if both else None

    def _both(self) -> list[tuple[int, int]]:
        if len(self.orders) < 2:
            return []
        by_repeat: dict[int, dict[int, int]] = {}
        for vote in self.votes:
            by_repeat.setdefault(vote.repeat, {})[vote.first] = SIGN[vote.choice]
        return [(seen[1], seen[-1]) for seen in by_repeat.values() if len(seen) == 2]

    def reason(self) -> str:
        """What the judge gave as its reason: of the first vote for the verdict, else of the first vote."""
        verdict = self.verdict
        agreeing = [vote.reason for vote in self.votes if vote.choice == verdict and vote.reason]
        others = [vote.reason for vote in self.votes if vote.reason]
        return (agreeing or others or [""])[0]


def pairwise_outcome(pair: LabelledPair, judgments: Sequence[Judgment]) -> PairVotes:
    """The votes of a pairwise rubric; `Verdict.value` is for `a`, whichever was shown first."""
    votes = tuple(
        Vote(_choice(judgment.verdict.value - 0.5), judgment.order, judgment.repeat, judgment.verdict.reason)
        for judgment in judgments
        if judgment.verdict is not None
    )
    orders = tuple(sorted({judgment.order for judgment in judgments}))
    return PairVotes(pair, votes, orders, {"a": tuple(judgments)})


def pointwise_outcome(pair: LabelledPair, a: Sequence[Judgment], b: Sequence[Judgment]) -> PairVotes:
    """The votes of a rubric that judges one answer at a time: repeat i of `a` against repeat i of `b`."""
    votes = []
    others = {judgment.repeat: judgment for judgment in b}
    for mine in a:
        theirs = others.get(mine.repeat)
        if mine.verdict is None or theirs is None or theirs.verdict is None:
            continue
        gap = mine.verdict.value - theirs.verdict.value
        reason = f"a {mine.verdict.label}, b {theirs.verdict.label}"
        why = mine.verdict.reason if gap < 0 else theirs.verdict.reason  # what the lower one lost points for
        votes.append(Vote(_choice(gap), "single", mine.repeat, f"{reason}: {why}" if why else reason))
    return PairVotes(pair, tuple(votes), ("single",), {"a": tuple(a), "b": tuple(b)})


def _choice(gap: float) -> Label:
    return "a" if gap > 1e-9 else "b" if gap < -1e-9 else "tie"
