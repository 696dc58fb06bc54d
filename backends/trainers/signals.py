"""Ctrl-C and SIGTERM while a stage trains: the step is finished and saved first. A second signal stops at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

_SAME_S = 2.0
"""A launcher passes on the signal that its processes have had from the terminal already: that is no second one."""


class StopRequest:
    """Within this block a first signal only sets `asked`; outside the main thread nothing changes."""

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take over the signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give them back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._when > _SAME_S:
            raise KeyboardInterrupt
        if not self.asked and sys.stderr is not None and sys.stderr.isatty():
            os.write(2, b"\nfinishing this step and saving it; once more stops at once\n")
        self.asked, self._when = True, self._when or time.monotonic()
