"""Time `harness leaderboard` over a results folder with 200,000 stored completions.

    python benchmarks/bench_leaderboard.py [--runs 40] [--records 5000] [--groups 5] [--repeat 5]

Makes run directories in a temporary folder (one sample per problem, the worst case: result files grow with problems,
not with samples) with records, scores and results, and times the command as a subprocess, start-up included. Compared
in the same process call are the floor of any Python reader of these files (a fresh interpreter that parses the JSON)
and a reader of the completions themselves. Prints one JSON object; `seconds` is the median. Target: under 1 s.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from harness.run.result import Item, RunResult
from harness.run.store import write_result
from harness.types import STATUSES, Estimate

_FLOOR = (
    "import json, pathlib, sys; [json.loads(p.read_bytes()) for p in pathlib.Path(sys.argv[1]).rglob('result.json')]"
)
_RECORDS = "import json, pathlib, sys; [json.loads(line) for p in pathlib.Path(sys.argv[1]).rglob('records.jsonl') for line in p.open('rb')]"  # fmt: skip # noqa: E501


def make_results(folder: Path, runs: int, records: int, groups: int) -> None:
    """Write the runs: models of rising ability, `runs / groups` of them on each of `groups` suites."""
    rng = random.Random(0)
    for number in range(runs):
        suite, model = f"suite{number % groups}", f"model{number // groups:02d}"
        directory = folder / "runs" / f"{suite}-{model}-0123456789"
        directory.mkdir(parents=True)
        ability = 0.3 + 0.4 * number / runs
        items = {f"{suite}/test/{i:06d}": Item(float(rng.random() < ability), 1) for i in range(records)}
        value = sum(item.mean or 0.0 for item in items.values()) / records
        counts = {status: records if status == "scored" else 0 for status in STATUSES}
        with (directory / "records.jsonl").open("w", encoding="utf-8") as stream:
            for i, key in enumerate(items):
                record = {"v": 1, "problem_id": key, "attempt": 0, "seed": i, "prompt_hash": "0" * 16}
                stream.write(json.dumps({**record, "text": "step " * 100, "finish": "stop", "tokens_out": 100}) + "\n")
        write_result(
            directory,
            RunResult(
                run_id=directory.name,
                suite=suite,
                suite_version="1",
                model=model,
                headline="avg@n",
                estimates={"avg@n": Estimate(value, value - 0.01, value + 0.01, 0.005, records, records, counts)},
                items=items,
                n=1,
                limit=None,
                seed=0,
                sampling={"temperature": 0.0, "top_p": 1.0, "max_tokens": 2048, "stop": []},
                data_sha256="0" * 64,
                graders={"integer": "integer/1"},
                model_identity={},
                environment={},
                totals={"tokens_in": 1, "tokens_out": 1, "seconds": 1.0, "cost": None},
                finished="2026-01-01T00:00:00Z",
            ),
        )


def timed(command: Sequence[str]) -> float:
    """Wall seconds of one subprocess that must succeed."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--records", type=int, default=5000, help="completions per run")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        make_results(Path(name), options.runs, options.records, options.groups)
        ours = [sys.executable, "-m", "harness", "leaderboard", "--results-dir", name, "--format", "json"]
        commands = {
            "seconds": ours,
            "floor_seconds": [sys.executable, "-c", _FLOOR, name],
            "records_seconds": [sys.executable, "-c", _RECORDS, name],
        }
        times: dict[str, list[float]] = {key: [] for key in commands}
        for _ in range(options.repeat):  # interleaved, so that a busy machine slows all alike
            for key, command in commands.items():
                times[key].append(timed(command))
        megabytes = sum(path.stat().st_size for path in Path(name).rglob("result.json")) / 1e6
    median = {key: statistics.median(values) for key, values in times.items()}
    print(
        json.dumps(
            {
                "records": options.runs * options.records,
                "runs": options.runs,
                "result_files_mb": round(megabytes, 1),
                **{key: round(value, 3) for key, value in median.items()},
                "best_seconds": round(min(times["seconds"]), 3),
                "ratio_to_floor": round(median["seconds"] / median["floor_seconds"], 2),
                "ratio_to_reading_records": round(median["seconds"] / median["records_seconds"], 2),
                "under_1_s": median["seconds"] < 1.0,
            }
        )
    )


if __name__ == "__main__":
    main()
