"""MT-Bench with any judge: ratings of single answers, or answers held against another model's.

The judge is asked in the benchmark's own words where they are found in the data folder (`mt_bench_prompts`), else by
our rubric; both are told a right answer for mathematics, reasoning and coding, and see the whole conversation where
they judge its second turn. Which one it was is part of the identity: ratings by two prompts are two scales.

`MtBenchJudging` rates each turn from 1 to 10. `MtBenchPairJudging` asks in both orders, and only an answer that wins
both is the winner; everything else that could be read is a tie.

Source: Zheng et al. 2023, arXiv 2306.05685, and FastChat's llm_judge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from harness.errors import ConfigError, DataError
from harness.types import Completion, Json
from judges.pairwise import PairwiseJudging, game
from judges.pointwise import RubricJudging, check_sampling, unscored
from judges.prompts.official import OfficialPrompt
from judges.prompts.rubric import load_rubric
from judges.protocols.mt_bench.prompts import (
    HIGH,
    LOW,
    find_prompts,
    official_prompts,
    prompt_name,
    read_letter,
    read_rating,
)
from judges.protocols.mt_bench.score import RATING, Rated, problem_ratings, rating_estimates
from judges.summary import mean_summary
from judges.types import Ask, Judged, Judging, JudgingOptions, Judgment, Order, Rubric, Summary, Task, Verdict

NAME, PAIR_NAME = "mt_bench", "mt_bench_pair"
OWN_RUBRIC, OWN_PAIR_RUBRIC = "rating_10", "pairwise_5"
MAX_TOKENS = 2048
"""The judge's limit, as in FastChat."""
READER_VERSION = 1
"""Raised whenever a reply to an official prompt may be read as another verdict."""
_ORDERS: tuple[Order, Order] = ("candidate_first", "opponent_first")
_RATES = {"win": "strict_win_rate", "tie": "tie_rate", "flip": "flip_rate", "first": "first_rate"}


@dataclass(frozen=True)
class _MtBench(Judging):
    """What both modes share: the prompts, and the judge's sampling."""

    prompts: Mapping[str, OfficialPrompt] | None = None
    """The benchmark's own prompts by name; None to use the rubric."""
    rubric: Rubric | None = None
    """A rubric of the mode's kind, in place of the prompts."""
    repeats: int = 1
    temperature: float = 0.0
    pair: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if (self.prompts is None) == (self.rubric is None):
            raise ConfigError("MT-Bench is judged by its own prompts or by a rubric: give one of them")
        check_sampling(self.repeats, self.temperature)
        self._check_rubric()

    def _check_rubric(self) -> None:
        """Raise `ConfigError` for a rubric of another kind."""

    @property
    def name(self) -> str:
        """As in the catalog."""
        return PAIR_NAME if self.pair else NAME

    @property
    def _by_rubric(self) -> RubricJudging | PairwiseJudging | None:
        if self.rubric is None:
            return None
        judging = PairwiseJudging if self.pair else RubricJudging
        return judging(self.rubric, repeats=self.repeats, temperature=self.temperature)

    def identity(self) -> Mapping[str, Json]:
        """Prompts with their hashes (or the rubric), and the judge's sampling."""
        sampling = {"repeats": self.repeats, "temperature": self.temperature}
        if self._by_rubric is not None:
            own = {key: value for key, value in self._by_rubric.identity().items() if key != "judging"}
            return {"judging": self.name, "prompt": "own", **own, **sampling}
        start = "pair" if self.pair else "single"
        used = [prompt.id for name, prompt in sorted((self.prompts or {}).items()) if name.startswith(start)]
        return {"judging": self.name, "prompt": "official", "prompts": used, "parser": READER_VERSION, **sampling}

    def needs_opponent(self) -> bool:
        """In the pairwise mode."""
        return self.pair

    def rubric_id(self, task: Task) -> str:
        """The rubric's id, or name and hash of the official prompt for this category and turn."""
        return self.rubric.id if self.rubric is not None else self._official(task).id

    def _official(self, task: Task) -> OfficialPrompt:
        """The prompt for this task's category and turn."""
        assert self.prompts is not None
        if len(task.turns) not in (1, 2) or len(task.answers) != len(task.turns):
            raise DataError(
                f"problem {task.problem_id!r} has {len(task.turns)} questions and {len(task.answers)} answers; "
                "MT-Bench judges one turn, or two"
            )
        return self.prompts[prompt_name(self.pair, bool(references(task)), len(task.turns))]

    def _ask(self, task: Task, read: Callable[[Completion], Verdict], **answers: tuple[str, ...]) -> Ask:
        """The official prompt's question; `answers` by their fields, "answer" or "answer_a" and "answer_b"."""
        prompt = self._official(task)
        values = {"question": task.turns[0]}
        values |= {f"question_{number}": turn for number, turn in enumerate(task.turns, 1)}
        values |= {f"ref_answer_{number}": text for number, text in enumerate(references(task), 1)}
        for field, said in answers.items():
            values |= {field: said[0]} | {f"{field}_{number}": answer for number, answer in enumerate(said, 1)}
        return Ask(prompt.messages(values), read, temperature=self.temperature, max_tokens=MAX_TOKENS)


class MtBenchJudging(_MtBench):
    """Each turn rated on its own, from 1 to 10."""

    def _check_rubric(self) -> None:
        if self.rubric is not None and (self.rubric.kind, self.rubric.low, self.rubric.high) != ("rating", LOW, HIGH):
            raise ConfigError(f"MT-Bench rates from 1 to 10; rubric {self.rubric.name!r} does not")

    def asks(self, task: Task) -> Sequence[Ask]:
        """One ask per repeat. Raises `DataError` for a task that is no turn of MT-Bench."""
        if self._by_rubric is not None:
            return self._by_rubric.asks(with_references(task))
        ask = self._ask(task, read_rating, answer=task.answers)
        return [replace(ask, repeat=repeat) for repeat in range(self.repeats)]

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """Mean rating over the readable repeats, over 10."""
        ratings = [one.verdict.value for one in judgments if one.verdict is not None]
        if not ratings:
            return unscored(task, judgments)
        return Judged(task.problem_id, task.attempt, sum(ratings) / len(ratings), "scored", cluster=task.cluster)

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline "rating": the mean over all turns, from 1 to 10; beside it turns and categories.

        Everything, the items included, is on that scale. Raises `DataError` if no answer has a rating.
        """
        if judged and all(one.value is None for one in judged):
            why = judged[0].why or "no reason given"
            raise DataError(f"{NAME}: none of the {len(judged)} answers has a readable rating; the first: {why}")
        rated = [_rated(task, one) for task, one in zip(tasks, judged, strict=True)]
        warnings = []
        if lost := sum(one.turn == 2 and one.rating is None for one in rated):
            warnings.append(f"{lost} second turns have no rating; they are in no mean")
        both = {one.question for one in rated if one.turn == 2}
        if alone := len({one.question for one in rated} - both):
            warnings.append(f"{alone} questions have no second turn: the rating is not that of whole conversations")
        return Summary(RATING, rating_estimates(rated), problem_ratings(rated), tuple(warnings))


class MtBenchPairJudging(_MtBench):
    """Each turn against another model's, in both orders; a win is a win in both of them."""

    pair = True

    def _check_rubric(self) -> None:
        if self.rubric is not None and self.rubric.kind != "pairwise":
            raise ConfigError(f"MT-Bench's pairwise mode needs a pairwise rubric; {self.rubric.name!r} is none")

    def asks(self, task: Task) -> Sequence[Ask]:
        """Every repeat with the candidate as A, then with the opponent as A. Raises `DataError` without an opponent."""
        if self._by_rubric is not None:
            return self._by_rubric.asks(with_references(task))
        if task.opponent is None or len(task.opponent) != len(task.answers):
            raise DataError(f"problem {task.problem_id!r} has no opponent's answers to the same turns")
        games = [
            game(task, order, lambda a, b: self._ask(task, read_letter, answer_a=a, answer_b=b)) for order in _ORDERS
        ]
        return [replace(one, repeat=repeat) for one in games for repeat in range(self.repeats)]

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """1 for a win in both orders, 0 for a loss in both, else 0.5; unscored if an order could not be read.

        Within an order, repeats decide by their mean preference.
        """
        preferred: list[float] = []
        for order in _ORDERS:
            values = [one.verdict.value for one in judgments if one.order == order and one.verdict is not None]
            if not values:
                return unscored(task, [one for one in judgments if one.order == order])
            preferred.append(sum(values) / len(values))
        decisions = [(value > 0.5) - (value < 0.5) for value in preferred]
        agreed = decisions[0] if decisions[0] == decisions[1] else 0
        flipped = decisions[0] != decisions[1]
        parts = {
            "win": float(agreed > 0),
            "tie": float(agreed == 0),
            "flip": float(flipped),
            "first": (preferred[0] + 1.0 - preferred[1]) / 2,
        }
        value = (agreed + 1) / 2
        return Judged(
            task.problem_id, task.attempt, value, "scored", parts=parts, cluster=task.cluster, flipped=flipped
        )

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline "win_rate": (wins + ties / 2) / n, MT-Bench's adjusted win rate.

        Beside it "strict_win_rate" (ties count nothing), "tie_rate", "flip_rate" and "first_rate" (0.5 is a judge
        without a preference for a place).
        """
        return mean_summary("win_rate", judged, part_name=lambda part: _RATES[part])


def build(options: JudgingOptions) -> Judging:
    """The catalog's entry: single-answer grading, or the pairwise mode if a pairwise rubric is named.

    Raises `ConfigError` for options that MT-Bench does not have, `MissingData` if the official prompt is asked for and
    is not there, and what loading a rubric raises.
    """
    if options.rubric is not None and load_rubric(options.rubric, options.weighting).kind == "pairwise":
        return build_pair(options)
    if options.orders is not None:
        raise ConfigError(f"orders = {options.orders!r}: MT-Bench rates one answer at a time, there is no order")
    prompts, rubric = _choose(options, OWN_RUBRIC)
    return MtBenchJudging(prompts, rubric, options.repeats, _temperature(options))


def build_pair(options: JudgingOptions) -> Judging:
    """The catalog's entry of the pairwise mode; raises as `build`."""
    if options.orders == "random":
        raise ConfigError("orders = 'random': a win on MT-Bench is a win in both orders")
    prompts, rubric = _choose(options, OWN_PAIR_RUBRIC)
    return MtBenchPairJudging(prompts, rubric, options.repeats, _temperature(options))


def _choose(options: JudgingOptions, own: str) -> tuple[Mapping[str, OfficialPrompt] | None, Rubric | None]:
    """Official prompts or rubric, exactly one of them."""
    if options.rubric is not None:
        if options.prompt == "official":
            raise ConfigError(f"a rubric ({options.rubric!r}) and the official prompt exclude each other: name one")
        return None, load_rubric(options.rubric, options.weighting)
    if options.weighting is not None:
        raise ConfigError(f"weighting = {options.weighting!r}: MT-Bench's prompts have no weightings")
    if options.prompt == "official":
        return official_prompts(options.data_dir), None
    prompts = find_prompts(options.data_dir) if options.prompt == "auto" else None
    return (prompts, None) if prompts is not None else (None, load_rubric(own))


def _temperature(options: JudgingOptions) -> float:
    return options.temperature if options.temperature is not None else 0.0


def references(task: Task) -> tuple[str, ...]:
    """The right answers that the judge is shown, one for each turn so far; empty if there are none."""
    if task.reference is None:
        return ()
    earlier = task.meta.get("references")
    known = [str(text) for text in earlier] if isinstance(earlier, list | tuple) else []
    if len(task.turns) > 1 and len(known) < len(task.turns):
        raise DataError(f"problem {task.problem_id!r} has a reference for its last turn only")
    return (*known[: len(task.turns) - 1], task.reference)


def with_references(task: Task) -> Task:
    """The task as a rubric shows it: its reference holds those of all turns so far."""
    shown = references(task)
    if len(shown) < 2:
        return task
    return replace(task, reference="\n\n".join(f"Turn {number}:\n{text}" for number, text in enumerate(shown, 1)))


def _rated(task: Task, judged: Judged) -> Rated:
    category = task.meta.get("category")
    return Rated(
        problem_id=task.problem_id,
        question=task.cluster or task.problem_id,
        turn=len(task.turns),
        category=category if isinstance(category, str) else "",
        rating=judged.value * HIGH if judged.value is not None else None,
        status=judged.status,
    )
