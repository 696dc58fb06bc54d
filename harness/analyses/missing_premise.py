"""What a model does where a premise is missing: says so, or answers all the same, and how long it takes to notice.

Of suites with twins: a problem whose meta says `missing` lacks something that its twin (`twin`, an id) has. An answer
abstains by the rule of `harness.grading.abstaining`, or as a judge finds (rubric `abstained`, which sees its last two
paragraphs). Suspicion is the first sentence, thought included, that doubts its question by that module's patterns; its
place is the share of the text before it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from harness.analyses.asking import stored_answers
from harness.analyses.base import Analysis, AnalysisContext, measured, refuse_unlike, told
from harness.analyses.judging import Verdicts, judge_texts
from harness.errors import DataError, UsageError
from harness.grading.abstaining import abstains, first_doubt, tail
from harness.reasoning import with_answer
from harness.report.table import Column, Table, column, number
from harness.report.text import p_value
from harness.run.folder import RunFolder
from harness.run.naming import display_names
from harness.stats.multiple import holm
from harness.stats.paired import paired_differences
from harness.stats.resampling import cluster_intervals, ratio
from harness.stats.standard_errors import Array
from harness.types import Completion, Json, Problem
from judges.answers import answer_part, conversation
from judges.types import Task

_RUBRIC = "abstained"
_SECOND_THOUGHTS = re.compile(r"\b(?:alternatively|wait|check|but|maybe|might|perhaps)\b", re.IGNORECASE)
_VALUES = ("abstains", "answers", "doubted", "place", "thoughts", "length")


@dataclass(frozen=True)
class MissingPremise(Analysis):
    """What a model does where a premise is missing: abstention, length and first suspicion, against the whole twins.

    RUN are runs of one suite with twins, such as synth_missing; the second and later ones are held against the first.
    Whether an answer abstains and where it first doubts its question come from sentence patterns; with --judge a judge
    tells the former.
    """

    judge: str | None = None
    """Model that tells which answers abstain, in place of the patterns."""
    judge_arg: tuple[str, ...] = field(default=(), metadata={"shown": "KEY=VALUE"})
    """Option of the judge's engine; repeat for more."""
    allow_self: bool = False
    """Let a model judge its own answers."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """What answers are, then how long they are and where they first doubt."""
        refuse_unlike(runs)
        answers = [list(stored_answers(run, context)) for run in runs]
        pairs = _twins(runs[0], answers[0])
        read = [self._read(run, texts, context) for run, texts in zip(runs, answers, strict=True)]
        right = [_right(run) for run in runs]
        kept = [
            pair
            for pair in pairs
            if all({*pair} <= {*one} and pair[1] in two for one, two in zip(read, right, strict=True))
        ]
        if not kept:
            raise DataError(f"{', '.join(run.name for run in runs)}: no pair of twins is answered in all of them")
        names = display_names([run.result for run in runs])
        columns = [_columns(one, two, kept) for one, two in zip(read, right, strict=True)]
        clusters = [whole for _, whole in kept]
        rows: list[dict[str, Json]] = []
        for name, run, one in zip(names, runs, columns, strict=True):
            found = cluster_intervals(partial(_rates, one), clusters)
            rows.append(
                {"model": name, "run": run.name, "pairs": len(kept), **{key: told(*it) for key, it in found.items()}}
            )
        first = columns[0]["abstains"]
        deltas = [paired_differences(one["abstains"] - first, clusters, mcnemar=False) for one in columns[1:]]
        for row, delta, p in zip(rows[1:], deltas, holm([delta.p for delta in deltas]), strict=True):
            row |= {"delta": told(delta.diff, delta.low, delta.high), "p_holm": p}
        how = "by the rule of sentence patterns" if self.judge is None else f"by {self.judge}"
        left = len(pairs) - len(kept)
        notes = (
            f"{len(kept)} pairs; abstaining {how}",
            *([f"{left} pairs are left out: a run lacks one of the two, or its score"] if left else []),
        )
        return [
            Table(f"Where a premise is missing, {runs[0].result.suite}", _ANSWERS, tuple(rows), notes),
            Table("Length and first doubt", _DOUBTS, tuple(rows), (_PLACE,)),
        ]

    def _read(
        self, run: RunFolder, texts: Sequence[tuple[Problem, int, Completion]], context: AnalysisContext
    ) -> dict[str, dict[str, float]]:
        """Problem -> the mean of each of `_VALUES` over its attempts."""
        ends = {(problem.id, attempt): _end(completion) for problem, attempt, completion in texts}
        verdicts: Verdicts | None = None
        if self.judge is not None:
            tasks = [
                _task(problem, attempt, ends[problem.id, attempt])
                for problem, attempt, _ in texts
                if ends[problem.id, attempt]
            ]
            judged = [] if self.allow_self else [run]
            verdicts = judge_texts(self.judge, self.judge_arg, {_RUBRIC: tasks}, context, judged)[_RUBRIC]
        counted = all(completion.tokens_out is not None for *_, completion in texts)
        rows: dict[str, list[dict[str, float]]] = {}
        for problem, attempt, completion in texts:
            end = ends[problem.id, attempt]
            silent = float(abstains(end))
            if verdicts is not None and end:
                verdict = verdicts[problem.id, attempt]
                if verdict is None:  # it did not tell: missing
                    continue
                silent = verdict.value
            whole = answer_part(completion, "all")
            length = completion.tokens_out if counted else len(whole)
            rows.setdefault(problem.id, []).append(_values(whole, silent, bool(end), float(length or 0)))
        return {problem: {key: _mean([row[key] for row in some]) for key in _VALUES} for problem, some in rows.items()}


def _twins(run: RunFolder, texts: Sequence[tuple[Problem, int, Completion]]) -> list[tuple[str, str]]:
    """(problem that lacks something, its whole twin). Raises `UsageError` for a suite without."""
    problems = {problem.id: problem for problem, *_ in texts}
    found = [(one.id, str(one.meta.get("twin"))) for one in problems.values() if one.meta.get("missing") is True]
    if not found:
        raise UsageError(
            f"{run.result.suite} has no problems that lack a premise (meta 'missing' and 'twin'): synth_missing has"
        )
    return found


def _right(run: RunFolder) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for row in run.graded:
        if row.score.value is not None:
            found.setdefault(row.problem_id, []).append(row.score.value)
    return {problem: math.fsum(values) / len(values) for problem, values in found.items()}


def _end(completion: Completion) -> str:
    return tail(with_answer(completion).answer_text or "")


def _task(problem: Problem, attempt: int, text: str) -> Task:
    turns, earlier = conversation(problem.messages)
    return Task(problem.id, attempt, turns, (*earlier, text))


def _values(text: str, silent: float, said: bool, length: float) -> dict[str, float]:
    at = first_doubt(text)
    return {
        "abstains": silent,
        "answers": float(said and not silent),
        "doubted": float(at is not None),
        "place": math.nan if at is None else at / max(1, len(text)),
        "thoughts": math.nan if at is None else float(len(_SECOND_THOUGHTS.findall(text[at:]))),
        "length": length,
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _columns(
    read: Mapping[str, Mapping[str, float]], right: Mapping[str, float], pairs: Sequence[tuple[str, str]]
) -> dict[str, Array]:
    lacking = {key: np.array([read[one][key] for one, _ in pairs]) for key in _VALUES}
    whole = {
        f"whole_{key}": np.array([read[two][key] for _, two in pairs]) for key in ("abstains", "doubted", "length")
    }
    return {**lacking, **whole, "whole_right": np.array([right[two] for _, two in pairs])}


def _rates(columns: Mapping[str, Array], weights: Array) -> dict[str, float]:
    total = float(weights.sum())
    shares = ("abstains", "answers", "doubted", "whole_right", "whole_abstains", "whole_doubted")
    found = {key: float(weights @ columns[key]) / total for key in shares}
    for key in ("place", "thoughts"):
        known = ~np.isnan(columns[key])
        found[key] = ratio(float(weights[known] @ columns[key][known]), float(weights[known].sum()))
    found["length_ratio"] = ratio(float(weights @ columns["length"]), float(weights @ columns["whole_length"]))
    return found


_PLACE = (
    "doubted: answers with a sentence that doubts its question, thoughts included; place: share of the text before the "
    "first; second thoughts: 'wait', 'but', 'maybe' and their like after it"
)
_ANSWERS = (
    column("model"),
    measured("abstains [%]", "abstains"),
    measured("answers anyway [%]", "answers"),
    measured("whole: right [%]", "whole_right"),
    measured("whole: abstains [%]", "whole_abstains"),
    Column("abstains, vs first", lambda row: measured("delta", signed=True).show(row) if "delta" in row else "-", True),
    Column("p (Holm)", lambda row: p_value(number(row, "p_holm")) if "p_holm" in row else "-", True),
)
_DOUBTS = (
    column("model"),
    measured("length / whole", "length_ratio", scale=1.0),
    measured("doubted [%]", "doubted"),
    measured("whole: doubted [%]", "whole_doubted"),
    measured("place [%]", "place"),
    measured("second thoughts", "thoughts", scale=1.0),
)
