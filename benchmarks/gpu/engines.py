"""Tokens per second of the engines against their own libraries, on the same prompts; a seed says what is drawn."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.bench_hf import make_requests, plain_loop
from benchmarks.gpu.running import Numbers, Place
from harness.models import load_model
from harness.types import Completion, Model, Request


async def answers(model: Model, requests: Sequence[Request]) -> list[Completion]:
    """The completions in the order of the requests."""
    return await asyncio.gather(*map(model.answer, requests))


def sampled(requests: Sequence[Request], shift: int = 0) -> list[Request]:
    return [replace(request, temperature=1.0, seed=request.seed + shift) for request in requests]


async def seeds_decide(model: Model, requests: Sequence[Request]) -> bool:
    """The same seeds give the same texts, others give others."""
    texts = [[found.text for found in await answers(model, sampled(requests, shift))] for shift in (0, 0, 1000)]
    if texts[0] != texts[1] or texts[0] == texts[2]:
        raise AssertionError(f"seeds do not decide what is drawn: {[text[:2] for text in texts]}")
    return True


def rate(work: Callable[[], int], repeats: int) -> float:
    """Most tokens per second of some rounds."""
    best = 0.0
    for _ in range(repeats):
        started = time.perf_counter()
        best = max(best, work() / (time.perf_counter() - started))
    return best


def told(place: Place) -> tuple[list[Request], int, int]:
    """Prompts, new tokens of each, and how often each side is measured."""
    count, tokens = (6, 8) if place.tiny else (128, 128)
    return make_requests(count, tokens), tokens, 1 if place.tiny else 2


def measure_hf(place: Place) -> Numbers:
    """Against `generate` of transformers in batches of like lengths."""
    requests, tokens, repeats = told(place)
    batch = 4 if place.tiny else 64
    model: Any = load_model(
        f"hf:{place.model()}", {"device": place.device, "dtype": "bfloat16", "batch_size": str(batch)}
    )
    decoder = model.load()
    prompts = [decoder.prompts.render(request.messages).tokens for request in requests]

    def ours() -> int:
        return sum(found.tokens_out or 0 for found in asyncio.run(answers(model, requests)))

    def theirs() -> int:
        return plain_loop(decoder.model, prompts, decoder.end_tokens, batch, tokens)

    decided = asyncio.run(seeds_decide(model, requests[:batch]))
    numbers = {"tokens/s": rate(ours, repeats), "raw tokens/s": rate(theirs, repeats), "seeds decide": decided}
    asyncio.run(model.close())
    return numbers


def measure_vllm(place: Place) -> Numbers:
    """Against `LLM.generate`; neither compiles, so that both start soon."""
    from vllm import LLM, SamplingParams

    requests, tokens, repeats = told(place)
    shared: dict[str, Any] = {"enforce_eager": True, "max_model_len": 2048}
    if place.device == "cuda":
        shared["gpu_memory_utilization"] = 0.4
    else:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")

    async def ours() -> tuple[bool, float, list[list[int]]]:
        model: Any = load_model(f"vllm:{place.model()}", {key: str(value).lower() for key, value in shared.items()})
        try:
            decided = await seeds_decide(model, requests[:16])
            best = 0.0
            for _ in range(repeats):
                started = time.perf_counter()
                made = sum(found.tokens_out or 0 for found in await answers(model, requests))
                best = max(best, made / (time.perf_counter() - started))
            return decided, best, [model._prompts.render(request.messages).tokens for request in requests]
        finally:
            await model.close()

    decided, best, prompts = asyncio.run(ours())
    engine = LLM(str(place.model()), generation_config="vllm", **shared)
    sampling = SamplingParams(temperature=0.0, max_tokens=tokens)

    def theirs() -> int:
        made = engine.generate([{"prompt_token_ids": list(ids)} for ids in prompts], sampling, use_tqdm=False)
        return sum(len(one.outputs[0].token_ids) for one in made)

    return {"tokens/s": best, "raw tokens/s": rate(theirs, repeats), "seeds decide": decided}


if __name__ == "__main__":
    print(json.dumps(measure_vllm(Place(Path(sys.argv[1]), sys.argv[2], sys.argv[3:] == ["tiny"], sys.executable))))
