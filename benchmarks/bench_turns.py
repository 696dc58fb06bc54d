"""Two-turn MT-Bench against a local server of mixed latencies: does a second turn wait for other first turns?

    python benchmarks/bench_turns.py --data-dir DATA [--old TREE] [--concurrency 256] [--repeats 3]

Most replies take 0.5 to 1.5 s, one in ten takes 4 to 6 s. `--old` names a checkout that is measured in turn with this
one, on the same latencies, such as commit 5b03d22, which asked all first turns before any second one. Printed as JSON:
seconds of each, their ratio (target: at most 0.75), how many second turns began while first turns were still open, and
the ideal: the slowest conversation. Only generation is timed. Exits with 1 if a target is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MODEL = "stub-model"
TARGET = 0.75


def latency(body: dict[str, Any]) -> float:
    """Seconds before the reply: a function of the request's seed alone."""
    rng = random.Random(body["seed"])
    return rng.uniform(4, 6) if rng.random() < 0.1 else rng.uniform(0.5, 1.5)


async def _serve() -> None:
    sys.path.insert(0, str(ROOT / "tests"))
    from stub_server import Reply, StubServer

    server = StubServer(keep=False)
    asked: dict[tuple[str, int], tuple[float, float]] = {}

    def choose(_: int, body: dict[str, Any]) -> Reply:
        question, turn = body["messages"][0]["content"], len(body["messages"])
        now = time.monotonic()
        asked[question, turn] = now, now + latency(body)
        return Reply(latency=latency(body))

    server.choose = choose
    print(await server.start(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    first_open_until = max(end for (_, turn), (_, end) in asked.items() if turn == 1)
    early = sum(start < first_open_until for (_, turn), (start, _) in asked.items() if turn > 1)
    slowest = max(sum(end - start for (q, _), (start, end) in asked.items() if q == question) for question, _ in asked)
    print(json.dumps({"count": server.count, "early_second_turns": early, "ideal_s": slowest}), flush=True)
    await server.stop()


class _Quiet:
    def start(self, *_: object) -> None: ...

    def advance(self, *_: object) -> None: ...

    def finish(self) -> None: ...


def _generate(url: str, data_dir: str, concurrency: int) -> float:
    """Seconds that one run of the suite takes to generate; the same calls in any checkout."""
    import harness.models.openai_client  # noqa: F401  # imported before the clock starts
    from harness.config import RunConfig
    from harness.grading.pool import GradingPool
    from harness.models import load_model
    from harness.run.generate import generate, open_jobs
    from harness.run.plan import make_jobs, plan_suites

    quiet: Any = _Quiet()
    with tempfile.TemporaryDirectory() as results, GradingPool(workers=1, timeout=10) as pool, ExitStack() as stack:
        config = RunConfig(suite=("mt_bench",), model=(f"openai:{MODEL}",), data_dir=data_dir, results_dir=results)
        model = load_model(config.model[0], {"base_url": url, "concurrency": str(concurrency)})
        opened = open_jobs(make_jobs(plan_suites(config), model.name, model.describe(), config), pool, stack)

        async def run() -> float:
            started = time.perf_counter()
            await generate(model, opened, quiet, lambda job: None)
            seconds = time.perf_counter() - started
            await model.close()
            return seconds

        return asyncio.run(run())


def measure(tree: Path, data_dir: str, concurrency: int) -> dict[str, Any]:
    """One run of a checkout in a fresh process against a fresh server."""
    stub = subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert stub.stdout is not None
    try:
        url = stub.stdout.readline().strip()
        command = [sys.executable, __file__, "--url", url, "--data-dir", data_dir, "--concurrency", str(concurrency)]
        done = subprocess.run(command, cwd=tree, env={"PYTHONPATH": str(tree)}, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{tree} failed:\n{done.stderr[-3000:]}")
        tail, _ = stub.communicate("")
        served: dict[str, Any] = json.loads(tail)
    finally:
        if stub.poll() is None:
            stub.kill()
            stub.wait()
    assert served["count"] == 160, served
    return {"seconds": float(done.stdout), **served}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with mt_bench_questions.jsonl")
    parser.add_argument("--old", type=Path, help="another checkout, measured too")
    parser.add_argument("--concurrency", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        asyncio.run(_serve())
        return
    if options.data_dir is None:
        parser.error("say --data-dir")
    data_dir = str(Path(options.data_dir).resolve())
    if options.url:
        print(_generate(options.url, data_dir, options.concurrency))
        return
    trees = {"ours": ROOT} | ({"old": options.old.resolve()} if options.old is not None else {})
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    for _ in range(options.repeats):
        for name, tree in trees.items():
            runs[name].append(measure(tree, data_dir, options.concurrency))
            print(name, json.dumps(runs[name][-1]), file=sys.stderr, flush=True)
    seconds = {name: statistics.median(run["seconds"] for run in found) for name, found in runs.items()}
    ratio = seconds["ours"] / seconds["old"] if "old" in seconds else None
    early = min(run["early_second_turns"] for run in runs["ours"])
    print(json.dumps({"seconds": seconds, "ratio": ratio, "early_second_turns": early, "runs": runs}, indent=1))
    raise SystemExit(0 if early > 0 and (ratio is None or ratio <= TARGET) else 1)


if __name__ == "__main__":
    main()
