"""AlpacaEval 2: which of two answers is better, in one token, and a win rate that length cannot buy.

One question per answer: the candidate's and the baseline's, in an order drawn from the instruction (the same for every
model, so that a judge's preference for a place cancels between models). The log-probabilities of the two tokens are the
preference. Identical answers are a draw and are not asked about, as published.

The headline is the length-controlled win rate: "lc_win_rate" by the published formula, "lc_win_rate_noreg" or
"lc_win_rate_minimal" where the authors' data for it is not there. All are shares, and hold only for one judge: the
published numbers are by gpt-4-1106-preview with the official prompt.
"""

from __future__ import annotations

import hashlib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from harness.errors import ConfigError, DataError, MissingExtra
from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import Array, mean_interval
from harness.types import Estimate, Json
from judges.pairwise import game
from judges.pointwise import check_sampling, unscored
from judges.prompts.rubric import load_rubric
from judges.protocols.alpaca.data import RECONSTRUCTED, SIZE, load_glm_data
from judges.protocols.alpaca.glm import Fit, Formula, GlmData, Rows, extreme, fit_glm
from judges.protocols.alpaca.prompt import (
    READER_VERSION,
    TokenPrompt,
    official_prompt,
    own_prompt,
    read_preference,
    require_official,
)
from judges.protocols.alpaca.score import baseline_fit
from judges.summary import mean_summary, status_counts
from judges.types import Ask, Judged, Judging, JudgingOptions, Judgment, Order, Summary, Task

RUBRIC = "pairwise_2"
WIN_RATE = "win_rate"
LC = "lc_win_rate"
_NAMES = {
    "length_controlled_v1": LC,
    "length_controlled_noreg": f"{LC}_noreg",
    "length_controlled_minimal": f"{LC}_minimal",
}
_PARTS = {"win": "discrete_win_rate", "tie": "tie_rate", "first": "first_rate", "flip": "flip_rate"}


@dataclass(frozen=True)
class AlpacaEvalJudging(Judging):
    """The protocol with one prompt and one way of sampling."""

    prompt: TokenPrompt
    temperature: float
    both_orders: bool = False
    """Ask in both orders, at twice the price; published scores draw one."""
    repeats: int = 1
    glm_data: Callable[[], GlmData | None] = lambda: None
    """Gives difficulties and gamed annotations when the run is summarised."""
    name: str = "alpaca_eval"

    def identity(self) -> Mapping[str, Json]:
        """The prompt (which says whether it is the official one), orders, sampling and reader."""
        data = self.glm_data()
        return {
            "judging": self.name,
            "prompt": self.prompt.id,
            "tokens": list(self.prompt.tokens),
            "orders": "both" if self.both_orders else "random",
            "repeats": self.repeats,
            "temperature": self.temperature,
            "length_control": data.digest if data is not None else None,
            "max_tokens": self.prompt.max_tokens,
            "top_logprobs": self.prompt.top_logprobs,
            "parser": READER_VERSION,
        }

    def needs_opponent(self) -> bool:
        """Always."""
        return True

    def asks(self, task: Task) -> Sequence[Ask]:
        """One ask (for each order and repeat); none for identical answers. Raises `DataError` without an opponent."""
        if len(task.turns) != 1:
            raise DataError(f"problem {task.problem_id!r} has {len(task.turns)} turns; alpaca_eval judges single turns")
        if _draw(task):
            return ()
        games = [game(task, order, partial(self._ask, task)) for order in self._orders(task)]
        return [replace(one, repeat=repeat) for one in games for repeat in range(self.repeats)]

    def _ask(self, task: Task, first: tuple[str, ...], second: tuple[str, ...]) -> Ask:
        return Ask(
            self.prompt.messages(task, first[-1], second[-1]),
            partial(read_preference, self.prompt),
            temperature=self.temperature,
            max_tokens=self.prompt.max_tokens,
            top_logprobs=self.prompt.top_logprobs,
        )

    def _orders(self, task: Task) -> tuple[Order, ...]:
        if self.both_orders:
            return ("candidate_first", "opponent_first")
        digest = hashlib.sha256(f"alpaca_eval:{task.turns[0]}".encode("utf-8", "surrogatepass")).digest()
        return ("candidate_first",) if digest[0] % 2 == 0 else ("opponent_first",)

    def rubric_id(self, task: Task) -> str:
        """The prompt's id."""
        return self.prompt.id

    def fold(self, task: Task, judgments: Sequence[Judgment]) -> Judged:
        """Mean preference over orders; 0.5 for identical answers, unscored if an order has no readable judgment.

        Parts: "win" (1, 0.5 or 0), "tie", "first" (preference for the answer shown first), "flip" (both orders only).
        """
        if _draw(task):
            return Judged(
                task.problem_id, task.attempt, 0.5, "scored", parts={"win": 0.5, "tie": 1.0}, cluster=task.cluster
            )
        orders = self._orders(task)
        read = {o: [j.verdict.value for j in judgments if j.order == o and j.verdict is not None] for o in orders}
        if not all(read.values()):
            return unscored(task, judgments)
        means = {order: math.fsum(values) / len(values) for order, values in read.items()}
        value = math.fsum(means.values()) / len(means)
        firsts = [mean if order == "candidate_first" else 1.0 - mean for order, mean in means.items()]
        parts = {"win": _win(value), "tie": float(value == 0.5), "first": math.fsum(firsts) / len(firsts)}
        flipped = len({_win(mean) for mean in means.values()}) > 1 if self.both_orders else None
        if flipped is not None:
            parts["flip"] = float(flipped)
        return Judged(
            task.problem_id, task.attempt, value, "scored", parts=parts, cluster=task.cluster, flipped=flipped
        )

    def summarise(self, tasks: Sequence[Task], judged: Sequence[Judged]) -> Summary:
        """Headline: the length-controlled win rate, its error with that of the fit; beside it the raw one.

        Also "discrete_win_rate", "tie_rate", "first_rate" and "avg_length" (characters). An answer without a
        preference is predicted like the others and teaches the fit nothing, as published; one that was never given has
        no length either. With fewer than five preferences the raw rate is the headline.
        """
        plain = mean_summary(WIN_RATE, judged, part_name=lambda part: _PARTS.get(part, part))
        estimates = {**plain.estimates, "avg_length": _average_length(tasks, judged)}
        warnings = list(plain.warnings)
        data = self.glm_data()
        rows = _rows(tasks, judged, data)
        if all(map(_draw, tasks)):
            fit = replace(baseline_fit(len(tasks)), formula=_formula(data))
        elif int((~np.isnan(rows.preference)).sum()) < 5:
            too_few = "fewer than five preferences: no length control, the headline is the raw win rate"
            return replace(plain, estimates=estimates, warnings=(*warnings, too_few))
        else:
            fit = fit_glm(rows, data.gamed if data is not None else None)
        headline = _NAMES[fit.formula]
        items = _by_problem(tasks, fit.pseudo)
        estimates = {headline: _lc_estimate(fit, items, tasks, plain.estimates[WIN_RATE])} | estimates
        warnings += _fit_warnings(fit, data, plain.estimates[WIN_RATE].value)
        return Summary(headline, estimates, items, tuple(warnings))


def build(options: JudgingOptions) -> Judging:
    """The catalog's factory.

    Raises `ConfigError` for options that exclude each other, `MissingExtra` without scikit-learn (the length control
    needs it) or, for `prompt="official"`, without alpaca-eval, and what loading a rubric raises.
    """
    if importlib.util.find_spec("sklearn") is None:
        raise MissingExtra("the length-controlled win rate", "judge")
    check_sampling(options.repeats, options.temperature if options.temperature is not None else 0.0)
    prompt = _prompt(options)
    return AlpacaEvalJudging(
        prompt=prompt,
        temperature=options.temperature if options.temperature is not None else prompt.temperature,
        both_orders=options.orders == "both",
        repeats=options.repeats,
        glm_data=partial(load_glm_data, options.data_dir),
    )


def _prompt(options: JudgingOptions) -> TokenPrompt:
    if options.rubric is not None and options.prompt == "official":
        raise ConfigError("a rubric and --prompt official are two prompts: leave one of them out")
    if options.rubric is None and options.prompt == "official":
        return require_official()
    if options.rubric is None and options.prompt == "auto":
        official = official_prompt()
        if official is not None:
            return official
    return own_prompt(load_rubric(options.rubric or RUBRIC, options.weighting))


def _draw(task: Task) -> bool:
    """True for identical answers: a draw by definition, that is not asked about."""
    return task.opponent is not None and task.answers[-1] == task.opponent[-1]


def _win(value: float) -> float:
    return 0.5 if value == 0.5 else float(value > 0.5)


def _index(task: Task) -> int | None:
    """The instruction's place among the 805, by which its difficulty is known."""
    index = task.meta.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) and 0 <= index < SIZE else None


def _rows(tasks: Sequence[Task], judged: Sequence[Judged], data: GlmData | None) -> Rows:
    """The run as the fit sees it, each difficulty at its own instruction."""
    found = [_index(task) for task in tasks]
    index = np.array([place if place is not None else n for n, place in enumerate(found)], dtype=np.intp)
    lengths = [_lengths(task, one) for task, one in zip(tasks, judged, strict=True)]
    return Rows(
        preference=np.array([np.nan if one.value is None else one.value for one in judged]),
        delta=np.array([np.nan if pair is None else pair[0] - pair[1] for pair in lengths], dtype=np.float64),
        index=index,
        difficulty=data.difficulty[index] if data is not None and None not in found else None,
    )


def _lengths(task: Task, one: Judged) -> tuple[int, int] | None:
    """Characters of the baseline's answer and the candidate's; None if one of them was never given."""
    if task.opponent is None or (one.status == "error" and not task.answers[-1]):
        return None
    return len(task.opponent[-1]), len(task.answers[-1])


def _formula(data: GlmData | None) -> Formula:
    if data is None:
        return "length_controlled_minimal"
    return "length_controlled_v1" if data.gamed is not None else "length_controlled_noreg"


def _by_problem(tasks: Sequence[Task], pseudo: Array) -> dict[str, float]:
    """Mean over the attempts at each problem."""
    found: dict[str, list[float]] = {}
    for task, value in zip(tasks, pseudo.tolist(), strict=True):
        found.setdefault(task.problem_id, []).append(value)
    return {problem: math.fsum(values) / len(values) for problem, values in found.items()}


def _lc_estimate(fit: Fit, items: Mapping[str, float], tasks: Sequence[Task], raw: Estimate) -> Estimate:
    """The interval is symmetric in log odds, so that it stays between 0 and 1."""
    clusters = {task.problem_id: task.cluster for task in tasks}
    mean = mean_interval(np.array(list(items.values())), [clusters[problem] for problem in items], share=False)
    spread = fit.lc * (1.0 - fit.lc)
    half = t_quantile(max(mean.n_clusters - 1, 1)) * mean.se / spread if spread > 0.0 else 0.0
    centre = math.log(fit.lc / (1.0 - fit.lc)) if spread > 0.0 else 0.0
    low, high = (float(np.exp(-np.logaddexp(0.0, -(centre + sign * half)))) for sign in (-1.0, 1.0))
    return Estimate(fit.lc, low, high, mean.se, len(items), raw.n_samples, raw.counts)


def _average_length(tasks: Sequence[Task], judged: Sequence[Judged]) -> Estimate:
    """Mean characters of the candidate's answers, clustered by problem."""
    pairs = [(task, _lengths(task, one)) for task, one in zip(tasks, judged, strict=True)]
    known = [(task, float(pair[1])) for task, pair in pairs if pair is not None]
    if not known:
        raise DataError("no answer was given, so there is no length")
    clusters = [f"cluster {task.cluster}" if task.cluster else f"problem {task.problem_id}" for task, _ in known]
    mean = mean_interval(np.array([length for _, length in known]), clusters, share=False)
    problems = len({task.problem_id for task, _ in known})
    found = mean.estimate(len(known), status_counts(judged), n_problems=problems)
    return replace(found, low=max(0.0, mean.low))


def _fit_warnings(fit: Fit, data: GlmData | None, win_rate: float) -> list[str]:
    provenance = data.provenance if data is not None else "no difficulties found (--data-dir or the hub)"
    found: list[str] = []
    if fit.formula != "length_controlled_v1" or RECONSTRUCTED in provenance:
        found.append(f"length control: {fit.formula}, {provenance}")
    if extreme(100.0 * win_rate, 100.0 * fit.lc):
        found.append(
            f"the length control moved the win rate from {win_rate:.1%} to {fit.lc:.1%}: its fit may have failed"
        )
    return found
