"""Files of training records: our own form line by line, and the forms of other tools (`backends.records.shapes`)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from backends.records.record import TrainRecord, record_from_json
from backends.records.shapes import Fields, from_row, is_record, named
from harness.datasets.local import Raw, read_file
from harness.errors import DataError


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
