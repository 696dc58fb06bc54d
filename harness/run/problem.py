"""`harness show RUN --problem ID`: one problem of a run, from the question to the verdicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.datasets import load_rows
from harness.errors import HarnessError, StoreError, UsageError
from harness.reasoning import with_answer
from harness.run.folder import SCORES, VERDICTS, RunFolder
from harness.run.replan import stored_job
from harness.run.turns import walk
from harness.suites import load_problems, load_suite
from harness.types import Completion, Composed, Problem
from judges.types import Judgment

_LISTED = 12
"""Ids named in an error."""


def problem_facts(folder: RunFolder, name: str, data_dir: Path | None) -> dict[str, Any]:
    """Question, gold, options, replies with their thought, and verdicts; `name` is an id or an ending of one.

    Raises `UsageError` listing ids if none or several match, `StoreError` for a damaged run.
    """
    if folder.has(VERDICTS):
        rows = folder.judgments
        wanted = find_id(name, (row.problem_id for row in rows), folder.name, "judgment")
        facts = _asked(folder, wanted, data_dir)
        return facts | _judged(folder, [row for row in rows if row.problem_id == wanted], data_dir)
    stored = list(folder.records)
    graded = folder.graded if folder.has(SCORES) else []  # a judged suite's answers are not graded
    ids = [record.problem_id for record in stored] or [row.problem_id for row in graded]
    wanted = find_id(name, ids, folder.name, "completion")
    records = {record.attempt: record for record in stored if record.problem_id == wanted}
    scores = {row.attempt: row.score for row in graded if row.problem_id == wanted}
    facts = _asked(folder, wanted, data_dir)
    if not records:  # an import without replies
        return facts | {f"attempt {attempt}": dataclasses.asdict(score) for attempt, score in sorted(scores.items())}
    return facts | {
        f"attempt {attempt}": {
            "verdict": dataclasses.asdict(scores[attempt]) if attempt in scores else "not graded",
            "finish": record.completion.finish,
            "tokens": record.completion.tokens_out,
            "seed": record.seed,
            **_reply(record.completion),
        }
        for attempt, record in sorted(records.items())
    }


def questions_of(
    suite_name: str, seed: int, limit: int | None, wanted: Collection[str], data_dir: Path | None
) -> dict[str, str]:
    """What the user's turns of these problems say; {} where the suite's data are not at hand.

    The hub is not asked: a report of stored runs needs no network.
    """
    problems = problems_at_hand(suite_name, seed, limit, data_dir) if wanted else []
    return {
        one.id: " ".join(m.content for m in one.messages if m.role == "user") for one in problems if one.id in wanted
    }


def problems_at_hand(suite_name: str, seed: int, limit: int | None, data_dir: Path | None) -> Sequence[Problem]:
    """The problems of a suite, without asking the hub; none where its data are not at hand."""
    try:
        suite = load_suite(suite_name)
        if data_dir is None and suite.data.generate is None:
            return []
        return load_problems(suite, data_dir, seed, limit)
    except HarnessError:  # a report does not need them
        return []


def find_id(name: str, ids: Iterable[str], run: str, what: str) -> str:
    """The id itself, or the only one that ends in `name`, or that holds it."""
    known = list(dict.fromkeys(ids))
    if name in known:
        return name
    for matches in ([one for one in known if one.endswith(name)], [one for one in known if name in one]):
        if len(matches) == 1 and name:
            return matches[0]
        if matches and name:
            raise UsageError(f"{name!r} is part of {len(matches)} problem ids: {listed(matches)}. Write more of it")
    raise UsageError(f"{run} has no {what} for problem {name!r}; its {len(known)} problems: {listed(known)}")


def listed(ids: Sequence[str]) -> str:
    """The first few ids, and how many more there are."""
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return ", ".join(ids[:_LISTED]) + more


def _asked(folder: RunFolder, wanted: str, data_dir: Path | None) -> dict[str, Any]:
    """What was asked, the gold answer and the options; or why they are not at hand."""
    try:
        problem = _problem(folder, wanted, data_dir)
    except HarnessError as error:
        return {"problem": wanted, "question": f"not at hand: {error}"}
    if problem is None:
        return {"problem": wanted, "question": "not at hand: this version of the suite has no such problem"}
    facts: dict[str, Any] = {"problem": wanted}
    turns = [message for message in problem.messages if message.role != "system"]
    facts |= {message.role: message.content for message in problem.messages if message.role == "system"}
    for number, message in enumerate(turns, start=1):
        facts["question" if len(turns) == 1 else f"turn {number}, {message.role}"] = message.content
    facts["gold"] = problem.target or None
    if problem.choices:
        facts["options"] = {chr(65 + number): text for number, text in enumerate(problem.choices)}
    facts["reference"] = problem.reference
    return {key: value for key, value in facts.items() if value is not None}


def _problem(folder: RunFolder, wanted: str, data_dir: Path | None) -> Problem | None:
    """The problem as the run's replies were made to it; of a conversation, what the first attempt was asked."""
    origin = folder.beside(folder.spec.judged_from) if folder.spec.judged_from is not None else folder
    own = origin.spec.imported_from is None
    if own and data_dir is None and load_suite(origin.spec.suite).data.generate is None:
        raise UsageError("say --data-dir, the folder with the suite's data")  # the hub is not asked unasked
    job = stored_job(origin, RunConfig(data_dir=str(data_dir) if data_dir is not None else None))
    replies = origin.latest
    attempt = min((attempt for _, attempt in replies), default=0)
    turns = (problem for first in job.problems for problem, _ in walk(job.suite, first, attempt, replies))
    return next((problem for problem in turns if problem.id == wanted), None)


def _reply(completion: Completion) -> dict[str, Any]:
    """The reply as it is read: the thought, wherever the server or the text had it, and the answer."""
    parts = _parts(completion.composed) if completion.composed is not None else {}
    if completion.finish == "error":
        return {"error": completion.error} | parts
    read = with_answer(completion)
    if read.reasoning is None:
        return {"text": completion.text} | parts
    answer = read.answer_text if read.answer_text is not None else "(never given)"
    return {"thought": read.reasoning, "answer": answer} | parts


def _parts(composed: Composed) -> dict[str, Any]:
    """What a system decided by, and every reply of its models."""
    replies = {
        f"{number}, {role}": {"finish": reply.finish, "tokens": reply.tokens_out, **_reply(reply)}
        for number, (role, reply) in enumerate(composed.replies, start=1)
    }
    return {"decided by": composed.facts, "requests": replies}


def _judged(folder: RunFolder, rows: Sequence[Judgment], data_dir: Path | None) -> dict[str, Any]:
    """The answers that were judged, A and B where there are two, and what every judge said."""
    wanted = rows[0].problem_id
    spec = folder.spec
    against = spec.against
    own = _answers(folder.beside(str(spec.judged_from)), wanted)
    facts: dict[str, Any] = {}
    name = "A" if against is not None else "answer"
    facts |= {f"{name} ({spec.model}), attempt {attempt}": text for attempt, text in own.items()}
    if against == "baseline":
        facts["B (the suite's baseline)"] = _baseline(spec.suite, wanted, data_dir)
    elif against is not None:
        facts |= {f"B ({against}), attempt {n}": text for n, text in _answers(folder.beside(against), wanted).items()}
    return facts | {f"judgment {number}": dataclasses.asdict(row) for number, row in enumerate(rows, start=1)}


def _answers(folder: RunFolder, wanted: str) -> dict[int, Any]:
    """Attempt -> the reply as it is read, of a run beside this one; why not, if it cannot be read."""
    try:
        records = [record for record in folder.records if record.problem_id == wanted]
    except StoreError as error:
        return {0: f"not at hand: {error}"}
    return {record.attempt: _reply(record.completion) for record in records} or {0: "not at hand: its run is gone"}


def _baseline(name: str, wanted: str, data_dir: Path | None) -> str:
    try:
        suite = load_suite(name)
        if data_dir is None or suite.baseline is None:
            return "not at hand: say --data-dir"
        rows = {str(row["id"]): str(row["output"]) for row in load_rows(suite.baseline, data_dir)}
    except HarnessError as error:
        return f"not at hand: {error}"
    return rows.get(wanted, "not at hand: the baseline has no answer to it")
