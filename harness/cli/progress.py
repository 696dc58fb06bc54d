"""Progress on stderr: a live bar on a terminal, a line every half minute elsewhere. stdout stays data."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.models.under_way import UnderWay, circle
from harness.plain import clean, plural
from harness.types import Completion
from judges.types import Judgment

if TYPE_CHECKING:
    from backends.trainers.callbacks import TrainStatus


_LINE_EVERY_S = 30.0
_REFRESH_S = 0.2
_LONG_S = 10.0
"""A reply that takes longer is worth a word."""
_NAMED = 3
"""Replies in circles that are named; of more only the number is told."""


class Display:
    """When to say something, and how: over the last line on a terminal, as a new line elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and sys.stderr.isatty()
        self._shown = time.monotonic()

    def _due(self) -> bool:
        """Whether it is time for another line."""
        now = time.monotonic()
        if self._quiet or now - self._shown < (_REFRESH_S if self._live else _LINE_EVERY_S):
            return False
        self._shown = now
        return True

    def _line(self, text: str, *, last: bool = False) -> None:
        """Show a line, the last one for good."""
        if self._live and not last:  # what goes over two lines could not be written over
            text = text[: shutil.get_terminal_size().columns - 1]
        self._write(f"\r\x1b[2K{text}" + ("\n" if last else "") if self._live else f"{text}\n")

    def _write(self, text: str) -> None:
        """Show it; a reader that went away or a full log ends the display, never the run."""
        if self._quiet:
            return
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            self._quiet = True


class _Meter(Display):
    """So many of so many done, at what rate, until when."""

    _failed = "errors"

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._name = ""
        self._note: Callable[[], str] = str
        self._done = self._tokens = self._errors = self._total = 0
        self._started = self._shown
        self._open: Sequence[UnderWay] = ()
        self._circling: set[str] = set()
        self._turning = 0

    def _begin(self, name: str, total: int, note: Callable[[], str]) -> None:
        self._name, self._total, self._note = clean(name, 40), total, note
        self._done = self._tokens = self._errors = 0
        self._open, self._circling, self._turning = (), set(), 0
        self._started = self._shown = time.monotonic()

    def _step(self, tokens: int, failed: bool) -> None:
        """Count one, and show a line if it is time."""
        self._done += 1
        self._tokens += tokens
        self._errors += failed
        if self._due():
            self._draw()

    def beat(self, open_now: Sequence[UnderWay]) -> None:
        """See `harness.models.replies.Progress`: show where it stands though nothing ended, and who goes in circles."""
        self._open = open_now
        if self._quiet or not self._due():
            return
        turning = {one.id: period for one in open_now if (period := circle(one.tail)) is not None}
        for name, period in turning.items():
            if name not in self._circling and len(self._circling) < _NAMED:
                self._line(
                    f"{self._name}: {clean(name, 60)} repeats its last {plural(period, 'token')} again and again: it "
                    "will probably go on to its limit (a lower --max-tokens, or a temperature above 0)",
                    last=True,
                )
            self._circling.add(name)
        self._turning = len(turning)
        self._draw()

    def _draw(self) -> None:
        seconds = max(self._shown - self._started, 1e-9)
        tokens = self._tokens + sum(one.tokens or 0 for one in self._open)
        parts = [f"{self._name}: {self._done}/{self._total}", _rate(tokens / seconds), self._eta(seconds)]
        parts += [self._note(), f"{self._errors} {self._failed}" if self._errors else "", _open_now(self._open)]
        parts += [f"{self._turning} in circles"] if self._turning else []
        width = 20
        filled = width * self._done // max(self._total, 1)
        bar = f"[{'#' * filled}{'.' * (width - filled)}] " if self._live else ""
        self._line(bar + "  ".join(filter(None, parts)))

    def _eta(self, seconds: float) -> str:
        """At the pace so far; once nothing waits the longest reply decides, of which only a bound is known."""
        left = self._total - self._done
        if not self._done or left > len(self._open):
            return f"ETA {duration(left * seconds / self._done)}" if self._done else ""
        if not left:
            return "ETA 0 s"
        ends = [(one.most - one.tokens) * one.seconds / one.tokens for one in self._open if one.most and one.tokens]
        return f"ETA up to {duration(max(ends))}" if len(ends) == len(self._open) else ""

    def _end(self, noun: str) -> None:
        if self._quiet or not self._total:
            return
        seconds = time.monotonic() - self._started
        rate = _rate(self._tokens / max(seconds, 1e-9))
        errors = f", {self._errors} {self._failed}" if self._errors else ""
        done = f"{self._name}: {self._done}/{self._total} {noun} in {duration(seconds)}, {rate}{errors}"
        self._line(done, last=True)


class RunProgress(_Meter):
    """Completions made and found in the store, errors, and what the run says of its score."""

    _noun, _found, _to_make = "completions", "completions found in the store", "completions to make"

    def start(self, what: str, total: int, found: int = 0, note: Callable[[], str] = str) -> None:
        """See `harness.models.replies.Progress`."""
        self._begin(what, total, note)
        if found:
            self._write(f"{self._name}: {found} {self._found}\n")
        if total:
            self._write(f"{self._name}: {total} {self._to_make}\n")

    def advance(self, one: Completion) -> None:
        """See `harness.models.replies.Progress`."""
        self._step(one.tokens_out or 0, one.finish == "error")

    def finish(self) -> None:
        """See `harness.models.replies.Progress`."""
        self._end(self._noun)


class AskProgress(RunProgress):
    """As `RunProgress`, of the replies of a teacher or student."""

    _noun, _found, _to_make, _failed = "replies", "replies found", "requests to make", "failed"


class ScoreProgress(RunProgress):
    """As `RunProgress`, of stored texts that a model scores."""

    _noun, _found, _to_make, _failed = "texts", "scores found", "texts to score", "left out"


class JudgeProgress(_Meter):
    """Judgments settled, how many of them came from the cache, and how many could not be read."""

    _failed = "unscored"
    _cached = 0

    def start(self, what: str, total: int, found: int = 0, note: Callable[[], str] = str) -> None:
        """See `harness.models.replies.Progress`; what is found in the cache is told as it is settled."""
        self._begin(f"judge {what}", total, lambda: f"{self._cached} cached" if self._cached else "")
        self._cached = 0
        self._write(f"{self._name}: {plural(total, 'judgment')}\n")

    def advance(self, one: Judgment) -> None:
        """See `harness.models.replies.Progress`."""
        self._cached += one.cached
        self._step(0 if one.cached else one.tokens_out or 0, one.verdict is None)

    def finish(self) -> None:
        """See `harness.models.replies.Progress`."""
        self._end("judgments" + (f" ({self._cached} cached)" if self._cached else ""))


def _open_now(rows: Sequence[UnderWay]) -> str:
    """So many are being written, and how far the longest is, once that takes a while."""
    if not rows:
        return ""
    longest = max(rows, key=lambda one: (one.tokens or 0, one.seconds))
    if longest.seconds < _LONG_S:
        return f"{len(rows)} open"
    told = [one.tokens for one in rows if one.tokens is not None]
    written = f" ({plural(sum(told), 'token')})" if told else ""
    length = f"{plural(longest.tokens, 'token')}, " if longest.tokens is not None else ""
    return f"{len(rows)} open{written}, the longest {length}{duration(longest.seconds)}"


def _rate(tokens: float) -> str:
    """So many tokens a second; a slow model's with a decimal."""
    return f"{tokens:,.0f} tokens/s" if tokens >= 10 else f"{tokens:.1f} tokens/s"


def duration(seconds: float) -> str:
    """7 s, 3:05 min, 2:11 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"


class TrainProgress(Display):
    """Steps done, loss, tokens and time left; called at each logged step."""

    _first: TrainStatus | None = None

    def __call__(self, now: TrainStatus) -> None:
        """Show where training stands."""
        if self._first is None or self._first.stage != now.stage:
            self._first = now
        last = now.step >= now.total
        for alarm in now.alarms:
            self._line(clean(f"alarm: {alarm}", 400), last=True)
        if not (self._due() or last):
            return
        made = now.step - self._first.step
        left = (now.seconds - self._first.seconds) / made * (now.total - now.step) if made else None
        eta = "" if left is None or last else f"  ETA {duration(left)}"
        told = f"loss {now.loss:.4f}" if now.reward is None else f"reward {now.reward:.3f}"
        line = f"{now.stage}: step {now.step}/{now.total}  {told}  {now.tokens:,} tokens{eta}"
        self._line(line, last=last)
