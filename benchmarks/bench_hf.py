"""Tokens per second of the `hf` engine against a plain batched `generate` loop, same model, prompts and batch size.

    python benchmarks/bench_hf.py [--model smollm2] [--prompts 64] [--batch 16] [--repeats 2]

Prompts of mixed length, greedy, each reply ends where it ends (at most 96 tokens). The plain loop is what one would
write first: sort by length, pad left, `model.generate` per batch. Counted are the tokens up to and including each
reply's end, so that padding earns nothing. Prints one JSON line; `ratio` is what counts, taken within one process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

import torch

from harness.models import load_model
from harness.models.hf import HfModel
from harness.types import Message, Request

MAX_TOKENS = 96


def make_requests(count: int, max_tokens: int = MAX_TOKENS) -> list[Request]:
    rng = random.Random(0)
    filler = "Read the notes first: the train left late, the shop was shut, and nobody had counted the apples. "
    asks = (
        "What is {a} + {b}? Answer with the number only.",
        "Name {c} colours.",
        "Tell a short story about a dog that found {a} coins.",
        "Explain why {a} times {b} is not {a} plus {b}.",
    )
    requests = []
    for index in range(count):
        ask = rng.choice(asks).format(a=rng.randint(2, 99), b=rng.randint(2, 99), c=rng.randint(2, 9))
        text = filler * rng.choice((0, 0, 1, 4, 12)) + ask
        messages = (Message("user", text),)
        requests.append(
            Request(str(index), messages, temperature=0.0, top_p=1.0, max_tokens=max_tokens, stop=(), seed=index)
        )
    return requests


def plain_loop(
    model: Any, prompts: Sequence[Sequence[int]], ends: frozenset[int], batch: int, new: int = MAX_TOKENS
) -> int:
    tokens = 0
    ordered = sorted(prompts, key=len, reverse=True)
    for start in range(0, len(ordered), batch):
        group = ordered[start : start + batch]
        width = max(map(len, group))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in group], device=model.device)
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in group], device=model.device)
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=0
            )
        for row in out[:, width:].tolist():
            tokens += next((i + 1 for i, token in enumerate(row) if token in ends), len(row))
    return tokens


async def engine(model: HfModel, requests: Sequence[Request]) -> int:
    completions = await asyncio.gather(*map(model.answer, requests))
    return sum(completion.tokens_out or 0 for completion in completions)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=2)
    args = parser.parse_args()
    model = load_model(args.model, {"batch_size": str(args.batch)})
    assert isinstance(model, HfModel)
    requests = make_requests(args.prompts)
    decoder = model.load()
    prompts = [decoder.prompts.render(request.messages).tokens for request in requests]
    asyncio.run(engine(model, requests[:2]))
    ours, plain = [], []
    for _ in range(args.repeats):  # taken in turns, so that a slow minute of the machine hits both
        started = time.perf_counter()
        ours.append(asyncio.run(engine(model, requests)) / (time.perf_counter() - started))
        started = time.perf_counter()
        counted = plain_loop(decoder.model, prompts, decoder.end_tokens, args.batch)
        plain.append(counted / (time.perf_counter() - started))
    result = {
        "benchmark": "hf",
        "model": args.model,
        "dtype": model.dtype,
        "device": model.device,
        "prompts": args.prompts,
        "batch": args.batch,
        "engine_tokens_per_s": round(max(ours), 1),
        "plain_tokens_per_s": round(max(plain), 1),
        "ratio": round(max(ours) / max(plain), 3),
    }
    print(json.dumps(result))
    asyncio.run(model.close())


if __name__ == "__main__":
    main()
