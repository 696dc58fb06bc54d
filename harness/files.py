"""Writing files so that a reader, or a restart after a crash, sees the old one or the new one and never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write to a temporary sibling, flush to disk, rename: a reader sees the old file or the new, never half.

    A device or pipe (/dev/null, /dev/stdout) is written to as it is: renaming over it would put a file in its place.
    """
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8", errors="replace")
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A lone surrogate, which foreign JSON can carry, has no UTF-8 form: it becomes "?", not a lost file.
        with temporary.open("w", encoding="utf-8", errors="replace") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
