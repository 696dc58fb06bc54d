"""What wrong answers are made of: claims or silence, thoughts that go in circles, answers that leave their thought.

An answer is correct, incorrect or not attempted. A suite's grader tells right from wrong; of what is not right, an
answer that the grader did not find, and one that abstains by `harness.grading.abstaining`, is not attempted. Where no
grader can tell, `--grade judge` asks a judge (rubric `attempted`). Given attempted: right ones of those attempted; F1
is the harmonic mean of that and of correct, as in SimpleQA.

A judge sees the thoughts alone for "goes in circles" and thought and answer for "answer leaves thought" (rubrics
`flaw_repetition`, `thought_mismatch`). Confidence is the share of attempts at a problem that give this answer (votes),
or the exponential of the mean log-probability of its tokens where the engine stored it (likelihood); both of attempted
answers only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, cast

import numpy as np

from harness.analyses.asking import stored_answers
from harness.analyses.base import Analysis, AnalysisContext, measured, refuse_unlike, told
from harness.analyses.judging import Verdicts, judge_texts
from harness.errors import DataError, UsageError
from harness.grading.abstaining import abstains
from harness.reasoning import with_answer
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import p_value
from harness.run.folder import Key, RunFolder
from harness.run.naming import display_names
from harness.stats.calibration import auroc, brier_score, calibration_error
from harness.stats.multiple import holm
from harness.stats.paired import paired_differences
from harness.stats.resampling import cluster_intervals, ratio
from harness.stats.standard_errors import Array
from harness.types import Completion, Graded, Json, Problem
from judges.answers import conversation
from judges.types import Task

Kind = Literal["correct", "incorrect", "not_attempted"]
_GRADES, _CIRCLES, _LEAVES = "attempted", "flaw_repetition", "thought_mismatch"
_SHORTEST = 20
"""Words of a thought; what is shorter cannot go round in circles."""
Answer = tuple[Problem, int, Completion]


@dataclass(frozen=True)
class Hallucination(Analysis):
    """What wrong answers are made of: false claims or silence, circles in thoughts, answers that leave their thought.

    RUN are runs of one suite; the second and later ones are held against the first. Correct, incorrect and not
    attempted come from the suite's grader and the rule for abstaining, or from a judge with --grade judge. --judge has
    a judge look at the thoughts, too. Calibration is of votes among the attempts at a problem, and of the stored
    likelihood of answers.
    """

    judge: str | None = None
    """Model that judges thoughts, and answers with --grade judge."""
    judge_arg: tuple[str, ...] = field(default=(), metadata={"shown": "KEY=VALUE"})
    """Option of the judge's engine; repeat for more."""
    allow_self: bool = False
    """Let a model judge its own answers."""
    grade: Literal["suite", "judge"] = "suite"
    """Who tells right, wrong and not attempted: the suite's grader with the rule for abstaining, or the judge."""
    samples: int = field(default=1, metadata={"least": 1})
    """Answers of each problem that are judged, at most."""
    limit: int | None = field(default=None, metadata={"least": 1})
    """Problems whose answers are judged, at most."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """Kinds of answers, then what the judge found in thoughts, then calibration."""
        if self.grade == "judge" and self.judge is None:
            raise UsageError("--grade judge needs a judge: say --judge NAME, e.g. --judge openai:NAME")
        refuse_unlike(runs)
        names = display_names([run.result for run in runs])
        answers = [list(stored_answers(run, context)) for run in runs]
        verdicts = [self._judged(run, texts, context) for run, texts in zip(runs, answers, strict=True)]
        kinds = [
            _by_judge(texts, told[_GRADES]) if self.grade == "judge" else _by_suite(run, texts)
            for run, texts, told in zip(runs, answers, verdicts, strict=True)
        ]
        tables = [_kinds_table(names, runs, kinds)]
        if self.judge is not None:
            rows = [_thoughts(name, told, kind) for name, told, kind in zip(names, verdicts, kinds, strict=True)]
            tables.append(Table("Thoughts, by a judge", _THOUGHT_COLUMNS, tuple(rows), (_JUDGED.format(self.judge),)))
        found = zip(names, runs, answers, kinds, strict=True)
        calibrated = [row for name, run, texts, kind in found for row in _calibration(name, run, texts, kind)]
        return tables + ([Table("Calibration", _CALIBRATION, tuple(calibrated), (_CONFIDENCE,))] if calibrated else [])

    def _judged(self, run: RunFolder, texts: Sequence[Answer], context: AnalysisContext) -> dict[str, Verdicts]:
        if self.judge is None:
            return {}
        problems = list(dict.fromkeys(problem.id for problem, *_ in texts))[: self.limit]
        numbers = sorted({attempt for _, attempt, _ in texts})[: self.samples]
        chosen = [one for one in texts if one[0].id in {*problems} and one[1] in {*numbers}]
        tasks: dict[str, list[Task]] = {_CIRCLES: [], _LEAVES: [], **({_GRADES: []} if self.grade == "judge" else {})}
        for problem, attempt, completion in chosen:
            split = with_answer(completion)
            thought, answer = split.reasoning or "", split.answer_text or ""
            make = partial(_task, problem, attempt)
            if len(thought.split()) >= _SHORTEST:
                tasks[_CIRCLES].append(make(thought))
            if thought.strip() and answer.strip():
                tasks[_LEAVES].append(make(f"{thought}\n\nFINAL ANSWER:\n{answer}"))
            if self.grade == "judge" and answer.strip():
                tasks[_GRADES].append(make(answer))
        asked = {name: some for name, some in tasks.items() if some}
        if not asked:
            raise DataError(f"{run.name}: no answer has a thought that could be judged")
        found = judge_texts(self.judge, self.judge_arg, asked, context, [] if self.allow_self else [run])
        return {name: found.get(name, {}) for name in tasks}


def _task(problem: Problem, attempt: int, text: str) -> Task:
    turns, earlier = conversation(problem.messages)
    return Task(problem.id, attempt, turns, (*earlier, text), reference=problem.target or problem.reference)


def _by_suite(run: RunFolder, texts: Sequence[Answer]) -> dict[Key, Kind]:
    """An attempt without a score is missing."""
    said = {(problem.id, attempt): with_answer(completion).answer_text for problem, attempt, completion in texts}
    found: dict[Key, Kind] = {}
    for row in run.graded:
        if row.score.value is None:
            continue
        silent = row.score.answer is None or abstains(said.get((row.problem_id, row.attempt)) or "")
        kind: Kind = "correct" if row.score.value > 0.5 else "not_attempted" if silent else "incorrect"
        found[row.problem_id, row.attempt] = kind
    return found


def _by_judge(texts: Sequence[Answer], verdicts: Verdicts) -> dict[Key, Kind]:
    """What has no answer was not attempted and is not asked about; what the judge did not tell is missing."""
    found: dict[Key, Kind] = {}
    judged = {problem for problem, _ in verdicts}
    for problem, attempt, completion in texts:
        verdict = verdicts.get((problem.id, attempt))
        if verdict is not None:
            found[problem.id, attempt] = cast("Kind", verdict.label)
        elif problem.id in judged and not (with_answer(completion).answer_text or "").strip():
            found[problem.id, attempt] = "not_attempted"
    return found


def _kinds_table(names: Sequence[str], runs: Sequence[RunFolder], kinds: Sequence[Mapping[Key, Kind]]) -> Table:
    others = [{problem for problem, _ in found} for found in kinds[1:]]
    common = [key for key in dict.fromkeys(problem for problem, _ in kinds[0]) if all(key in one for one in others)]
    if not common:
        raise DataError(f"{', '.join(run.name for run in runs)}: no problem has a graded answer in all of them")
    clusters = _clusters(runs[0], common)
    shares = [_shares(found, common) for found in kinds]
    rows: list[dict[str, Json]] = []
    for name, run, found, share in zip(names, runs, kinds, shares, strict=True):
        told_ones = cluster_intervals(partial(_rates, share), clusters)
        cells: dict[str, Json] = {key: told(*value) for key, value in told_ones.items()}
        rows.append({"model": name, "run": run.name, "answers": len(found), "missing": _missing(run, found), **cells})
    deltas = [paired_differences(share[:, 1] - shares[0][:, 1], clusters, mcnemar=False) for share in shares[1:]]
    for row, delta, p in zip(rows[1:], deltas, holm([delta.p for delta in deltas]), strict=True):
        row |= {"delta": told(delta.diff, delta.low, delta.high), "p_holm": p}
    left = len({problem for found in kinds for problem, _ in found}) - len(common)
    notes = [f"{len(common)} problems", *([f"{left} problems are left out: not in every run"] if left else [])]
    return Table(f"What answers are, {runs[0].result.suite}", _KIND_COLUMNS, tuple(rows), tuple(notes))


def _missing(run: RunFolder, found: Mapping[Key, Kind]) -> int:
    return len({(row.problem_id, row.attempt) for row in run.graded} - {*found})


def _clusters(run: RunFolder, problems: Sequence[str]) -> list[str]:
    known = {row.problem_id: row.cluster for row in run.graded}
    return [known.get(problem) or problem for problem in problems]


def _shares(kinds: Mapping[Key, Kind], problems: Sequence[str]) -> Array:
    """[problems, 3]: shares of correct, incorrect and not attempted."""
    counts: dict[str, Counter[Kind]] = {}
    for (problem, _), kind in kinds.items():
        counts.setdefault(problem, Counter())[kind] += 1
    order: tuple[Kind, ...] = ("correct", "incorrect", "not_attempted")
    return np.array([[counts[one][kind] / counts[one].total() for kind in order] for one in problems])


def _rates(shares: Array, weights: Array) -> dict[str, float]:
    correct, incorrect, silent = (float(one) for one in weights @ shares / weights.sum())
    given = ratio(correct, correct + incorrect)
    f1 = math.nan if math.isnan(given) else ratio(2 * correct * given, correct + given)
    return {"correct": correct, "incorrect": incorrect, "not_attempted": silent, "given": given, "f1": f1}


def _thoughts(name: str, verdicts: Mapping[str, Verdicts], kinds: Mapping[Key, Kind]) -> Row:
    """Shares of yes, of all, right and wrong answers; what could not be read is counted."""
    row: dict[str, Json] = {"model": name}
    for key in (_CIRCLES, _LEAVES):
        read = {at: one.value for at, one in verdicts[key].items() if one is not None}
        row[f"{key}_unread"] = len(verdicts[key]) - len(read)
        row[f"{key}_texts"] = len(read)
        sides: dict[str, Callable[[Key], bool]] = {
            "": lambda _: True,
            "_right": lambda at: kinds.get(at) == "correct",
            "_wrong": lambda at: kinds.get(at) == "incorrect",
        }
        for side, belongs in sides.items():
            chosen = [(at[0], value) for at, value in read.items() if belongs(at)]
            values = np.array([value for _, value in chosen])
            intervals = cluster_intervals(
                lambda weights, values=values: {"yes": ratio(float(weights @ values), float(weights.sum()))},  # type: ignore[misc]
                [problem for problem, _ in chosen],
            )["yes"] if chosen else (math.nan,) * 3  # fmt: skip
            row[key + side] = told(*intervals)
    return row


def _calibration(name: str, run: RunFolder, texts: Sequence[Answer], kinds: Mapping[Key, Kind]) -> list[Row]:
    """A row for each kind of confidence that the run has."""
    rows = [row for row in run.graded if kinds.get((row.problem_id, row.attempt)) in ("correct", "incorrect")]
    stated = {"votes": _votes(rows), "likelihood": _likelihoods(texts)}
    found: list[Row] = []
    for kind, confidence in stated.items():
        chosen = [row for row in rows if (row.problem_id, row.attempt) in confidence]
        if not chosen:
            continue
        p = np.array([confidence[row.problem_id, row.attempt] for row in chosen])
        right = np.array([float(kinds[row.problem_id, row.attempt] == "correct") for row in chosen])
        clusters = [row.cluster or row.problem_id for row in chosen]
        cells = {key: told(*value) for key, value in cluster_intervals(partial(_fit, p, right), clusters).items()}
        found.append({"model": name, "confidence": kind, "answers": len(chosen), **cells})
    return found


def _fit(p: Array, right: Array, weights: Array) -> dict[str, float]:
    total = float(weights.sum())
    return {
        "mean": ratio(float(weights @ p), total),
        "right": ratio(float(weights @ right), total),
        "ece": calibration_error(p, right, weights),
        "brier": brier_score(p, right, weights),
        "auroc": auroc(p, right, weights),
    }


def _votes(rows: Sequence[Graded]) -> dict[Key, float]:
    """Of problems with two attempted answers or more: the share of them that are this one."""
    of_problem: dict[str, list[Graded]] = {}
    for row in rows:
        of_problem.setdefault(row.problem_id, []).append(row)
    found: dict[Key, float] = {}
    for problem, some in of_problem.items():
        counts = Counter(row.score.answer for row in some)
        if len(some) > 1:
            found |= {(problem, row.attempt): counts[row.score.answer] / len(some) for row in some}
    return found


def _likelihoods(texts: Sequence[Answer]) -> dict[Key, float]:
    return {
        (problem.id, attempt): math.exp(min(0.0, completion.logprob / completion.tokens_out))
        for problem, attempt, completion in texts
        if completion.logprob is not None and completion.tokens_out
    }


def _count(title: str, key: str) -> Column:
    return Column(title, lambda row: str(row[key]), right=True)


_JUDGED = "by {}: goes in circles is of thoughts of 20 words or more, leaves its thought of thoughts with an answer"
_CONFIDENCE = (
    "of attempted answers: votes are the share of a problem's that are this one, likelihood is exp(mean log p)"
)
_KIND_COLUMNS = (
    column("model"),
    _count("answers", "answers"),
    _count("without a grade", "missing"),
    measured("correct [%]", "correct"),
    measured("incorrect [%]", "incorrect"),
    measured("not attempted [%]", "not_attempted"),
    measured("right of attempted [%]", "given"),
    measured("F1 [%]", "f1"),
    Column(
        "incorrect, vs first", lambda row: measured("delta", signed=True).show(row) if "delta" in row else "-", True
    ),
    Column("p (Holm)", lambda row: p_value(number(row, "p_holm")) if "p_holm" in row else "-", True),
)
_THOUGHT_COLUMNS = (
    column("model"),
    *(
        one
        for key, title in ((_CIRCLES, "goes in circles"), (_LEAVES, "leaves its thought"))
        for one in (
            measured(f"{title} [%]", key),
            measured("right [%]", f"{key}_right"),
            measured("wrong [%]", f"{key}_wrong"),
            _count("of", f"{key}_texts"),
            _count("unread", f"{key}_unread"),
        )
    ),
)
_CALIBRATION = (
    column("model"),
    column("confidence"),
    _count("answers", "answers"),
    measured("mean [%]", "mean"),
    measured("right [%]", "right"),
    measured("ECE [%]", "ece"),
    measured("Brier [%]", "brier"),
    measured("AUROC [%]", "auroc"),
)
