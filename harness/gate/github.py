"""Verdicts for GitHub Actions: annotations beside the change, and a job summary with the flipped problems.

Whatever a model wrote is data here: no answer can end an annotation, start a workflow command or become markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.gate.advice import need_lines
from harness.gate.decide import GateVerdict, Outcome, overall
from harness.gate.report import Questions, change, flip_change, headline, note_line
from harness.plain import clean, plural
from harness.redact import redact

_LEVELS: dict[Outcome, str] = {"pass": "notice", "regress": "error", "inconclusive": "warning"}
_NAMED = 5  # flipped problems in an annotation, which a page shows in full


def annotation_lines(verdicts: Sequence[GateVerdict]) -> str:
    """One workflow command for each suite: a notice, an error, or a warning if inconclusive."""
    lines: list[str] = []
    for verdict in verdicts:
        lost = [clean(flip.problem_id, 60) for flip in verdict.flips if flip.effect < 0]
        parts = [headline(verdict), *(f"because {reason}" for reason in verdict.reasons)]
        parts += [line.strip() for line in need_lines(verdict)]
        parts += [clean(note, 500) for note in verdict.notes if note.startswith("warning: ")]
        if lost:
            parts.append(f"worse on: {', '.join(lost[:_NAMED])}{', …' if len(lost) > _NAMED else ''}")
        title = f"harness gate: {verdict.outcome} on {clean(verdict.candidate.suite)}"
        lines.append(f"::{_LEVELS[verdict.outcome]} title={_property(title)}::{_message(chr(10).join(parts))}")
    return "\n".join(lines) + "\n"


def error_annotation(message: str) -> str:
    """The annotation of a gate that could not give a verdict."""
    return f"::error title=harness gate::{_message(clean(message, 2000))}\n"


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")


def summary(verdicts: Sequence[GateVerdict], show: int, questions: Questions) -> str:
    """Markdown: a table of verdicts, then the flipped problems of each suite."""
    lines = [
        f"## harness gate: {overall(verdicts)}",
        "",
        "| suite | metric | verdict | baseline | candidate | difference | problems | better / worse |",
        "|---|---|---|---|---|---|---:|---:|",
    ]
    for verdict in verdicts:
        cells = [
            _code(verdict.candidate.suite),
            _code(verdict.candidate.metric),
            f"**{verdict.outcome}**",
            _code(verdict.baseline.model),
            _code(verdict.candidate.model),
            change(verdict),
            str(verdict.n_problems),
            f"{verdict.wins} / {verdict.losses}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    for verdict in verdicts:
        told = [*(f"because {reason}" for reason in verdict.reasons), *(x.strip() for x in need_lines(verdict))]
        told += [note_line(note) for note in verdict.notes]
        lines += ["", *(f"- {_code(line, 4000)}" for line in told)] if told else []
        lines += _flips(verdict, show, questions)
    return "\n".join(lines) + "\n\n"


def _flips(verdict: GateVerdict, show: int, questions: Questions) -> list[str]:
    shown = verdict.flips[:show]
    if not shown:
        return []
    lines = [
        "",
        f"### {_code(verdict.candidate.suite)}: {plural(len(verdict.flips), 'problem')} changed, worst first",
        "",
    ]
    lines += ["| problem | change | question | baseline's answer | candidate's answer |", "|---|---:|---|---|---|"]
    for flip in shown:
        question = questions.get((verdict.candidate.suite, flip.problem_id), "")
        cells = [_code(flip.problem_id), flip_change(flip, verdict), _code(question, 120)]
        cells += [_code(flip.reference_answer, 60), _code(flip.other_answer, 60)]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _code(text: str, limit: int = 100) -> str:
    """Foreign text, shown literally: every character that could be markup is written as a number."""
    line = clean(text, limit)
    safe = "".join(c if c.isalnum() or c == " " else f"&#{ord(c)};" for c in line)
    return f"<code>{safe}</code>" if safe else ""


def append_summary(path: Path, text: str) -> None:
    """Add to the job's summary; raises `OSError` if it cannot be written."""
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(redact(text))
