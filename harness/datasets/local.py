"""Data files of a local folder: JSON lines, plain or inside a password-protected zip, JSON lists, parquet and CSV.

The files are untrusted input: lines and strings are bounded, nothing is unpickled or evaluated, and a zip is read in
memory only, because the one that exists (GPQA) is distributed that way so that its text never lies around in plain.
"""

from __future__ import annotations

import codecs
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from harness.datasets.tables import read_csv, read_parquet
from harness.errors import DataError
from harness.types import Json

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Longest line accepted; the longest of any suite here is 11 kB."""
MAX_MEMBER_BYTES = 256 * 1024 * 1024
"""Largest unpacked size accepted from a zip: a small file must not become a large one in memory."""


class MissingData(DataError):
    """The data is not there at all, as opposed to there and wrong."""


@dataclass(frozen=True, slots=True)
class Raw:
    """One row as its source has it, and where it stands, for error messages."""

    fields: Mapping[str, Json]
    where: str


def read_file(folder: Path, name: str, password: str | None) -> Iterator[Raw]:
    """The rows of one file of a folder: JSON lines, or by the ending of its name a JSON list, parquet, CSV or TSV.

    Raises `MissingData` if it is not there, `DataError` naming file and line for anything that is not UTF-8 JSON lines
    or a list of objects.
    """
    path = folder / name
    if not path.is_file():
        raise MissingData(
            f"{name} is not in {folder}: put it there, name another folder with --data-dir, "
            "or leave --data-dir and HARNESS_DATA_DIR unset to load from the hub"
        )
    try:
        if path.suffix == ".zip":
            yield from _rows(io.BytesIO(_member(path, password)), str(path))
        elif path.suffix == ".json":
            yield from read_list(path)
        elif path.suffix == ".parquet":
            for number, row in enumerate(read_parquet(path)):
                yield Raw(row, f"{path}, row {number}")
        elif path.suffix in (".csv", ".tsv"):
            for line, row in read_csv(path, read_bounded(path), MAX_LINE_BYTES):
                yield Raw(row, f"{path}:{line}")
        else:
            with path.open("rb") as stream:
                yield from _rows(stream, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_list(path: Path) -> Iterator[Raw]:
    """The rows of a JSON list of objects, or of JSON lines: benchmarks' own files come in both.

    Raises `DataError` as `read_file`, and for a file of more than `MAX_MEMBER_BYTES`.
    """
    data = read_bounded(path)
    start = data.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start == b"{" and (whole := _one_object(data)) is not None:
        yield Raw(whole, str(path))
        return
    if start != b"[":
        yield from _rows(io.BytesIO(data), str(path))
        return
    for number, value in enumerate(_json(data, str(path))):
        where = f"{path}, entry {number}"
        if not isinstance(value, dict):
            raise DataError(f"{where}: expected a JSON object, found {type(value).__name__}")
        yield Raw(value, where)


def _one_object(data: bytes) -> Mapping[str, Json] | None:
    """A file that is one object over several lines; None for JSON lines."""
    if data.count(b"\n") == 0:
        return None
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read_bounded(path: Path) -> bytes:
    """A whole file; raises `DataError` if it cannot be read or has more than `MAX_MEMBER_BYTES`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_MEMBER_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_MEMBER_BYTES:
        raise DataError(f"{path} is larger than {MAX_MEMBER_BYTES} bytes, more than is accepted")
    return data


def _member(path: Path, password: str | None) -> bytes:
    """The one `<stem>.jsonl` of a zip, decrypted in memory."""
    name = f"{path.stem}.jsonl"
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(name)
            if info.file_size > MAX_MEMBER_BYTES:
                raise DataError(f"{path}: {name} unpacks to {info.file_size} bytes, more than is accepted")
            return archive.read(info, pwd=password.encode() if password is not None else None)
    except KeyError:
        raise DataError(f"{path} has no member {name}: this is not the archive the suite expects") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise DataError(f"{path} is damaged or not a zip file ({error}): fetch it again") from error
    except RuntimeError as error:  # what zipfile raises for a wrong or missing password
        raise DataError(f"{path} does not open with the published password ({error}): fetch it again") from error


def _rows(stream: IO[bytes], path: str) -> Iterator[Raw]:
    number = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        where = f"{path}:{number}"
        if len(line) > MAX_LINE_BYTES:
            raise DataError(f"{where}: a line of more than {MAX_LINE_BYTES} bytes")
        if not line.strip():
            continue
        yield Raw(_parse(line, where), where)


def _parse(line: bytes, where: str) -> Mapping[str, Json]:
    value = _json(line, where)
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, found {type(value).__name__}")
    return value


def _json(data: bytes, where: str) -> Any:
    try:
        return json.loads(data.decode("utf-8-sig"), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error.reason} at byte {error.start})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON ({error})") from error


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
