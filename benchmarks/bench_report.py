"""Writing, opening and filtering the page of `harness report`: 21 models x 500 problems x 4 samples, with texts.

Needs chromium or google-chrome for the second half.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests" / "unit"), str(ROOT)]

from chromium import BINARY, browser  # noqa: E402
from stored_runs import make_run  # noqa: E402

from harness.report.page.document import PageSpec, report  # noqa: E402
from harness.run.folder import list_runs  # noqa: E402
from harness.run.store import write_graded, write_records  # noqa: E402
from harness.types import Completion, Graded, Record, Score  # noqa: E402

MODELS, PROBLEMS, SAMPLES = 21, 500, 4
WORDS = [
    "the",
    "a",
    "of",
    "answer",
    "is",
    "so",
    "we",
    "then",
    "12",
    "7",
    "3",
    "and",
    "because",
    "minus",
    "plus",
    "times",
    "train",
    "speed",
    "equals",
    "check",
    "let",
    "x",
]
FILTER = """(() => {{ const list = document.getElementById('choose-f'); const start = performance.now();
list.value = '{}'; list.dispatchEvent(new Event('change')); document.getElementById('grid').getBoundingClientRect();
return performance.now() - start; }})()"""


def make_runs(results: Path) -> None:
    """Models of rising skill, with thoughts of 120 words."""
    rng = random.Random(1)
    hard = [rng.gauss(0, 1) for _ in range(PROBLEMS)]
    for model in range(MODELS):
        right = [[rng.gauss(0, 1) < h - 0.6 + 1.2 * model / MODELS for _ in range(SAMPLES)] for h in hard]
        values = [sum(row) / SAMPLES for row in right]
        folder = make_run(results, f"method-{model}", values, suite="bench", n=SAMPLES, run_id=f"bench-{model:02d}")
        graded, records = [], []
        for place, row in enumerate(right):
            for attempt, good in enumerate(row):
                name, answer = f"p{place:03d}", "42" if good else str(rng.randint(1, 41))
                graded.append(Graded(name, attempt, Score(float(good), "scored", answer), tokens_out=150))
                said = f"<think>{' '.join(rng.choices(WORDS, k=120))}</think>The answer is {answer}"
                records.append(Record(name, attempt, 1, "h", Completion(said, "stop", tokens_out=150)))
        write_graded(folder, graded)
        write_records(folder, records)


def main() -> None:
    """Print seconds of writing and opening, milliseconds of each filter."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_runs(folder)
        start = time.process_time()
        page = report(list_runs(folder), PageSpec(baseline="method-0"))
        print(f"writing: {time.process_time() - start:.1f} s of CPU, {len(page) / 1e6:.1f} MB")
        if BINARY is None:
            return
        file = folder / "report.html"
        file.write_text(page, encoding="utf-8")
        with browser(folder / "profile") as tab:
            for _ in range(3):
                tab.open(file)
                print(f"opening: {tab.run('performance.now()') / 1000:.2f} s")
            for which in ("differ", "lost", "cut", "one", "all"):
                print(f"filter {which}: {tab.run(FILTER.format(which)):.0f} ms")


if __name__ == "__main__":
    main()
