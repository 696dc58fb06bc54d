"""Arena-Hard: two games against a fixed baseline, five verdicts, the share of votes won.

The judge sees the question and both answers twice: with the baseline first, then with the model first. A clear
preference counts as three votes, a slight one and a tie as one. The score is the share of all votes that the model
won, ties half, so a problem with clear verdicts weighs more than one with slight ones.

An answer counts only if both of its games have a verdict (of one repeat at least). The standard
error, the interval and the items for paired tests take problems as the unit (`judges.protocols.arena.score.ratio`). v2
has two categories, each with its own baseline: their scores are reported apart, as the official tables do.

Source: Li et al. 2024, arXiv 2406.11939.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from harness.errors import ConfigError, DataError
from harness.stats.standard_errors import Mean
from harness.types import STATUSES, Completion, Estimate, Json
from judges.pairwise import game
from judges.pointwise import check_sampling, rubric_ask, unscored
from judges.prompts.rubric import load_rubric
from judges.protocols.arena.labels import CLEAR_VOTES, LABELS, parse_label
from judges.protocols.arena.prompt import Prompts, find_prompt
from judges.protocols.arena.score import Votes, ratio
from judges.protocols.arena.style import style_of, style_scores
from judges.replies.parse import PARSER_VERSION
from judges.summary import status_counts
from judges.types import (
    Ask,
    Judged,
    Judging,
    JudgingOptions,
    Judgment,
    Malformed,
    Order,
    Rubric,
    Summary,
    Task,
    Verdict,
)

HEADLINE = "arena_score"
STYLE = "arena_score_style"
"""The score with length and Markdown taken out; from our own token count."""
RUBRIC = "pairwise_5"
GAMES: tuple[Order, Order] = ("opponent_first", "candidate_first")
CONFIGS: Mapping[str, tuple[str, ...]] = {
    "arena_hard": ("judge_config.yaml", "arena-hard-v0.1.yaml"),
    "arena_hard_v2": ("arena-hard-v2.0.yaml",),
}
"""File names of the official configurations."""
_MAX_TOKENS = 4096
_CLOSE = 1e-9
_MIN_STYLE_PROBLEMS = 50  # ten for each of the five parameters of the style regression


@dataclass(frozen=True)
class ArenaHardJudging(Judging):
    """The protocol; with our rubric, or with the official prompt where the user has it."""

    name: str = "arena_hard"
    rubric: Rubric | None = None
    """None: `official` is used."""
    official: Prompts | None = None
    repeats: int = 1
    temperature: float = 0.0

    def __post_init__(self) -> None:
        check_sampling(self.repeats, self.temperature)
        if (self.rubric is None) == (self.official is None):
            raise ConfigError(f"{self.name}: either a rubric or the official prompt")
        if self.rubric is not None and self.rubric.kind != "pairwise":
            raise ConfigError(
                f"{self.name} compares two answers, and rubric {self.rubric.name!r} is of kind {self.rubric.kind!r}: "
                "name a pairwise one"
            )

    def identity(self) -> Mapping[str, Json]:
        """Prompt, sampling and parser."""
        return {
            "judging": self.name,
            "rubric": self._prompt_id,
            "repeats": self.repeats,
            "temperature": self.temperature,
            "parser": PARSER_VERSION,
        }

    def needs_opponent(self) -> bool:
        """True: every answer is held against the baseline's."""
        return True

    def asks(self, task: Task) -> Sequence[Ask]:
        """Two games per repeat, baseline first and model first. Raises `DataError` for a task without an opponent."""
        games = [game(task, order, partial(self._ask, task)) for order in GAMES]
        return [replace(one, repeat=repeat) for repeat in range(self.repeats) for one in games]

    def rubric_id(self, task: Task) -> str:
        """`Rubric.id`, or the official prompt's name and hash."""
        return self._prompt_id

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """Mean over the votes of complete pairs of games, `weight` being votes per pair.

        A pair that lost a game is left out: what remains of it would favour a position. No pair, no value.
        """
        verdicts = [one.verdict for one in judgments]
        pairs = [
            (first, second)
            for first, second in zip(verdicts[0::2], verdicts[1::2], strict=True)
            if first is not None and second is not None
        ]
        if not pairs:
            return unscored(task, judgments)
        votes = math.fsum(verdict.weight for pair in pairs for verdict in pair)
        points = math.fsum(verdict.weight * verdict.value for pair in pairs for verdict in pair)
        sides = [math.fsum(pair[side].value - 0.5 for pair in pairs) for side in (0, 1)]
        return Judged(
            task.problem_id,
            task.attempt,
            points / votes,
            "scored",
            weight=votes / len(pairs),
            cluster=task.cluster,
            flipped=_decision(sides[0]) != _decision(sides[1]),
        )

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline "arena_score"; per category, and with style taken out where there are problems enough.

        Raises `DataError` if nothing is scored.
        """
        scored = [one for one in judged if one.value is not None]
        if not scored:
            why = judged[0].why if judged else "no answer was judged"
            raise DataError(f"{self.name}: no answer has verdicts in both games; the first: {why}")
        overall, items = _ratio(scored)
        estimates = {HEADLINE: self._estimate(overall, judged)}
        warnings = []
        categories = {task.key: str(task.meta.get("category") or "") for task in tasks}
        named = sorted(set(categories.values()))
        for category in named if len(named) > 1 else ():
            members = [one for one in judged if categories[one.problem_id, one.attempt] == category]
            known = [one for one in members if one.value is not None]
            if known:
                estimates[f"{HEADLINE}:{category}"] = self._estimate(_ratio(known)[0], members)
            else:
                warnings.append(f"no answer of category {category!r} has a score")
        if len(named) > 1:
            warnings.append(
                "categories have different baselines: the overall score is their mix, published scores are per category"
            )
        controlled, style_warnings = _style_estimates(tasks, judged, named)
        estimates |= controlled
        missing = len(judged) - len(scored)
        if missing:
            warnings.append(
                f"{missing} of {len(judged)} answers lack a verdict in one of the games and are left out of the score"
            )
        flips = [one.flipped for one in scored if one.flipped is not None]
        if flips and 2 * sum(flips) > len(flips):
            warnings.append(
                f"the judge's preference changed with the order of answers on {sum(flips)} of {len(flips)} problems: "
                "its verdicts follow the position more than the answers"
            )
        return Summary(HEADLINE, estimates, items, (*warnings, *style_warnings))

    @property
    def _prompt_id(self) -> str:
        if self.rubric is not None:
            return self.rubric.id
        assert self.official is not None
        return next(iter(self.official.values())).id

    def _ask(self, task: Task, first: tuple[str, ...], second: tuple[str, ...]) -> Ask:
        if self.rubric is not None:
            return rubric_ask(self.rubric, task, first, second, self.temperature)
        assert self.official is not None
        category = str(task.meta.get("category") or "")
        prompt = self.official.get(category, self.official.get(""))
        if prompt is None:
            raise ConfigError(f"{self._prompt_id} has no system prompt for the category {category!r}")
        messages = prompt.messages({"question": task.turns[-1], "first": first[-1], "second": second[-1]})
        return Ask(messages, _read_label, temperature=self.temperature, max_tokens=_MAX_TOKENS)

    def _estimate(self, mean: Mean, judged: Sequence[Judged]) -> Estimate:
        scored = [one for one in judged if one.value is not None]
        votes = sum(one.weight for one in scored)
        lost = len(judged) - len(scored)
        # A missing answer could have had two clear verdicts either way.
        most = lost * 2.0 * CLEAR_VOTES
        points = mean.value * votes
        bounds = (points / (votes + most), (points + most) / (votes + most)) if lost else None
        return mean.estimate(len(scored), status_counts(judged), bounds)


def build(options: JudgingOptions) -> Judging:
    """Arena-Hard v0.1; raises `ConfigError` for options that the protocol has no place for."""
    return _build("arena_hard", options)


def build_v2(options: JudgingOptions) -> Judging:
    """Arena-Hard v2; raises as `build`."""
    return _build("arena_hard_v2", options)


def _build(name: str, options: JudgingOptions) -> Judging:
    if options.orders == "random":
        raise ConfigError(f"{name} is two games per answer, one in each order: leave --orders out")
    official = None
    if options.rubric is None and options.prompt != "own":
        official = find_prompt(options.data_dir, CONFIGS[name])
    if options.prompt == "official" and official is None:
        why = "a rubric is named too" if options.rubric is not None else "it was not found"
        raise ConfigError(
            f"{name}: the official prompt was asked for, and {why}. It is read from {' or '.join(CONFIGS[name])} in "
            "--data-dir, for instance the data folder of a copy of the official repository; --prompt own is our rubric"
        )
    rubric = None if official is not None else load_rubric(options.rubric or RUBRIC, options.weighting)
    temperature = options.temperature if options.temperature is not None else 0.0
    return ArenaHardJudging(name, rubric, official, options.repeats, temperature)


def _ratio(scored: Sequence[Judged]) -> tuple[Mean, dict[str, float]]:
    points: dict[str, float] = {}
    totals: dict[str, float] = {}
    for one in scored:
        assert one.value is not None
        points[one.problem_id] = points.get(one.problem_id, 0.0) + one.weight * one.value
        totals[one.problem_id] = totals.get(one.problem_id, 0.0) + one.weight
    return ratio(points, totals, {one.problem_id: one.cluster for one in scored})


def _decision(lead: float) -> int:
    """1 for the candidate, -1 for the opponent, 0 for a tie; `lead` is a sum of values above and below 0.5."""
    return (lead > _CLOSE) - (lead < -_CLOSE)


def _style_estimates(
    tasks: Sequence[Task], judged: Sequence[Judged], categories: Sequence[str]
) -> tuple[dict[str, Estimate], list[str]]:
    """Style-controlled score per category, from the first attempt at each problem."""
    estimates: dict[str, Estimate] = {}
    warnings: list[str] = []
    for category in categories:
        votes, styles = [], {}
        for task, one in zip(tasks, judged, strict=True):
            if one.value is None or task.attempt != 0 or str(task.meta.get("category") or "") != category:
                continue
            assert task.opponent is not None
            won = one.weight * one.value
            votes.append(Votes(task.problem_id, "model", "baseline", won, 0.0, one.weight - won))
            styles["model", task.problem_id] = style_of(task.answers[-1])
            styles["baseline", task.problem_id] = style_of(task.opponent[-1])
        if len(votes) < _MIN_STYLE_PROBLEMS:
            continue
        found = style_scores(votes, styles)
        if found.extrapolated:
            warnings.append(
                f"no {STYLE}{f' of {category}' if category else ''}: nearly all answers differ from the baseline's in "
                f"one direction ({', '.join(found.extrapolated['model'])}), nothing to compare at equal style"
            )
            continue
        score = found.scores[0]
        counts: dict[str, int] = {status: len(votes) if status == "scored" else 0 for status in STATUSES}
        estimates[STYLE if len(categories) == 1 else f"{STYLE}:{category}"] = Estimate(
            score.score, score.low, score.high, score.se, score.n_problems, score.n_problems, counts
        )
    if estimates:
        warnings.append(
            f"{STYLE} counts words and punctuation marks for tokens: for comparison among runs here, not with "
            "published style-controlled scores"
        )
    return estimates, warnings


def _read_label(completion: Completion) -> Verdict:
    """A reply to the official prompt: the last verdict in brackets."""
    if completion.answer_text is None:
        raise Malformed("the reply ends inside its reasoning: there is no verdict")
    label = parse_label(completion.answer_text)
    return Verdict(LABELS[label].value, label, LABELS[label].weight, completion.answer_text)
