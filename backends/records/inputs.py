"""What a maker starts from: records and plain prompt files as records, and records as problems that can be graded.

A prompt file (JSON lines, parquet, CSV) has whole training records, conversations (`backends.records.shapes`) or plain
columns: `question` (or `prompt`, `instruction`, `problem`, `query`) as text and, where the answer can be checked,
`gold` (or `answer`, `target`). Without an `id` a row is named by its content. GSM8K's `#### 72` at the end of a worked
answer is read as 72.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from backends.records.record import TrainRecord, record_from_json
from backends.records.shapes import ANSWERS, QUESTIONS, first_text, folded, named, plain_question, unread, with_input
from backends.records.source import load_records, row_fields
from harness import catalog
from harness.datasets.local import Raw, read_file
from harness.errors import DataError, UnknownName
from harness.hashing import canonical_json, short_hash
from harness.types import Json, Message, Problem

TASK_GRADERS = {"math": "math"}
"""Grader of a record that names none, by its task."""
CHECKED_BY = ("grader", "choices")
"""What a plain row may say in its meta, as records do."""


def read_prompts(path: Path, *, instruction: str = "", grader: str | None = None) -> tuple[list[TrainRecord], int]:
    """The records of a prompt file and how many rows repeat an earlier one.

    `instruction` is put after every plain question, `grader` (a catalog name) checks the answers. Raises `DataError`
    naming file, line and column for anything malformed, for an id with two contents, and for a file without rows.
    """
    if grader is not None and grader not in catalog.entries("grader"):
        raise UnknownName("grader", grader, catalog.entries("grader"))
    if not path.is_file():
        raise DataError(f"{str(path)!r} is not a file: name a JSON-lines file of prompts")
    known: dict[str, TrainRecord] = {}
    repeated = 0
    for raw in read_file(path.parent, path.name, None):
        record = _row(raw, instruction, grader)
        if record.id not in known:
            known[record.id] = record
        elif known[record.id] == record:
            repeated += 1
        else:
            raise DataError(f"{raw.where}: two rows have the id {record.id!r} and differ: ids must be unique")
    if not known:
        raise DataError(f"{path} holds no prompts")
    return list(known.values()), repeated


def _row(raw: Raw, instruction: str, grader: str | None) -> TrainRecord:
    row, where = folded(raw.fields), raw.where
    if not plain_question(row):
        record = record_from_json(row_fields(raw), where)
        return record if grader is None else noted(record, grader=grader)
    named_question = first_text(row, QUESTIONS, where)
    if named_question is None:
        raise DataError(unread(row, where))
    question = with_input(row, *named_question)
    told = first_text(row, ANSWERS, where, numbers=True)
    answer = told[1] if told is not None else None
    record_id = named(row, where)["id"]
    if row.get("id") is None:
        record_id = short_hash(canonical_json([question, answer]), 16)
    own = row.get("meta")
    meta: dict[str, Json] = {name: own[name] for name in CHECKED_BY if name in own} if isinstance(own, Mapping) else {}
    meta |= {"grader": grader} if grader is not None else {}
    turn = {"role": "user", "content": f"{question}\n\n{instruction}" if instruction else question}
    fields: dict[str, Json] = {"id": record_id, "prompt": [turn], "gold": _gold(answer), "meta": meta}
    return record_from_json({key: value for key, value in fields.items() if value is not None}, where)


def _gold(answer: str | None) -> str | None:
    """A worked answer's last `####` line where it has one, else the answer."""
    if answer is None or not answer.strip():
        return None
    _, marker, last = answer.rpartition("####")
    return last.strip().replace(",", "") if marker else answer.strip()


def noted(record: TrainRecord, **meta: Json) -> TrainRecord:
    """The record with more in its meta."""
    return replace(record, meta={**record.meta, **meta})


def read_all(names: Iterable[str], grader: str | None = None, *, plain: bool = False) -> list[TrainRecord]:
    """The training records of several files (or "synth:…", see `backends.records.source`), in order.

    `grader` (a catalog name) replaces that of every record. `plain`: rows may also be those of prompt files. Raises
    what `load_records` and `read_prompts` raise, and `DataError` for an id that two files have.
    """
    if grader is not None and grader not in catalog.entries("grader"):
        raise UnknownName("grader", grader, catalog.entries("grader"))
    found: dict[str, str] = {}
    records: list[TrainRecord] = []
    for name in names:
        for record in read_prompts(Path(name))[0] if plain and Path(name).is_file() else load_records(name):
            if record.id in found:
                raise DataError(f"{name}: record {record.id!r} is in {found[record.id]} too: ids must differ")
            found[record.id] = name
            records.append(record if grader is None else noted(record, grader=grader))
    return records


def grader_of(record: TrainRecord) -> str | None:
    """`named_grader` of a record with a gold; None if its answer cannot be checked. Raises as that does."""
    return named_grader(record) if record.gold is not None else None


def named_grader(record: TrainRecord) -> str | None:
    """Catalog name of what reads its answers, with or without a gold: the record's own, else its task's; None if none.

    Raises `DataError` for a grader that does not exist.
    """
    name = record.meta.get("grader", TASK_GRADERS.get(record.task))
    if name is None:
        return None
    if not isinstance(name, str) or name not in catalog.entries("grader"):
        raise DataError(
            f"record {record.id!r} names the grader {name!r}, which does not exist: say 'grader' in its meta (of "
            f"`harness data`: --grader), one of {', '.join(catalog.entries('grader'))}"
        )
    return name


def problem_of(record: TrainRecord, messages: tuple[Message, ...] | None = None) -> Problem:
    """The record as a problem: what is asked (its own prompt, or other messages), and what its answer is checked with.

    A record that cannot be checked has the target "" and the grader "exact".
    """
    grader = grader_of(record)
    choices = record.meta.get("choices", ())
    if isinstance(choices, str) or not isinstance(choices, Sequence) or not all(isinstance(c, str) for c in choices):
        raise DataError(f"record {record.id!r}: 'choices' in its meta must be a list of texts")
    return Problem(
        id=record.id,
        messages=messages if messages is not None else record.prompt,
        target=record.gold or "",
        grader=grader or "exact",
        choices=tuple(str(choice) for choice in choices),
    )


def require_checkable(records: Iterable[TrainRecord], what: str) -> None:
    """Raise `DataError` if a record's answer cannot be checked: it has no gold, or nothing says by what grader."""
    records = list(records)
    bad = [record.id for record in records if grader_of(record) is None]
    if bad:
        raise DataError(
            f"{what} keeps only what a grader confirms, and {len(bad)} of {len(records)} records have no 'gold' or "
            f"no grader, the first {bad[0]!r}: add 'gold', and say 'grader' (integer, number, math, …) "
            "in their meta, or --grader where a command has it"
        )
