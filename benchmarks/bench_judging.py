"""Judging against a local server that fails now and then: nothing lost, concurrency held, nothing asked twice.

    python benchmarks/bench_judging.py [--items 10000] [--concurrency 200] [--latency 1.0]

The server is a process of its own: every reply takes `latency` seconds, a share `--errors` of requests gets HTTP 500
and a share `--malformed` of replies cannot be read; the others follow the JSON schema of the request. Printed as JSON:
counts, and `ratio`, wall time over the ideal of a server without failures, `ceil(items / concurrency) * latency`
(target: at most 1.15). `ratio_all_requests` holds it against the ideal for all requests that had to be made, repeated
ones included. The second run opens the cache anew and must make no request. Exits with 1 if anything is lost, a target
is missed or a request is made twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "stub-model"
TARGET = 1.15


async def _serve(latency: float, errors: float, malformed: float) -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from stub_server import Reply, StubServer

    from harness.models.mock_judge import follow_schema

    server = StubServer(keep=False)

    def choose(index: int, body: dict[str, Any]) -> Reply:
        rng = random.Random(index)
        fate = rng.random()
        if fate < errors:
            return Reply(status=500, latency=latency)
        if fate < errors + malformed:
            return Reply(content="Both have their merits.", latency=latency)
        schema = body["response_format"]["json_schema"]["schema"]
        return Reply(content=json.dumps(follow_schema(schema, rng)), latency=latency)

    server.choose = choose
    print(await server.start(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"count": server.count, "max_active": server.max_active}), flush=True)
    await server.stop()


async def _judge(url: str, items: int, concurrency: int, cache_path: Path) -> dict[str, Any]:
    """One run: all items, one cache."""
    import harness.models.openai_client  # noqa: F401  # imported before the clock starts
    from harness.models import load_model
    from harness.models.reply_cache import Cache
    from judges.ask import NO_REPLY, judge_tasks
    from judges.pointwise import RubricJudging
    from judges.prompts.rubric import load_rubric
    from judges.types import Task

    judge = load_model(f"openai:{MODEL}", {"base_url": url, "concurrency": str(concurrency)})
    judging = RubricJudging(load_rubric("rating_10"))
    text = "A farmer has 17 sheep, buys 5 more and sells 9 of them, so 13 are left. " * 10
    tasks = [Task(f"item-{i}", 0, (f"Question {i}: how many are left?",), (f"{text} ({i})",)) for i in range(items)]
    settled = 0

    def count(_: object) -> None:
        nonlocal settled
        settled += 1

    started = time.perf_counter()
    try:
        with Cache(cache_path) as cache:
            judgments = await judge_tasks(judge, judging, tasks, cache, None, count)
    finally:
        await judge.close()
    seconds = time.perf_counter() - started
    rows = [judgment for row in judgments for judgment in row]
    assert len(judgments) == items and all(len(row) == 1 for row in judgments) and settled == items, "judgments lost"
    assert len({judgment.problem_id for judgment in rows}) == items
    scored = sum(judgment.verdict is not None for judgment in rows)
    errors = sum(judgment.why.startswith(NO_REPLY) for judgment in rows)
    return {
        "seconds": seconds,
        "scored": scored,
        "unscored": items - scored - errors,
        "errors": errors,
        "retried": sum(judgment.tries > 1 for judgment in rows),
        "asked": sum(not judgment.cached for judgment in rows),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=200)
    parser.add_argument("--latency", type=float, default=1.0, help="seconds before each reply")
    parser.add_argument("--errors", type=float, default=0.05, help="share of requests that get HTTP 500")
    parser.add_argument("--malformed", type=float, default=0.02, help="share of replies that cannot be read")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        asyncio.run(_serve(options.latency, options.errors, options.malformed))
        return
    command = [sys.executable, __file__, "--serve", "--latency", str(options.latency)]
    command += ["--errors", str(options.errors), "--malformed", str(options.malformed)]
    stub = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert stub.stdout is not None
    try:
        url = stub.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cache.sqlite"
            first = asyncio.run(_judge(url, options.items, options.concurrency, path))
            second = asyncio.run(_judge(url, options.items, options.concurrency, path))
            cache_mb = path.stat().st_size / 2**20
        tail, _ = stub.communicate("")
        served = json.loads(tail)
    finally:
        if stub.poll() is None:
            stub.kill()
            stub.wait()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ideal = math.ceil(options.items / options.concurrency) * options.latency
    ideal_all = math.ceil(served["count"] / options.concurrency) * options.latency
    result = {
        "items": options.items,
        "concurrency": options.concurrency,
        "latency_s": options.latency,
        "first": first,
        "second": second,
        "ideal_s": ideal,
        "ratio": first["seconds"] / ideal if ideal else None,
        "ratio_all_requests": first["seconds"] / ideal_all if ideal_all else None,
        "requests_served": served["count"],
        "max_in_flight": served["max_active"],
        "cache_mb": cache_mb,
        "peak_rss_mb": usage.ru_maxrss / 1024,
        "cpu_s": usage.ru_utime + usage.ru_stime,
    }
    print(json.dumps(result, indent=1))
    # A request that failed for good may be asked again by the second run; with 8 retries there is none in 10,000.
    ok = second["asked"] == first["errors"] and served["max_active"] <= options.concurrency
    ok = ok and (not ideal or result["ratio"] <= TARGET)
    raise SystemExit(0 if ok else 1)


if __name__ == "__main__":
    main()
