"""Progress of a training on stderr, shown as that of a run is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.cli.progress import Display, duration

if TYPE_CHECKING:
    from backends.trainers.callbacks import TrainStatus


class TrainProgress(Display):
    """Steps done, loss, tokens and time left; called at each logged step."""

    _first: TrainStatus | None = None

    def __call__(self, now: TrainStatus) -> None:
        """Show where training stands."""
        if self._first is None or self._first.stage != now.stage:
            self._first = now
        last = now.step >= now.total
        if not (self._due() or last):
            return
        made = now.step - self._first.step
        left = (now.seconds - self._first.seconds) / made * (now.total - now.step) if made else None
        eta = "" if left is None or last else f"  ETA {duration(left)}"
        line = f"{now.stage}: step {now.step}/{now.total}  loss {now.loss:.4f}  {now.tokens:,} tokens{eta}"
        self._line(line, last=last)
