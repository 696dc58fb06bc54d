"""The training record: one JSON object per line, the same for every method, and its reader and writer.

A record has a prompt and whichever of the other fields its data set has; a method names the fields that it needs, and
`require` refuses data without them before anything is spent. Files are untrusted: lines are bounded, every field is
checked, an unknown field is an error (a misspelt `rejected` must not become a method without negatives); whatever else
is worth keeping goes into `meta`. Records come in the file's order.

    {"id": "a1", "prompt": [{"role": "user", "content": "2 + 2?"}], "think": "2 + 2 = 4.", "answer": "4"}
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast, get_args

from harness.datasets import content_hash
from harness.errors import DataError, UnknownName
from harness.hashing import canonical_json, short_hash
from harness.types import Json, Message, Role

MAX_ITEMS = 4096
"""Most entries of one list of a record (turns, negatives, candidates, stages)."""
MAX_DEPTH = 64
"""Levels of lists and objects in `meta`."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One of several responses to the same prompt."""

    text: str
    """The full response, as it would be generated."""
    reward: float | None = None
    correct: bool | None = None
    source: str = ""
    """Who wrote it: "student", "teacher" or a model's name."""
    logprobs_student: tuple[float, ...] | None = None
    """Log-probability (nats) of each response token under the student that wrote or scored it."""
    logprobs_teacher: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class ChainStep:
    """One step of a structured chain: what to do next, and doing it. Both are verbatim pieces of the response."""

    meta: str
    """The meta-reasoning: which sub-problem comes next."""
    solve: str
    """The solution of that sub-problem."""


@dataclass(frozen=True, slots=True)
class TrainRecord:
    """One training example. None and empty both mean that the data do not have it."""

    id: str
    prompt: tuple[Message, ...]
    """The turns before the response; the last one is not the assistant's."""
    task: str = ""
    """Kind of task: "math", "mcq", "code", "instr", "json_label", …"""
    think: str | None = None
    """Reference chain of thought."""
    answer: str | None = None
    """Final answer as it must appear in the output."""
    gold: str | None = None
    """Normalised gold answer for the verifier."""
    response: str | None = None
    """Full reference response; where absent, `response_text` renders it from `think` and `answer`."""
    rejected: str | None = None
    """Full negative response: the wrong twin."""
    negatives: tuple[str, ...] = ()
    positives: tuple[str, ...] = ()
    """Further full responses, wrong and right ones."""
    candidates: tuple[Candidate, ...] = ()
    structure: tuple[ChainStep, ...] = ()
    """The stages of the response's chain, in order."""
    privileged: str | None = None
    """What only a self-teacher sees: a reference solution, a successful attempt, feedback."""
    feedback: str | None = None
    """What the environment said."""
    meta: Mapping[str, Json] = field(default_factory=dict)
    """dataset, difficulty, lang, teacher, …"""


FIELDS: tuple[str, ...] = tuple(item.name for item in dataclasses.fields(TrainRecord))


def render_response(think: str | None, answer: str) -> str:
    """A response as a reasoning model writes it: the chain in a think block, if there is one, then the answer."""
    return answer if think is None or not think.strip() else f"<think>\n{think.strip()}\n</think>\n{answer}"


def response_text(record: TrainRecord) -> str | None:
    """The record's response, or one rendered from its chain and answer; None if it has neither response nor answer."""
    if record.response is not None or record.answer is None:
        return record.response
    return render_response(record.think, record.answer)


def has(record: TrainRecord, name: str) -> bool:
    """Whether a field holds anything but white space; "response" also where it can be rendered."""
    value = response_text(record) if name == "response" else getattr(record, name)
    return bool(value.strip()) if isinstance(value, str) else bool(value)


def require(records: Iterable[TrainRecord], needs: Sequence[str], method: str) -> None:
    """Check that every record has the fields that a method needs.

    Raises `DataError` naming the field, the first record without it and how many there are, `UnknownName` for a need
    that is no field.
    """
    for name in needs:
        if name not in FIELDS:
            raise UnknownName("record field", name, FIELDS)
    total = 0
    missing: dict[str, list[str]] = {name: [] for name in needs}
    beside: Mapping[str, Json] = {}
    for record in records:
        total += 1
        for name in needs:
            if not has(record, name):
                missing[name].append(record.id)
                beside = beside or record.meta
    for name, ids in missing.items():
        if ids:
            raise DataError(
                f"method {method!r} needs the field {name!r}, which {len(ids)} of {total} records lack or leave empty, "
                f"the first {ids[0]!r}: add it, leave these records out, or choose a method that does without"
                + (f" (what is in 'meta': {', '.join(map(repr, list(beside)[:8]))})" if beside else "")
            )
    if total == 0:
        raise DataError(f"method {method!r} has no records to train on")


# --- JSON -----------------------------------------------------------------------------------------------------------


def record_to_json(record: TrainRecord) -> dict[str, Json]:
    """The record as a JSON object, without the fields that it does not have."""
    kept = {name: value for name, value in dataclasses.asdict(record).items() if value not in (None, "", (), {})}
    row = {name: _lists(value) for name, value in kept.items()}
    if record.candidates:
        row["candidates"] = [
            {key: _lists(value) for key, value in item.items() if key == "text" or value not in (None, "")}
            for item in kept["candidates"]
        ]
    return row


def _lists(value: Json) -> Json:
    """Tuples as the lists that JSON has, so that a record looks the same to its reader before and after a file."""
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, list | tuple) else value


def record_from_json(row: Mapping[str, Json], where: str) -> TrainRecord:
    """Read one JSON object. Raises `DataError` that begins with `where` and names the record's id."""
    record_id = row.get("id")
    if not isinstance(record_id, str) or not record_id.strip():
        raise DataError(f"{where}: the record has no id: every record needs a non-empty string {'id'!r}")
    here = f"{where}: record {record_id!r}"
    for name in row:
        if name not in FIELDS:
            close = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.8)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(f"{here}: unknown field {name!r}: {hint}What is no field of a record goes into 'meta'")
    try:
        canonical_json(row).encode("utf-8")
    except UnicodeEncodeError:
        raise DataError(f"{here}: a text holds half of a surrogate pair, which is no character: repair it") from None
    except ValueError as error:
        raise DataError(f"{here}: cannot be written as JSON again ({error})") from None
    values: dict[str, object] = {}
    for name, value in row.items():
        if value is not None:
            values[name] = _READERS[name](value, f"{here}: {name!r}")
    if "prompt" not in values:
        raise DataError(f"{here}: no 'prompt': a list of turns such as {{'role': 'user', 'content': '…'}}")
    return TrainRecord(**values)  # type: ignore[arg-type]  # every value went through the reader of its field


def _text(value: Json, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where} must be text, not {_kind(value)}")
    return value


def _list(value: Json, where: str) -> list[tuple[Json, str]]:
    if not isinstance(value, list):
        raise DataError(f"{where} must be a list, not {_kind(value)}")
    if len(value) > MAX_ITEMS:
        raise DataError(f"{where} has {len(value)} entries, more than the {MAX_ITEMS} that are accepted")
    return [(item, f"{where}[{index}]") for index, item in enumerate(value)]


def _object(value: Json, where: str, allowed: Sequence[str] | None = None) -> Mapping[str, Json]:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be an object, not {_kind(value)}")
    for key in value if allowed is not None else ():
        if key not in (allowed or ()):
            raise DataError(f"{where} has an unknown key {key!r}: known are {', '.join(allowed or ())}")
    return value


def _prompt(value: Json, where: str) -> tuple[Message, ...]:
    turns = []
    for item, place in _list(value, where):
        turn = _object(item, place, ("role", "content"))
        role = turn.get("role")
        if role not in get_args(Role):
            raise DataError(f"{place}: the role must be one of {', '.join(get_args(Role))}, not {role!r}")
        turns.append(Message(cast(Role, role), _text(turn.get("content"), f"{place}: the content")))
    if not turns or not turns[-1].content.strip():
        raise DataError(f"{where} is empty: it must end in a turn with something to answer")
    if turns[-1].role == "assistant":
        raise DataError(f"{where} ends in a turn of the assistant: what is to be learnt belongs into 'response'")
    return tuple(turns)


def _texts(value: Json, where: str) -> tuple[str, ...]:
    return tuple(_text(item, place) for item, place in _list(value, where))


def _number(value: Json, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):  # infinities have been refused
        raise DataError(f"{where} must be a number, not {_kind(value)}")
    try:
        return float(value)
    except OverflowError:
        raise DataError(f"{where} is a number too large to compute with") from None


def _candidates(value: Json, where: str) -> tuple[Candidate, ...]:
    names = tuple(item.name for item in dataclasses.fields(Candidate))
    found = []
    for item, place in _list(value, where):
        fields = {key: entry for key, entry in _object(item, place, names).items() if entry is not None}
        if "correct" in fields and not isinstance(fields["correct"], bool):
            raise DataError(f"{place}: 'correct' must be true or false, not {_kind(fields['correct'])}")
        logprobs = [
            tuple(_number(x, at) for x, at in _list(fields[key], f"{place}.{key}")) if key in fields else None
            for key in ("logprobs_student", "logprobs_teacher")
        ]
        found.append(
            Candidate(
                text=_text(fields.get("text"), f"{place}.text"),
                reward=_number(fields["reward"], f"{place}.reward") if "reward" in fields else None,
                correct=cast(bool | None, fields.get("correct")),
                source=_text(fields.get("source", ""), f"{place}.source"),
                logprobs_student=logprobs[0],
                logprobs_teacher=logprobs[1],
            )
        )
    return tuple(found)


def _structure(value: Json, where: str) -> tuple[ChainStep, ...]:
    stages = []
    for item, place in _list(value, where):
        stage = _object(item, place, ("meta", "solve"))
        meta, solve = (_text(stage.get(key), f"{place}.{key}") for key in ("meta", "solve"))
        if not meta.strip() or not solve.strip():
            raise DataError(f"{place}: a stage needs both 'meta' and 'solve'")
        stages.append(ChainStep(meta, solve))
    return tuple(stages)


def _meta(value: Json, where: str) -> Mapping[str, Json]:
    """Whatever is worth keeping, but no deeper than what reads it later can go."""
    inside: list[Json] = [_object(value, where)]
    for _ in range(MAX_DEPTH):
        inside = [item for outer in inside for item in _items(outer)]
        if not inside:
            return _object(value, where)
    raise DataError(f"{where} is nested more than {MAX_DEPTH} levels deep")


def _items(value: Json) -> Iterable[Json]:
    if isinstance(value, Mapping):
        return value.values()
    return value if isinstance(value, list) else ()


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), f"{value!r}"[:40])


_READERS: dict[str, Callable[[Json, str], object]] = {
    **dict.fromkeys(FIELDS, _text),
    **dict.fromkeys(("negatives", "positives"), _texts),
    "prompt": _prompt,
    "candidates": _candidates,
    "structure": _structure,
    "meta": _meta,
}


# --- files ----------------------------------------------------------------------------------------------------------


def write_records(path: Path, records: Iterable[TrainRecord]) -> int:
    """Write records as JSON lines, whole or not at all; returns how many.

    Raises `DataError` if there are none, for a record that could not be read back, and where the file cannot be written
    (a full disk): then what was at `path` is as before.
    """
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is a device, a pipe or a folder: name a file to write the records to")
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    known: set[str] = set()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with half.open("wb") as stream:
            for record in records:
                row = record_to_json(record)
                record_from_json(row, f"{path}: record to write")
                if record.id in known:
                    raise DataError(f"{path}: record to write {record.id!r} occurs twice: ids must differ")
                known.add(record.id)
                stream.write(canonical_json(row).encode("utf-8") + b"\n")
            if not known:
                raise DataError(f"{path}: no records to write")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(half, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
    return len(known)


def data_hash(records: Iterable[TrainRecord]) -> str:
    """What identifies the data of a training run: sha256 of the records in canonical form, whatever their order."""
    return content_hash(record_to_json(record) for record in records)


def data_order(records: Iterable[TrainRecord]) -> str:
    """16 hexadecimal digits over the order of the records, which `data_hash` does not tell: their ids are unique."""
    return short_hash(canonical_json([record.id for record in records]))
