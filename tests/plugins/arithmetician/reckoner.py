"""An engine, `reckoner:<anything>`: works out "a + b", and is off by what its option says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from harness.models.base import Slots
from harness.models.scoring import CannotScore
from harness.options import parse_options
from harness.types import Completion, Json, Request


@dataclass(frozen=True)
class ReckonerOptions:
    """What `--model-arg` sets."""

    off: int = 0
    """Added to every result."""


class Reckoner(CannotScore):
    """One model; many callers await `answer` at once, `Slots` gives four of them room."""

    continues = False

    def __init__(self, rest: str, options: ReckonerOptions) -> None:
        self.name = f"reckoner:{rest}"
        self._options = options
        self._slots = Slots(4)

    def describe(self) -> Mapping[str, Json]:
        """What decides the answers: part of the run's identity."""
        return {"engine": "reckoner", "off": self._options.off}

    def environment(self) -> Mapping[str, Json]:
        """What does not."""
        return {"arithmetician": "0.1"}

    async def answer(self, request: Request) -> Completion:
        """The sum in a box."""
        return await self._slots.use(request, self._answer)

    async def _answer(self, request: Request) -> Completion:
        numbers = re.findall(r"\d+", request.messages[-1].content)[:2]
        text = f"\\boxed{{{sum(map(int, numbers)) + self._options.off}}}"
        return Completion(text, "stop", tokens_in=len(numbers), tokens_out=1, seconds=0.0)

    async def close(self) -> None:
        """Nothing to release."""


def build(rest: str, options: Mapping[str, str]) -> Reckoner:
    """The entry of the catalog: what follows the colon, and the options as texts."""
    return Reckoner(rest, parse_options(ReckonerOptions, options, f"reckoner:{rest}"))
