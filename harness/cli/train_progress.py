"""Progress of a training on stderr: a live line on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backends.trainers.callbacks import Progress

_LINE_EVERY_S = 30.0


class TrainProgress:
    """Steps done, loss, tokens and time left; called at each logged step."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = time.monotonic()
        self._first: Progress | None = None

    def __call__(self, now: Progress) -> None:
        """Show where training stands."""
        if self._first is None or self._first.stage != now.stage:
            self._first = now
        last = now.step >= now.total
        if self._quiet or not (self._live or last or time.monotonic() - self._shown >= _LINE_EVERY_S):
            return
        self._shown = time.monotonic()
        made = now.step - self._first.step
        left = (now.seconds - self._first.seconds) / made * (now.total - now.step) if made else None
        eta = "" if left is None or last else f"  ETA {left:,.0f} s"
        line = f"{now.stage}: step {now.step}/{now.total}  loss {now.loss:.4f}  {now.tokens:,} tokens{eta}"
        start = "\r\x1b[2K" if self._live else ""
        click.echo(f"{start}{line}", err=True, nl=not self._live or last)
