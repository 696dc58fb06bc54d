"""Verdicts as text for a person and as data: the verdict first, then the interval as a picture, then what flipped."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.compare import Flip
from harness.gate.advice import need_lines
from harness.gate.decide import EXIT_CODES, GateVerdict, overall
from harness.gate.values import Side
from harness.plain import clean, plural
from harness.report.text import p_value
from harness.types import Json

Questions = Mapping[tuple[str, str], str]
"""(suite, problem id) -> the question's text."""
_WIDTH = 57
_ANSWER = 40
_QUESTION = 70


def difference(verdict: GateVerdict) -> tuple[float, float, float]:
    """Candidate minus baseline and its bounds, as the metric counts (more tokens are more, though they are worse)."""
    if verdict.candidate.lower_is_better:
        return 0.0 - verdict.effect, 0.0 - verdict.high, 0.0 - verdict.low  # no -0.0
    return verdict.effect, verdict.low, verdict.high


def headline(verdict: GateVerdict) -> str:
    """The verdict in one line, without colours; foreign text is cleaned."""
    name = f"{clean(verdict.candidate.suite)} {clean(verdict.candidate.metric)}"
    return f"{verdict.outcome.upper()}: {name}: {change(verdict)}"


def change(verdict: GateVerdict) -> str:
    """What was seen and what was allowed, in words: "worse by 49.0 pp [39.0, 57.7]; allowed: 2.0".

    The same in the report, the summary, JUnit and annotations. The interval is of the loss, or of the gain.
    """
    scale, unit = verdict.unit
    worse = verdict.effect < 0.0
    seen, low, high = (scale * x for x in (verdict.effect, verdict.low, verdict.high))
    seen, low, high = (-seen, 0.0 - high, 0.0 - low) if worse else (seen, low, high)
    by = f"{seen:.1f}{f' {unit}' if unit else ''} [{low:.1f}, {high:.1f}]"
    more = {"tokens_out": "longer", "truncated": "cut more often"}.get(verdict.candidate.metric, "worse")
    less = {"tokens_out": "shorter", "truncated": "cut less often"}.get(verdict.candidate.metric, "better")
    margin = f"{scale * verdict.margin.value:.3g}"
    margin += "" if "." in margin or "e" in margin else ".0"
    asked = {
        "noninferior": "allowed" if worse else "allowed loss",
        "superior": "required gain: more than",
        "equivalent": "allowed either way",
    }[verdict.rule.test]
    how = "equal: " if seen == 0.0 else f"{more if worse else less} by "
    return f"{how}{by}; {asked}{'' if asked.endswith('than') else ':'} {margin}"


def text_report(verdicts: Sequence[GateVerdict], show: int, questions: Questions) -> str:
    """The whole report; at most `show` flipped problems a suite."""
    parts = ["\n".join(_lines(verdict, show, questions)) for verdict in verdicts]
    if len(verdicts) > 1:
        passed = sum(verdict.outcome == "pass" for verdict in verdicts)
        parts.append(
            f"{overall(verdicts).upper()}: {passed} of {len(verdicts)} suites pass. All must, so passing needs no "
            "correction; regressions are Holm-corrected."
        )
    return "\n\n".join(parts) + "\n"


def _lines(verdict: GateVerdict, show: int, questions: Questions) -> list[str]:
    alpha = verdict.rule.alpha
    level = f"interval of {100 * (1 - 2 * alpha):g} %, each bound at one-sided alpha {alpha:g}"
    same = verdict.n_problems - verdict.wins - verdict.losses
    units = f" in {verdict.n_units} clusters" if verdict.n_units != verdict.n_problems else ""
    problems = plural(verdict.n_problems, "problem")
    lines = [
        headline(verdict),
        f"  baseline   {_side(verdict.baseline, verdict.baseline_mean)}",
        f"  candidate  {_side(verdict.candidate, verdict.candidate_mean)}",
        f"  {picture(verdict)}",
        "  | margin, 0 no difference, o seen",
        f"  {problems}{units}: {verdict.wins} better, {verdict.losses} worse, {same} the same",
        f"  {level}; p(pass) {p_value(verdict.p_pass)}, p(regress) {p_value(verdict.p_fail)}",
    ]
    if verdict.excluded or verdict.missing:
        named = ", ".join(clean(key, 40) for key in verdict.excluded[:5]) + (", …" if len(verdict.excluded) > 5 else "")
        excluded = plural(len(verdict.excluded), "problem")
        lines.append(
            f"  {excluded} excluded for want of a score{f' ({named})' if named else ''}; "
            f"{verdict.missing:.1%} of the samples have none"
        )
    lines += [f"  because {reason}" for reason in verdict.reasons]
    lines += need_lines(verdict)
    lines += [f"  {note_line(note)}" for note in verdict.notes]
    return lines + _flip_lines(verdict, show, questions)


def note_line(note: str) -> str:
    """A note of a verdict; a warning says itself that it is one."""
    return clean(note if note.startswith("warning: ") else f"note: {note}", 500)


def _side(side: Side, mean: float) -> str:
    share = side.share
    value = f"{100 * mean:.1f} %" if share else f"{mean:.1f}"
    return f"{value:>9s}  {clean(side.model, 60)}  ({plural(side.n, 'sample')} a problem; {clean(side.run_id, 100)})"


def picture(verdict: GateVerdict) -> str:
    """The interval on a line, worse on the left: [ ] bounds, o estimate, | edge of what passes, 0 no difference."""
    edges = [edge for edge in verdict.region if math.isfinite(edge)]
    points = [verdict.low, verdict.high, 0.0, *edges]
    low, high = min(points), max(points)
    pad = 0.05 * (high - low) or 1.0

    def at(value: float) -> int:
        return round((value - low + pad) / (high - low + 2 * pad) * (_WIDTH - 1))

    line = ["."] * _WIDTH
    for position in range(at(verdict.low), at(verdict.high) + 1):
        line[position] = "="
    for value, mark in ((0.0, "0"), (verdict.low, "["), (verdict.high, "]"), (verdict.effect, "o")):
        line[at(value)] = mark
    for edge in edges:  # a margin too small to be drawn still stands beside the 0
        beside = 0 if at(edge) != at(0.0) or edge == 0.0 else -1 if edge < 0.0 else 1
        line[at(edge) + beside] = "|"
    return f"worse {''.join(line)} better"


def _flip_lines(verdict: GateVerdict, show: int, questions: Questions) -> list[str]:
    if not verdict.flips or show == 0:
        return []
    lines = [f"  problems that changed, worst first ({len(verdict.flips)}):"]
    for flip in verdict.flips[:show]:
        question = clean(questions.get((verdict.candidate.suite, flip.problem_id), ""), _QUESTION)
        lines.append(f"    {flip_change(flip, verdict)}  {clean(flip.problem_id, 60)}  {question}".rstrip())
        answers = [repr(clean(text, _ANSWER)) for text in (flip.reference_answer, flip.other_answer) if text]
        if flip.reference_answer or not flip.other_answer:
            lines += [f"        answers: {' -> '.join(answers)}"] if answers else []
        else:  # a baseline file has none
            lines.append(f"        candidate's answer: {answers[0]}")
    if len(verdict.flips) > show:
        lines.append(f"    and {len(verdict.flips) - show} more; --show {len(verdict.flips)} lists all")
    return lines


def flip_change(flip: Flip, verdict: GateVerdict) -> str:
    """Both values of a flipped problem: "100 -> 0 %"."""
    if verdict.candidate.share:
        return f"{100 * flip.reference:.0f} -> {100 * flip.other:.0f} %"
    return f"{flip.reference:.1f} -> {flip.other:.1f}"


def as_json(verdicts: Sequence[GateVerdict], show: int | None, questions: Questions) -> dict[str, Json]:
    """Everything as data; differences are candidate minus baseline, in units of the metric."""
    outcome = overall(verdicts)
    return {
        "outcome": outcome,
        "exit_code": EXIT_CODES[outcome],
        "suites": [_row(verdict, show, questions) for verdict in verdicts],
    }


def _row(verdict: GateVerdict, show: int | None, questions: Questions) -> dict[str, Json]:
    value, low, high = difference(verdict)
    side = verdict.candidate
    return {
        "suite": side.suite,
        "metric": side.metric,
        "outcome": verdict.outcome,
        "test": verdict.rule.test,
        "margin": verdict.margin.value,
        "margin_relative": verdict.margin.relative,
        "alpha": verdict.rule.alpha,
        "better": "lower" if side.lower_is_better else "higher",
        "baseline": {"run": verdict.baseline.run_id, "model": verdict.baseline.model, "mean": verdict.baseline_mean},
        "candidate": {"run": side.run_id, "model": side.model, "mean": verdict.candidate_mean},
        "difference": value,
        "low": low,
        "high": high,
        "p_pass": verdict.p_pass,
        "p_fail": verdict.p_fail,
        "problems": verdict.n_problems,
        "units": verdict.n_units,
        "wins": verdict.wins,
        "losses": verdict.losses,
        "excluded": list(verdict.excluded),
        "missing": verdict.missing,
        "truncated": {"baseline": verdict.baseline.truncated, "candidate": side.truncated},
        "reasons": list(verdict.reasons),
        "notes": list(verdict.notes),
        "needs": [
            {"effect": need.effect, "n": need.n, "problems": need.problems, "floor": need.floor}
            for need in verdict.needs
        ],
        "n_flips": len(verdict.flips),
        "flips": [
            {
                "problem_id": flip.problem_id,
                "baseline": flip.reference,
                "candidate": flip.other,
                "baseline_answer": flip.reference_answer,
                "candidate_answer": flip.other_answer,
                "question": questions.get((side.suite, flip.problem_id), ""),
            }
            for flip in verdict.flips[:show]
        ],
    }


def find_questions(verdicts: Sequence[GateVerdict], show: int, data_dir: str | None) -> dict[tuple[str, str], str]:
    """The questions of the problems that will be shown; none where a suite's data are not at hand."""
    from pathlib import Path

    from harness.run.problem import questions_of

    folder = Path(data_dir) if data_dir is not None else None
    found: dict[tuple[str, str], str] = {}
    for verdict in verdicts:
        side = verdict.candidate
        wanted = {flip.problem_id for flip in verdict.flips[:show]}
        asked = questions_of(side.suite, side.seed, side.limit, wanted, folder)
        found |= {(side.suite, problem): text for problem, text in asked.items()}
    return found
