"""Judge answers against an opponent's, in both orders, because judges prefer a place as well as an answer.

An answer's value is its share of the votes: a verdict for it is 1, a tie 0.5, a verdict for the opponent 0, and where
the rubric's choices have weights ("A>>B" counts 3) a verdict is that many votes. Each order's votes are averaged over
its readable repeats first, so that a lost repeat does not give one order the larger say. If nothing could be read in
one order the answer is unscored: what is left would be the judge's preference for a place.

`flipped` says that the decision (this answer, the other, a tie) was not the same in both orders; a tie in one order and
a winner in the other is a flip too, since the order decided whether there is a winner.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.errors import DataError, UsageError
from harness.hashing import canonical_json
from harness.stats.agreement import Level
from harness.stats.standard_errors import mean_interval
from harness.types import Completion, Estimate, Json
from judges.pointwise import alternatives, check_sampling, rubric_ask, unscored
from judges.replies.parse import PARSER_VERSION
from judges.summary import mean_summary, status_counts
from judges.types import Ask, Judged, Judging, Judgment, Order, Orders, Part, Rubric, Summary, Task, Verdict

WIN_RATE = "win_rate"
VOTE_SHARE = "vote_share"
_RATES = {"flip": "flip_rate", "tie": "tie_rate", "first": "first_rate"}
_CLOSE = 1e-9


@dataclass(frozen=True)
class PairwiseJudging(Judging):
    """Rubrics of kind "pairwise"."""

    rubric: Rubric
    orders: Orders = "both"
    """"random": one order, drawn from the content of the task, so that it is the same in every run and for every
    judge; half the price, no flip rate, and the preference for a place only cancels over many tasks."""
    repeats: int = 1
    """Judgments of the same answers in the same order."""
    temperature: float = 0.0

    def __post_init__(self) -> None:
        if self.rubric.kind != "pairwise":
            raise UsageError(f"rubric {self.rubric.name!r} is of kind {self.rubric.kind!r}: use RubricJudging")
        check_sampling(self.repeats, self.temperature)

    @property
    def name(self) -> str:
        """The rubric's name."""
        return self.rubric.name

    def identity(self) -> Mapping[str, Json]:
        """Rubric, orders, sampling and parser."""
        return {
            "judging": "pairwise",
            "rubric": self.rubric.id,
            "orders": self.orders,
            "repeats": self.repeats,
            "temperature": self.temperature,
            "top_logprobs": alternatives(self.rubric),
            "parser": PARSER_VERSION,
        }

    def needs_opponent(self) -> bool:
        """Always."""
        return True

    @property
    def part(self) -> Part:
        """The rubric's."""
        return self.rubric.part

    @property
    def level(self) -> Level:
        """Preferences are ordered."""
        return "ordinal"

    def asks(self, task: Task) -> Sequence[Ask]:
        """Every repeat of the candidate-first order, then of the opponent-first one.

        Raises `DataError` if the task has no opponent, or one with another number of turns.
        """
        ask = partial(rubric_ask, self.rubric, task, temperature=self.temperature)
        games = [game(task, order, ask) for order in self._orders(task)]
        return [replace(one, repeat=repeat) for one in games for repeat in range(self.repeats)]

    def _orders(self, task: Task) -> tuple[Order, ...]:
        if self.orders == "both":
            return ("candidate_first", "opponent_first")
        content = canonical_json([task.problem_id, task.turns, sorted([task.answers, task.opponent or ()])])
        # Sorted, so that the two models swap places when they swap roles: one of them is first either way.
        sorted_first = hashlib.sha256(content.encode("utf-8", "surrogatepass")).digest()[0] % 2 == 0
        mine_sorted_first = task.answers <= (task.opponent or ())
        return ("candidate_first",) if sorted_first == mine_sorted_first else ("opponent_first",)

    def rubric_id(self, task: Task) -> str:
        """`Rubric.id`."""
        return self.rubric.id

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """Share of the votes over the orders, see the module.

        Parts: "flip" (both orders only), "tie" and "first" (share of the readable verdicts that are ties, and mean
        preference for the answer shown first).
        """
        orders = self._orders(task)
        read = {o: [j.verdict for j in judgments if j.order == o and j.verdict is not None] for o in orders}
        if not all(read.values()):
            return unscored(task, [j for j in judgments if not read.get(j.order)])
        votes = math.fsum(_mean([v.weight for v in said]) for said in read.values())
        won = math.fsum(_mean([v.weight * v.value for v in said]) for said in read.values())
        by_order = {order: _mean([v.value for v in said]) for order, said in read.items()}
        flipped = None
        if len(orders) == 2:
            flipped = len({_decision(value) for value in by_order.values()}) > 1
        everything = [v.value for said in read.values() for v in said]
        firsts = [value if order == "candidate_first" else 1.0 - value for order, value in by_order.items()]
        parts = {"tie": _mean([float(_decision(value) == 0) for value in everything]), "first": _mean(firsts)}
        return Judged(
            task.problem_id,
            task.attempt,
            min(1.0, won / votes),
            "scored",
            weight=votes if self._weighted else 1.0,
            parts=parts if flipped is None else {"flip": float(flipped)} | parts,
            cluster=task.cluster,
            flipped=flipped,
        )

    @property
    def _weighted(self) -> bool:
        return any(choice.weight != 1.0 for choice in self.rubric.choices)

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline "win_rate": every problem counts once, a tie half.

        Beside it "flip_rate", "tie_rate", "first_rate" (0.5 is a judge without a preference for a place), and, where
        the rubric's choices have weights, "vote_share": every *vote* counts once, as in Arena-Hard.
        """
        summary = mean_summary(WIN_RATE, judged, part_name=lambda part: _RATES.get(part, part))
        if not self._weighted:
            return summary
        return replace(summary, estimates={**summary.estimates, VOTE_SHARE: vote_share(judged)})


def game(task: Task, order: Order, ask: Callable[[tuple[str, ...], tuple[str, ...]], Ask]) -> Ask:
    """One game between the answers of a task: `ask` makes the question about them in the order shown.

    Its reader's verdict is for the answer shown first, which may be the opponent's; that of the game is for the
    candidate. Raises `DataError` for a task without an opponent.
    """
    if task.opponent is None:
        raise DataError(
            f"problem {task.problem_id!r} has no opponent's answer (a baseline's or a run's) to hold this one against"
        )
    if order == "candidate_first":
        return replace(ask(task.answers, task.opponent), order=order)
    asked = ask(task.opponent, task.answers)
    return replace(asked, order=order, parse=partial(_for_second, asked.parse))


def _for_second(parse: Callable[[Completion], Verdict], completion: Completion) -> Verdict:
    verdict = parse(completion)
    return replace(verdict, value=1.0 - verdict.value)


def vote_share(judged: Sequence[Judged]) -> Estimate:
    """Votes won over votes cast: mean of `value` weighted by `weight`, with the linearised standard error of a ratio.

    The error is clustered by cluster, then by problem. Bounds take an unscored answer to have as many votes as the
    average one. Raises `DataError` if nothing is scored.
    """
    scored = [(one, one.value) for one in judged if one.value is not None]
    if not scored:
        raise DataError("no judgment could be read, so there are no votes to count")
    weights = np.array([one.weight for one, _ in scored])
    values = np.array([value for _, value in scored])
    share = float(weights @ values / weights.sum())
    # Attempts at one problem are no independent draws: they share a cluster.
    clusters = [f"cluster {one.cluster}" if one.cluster else f"problem {one.problem_id}" for one, _ in scored]
    mean = mean_interval(share + weights * (values - share) / weights.mean(), clusters)
    lost = len(judged) - len(scored)
    low = float(weights @ values / (weights.sum() + lost * weights.mean()))
    gained = lost * float(weights.mean()) / float(weights.sum() + lost * weights.mean())
    bounds = (low, low + gained) if lost else None
    problems = len({one.problem_id for one, _ in scored})
    return mean.estimate(len(scored), status_counts(judged), bounds, n_problems=problems)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _decision(value: float) -> int:
    """1: the candidate, -1: the opponent, 0: neither."""
    return 0 if abs(value - 0.5) < _CLOSE else 1 if value > 0.5 else -1
