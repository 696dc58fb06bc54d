"""The lines of a run's files as records and back: completions, graded attempts, judgments, what was asked.

JSON that parses can still hold anything, and folders are copied, edited and exchanged: types are checked here, where
the rows come in, so that nothing behind has to. Every reader raises KeyError, TypeError or ValueError on a row that is
not one of ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any, get_args

from harness.files import is_number, parse_json
from harness.markup import named
from harness.redact import redact
from harness.types import (
    STATUSES,
    Completion,
    Composed,
    Graded,
    Json,
    Message,
    Problem,
    Record,
    Score,
    Usage,
)

if TYPE_CHECKING:
    from judges.types import Judgment

RECORD_SCHEMA = 1
DEEPEST = 8
"""How deep a system of models may hold systems."""
_KEPT = ("id", "messages", "target", "grader", "choices", "reference", "cluster")


def as_line(row: object) -> str:
    """One line of a file, without its end."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"))


# --- completions -----------------------------------------------------------------------------------------------------


def record_to_json(record: Record) -> dict[str, Json]:
    """The line on disk: the completion exactly as the model gave it (what is derived from it is never stored)."""
    return {
        "v": RECORD_SCHEMA,
        "problem_id": record.problem_id,
        "attempt": record.attempt,
        "seed": record.seed,
        "prompt_hash": record.prompt_hash,
        **_completion_to_json(record.completion),
    }


def _completion_to_json(completion: Completion) -> dict[str, Json]:
    composed = completion.composed
    alone = completion if composed is None else replace(completion, composed=None)
    row = {key: value for key, value in asdict(alone).items() if value is not None and value is not False}
    if not row["markup"]:
        del row["markup"]
    row.pop("answer_text", None)
    if composed is not None:
        replies = [{"role": role, **_completion_to_json(reply)} for role, reply in composed.replies]
        row["composed"] = {"facts": dict(composed.facts), "replies": replies}
    return row


def record_from_json(row: dict[str, Any]) -> Record:
    """Inverse of `record_to_json`; the parts of a system's answer may be JSON in a text, as in a table's column."""
    if row["v"] != RECORD_SCHEMA:
        raise ValueError(f"record schema {row['v']!r}, this version reads {RECORD_SCHEMA}")
    completion = _completion_from_json(row)
    record = Record(row["problem_id"], row["attempt"], row["seed"], row["prompt_hash"], completion)
    if not all(type(text) is str for text in (record.problem_id, record.prompt_hash)) or not all(
        type(number) is int for number in (record.attempt, record.seed)
    ):
        raise ValueError("a field has the wrong type")
    return record


def _completion_from_json(row: dict[str, Any], depth: int = 0) -> Completion:
    completion = Completion(
        text=row["text"],
        finish=row["finish"],
        reasoning=row.get("reasoning"),
        opened_think=bool(row.get("opened_think", False)),
        markup=row.get("markup", ""),
        tokens_in=row.get("tokens_in"),
        tokens_out=row.get("tokens_out"),
        seconds=row.get("seconds"),
        logprob=row.get("logprob"),
        error=row.get("error"),
        composed=_composed_from_json(row["composed"], depth) if row.get("composed") is not None else None,
    )
    counts = (completion.tokens_in, completion.tokens_out)
    if (
        completion.finish not in ("stop", "length", "error")
        or not all(type(text) is str for text in (completion.text, completion.markup))
        or not all(isinstance(text, str | None) for text in (completion.reasoning, completion.error))
        or not all(count is None or type(count) is int for count in counts)
        or not all(isinstance(number, int | float | None) for number in (completion.seconds, completion.logprob))
    ):
        raise ValueError("a field has the wrong type")
    named(completion.markup)
    return completion


def _composed_from_json(raw: Any, depth: int) -> Composed:
    """The parts of a system's answer."""
    if depth == DEEPEST:
        raise ValueError(f"systems in systems, more than {DEEPEST} deep")
    raw = parse_json(raw) if isinstance(raw, str) else raw
    replies = tuple((one["role"], _completion_from_json(one, depth + 1)) for one in raw["replies"])
    if not isinstance(raw["facts"], Mapping) or not all(type(role) is str for role, _ in replies):
        raise ValueError("a part of a system's answer has the wrong type")
    return Composed(replies, raw["facts"])


def record_line(record: Record) -> bytes:
    """The line of a record, redacted, with its end."""
    # A lone surrogate, which a server's JSON can carry, has no UTF-8 form: it becomes "?", not a lost record.
    return redact(as_line(record_to_json(record))).encode("utf-8", "replace") + b"\n"


def as_stored(record: Record) -> Record:
    """The record as it will be read from the disk: redacted, and without what UTF-8 cannot hold."""
    return record_from_json(json.loads(record_line(record)))


# --- graded attempts, judgments, problems ----------------------------------------------------------------------------


def graded_to_json(graded: Graded) -> dict[str, Json]:
    """One line of scores.jsonl."""
    row = asdict(graded)
    for name in ("usage", "facts"):  # of a model that answers by itself
        if not row[name]:
            del row[name]
    return row


def graded_from_json(row: dict[str, Any]) -> Graded:
    """Inverse of `graded_to_json`."""
    score = Score(**row["score"])
    usage = {role: Usage(**one) for role, one in row.get("usage", {}).items()}
    graded = Graded(**{**row, "score": score, "usage": usage})
    counts = [graded.tokens_in, graded.tokens_out]
    for one in usage.values():
        counts += [one.calls, one.tokens_in, one.tokens_out]
    if not (
        all(type(text) is str for text in (graded.problem_id, graded.cluster, score.why))
        and isinstance(score.answer, str | None)
        and score.status in STATUSES
        and (score.value is None or is_number(score.value))
        and type(graded.attempt) is int
        and all(count is None or type(count) is int for count in counts)
        and isinstance(graded.formats, Mapping)
        and isinstance(graded.facts, Mapping)
        and all(is_number(value) for value in graded.facts.values())
    ):
        raise ValueError("a field has the wrong type")
    return graded


def judgment_from_json(row: dict[str, Any]) -> Judgment:
    """One line of verdicts.jsonl, which is written by `asdict`."""
    from judges.types import Judgment, Mark, Order, Verdict  # only here: most runs are graded

    verdict = row["verdict"]
    if verdict is not None:
        marks = tuple(Mark(**{**mark, "evidence": tuple(mark["evidence"])}) for mark in verdict["marks"])
        verdict = Verdict(**{**verdict, "marks": marks, "notes": tuple(verdict["notes"])})
        if not isinstance(verdict.value, int | float) or not 0.0 <= verdict.value <= 1.0:
            raise ValueError(f"a verdict's value is {verdict.value!r}")
    judgment = Judgment(**{**row, "verdict": verdict})
    if not all(isinstance(text, str) for text in (judgment.problem_id, judgment.judge, judgment.rubric, judgment.raw)):
        raise ValueError("a field has the wrong type")
    if judgment.order not in get_args(Order) or type(judgment.attempt) is not int or type(judgment.repeat) is not int:
        raise ValueError("order, attempt or repeat is none")
    if verdict is not None and not isinstance(verdict.label, str):
        raise ValueError("a verdict's label is no text")
    return judgment


def problem_to_json(problem: Problem) -> dict[str, Json]:
    """One line of problems.jsonl; the temperature and facts of a problem are not kept."""
    return {name: value for name, value in asdict(problem).items() if name in _KEPT}


def problem_from_json(row: dict[str, Any]) -> Problem:
    """Inverse of `problem_to_json`."""
    messages = tuple(Message(one["role"], one["content"]) for one in row["messages"])
    problem = Problem(**{**row, "messages": messages, "choices": tuple(row["choices"])})
    if not all(isinstance(getattr(problem, name), str) for name in ("id", "target", "grader", "cluster")):
        raise ValueError("a field has the wrong type")
    if not all(isinstance(one.content, str) and one.role in ("system", "user", "assistant") for one in messages):
        raise ValueError("a message has the wrong type")
    if not isinstance(problem.reference, str | None) or not all(isinstance(one, str) for one in problem.choices):
        raise ValueError("reference or choices have the wrong type")
    return problem
