"""Writing a model or a checkpoint: whole, or not there at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import HarnessError, StoreError

_FILES = re.compile(r"\b(?:writ(?:e|ing|ten)|space|quota|i/o|os error|file)\b", re.IGNORECASE)
"""In what the libraries say of a disk: they have no type of their own for it."""


@contextmanager
def writing(folder: Path, kept: str) -> Iterator[None]:
    """Turn what the libraries raise for a full disk, or for a model that they refuse to write, into one error.

    What was half written is deleted whatever was raised, Ctrl-C too: half a checkpoint is none.
    """
    try:
        yield
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        no_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
        if no_memory or not isinstance(error, Exception) or isinstance(error, HarnessError):
            raise
        first = str(error).strip().partition("\n")[0]
        if isinstance(error, OSError) or _FILES.search(first):
            told = f"cannot write {folder}: {first}. Make room and run the same command again: {kept}"
        else:
            told = f"{folder} cannot be written ({type(error).__name__}: {first}): {kept}"
        raise StoreError(told) from error
