"""Progress on stderr: a live bar on a terminal, a line every half minute elsewhere. stdout stays data."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

from harness.plain import clean
from harness.report.text import plural
from harness.run.score import Scorer
from harness.types import Completion
from judges.types import Judgment

_LINE_EVERY_S = 30.0
_REFRESH_S = 0.2


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
    """So many of so many done, at what rate, until when; what else is worth saying is the subclass's."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(quiet=quiet)
        self._name = ""
        self._done = self._tokens = self._errors = self._total = 0
        self._started = self._shown

    def _begin(self, name: str, total: int) -> None:
        self._name, self._total = clean(name, 40), total
        self._done = self._tokens = self._errors = 0
        self._started = self._shown = time.monotonic()

    def _step(self, tokens: int, failed: bool, more: Callable[[], list[str]]) -> None:
        """Count one; `more` is what is said beside rate and ETA, asked only when a line is shown."""
        self._done += 1
        self._tokens += tokens
        self._errors += failed
        if not self._due():
            return
        seconds = max(self._shown - self._started, 1e-9)
        left = (self._total - self._done) * seconds / max(self._done, 1)
        parts = [f"{self._name}: {self._done}/{self._total}", f"{self._tokens / seconds:,.0f} tokens/s"]
        parts += [f"ETA {duration(left)}", *more()]
        width = 20
        filled = width * self._done // max(self._total, 1)
        bar = f"[{'#' * filled}{'.' * (width - filled)}] " if self._live else ""
        self._line(bar + "  ".join(parts))

    def _end(self, noun: str, failed: str) -> None:
        if self._quiet or not self._total:
            return
        seconds = time.monotonic() - self._started
        rate = self._tokens / max(seconds, 1e-9)
        errors = f", {self._errors} {failed}" if self._errors else ""
        done = f"{self._name}: {self._done}/{self._total} {noun} in {duration(seconds)}, {rate:,.0f} tokens/s{errors}"
        self._line(done, last=True)


class RunProgress(_Meter):
    """Completions done and stored, tokens/s, errors, ETA and the running score of one model."""

    def __init__(self, model: str, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._model = model

    def start(self, total: int, stored: int) -> None:
        """See `harness.run.generate.Progress`."""
        self._begin(self._model, total)
        if stored:
            self._write(f"{self._name}: {stored} completions found in the store\n")
        if total:
            self._write(f"{self._name}: {total} completions to make\n")

    def advance(self, completion: Completion, scorers: Sequence[Scorer]) -> None:
        """See `harness.run.generate.Progress`."""
        self._step(completion.tokens_out or 0, completion.finish == "error", lambda: self._more(scorers))

    def _more(self, scorers: Sequence[Scorer]) -> list[str]:
        scored = sum(scorer.scored for scorer in scorers)
        score = [f"score so far {100 * sum(scorer.right for scorer in scorers) / scored:.1f} %"] if scored else []
        return score + ([f"{self._errors} errors"] if self._errors else [])

    def finish(self) -> None:
        """See `harness.run.generate.Progress`."""
        self._end("completions", "errors")


class JudgeProgress(_Meter):
    """Judgments settled, how many of them came from the cache, and how many could not be read."""

    def __init__(self, *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._cached = 0

    def start(self, judge: str, total: int) -> None:
        """See `judges.ask.JudgeProgress`."""
        self._begin(f"judge {judge}", total)
        self._cached = 0
        self._write(f"{self._name}: {plural(total, 'judgment')}\n")

    def advance(self, judgment: Judgment) -> None:
        """See `judges.ask.JudgeProgress`."""
        self._cached += judgment.cached
        self._step(0 if judgment.cached else judgment.tokens_out or 0, judgment.verdict is None, self._more)

    def _more(self) -> list[str]:
        parts = [f"{self._cached} cached"] if self._cached else []
        return parts + ([f"{self._errors} unscored"] if self._errors else [])

    def finish(self) -> None:
        """See `judges.ask.JudgeProgress`."""
        self._end("judgments" + (f" ({self._cached} cached)" if self._cached else ""), "unscored")


class AskProgress(_Meter):
    """Replies of a teacher or student, tokens/s, failures and ETA."""

    def start(self, what: str, total: int, stored: int) -> None:
        """See `backends.makers.asking.AskProgress`."""
        self._begin(what, total)
        if stored:
            self._write(f"{self._name}: {stored} replies found\n")
        self._write(f"{self._name}: {total} requests to make\n")

    def advance(self, completion: Completion) -> None:
        """See `backends.makers.asking.AskProgress`."""
        self._step(completion.tokens_out or 0, completion.finish == "error", self._more)

    def _more(self) -> list[str]:
        return [f"{self._errors} failed"] if self._errors else []

    def finish(self) -> None:
        """See `backends.makers.asking.AskProgress`."""
        self._end("replies", "failed")


def duration(seconds: float) -> str:
    """7 s, 3:05 min, 2:11 h."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    return f"{minutes // 60}:{minutes % 60:02d} h"
