"""What systems of models add to the calls of their models, with a stub of known latency.

    python benchmarks/bench_systems.py [--answers 400] [--latency 0.05] [--repeats 3]

For each system: `alone` awaits the same number of requests to the stub in the same order (at once where the system asks
at once, in turn where it asks in turn), `system` awaits its answers, replies kept in a file as in a run. Both have the
same places: the stub answers 64 requests at once. Printed as JSON: median seconds; what the system takes beyond the
calls, in per cent of the sum of their seconds (target: at most 5); and milliseconds of it for each call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.models import load_model
from harness.models.base import bounded
from harness.run.spec import make_request
from harness.suites import load_problems, load_suite
from harness.types import Model, Request

CONCURRENCY = 64
SUITE = "synth"


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


def _stub(latency: float, **options: str) -> dict[str, str]:
    return {"latency": str(latency), "concurrency": str(CONCURRENCY), **options}


def alone(requests: list[Request], stages: list[int], latency: float) -> float:
    """Seconds of the calls themselves: each stage's at once, one stage after the other."""
    model = load_model("mock:gold", _stub(latency))

    async def work(request: Request) -> None:
        for stage, calls in enumerate(stages):
            asked = [replace(request, id=f"{request.id}/{stage}/{n}") for n in range(calls)]
            await asyncio.gather(*(model.answer(one) for one in asked))

    return asyncio.run(_timed(requests, work, model))


def system(requests: list[Request], spec: str, options: dict[str, str]) -> float:
    """Seconds of the system, from an empty file of replies."""
    with tempfile.TemporaryDirectory() as folder:
        model = load_model(spec, options, Path(folder))

        async def work(request: Request) -> None:
            completion = await model.answer(request)
            assert completion.finish != "error", completion

        return asyncio.run(_timed(requests, work, model))


def measured(
    name: str, spec: str, options: dict[str, str], stages: list[int], told: argparse.Namespace
) -> dict[str, Any]:
    """Medians over repeats, in alternation."""
    requests = _requests(told.answers)
    pairs = [(alone(requests, stages, told.latency), system(requests, spec, options)) for _ in range(told.repeats)]
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
    parts = {f"model.{key}": value for key, value in _stub(told.latency).items()}
    teacher = {"teacher": "mock:gold", **{key.replace("model", "teacher"): value for key, value in parts.items()}}
    lorid = {"knowledge": "mock:gold", "reason": "mock:gold"}
    lorid |= {f"{role}.{key}": value for role in ("knowledge", "reason") for key, value in _stub(told.latency).items()}
    drawn = {"temperature": "0.7", **parts}
    rows = [
        measured("vote", "vote:5:mock:gold", drawn, [5], told),
        measured("lorid", "lorid:20:mock:gold", {**lorid, **parts}, [2, 1], told),
        measured("budget", "budget:1:mock:gold", parts, [1, 1], told),
        measured("cascade", "cascade:3:mock:silent", {**drawn, **teacher}, [3, 1], told),
    ]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
