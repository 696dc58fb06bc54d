"""Self-BLEU and embedding dispersion over 805 prompts x 16 responses: is it under two minutes on two cores?

    python benchmarks/bench_diversity.py [--prompts 805] [--samples 16] [--dtypes auto] [--embed-tokens 128]

Responses are the stored answers of four models to the AlpacaEval prompts (HARNESS_TEST_DATA or ../shared/data), each
varied by dropping and swapping sentences and words, so that no two are alike; without these files they are random words
of the same lengths. One line of JSON goes to stdout: seconds of each part, texts and tokens per second, and, for every
further number format, how far the dispersion of a prompt moves against the first one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from pathlib import Path

import numpy as np

from harness.metrics.diversity import Corpus, Scores, Tools, across, within
from harness.metrics.diversity_embed import DISPERSION, VENDI, Embedder
from harness.metrics.diversity_text import DISTINCT_2, SELF_BLEU, words

FOLDER = Path(os.environ.get("HARNESS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FILES = ("gpt-3.5-turbo-1106", "gpt-3.5-turbo-1106_verbose", "vicuna-7b")


def answers(prompts: int) -> list[list[str]]:
    """Stored answers of each prompt, prompt by prompt."""
    paths = [
        *(FOLDER / "alpaca_eval_outputs" / f"{name}.jsonl" for name in FILES),
        FOLDER / "alpaca_eval_reference.jsonl",
    ]
    if all(path.is_file() for path in paths):
        models = [
            [json.loads(line)["output"] for line in path.read_text(encoding="utf-8").splitlines()] for path in paths
        ]
        return [list(found) for found in zip(*models, strict=True)][:prompts]
    rng = random.Random(0)
    lexicon = ["".join(rng.choices("aeioulnrst", k=rng.randint(2, 9))) for _ in range(20_000)]
    return [[" ".join(rng.choices(lexicon, k=rng.randint(20, 400))) + "." for _ in range(4)] for _ in range(prompts)]


def varied(text: str, rng: random.Random) -> str:
    """The text as another sample might have it: a tenth of its sentences and words gone, some words swapped."""
    sentences = [sentence for sentence in text.split(". ") if rng.random() > 0.1] or [text]
    rng.shuffle(sentences)
    tokens = [token for token in ". ".join(sentences).split(" ") if rng.random() > 0.1] or [text]
    for _ in range(len(tokens) // 10):
        i, j = rng.randrange(len(tokens)), rng.randrange(len(tokens))
        tokens[i], tokens[j] = tokens[j], tokens[i]
    return " ".join(tokens)


def build(prompts: int, samples: int) -> Corpus:
    """`samples` different responses to each prompt."""
    rng = random.Random(0)
    texts: list[str] = []
    stored = answers(prompts)
    for found in stored:
        texts += [varied(found[j % len(found)], rng) for j in range(samples)]
    return Corpus(tuple(texts), {f"p{i:04d}": samples for i in range(len(stored))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, default=805)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--dtypes", nargs="+", default=["auto"])
    parser.add_argument("--embed-tokens", type=int, default=128)
    options = parser.parse_args()
    corpus = build(options.prompts, options.samples)
    found: dict[str, object] = {
        "texts": len(corpus.texts),
        "distinct_texts": len(set(corpus.texts)),
        "words": sum(len(words(text)) for text in corpus.texts),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    for measure in (DISTINCT_2, SELF_BLEU):
        start = now()
        group = measure(corpus.texts, Tools())
        scores = within(measure, corpus, group), across(measure, corpus, group)
        found[measure.name] = seconds(start) | {score.form: round(score.estimate.value, 4) for score in scores}
    first: Scores | None = None
    for dtype in options.dtypes:
        start = now()
        embedder = Embedder(dtype=dtype, max_tokens=options.embed_tokens, progress=progress)
        tools = Tools(embed=embedder)
        embedder(corpus.texts)
        report: dict[str, object] = dict(seconds(start))
        for measure in (DISPERSION, VENDI):
            group = measure(corpus.texts, tools)
            inside, outside = within(measure, corpus, group), across(measure, corpus, group)
            report |= {f"{measure.name} {score.form}": round(score.estimate.value, 5) for score in (inside, outside)}
            if measure is DISPERSION:
                first = first or inside
                moved = [abs(first.problems[problem] - value) for problem, value in inside.problems.items()]
                report |= {
                    "largest move of a prompt": round(max(moved), 6),
                    "mean move": round(float(np.mean(moved)), 6),
                }
        report["with scores"] = seconds(start)
        found[f"embedding {embedder.identity()['dtype']}"] = report
    print(json.dumps(found))


def seconds(start: tuple[float, float]) -> dict[str, float]:
    """Wall seconds since the start, and core seconds: on a busy machine only these can be held against the goal."""
    return {"s": round(time.perf_counter() - start[0], 1), "core s": round(time.process_time() - start[1], 1)}


def now() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def progress(done: int, total: int) -> None:
    if done % 2048 == 0 or done == total:
        print(f"{done} of {total} texts embedded", file=sys.stderr)


if __name__ == "__main__":
    main()
