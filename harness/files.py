"""The door to every file of a results folder: folders are copied, shared and unpacked from anywhere, so they are data.

Reading: only regular files, opened without following a link and without waiting for a pipe, of bounded size. Writing:
whole or not at all (a temporary file with a name nobody can guess, then a rename, which replaces a link and never
follows it), without secrets, and never into a folder that is a link. So nothing that somebody planted in a results
folder makes a command hang, or changes a file elsewhere. Everything refused is an `OSError` whose `strerror` says why.

Files that the user names (reports, baselines) may be links or devices: `write_output`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import IO, Any, BinaryIO

from harness.plain import visible_json
from harness.redact import redact

MAX_BYTES = 1 << 30
"""Largest file that is read whole, unless its reader says otherwise."""
MAX_LINE_BYTES = 256 << 20
"""Longest line of a file that is read line by line: several times the longest record."""
_LARGEST_WHOLE = 2**63
"""JSON numbers beyond it fit no counter, no float comparison and no Parquet column."""


def _refused(path: Path, why: str) -> OSError:
    return OSError(errno.ELOOP, why, str(path))


def _open(path: Path, flags: int) -> int:
    """A descriptor of a regular file; a link, a folder, a pipe or a device is refused without touching it."""
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if path.is_symlink():
            raise _refused(path, "it is a symbolic link, which is not followed here") from None
        if error.errno == errno.ENXIO:  # a pipe that nobody reads, or a socket
            raise _refused(path, "it is not a regular file") from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _refused(path, "it is not a regular file")
    return descriptor


def check_folder(folder: Path) -> None:
    """Raises `OSError` for a folder that is a link: what is written there would land elsewhere."""
    if folder.is_symlink():
        raise _refused(folder, "its folder is a symbolic link: name the folder that it points to")


def check_regular(path: Path) -> None:
    """Raises `OSError` for a link, a folder, a pipe or a device; what is not there yet is fine."""
    if os.path.lexists(path):
        os.close(_open(path, os.O_RDONLY))


# --- reading ---------------------------------------------------------------------------------------------------------


def open_binary(path: Path) -> BinaryIO:
    """A regular file for reading; raises `OSError`."""
    return os.fdopen(_open(path, os.O_RDONLY), "rb")


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """A whole regular file; raises `OSError`, also for one of more than `limit` bytes."""
    with open_binary(path) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it has more than {limit:,} bytes", str(path))
    return data


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """A whole UTF-8 file, with or without a byte order mark; raises `OSError`, or `ValueError` if it is not UTF-8."""
    return read_bytes(path, limit).decode("utf-8-sig")


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """A whole JSON file. The value is whatever was written: check it.

    Raises `OSError`, or `ValueError` for anything that `parse_json` refuses.
    """
    return parse_json(read_text(path, limit))


def parse_json(text: str | bytes, *, constants: bool = True) -> Any:
    """JSON of unknown origin; raises `ValueError` for no JSON, too deep nesting, or a whole number beyond 64 bits.

    `constants` false: NaN and Infinity, which are no JSON but which Python writes, are refused too.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")
    try:
        return json.loads(text, parse_int=_whole, parse_constant=None if constants else _no_number)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(constant: str) -> float:
    raise ValueError(f"{constant} is no number")


def _whole(digits: str) -> int:
    value = int(digits) if len(digits) <= 20 else _LARGEST_WHOLE
    if not -_LARGEST_WHOLE <= value < _LARGEST_WHOLE:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return value


def is_number(value: object) -> bool:
    """True for a finite number out of JSON; a truth value is none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def iter_lines(path: Path) -> Iterator[bytes]:
    """The lines of a regular file with their ends.

    Raises `OSError`, or `ValueError` for a line of more than `MAX_LINE_BYTES`.
    """
    with open_binary(path) as stream:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            if len(line) > MAX_LINE_BYTES:
                raise ValueError(f"a line of more than {MAX_LINE_BYTES:,} bytes")
            yield line


# --- writing ---------------------------------------------------------------------------------------------------------


def write_atomically(path: Path, text: str) -> None:
    """Replace a file of a results folder by this text, without secrets: a reader sees the old file or the new.

    Raises `OSError`, also for a folder that is a link.
    """
    with replacing(path) as stream:
        stream.write(_encoded(path, text))


def _encoded(path: Path, text: str) -> bytes:
    """Without secrets, and JSON with what cannot be seen as escapes: people read these files on a terminal.

    A lone surrogate, which foreign JSON can carry, has no UTF-8 form: it becomes "?", not a lost file.
    """
    written = redact(text).encode("utf-8", "replace")
    return visible_json(written.decode()).encode() if path.suffix in (".json", ".jsonl") else written


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A new file to fill, which takes the place of `path`, on disk, at the end of the block; else nothing is left."""
    check_folder(path.parent)
    with _filled_then_renamed(path) as stream:
        yield stream


@contextmanager
def _filled_then_renamed(path: Path) -> Iterator[BinaryIO]:
    temporary = path.with_name(f".{path.name[:200]}.{os.urandom(8).hex()}.tmp")
    try:
        descriptor = _open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except OSError as error:
        error.filename = str(path)  # what was asked for, not what stands in for it meanwhile
        raise
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(path: Path) -> None:
    """Delete what writers of this file left beside it when they were killed."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        left.unlink(missing_ok=True)


def open_append(path: Path) -> FileIO:
    """A regular file of a results folder to append to, unbuffered, made if it is not there; raises `OSError`."""
    check_folder(path.parent)
    return FileIO(_open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT), "ab")


def append_text(path: Path, text: str) -> None:
    """Append to a text file of a results folder, without secrets; raises `OSError`."""
    with open_append(path) as stream:
        stream.write(_encoded(path, text))


def truncate(path: Path, size: int) -> None:
    """Cut a regular file; raises `OSError`."""
    descriptor = _open(path, os.O_WRONLY)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def open_lock(path: Path, *, wait: bool = False, shared: bool = False) -> IO[bytes]:
    """A lock file, made if it is not there and never written to; the lock lasts until it is closed.

    `shared`: with others who share it, and with nobody who wants it alone. Raises `BlockingIOError` if another process
    holds it and `wait` is false, `OSError` for anything else.
    """
    stream = os.fdopen(_open(path, os.O_RDWR | os.O_CREAT), "rb")
    try:
        fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        stream.close()
        raise
    return stream


def delete(path: Path) -> None:
    """Remove a file, a link, or a folder with what is in it; links are removed and never followed."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path)


def write_output(path: Path, text: str) -> None:
    """Write a file that the user named, without secrets: whole or not at all, like `write_atomically`.

    A device or pipe (/dev/null, /dev/stdout) is written to as it is: renaming over it would put a file in its place.
    """
    if path.exists() and not path.is_file():
        path.write_text(redact(text), encoding="utf-8", errors="replace")
        return
    with _filled_then_renamed(path) as stream:
        stream.write(_encoded(path, text))
