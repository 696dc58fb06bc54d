"""What systems decided by, measured: which answers a gate gives, and what its probabilities are worth; how a loop met.

An answer is worth giving if it is right and its problem needs one (`needs_answer` in the problem's meta; without that
it does). F1, precision and recall are of giving what is worth giving; false alarms are the share of given answers that
are not, 1 - precision, as ProactiveBench counts them. ECE and Brier are of p_accept
(`harness.stats.calibration`). Intervals: 95 % of resamples of problems.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.files import is_number
from harness.stats.calibration import brier_score, calibration_error
from harness.stats.resampling import cluster_intervals, ratio
from harness.types import Completion, Graded, Json, Problem

_RESAMPLES = 1000
_GATE = ("p_need", "p_accept", "acts", "slow")
_LOOP = ("iterations", "agreed")
Array = npt.NDArray[np.float64]


def beside_it(completion: Completion) -> list[Completion]:
    """Replies that are graded beside a system's answer: what a gate withheld, what both ways of `lorid` gave."""
    if completion.composed is None:
        return []
    facts, replies = completion.composed.facts, completion.composed.replies
    candidates = facts.get("candidates")
    places = [facts.get("withheld"), *(candidates if isinstance(candidates, list) else ())]
    return [replies[place][1] for place in places if type(place) is int and 0 <= place < len(replies)]


def system_facts(problem: Problem, completion: Completion) -> dict[str, float]:
    """What a gate, or `lorid`, decided by, as numbers; empty for any other model."""
    facts = completion.composed.facts if completion.composed is not None else {}
    for names in (_GATE, _LOOP):
        found = {name: float(value) for name in names if isinstance(value := facts.get(name), bool | int | float)}
        if completion.finish != "error" and len(found) == len(names):
            return {**found, "need": float(problem.meta.get("needs_answer", True) is not False)}
    return {}


def loop_report(graded: Sequence[Graded]) -> dict[str, Json]:
    """Name -> value, low, high: rounds, share that agreed, the authors' optimistic scoring; {} for no loop.

    Optimistic: the ways met, in an answer that is right or in several of which one is.
    """
    rows = [row for row in graded if "iterations" in row.facts and "right" in row.facts]
    if not rows:
        return {}

    def means(columns: Mapping[str, Array], weights: Array) -> dict[str, float]:
        return {name: ratio(float(weights @ column), float(weights.sum())) for name, column in columns.items()}

    columns = {
        "optimistic": np.array([row.facts["right"] * row.facts["agreed"] for row in rows]),
        "iterations": np.array([row.facts["iterations"] for row in rows]),
        "agreed": np.array([row.facts["agreed"] for row in rows]),
    }
    return {"answers": len(rows), "of": len(graded), **_resampled(rows, columns, means)}


def gate_report(graded: Sequence[Graded]) -> dict[str, Json]:
    """Name -> value, low, high of each measure; how many answers that is of; fitted temperatures. {} for no gate."""
    rows = [row for row in graded if "p_accept" in row.facts and "right" in row.facts]
    if not rows:
        return {}
    columns = {name: np.array([row.facts[name] for row in rows]) for name in (*_GATE, "need", "right")}
    found: dict[str, Json] = {"answers": len(rows), "of": len(graded), **_resampled(rows, columns, _measures)}
    found["temperature_accept"] = fitted_temperature(columns["p_accept"], columns["right"])
    found["temperature_need"] = fitted_temperature(columns["p_need"], columns["need"])
    return found


def _resampled(
    rows: Sequence[Graded],
    columns: Mapping[str, Array],
    measures: Callable[[Mapping[str, Array], Array], dict[str, float]],
) -> dict[str, Json]:
    """Each measure with the interval of resampled problems."""
    clusters = [row.cluster or row.problem_id for row in rows]
    found = cluster_intervals(partial(measures, columns), clusters, resamples=_RESAMPLES)
    return {name: dict(zip(("value", "low", "high"), map(_number, told), strict=True)) for name, told in found.items()}


def _measures(columns: Mapping[str, Array], weights: Array) -> dict[str, float]:
    """Every measure of weighted answers; NaN where there is nothing to divide by."""
    acts, worth = columns["acts"], columns["right"] * columns["need"]
    hits, given, worthy = float(weights @ (acts * worth)), float(weights @ acts), float(weights @ worth)
    total = float(weights.sum())
    p, right = columns["p_accept"], columns["right"]
    return {
        "acts": ratio(given, total),
        "f1": ratio(2 * hits, given + worthy),
        "precision": ratio(hits, given),
        "recall": ratio(hits, worthy),
        "false_alarms": ratio(given - hits, given),
        "ece": calibration_error(p, right, weights),
        "brier": brier_score(p, right, weights),
        "slow": ratio(float(weights @ columns["slow"]), total),
    }


def _number(value: Any) -> float | None:
    return float(value) if is_number(float(value)) else None


def fitted_temperature(p: Array, truth: Array) -> float | None:
    """By what to divide the log odds of p so that they are likeliest, beside what divided them already.

    Between 1/20 and 20; None where all truths are the same, which no temperature fits.
    """
    if truth.min() == truth.max():
        return None
    clipped = np.clip(p, 1e-6, 1 - 1e-6)
    odds = np.log(clipped / (1 - clipped)) * (2 * truth - 1)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, -odds / math.exp(log_temperature)).sum())

    low, high, golden = -math.log(20), math.log(20), (math.sqrt(5) - 1) / 2
    while high - low > 1e-6:  # convex in the inverse temperature, so it has one minimum here too
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if loss(left) <= loss(right) else (left, high)
    return round(math.exp((low + high) / 2), 4)
