"""Client overhead of `openai:` models against a local stub: ours, a bare asyncio loop, inspect-ai, the whole pipeline.

    python benchmarks/bench_client.py [--requests 10000] [--concurrency 256] [--repeats 3] [--inspect-python PATH]

Each contender runs in its own process against its own stub, one after the other, in alternation. Printed as JSON: what
was measured, and the ratios that count: `ours/ideal` seconds at 2 s latency (target: at most 1.1), `ours/bare`
throughput at 50 ms (target: at least 0.9), `ours/inspect` throughput at 50 ms (target: above 1). Imports are done
before the clock starts, except in the pipeline. `bare` is 256 coroutines around `client.chat.completions.create` of the
same `openai` client on its faster transport. `--pipeline` adds `harness run` on the suite synth: plan, generate, store,
grade and summarise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "stub-model"
PROMPT = "A farmer has 17 sheep, buys 5 more and sells 9 of them. How many are left? Think step by step. " * 3
MAX_TOKENS, TEMPERATURE, TOP_P = 256, 0.6, 0.95


async def _ours(url: str, n: int, concurrency: int) -> float:
    import harness.models.openai_client  # noqa: F401  # imported before the clock starts, as in `_bare`
    from harness.models import load_model
    from harness.models.base import bounded
    from harness.types import Message, Request

    model = load_model(f"openai:{MODEL}", {"base_url": url, "concurrency": str(concurrency)})
    requests = [Request(str(i), (Message("user", PROMPT),), TEMPERATURE, TOP_P, MAX_TOKENS, (), i) for i in range(n)]
    finished = 0

    async def work(request: Request) -> None:
        nonlocal finished
        completion = await model.answer(request)
        assert completion.finish == "stop", completion
        finished += 1

    started = time.perf_counter()
    await bounded(requests, work)
    seconds = time.perf_counter() - started
    assert finished == n
    await model.close()
    return seconds


async def _bare(url: str, n: int, concurrency: int) -> float:
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    client = openai.AsyncOpenAI(
        base_url=url, api_key="none", http_client=openai.DefaultAioHttpClient(limits=limits, timeout=600)
    )
    waiting = iter(range(n))
    texts: list[str] = []

    async def work() -> None:
        for seed in waiting:
            reply = await client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": PROMPT}],
                temperature=TEMPERATURE,
                top_p=TOP_P,
                max_tokens=MAX_TOKENS,
                seed=seed,
            )
            texts.append(reply.choices[0].message.content or "")

    started = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(concurrency)))
    seconds = time.perf_counter() - started
    assert len(texts) == n
    await client.close()
    return seconds


def _inspect(url: str, n: int, concurrency: int) -> float:
    """inspect-ai with everything optional turned off: no display, no per-sample log, no scorer."""
    import os

    os.environ |= {"STUB_API_KEY": "none", "STUB_BASE_URL": url}
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.solver import generate

    task = Task(dataset=MemoryDataset([Sample(input=PROMPT, target="13", id=i) for i in range(n)]), solver=generate())
    with tempfile.TemporaryDirectory() as logs:
        started = time.perf_counter()
        log = eval(
            task,
            model=f"openai-api/stub/{MODEL}",
            model_base_url=url,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            max_tokens=MAX_TOKENS,
            max_samples=concurrency,
            max_connections=concurrency,
            log_dir=logs,
            log_samples=False,
            log_realtime=False,
            display="none",
        )[0]
        seconds = time.perf_counter() - started
    assert log.status == "success", log.error
    return seconds


def _pipeline(url: str, n: int, concurrency: int) -> float:
    """`harness run` on synth with as many samples a problem as it takes to make n requests (500 problems)."""
    with tempfile.TemporaryDirectory() as results:
        command = [sys.executable, "-m", "harness", "run", "--suite", "synth", "--limit", "500", "--n", str(n // 500)]
        command += ["--model", f"openai:{MODEL}", "--model-arg", f"base_url={url}", "--temperature", "0.6", "--quiet"]
        command += ["--model-arg", f"concurrency={concurrency}", "--results-dir", results, "--json"]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        seconds = time.perf_counter() - started
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)["rows"][0]
    assert row["n_samples"] == n // 500 * row["n_problems"], row
    return seconds


def _child(contender: str, url: str, n: int, concurrency: int) -> None:
    if contender == "inspect":
        seconds = _inspect(url, n, concurrency)
    elif contender == "pipeline":
        seconds = _pipeline(url, n, concurrency)
    else:
        seconds = asyncio.run((_ours if contender == "ours" else _bare)(url, n, concurrency))
    usage = resource.getrusage(resource.RUSAGE_CHILDREN if contender == "pipeline" else resource.RUSAGE_SELF)
    print(
        json.dumps(
            {"seconds": seconds, "peak_rss_mb": usage.ru_maxrss / 1024, "cpu_s": usage.ru_utime + usage.ru_stime}
        )
    )


def measure(contender: str, latency: float, n: int, concurrency: int, python: str) -> dict[str, Any]:
    """Run one contender in a fresh process against a fresh stub."""
    stub = subprocess.Popen(
        [sys.executable, str(ROOT / "tests" / "stub_server.py"), "--latency", str(latency)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert stub.stdout is not None
    try:
        url = stub.stdout.readline().strip()
        command = [python, __file__, "--child", contender, "--url", url]
        command += ["--requests", str(n), "--concurrency", str(concurrency)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{contender} failed:\n{done.stderr[-3000:]}")
        found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
        tail, _ = stub.communicate("")
        served = json.loads(tail)
    finally:
        if stub.poll() is None:
            stub.kill()
            stub.wait()
    assert served["count"] == n, (served, n)
    return {
        **found,
        "requests": n,
        "latency_s": latency,
        "max_in_flight": served["max_active"],
        "rps": n / found["seconds"],
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3, help="alternations of the contenders at 50 ms")
    parser.add_argument("--inspect-python", help="interpreter of an environment with inspect-ai, openai and aiohttp")
    parser.add_argument("--inspect-requests", type=int, default=2000)
    parser.add_argument("--skip-slow", action="store_true", help="leave out the run at 2 s latency (80 s)")
    parser.add_argument("--pipeline", action="store_true", help="measure `harness run` as well")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    n, concurrency = options.requests, options.concurrency
    if options.child:
        _child(options.child, options.url, n, concurrency)
        return

    contenders = {"ours": sys.executable, "bare": sys.executable}
    if options.pipeline:
        contenders["pipeline"] = sys.executable
    if options.inspect_python:
        contenders["inspect"] = options.inspect_python
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in contenders}
    for _ in range(options.repeats):
        for name, python in contenders.items():
            count = options.inspect_requests if name == "inspect" else n
            runs[name].append(measure(name, 0.05, count, concurrency, python))
            print(name, json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    rps = {name: statistics.median(run["rps"] for run in found) for name, found in runs.items()}
    result: dict[str, Any] = {
        "rps_50ms": rps,
        "ratios": {f"ours/{name}": rps["ours"] / value for name, value in rps.items() if name != "ours"},
        "peak_rss_mb": {name: max(run["peak_rss_mb"] for run in found) for name, found in runs.items()},
        "runs_50ms": runs,
    }
    if not options.skip_slow:
        ideal = n / concurrency * 2.0
        names = ["ours", "pipeline"] if options.pipeline else ["ours"]
        result["slow"] = {name: measure(name, 2.0, n, concurrency, sys.executable) for name in names}
        for name in names:
            result["ratios"][f"{name}/ideal"] = result["slow"][name]["seconds"] / ideal
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
