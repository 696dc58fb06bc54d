"""Lists of small arrays as one file without pickle: an npz that numpy opens too, read within limits.

Under each name lie the values of all its arrays one behind the other, and under "<name>.shapes" how long each is. Token
ids are deflated (they are mostly zeros), log-probabilities are not (nothing is left to squeeze).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Arrays: TypeAlias = Mapping[str, Sequence[NDArray[Any] | None]]
"""Name -> arrays of one type with one or two dimensions; None where there is none."""

MAX_BYTES = 1 << 31
"""Of all values of one file, unpacked."""
_TYPES = ("<i4", "<f4", "<i8", "<f8")
_SHAPES = ".shapes"


def pack(arrays: Arrays) -> bytes:
    """The file; raises `ValueError` for a type or a number of dimensions that it does not hold."""
    stream = BytesIO()
    with zipfile.ZipFile(stream, "w") as packed:
        for name, items in arrays.items():
            present = [item for item in items if item is not None]
            if len({item.dtype for item in present}) > 1 or any(item.ndim not in (1, 2) for item in present):
                raise ValueError(f"{name}: arrays of one type with one or two dimensions only")
            shapes = [
                (-1, 0) if item is None else (len(item), item.shape[1] if item.ndim == 2 else -1) for item in items
            ]
            values = np.concatenate([item.reshape(-1) for item in present]) if present else np.zeros(0, np.float32)
            _member(packed, name, values)
            _member(packed, name + _SHAPES, np.array(shapes, np.int64).reshape(-1))
    return stream.getvalue()


def _member(packed: zipfile.ZipFile, name: str, values: NDArray[Any]) -> None:
    values = values.astype(values.dtype.newbyteorder("<"), copy=False)
    if values.dtype.str not in _TYPES:
        raise ValueError(f"{name}: values of type {values.dtype} are not kept")
    info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
    if values.dtype.kind == "i":
        info.compress_type = zipfile.ZIP_DEFLATED
        info._compresslevel = 1  # type: ignore[attr-defined]  # public as `compress_level` from Python 3.13 on
    stream = BytesIO()
    np.lib.format.write_array(stream, values, allow_pickle=False)
    packed.writestr(info, stream.getvalue())


def unpack(data: bytes) -> dict[str, list[NDArray[Any] | None]]:
    """The arrays of a file; raises `ValueError` for anything that `pack` does not write, or that is too large."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as packed:
            infos = packed.infolist()
            if sum(info.file_size for info in infos) > MAX_BYTES:
                raise ValueError(f"its arrays have more than {MAX_BYTES:,} bytes")
            flat = {info.filename.removesuffix(".npy"): _values(packed, info) for info in infos}
    except (zipfile.BadZipFile, zipfile.zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:  # type: ignore[attr-defined]
        raise ValueError(f"its arrays cannot be unpacked ({error})") from None
    names = [name for name in flat if not name.endswith(_SHAPES)]
    if sorted(flat) != sorted([*names, *(name + _SHAPES for name in names)]):
        raise ValueError("a list of arrays lacks its shapes")
    return {name: _split(name, flat[name], flat[name + _SHAPES]) for name in names}


def _values(packed: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    with packed.open(info) as stream:
        raw = stream.read(info.file_size + 1)
    member = BytesIO(raw)
    if np.lib.format.read_magic(member) != (1, 0):
        raise ValueError(f"{info.filename} is of another version")
    shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    rest = raw[member.tell() :]
    if dtype.str not in _TYPES or len(shape) != 1 or shape[0] * dtype.itemsize != len(rest):
        raise ValueError(f"{info.filename} is not as long as it says, or of another type")
    return np.frombuffer(bytearray(rest), dtype)  # torch wants arrays that may be written to


def _split(name: str, values: NDArray[Any], shapes: NDArray[Any]) -> list[NDArray[Any] | None]:
    if (
        shapes.dtype.str != "<i8"
        or len(shapes) % 2
        or (len(shapes) and (shapes.min() < -1 or shapes.max() > MAX_BYTES))
    ):
        raise ValueError(f"the shapes of {name} make no sense")
    found: list[NDArray[Any] | None] = []
    start = 0
    for rows, columns in shapes.reshape(-1, 2).tolist():
        if rows < 0:
            found.append(None)
            continue
        size = rows * max(columns, 0) if columns >= 0 else rows
        part = values[start : start + size]
        if len(part) != size:
            raise ValueError(f"{name} has fewer values than its shapes say")
        start += size
        found.append(part.reshape(rows, columns) if columns >= 0 else part)
    if start != len(values):
        raise ValueError(f"{name} has more values than its shapes say")
    return found
