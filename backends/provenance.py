"""What a model card says about the machine and the code: device, git commit, versions."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from harness import __version__
from harness.clock import utc_now
from harness.errors import PrerequisiteError

_REPORTERS = {"tensorboard": ("tensorboard", "tensorboardX")}
_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate")


def check_reporters(names: Sequence[str]) -> None:
    """Raises `PrerequisiteError` for one that is not installed: the trainer would tell only after loading the model."""
    for name in names:
        if not any(importlib.util.find_spec(package) for package in _REPORTERS.get(name, (name,))):
            raise PrerequisiteError(f"reporting to {name} needs it installed: pip install {name}")


def provenance() -> dict[str, Any]:
    """The fields of a `ModelCard` that tell when and by what the model was made."""
    return {
        "device": device_name(),
        "commit": git_commit(),
        "created": utc_now(),
        "versions": versions(),
    }


def git_commit() -> str | None:
    """Commit of this project's clone, "+dirty" after it if tracked files were changed; None outside a clone."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+dirty" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()


def device_name() -> str:
    """The GPU's name and count, or the processor architecture."""
    import torch

    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        name: str = torch.cuda.get_device_name(0)
        return name + (f" x {count}" if count > 1 else "")
    return f"cpu {platform.machine()}, {torch.get_num_threads()} threads"


def versions() -> dict[str, str]:
    """Versions of what trained the model."""
    found = {"harness": __version__}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
