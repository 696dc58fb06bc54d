"""What systems of models add to the calls of their models, with stubs of known latency.

    python benchmarks/bench_systems.py [--answers 400] [--latency 0.05] [--repeats 3]

For each system: `alone` awaits the same number of requests to a stub in the same order (at once where the system asks
at once, in turn where it asks in turn), `system` awaits its answers, replies kept in a file as in a run. Both have the
same places: a stub answers 64 requests at once. Printed as JSON: median seconds; what the system takes beyond the
calls, in per cent of the sum of their seconds (target: at most 5); and milliseconds of it for each call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness.models import load_model
from harness.models.base import Slots, bounded
from harness.run.spec import make_request
from harness.suites import load_problems, load_suite
from harness.systems import base
from harness.types import Completion, Json, Message, Model, Request, TokenScores

CONCURRENCY = 64
SUITE = "synth"
NOTES = "Learning Summary: count again.\nSupplementary Knowledge: carry the one."


class Stub:
    """Answers, and scores, after so many seconds."""

    continues = True

    def __init__(self, text: str, latency: float) -> None:
        self.name, self._text, self._latency = f"stub:{text[:8]}", text, latency
        self._slots = Slots(CONCURRENCY)

    def describe(self) -> Mapping[str, Json]:
        """See `harness.types.Model`."""
        return {"engine": "stub", "text": self._text}

    def environment(self) -> Mapping[str, Json]:
        """See `harness.types.Model`."""
        return {}

    async def answer(self, request: Request) -> Completion:
        """Cut at a token where there is room for one alone."""

        async def later(request: Request) -> Completion:
            await asyncio.sleep(self._latency)
            finish = "length" if request.max_tokens == 1 else "stop"
            return Completion(self._text, finish, tokens_in=50, tokens_out=20)  # type: ignore[arg-type]

        return await self._slots.use(request, later)

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """Two tokens, which differ by what is scored."""

        async def later() -> TokenScores:
            await asyncio.sleep(self._latency)
            return TokenScores((len(continuation), 1), (-0.5, -0.5), ({1: -0.1, 2: -3.0},) * 2, read=50)

        return await self._slots.hold(later)

    async def close(self) -> None:
        """Nothing to release."""


def _requests(count: int) -> list[Request]:
    suite = load_suite(SUITE)
    problems = load_problems(suite, None, 0, min(count, 500))
    return [make_request(problems[n % len(problems)], n // len(problems), suite.sampling) for n in range(count)]


async def _timed(requests: list[Request], work: Callable[[Request], Awaitable[None]], close: Model) -> float:
    started = time.perf_counter()
    await bounded(requests, work)
    seconds = time.perf_counter() - started
    await close.close()
    return seconds


def alone(requests: list[Request], stages: Sequence[int], latency: float) -> float:
    """Seconds of the calls themselves: each stage's at once, one stage after the other."""
    model = Stub("x", latency)

    async def work(request: Request) -> None:
        for stage, calls in enumerate(stages):
            asked = [replace(request, id=f"{request.id}/{stage}/{n}") for n in range(calls)]
            await asyncio.gather(*(model.answer(one) for one in asked))

    return asyncio.run(_timed(requests, work, model))


def system(requests: list[Request], spec: str, options: dict[str, str], latency: float) -> float:
    """Seconds of the system, from an empty file of replies."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.jsonl"
        row = {"id": "n", "prompt": [{"role": "user", "content": "Work out 1 + 1."}], "response": NOTES}
        notes.write_text(json.dumps(row) + "\n")
        told = {key: str(notes) if value == "NOTES" else value for key, value in options.items()}
        with patch.object(base, "load_model", lambda text, *_: Stub(text.partition(":")[2], latency)):
            model = load_model(spec, told, Path(folder))

        async def work(request: Request) -> None:
            completion = await model.answer(request)
            assert completion.finish != "error", completion

        return asyncio.run(_timed(requests, work, model))


SYSTEMS: Mapping[str, tuple[str, dict[str, str], Sequence[int]]] = {
    "vote": ("vote:5:stub:The answer is 7.", {"temperature": "0.7"}, [5]),
    "bestof": ("bestof:4:stub:The answer is 7.", {"temperature": "0.7", "by": "stub:r"}, [4, 8, 8]),
    "cascade": ("cascade:3:stub:Hm.", {"temperature": "0.7", "teacher": "stub:7", "items": "NOTES"}, [3, 1]),
    "budget": ("budget:1:stub:7", {}, [1, 1]),
    "gate": ("gate:stub:7", {"by": 'stub:{"need": 1, "accept": 0.9}'}, [1, 1]),
    "lorid": ("lorid:20:stub:7", {"knowledge": "stub:k", "reason": "stub:7"}, [2, 1]),
    "nesycd": ("nesycd:3:stub:7", {"notes": "NOTES"}, [1, 1, 1]),
}
"""System -> spec, options, and the requests of one answer in turn."""


def measured(name: str, told: argparse.Namespace) -> dict[str, Any]:
    """Medians over repeats, in alternation."""
    spec, options, stages = SYSTEMS[name]
    requests = _requests(told.answers)
    pairs = [
        (alone(requests, stages, told.latency), system(requests, spec, options, told.latency))
        for _ in range(told.repeats)
    ]
    calls, whole = (statistics.median(side) for side in zip(*pairs, strict=True))
    return {
        "system": name,
        "answers": told.answers,
        "calls": sum(stages),
        "alone_s": round(calls, 3),
        "system_s": round(whole, 3),
        "overhead_percent": round(100 * (whole - calls) / (told.answers * sum(stages) * told.latency), 2),
        "ms_a_call": round(1000 * (whole - calls) / (told.answers * sum(stages)), 3),
    }


def main() -> None:
    """Measure every system."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--answers", type=int, default=400)
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--repeats", type=int, default=3)
    told = parser.parse_args()
    print(json.dumps([measured(name, told) for name in SYSTEMS], indent=1))


if __name__ == "__main__":
    main()
