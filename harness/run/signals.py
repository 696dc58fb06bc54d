"""SIGTERM as a request to stop in order: what is in flight ends, what is done is stored."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sigterm_interrupts() -> Iterator[None]:
    """SIGTERM stops like Ctrl-C, at any moment; only the main thread may ask for signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


@contextmanager
def cancel_on_sigterm() -> Iterator[None]:
    """Inside a running event loop: SIGTERM cancels the current task, so that its `finally` blocks run."""
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    main = threading.current_thread() is threading.main_thread()
    if main:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        if main:
            loop.remove_signal_handler(signal.SIGTERM)
            signal.signal(signal.SIGTERM, signal.default_int_handler)
