"""What is made once and kept: converted and trained checkpoints in the user's cache folder.

The place is `HARNESS_CACHE_DIR`, else `XDG_CACHE_HOME/harness`, else `~/.cache/harness`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from harness.errors import PrerequisiteError
from harness.files import open_lock


def cache_folder() -> Path:
    """Where such folders are kept."""
    own = os.environ.get("HARNESS_CACHE_DIR")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "harness"


def made_once(name: str, make: Callable[[Path], None], megabytes: int) -> Path:
    """The folder `name` of the cache; `make` fills it first if it is not there.

    It appears whole or not at all, and processes that want it at once wait for one. `megabytes` is what it takes, for
    the message of the `PrerequisiteError` that a folder that cannot be written raises.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open_lock(folder.with_name(f"{name}.lock"), wait=True):
            if not folder.is_dir():
                half = folder.with_name(f".{name}.{os.getpid()}")
                shutil.rmtree(half, ignore_errors=True)
                try:
                    make(half)
                    half.rename(folder)
                finally:
                    shutil.rmtree(half, ignore_errors=True)
    except OSError as error:
        raise PrerequisiteError(
            f"cannot write {name} to {folder}: {error}. Set HARNESS_CACHE_DIR to a folder with {megabytes} MB free"
        ) from error
    return folder
