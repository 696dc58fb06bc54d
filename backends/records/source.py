"""Training data by name: a file of records, or the embedded world ("synth:levels=1+2,per_level=500").

Files have our own form, line by line, or a form of other tools (`backends.records.shapes`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from backends.records.record import MAX_ITEMS, TrainRecord, record_from_json
from backends.records.shapes import Fields, from_row, is_record, named
from backends.records.synth import Form, RecordFamily, RecordStyle, synth_records
from harness.datasets.local import Raw, read_file
from harness.errors import ConfigError, DataError
from harness.options import key_value, parse_options
from harness.synth import ALL_ERROR_KINDS, ERROR_KINDS, ErrorKind, Level


def read_records(path: Path) -> list[TrainRecord]:
    """All records of a file: JSON lines, a JSON list (".json"), parquet, CSV or TSV, by the ending of its name.

    Rows that have the same content and no id are further records, numbered. Raises `DataError` naming file, line and
    record for anything malformed, for an id that occurs twice, for a file that is not there and for one without
    records.
    """
    if not path.is_file():
        raise DataError(f"{str(path)!r} is not a file: name a file of training records (JSON lines, parquet, CSV)")
    records: list[TrainRecord] = []
    known: dict[str, str] = {}
    times = Counter[str]()
    for raw in read_file(path.parent, path.name, None):
        fields = row_fields(raw)
        if raw.fields.get("id") is None:
            name = str(fields["id"])
            times[name] += 1
            fields = {**fields, "id": name if times[name] == 1 else f"{name}-{times[name]}"}
        record = record_from_json(fields, raw.where)
        if record.id in known:
            raise DataError(f"{raw.where}: record {record.id!r} has the id of {known[record.id]}: ids must differ")
        known[record.id] = raw.where
        records.append(record)
    if not records:
        raise DataError(f"{path} holds no records")
    return records


def row_fields(raw: Raw) -> Fields:
    """A row as the fields of a record, whatever form it has; `record_from_json` checks them."""
    return named(raw.fields, raw.where) if is_record(raw.fields) else from_row(raw.fields, raw.where)


_SCHEME = "synth"
_MOST_RECORDS = 1_000_000
"""Of one level: they are all made, and kept in memory, before training starts."""


@dataclass(frozen=True)
class SynthOptions:
    """Which records of the embedded world."""

    levels: str = "1+2"
    """Levels joined by "+"."""
    per_level: int = 500
    style: str = "plain"
    form: str = "think"
    positives: int = 0
    """Other right responses of each record."""
    candidates: int = 0
    """Answers of each record, one of them right, with rewards."""
    seed: int = 0
    family: str = "sums"
    """"arithmetic" or "word" for one half of the sums, "knights" or "countdown" for logic puzzles."""
    errors: str = ""
    """Kinds of mistake that twins may have, joined by "+", or "all"; by default four of them."""
    negatives: int = 0
    """Further wrong chains of each record."""

    def __post_init__(self) -> None:
        if self.family not in get_args(RecordFamily):
            raise ValueError(f"family is one of {', '.join(get_args(RecordFamily))}; not {self.family!r}")
        if self.style not in get_args(RecordStyle) or self.form not in get_args(Form):
            raise ValueError(
                f"style is one of {', '.join(get_args(RecordStyle))}, form one of {', '.join(get_args(Form))}; "
                f"not {self.style!r} and {self.form!r}"
            )
        if not all(part.isascii() and part.isdigit() and len(part) == 1 for part in self.levels.split("+")):
            raise ValueError(f"levels are digits joined by +, not {self.levels!r}")
        error_kinds(self.errors)
        bounds = {name: MAX_ITEMS for name in ("positives", "candidates", "negatives")}
        for name, most in {"per_level": _MOST_RECORDS, **bounds}.items():
            if getattr(self, name) > most:
                raise ValueError(f"{name} is at most {most}, not {getattr(self, name)}")


def error_kinds(told: str) -> tuple[ErrorKind, ...]:
    """Kinds of mistake by name, joined by "+"; "" are the usual four, "all" all. Raises `ValueError`."""
    if told in ("", "all"):
        return ALL_ERROR_KINDS if told else ERROR_KINDS
    found = tuple(kind for kind in ALL_ERROR_KINDS if kind in told.split("+"))
    if len(found) != len(told.split("+")):
        raise ValueError(f"errors are all, or joined by + of {', '.join(ALL_ERROR_KINDS)}; not {told!r}")
    return found


def load_records(name: str) -> list[TrainRecord]:
    """The records of a file, or of "synth" with options. Raises `DataError` and `ConfigError`."""
    scheme, colon, rest = name.partition(":")
    if scheme != _SCHEME:
        path = Path(name).expanduser()
        if not path.is_file():
            what = "is a folder: name one file of it" if path.is_dir() else "is no file: name one"
            raise DataError(f"{name!r} {what}, of training records (JSON lines, parquet, CSV), or synth:levels=1+2")
        return read_records(path)
    given: dict[str, str] = {}
    for part in rest.split(",") if colon and rest else ():
        try:
            key, value = key_value(part)
        except ValueError as error:
            raise ConfigError(f"data {name!r}: {error}") from None
        given[key] = value.strip()
    options = parse_options(SynthOptions, given, "synth")
    return synth_records(
        options.seed,
        options.per_level,
        tuple(cast(Level, int(level)) for level in options.levels.split("+")),
        style=cast(RecordStyle, options.style),
        form=cast(Form, options.form),
        positives=options.positives,
        candidates=options.candidates,
        family=cast(RecordFamily, options.family),
        errors=error_kinds(options.errors),
        negatives=options.negatives,
    )
