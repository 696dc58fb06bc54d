"""Rows of parquet and CSV files, as JSON would hold them: what data sets are kept in beside JSON lines.

The files are untrusted: sizes are bounded before anything is unpacked; what JSON has no form of is left as text.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.types import Json

MAX_BYTES = 8 << 30
"""Most bytes of a parquet file's columns, unpacked."""
_BATCH = 256


def read_parquet(path: Path) -> Iterator[Mapping[str, Json]]:
    """The rows of a parquet file, in order. Raises `DataError` for one that is damaged or too large."""
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            size = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
            if size > MAX_BYTES:
                raise DataError(f"{path} unpacks to {size} bytes, more than the {MAX_BYTES} that are accepted")
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    yield {str(key): _plain(value) for key, value in row.items()}
    except (pyarrow.ArrowException, OSError, ValueError, TypeError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not the file's
        first = str(error).strip().partition("\n")[0]
        raise DataError(f"{path} is damaged or no parquet file ({first}): fetch or write it again") from error


def _plain(value: Any) -> Json:
    """A value as JSON has it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None  # how a table says that there is nothing
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value) if isinstance(value, Decimal) else repr(value)


def read_csv(path: Path, data: bytes, most: int) -> Iterator[tuple[int, Mapping[str, Json]]]:
    """(line, row) of a CSV or TSV file whose first line names the columns; an empty cell is null.

    `most`: characters of a cell. Raises `DataError` for a file without columns, with a row of other length, or that is
    no CSV.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    head = text.partition("\n")[0]
    delimiter = "\t" if path.suffix == ".tsv" else ";" if ";" in head and "," not in head else ","
    before = csv.field_size_limit(most)
    try:
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = [name.strip() for name in next(rows, [])]
        if not any(columns) or len(set(columns)) < len(columns):
            raise DataError(f"{path}: the first line must name the columns, each once")
        for cells in rows:
            if not any(cells):
                continue
            if len(cells) != len(columns):
                raise DataError(f"{path}:{rows.line_num}: {len(cells)} cells, but {len(columns)} columns")
            yield rows.line_num, {name: cell or None for name, cell in zip(columns, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{path}: not valid CSV ({error})") from error
    finally:
        csv.field_size_limit(before)


def as_json(text: str) -> Json:
    """What a cell holds where it holds JSON, as tables keep lists; else the text itself."""
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except (ValueError, RecursionError):
        return text
