"""Which process of a launch this is: what `accelerate launch` and torchrun put into the environment."""

from __future__ import annotations

import os


def processes() -> int:
    """How many processes train together; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return os.environ.get("RANK", "0") == "0"
