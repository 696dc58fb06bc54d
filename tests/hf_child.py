"""Plays vLLM's process (`backends.rollouts.vllm_child`) with transformers: real weights and samples, without vLLM.

python -m tests.hf_child whole|deaf        deaf: keeps the weights that it started with, as a stale layer would
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
import transformers


def main() -> None:
    torch.set_num_threads(1)
    model: Any = None
    told: dict[str, Any] = {}
    for line in sys.stdin:
        ((what, about),) = json.loads(line).items()
        if what == "start":
            told, folder = about, about["folder"]
        elif what == "weights":
            folder = about
        if what == "start" or (what == "weights" and sys.argv[1] == "whole"):
            model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        for number, (prompt, seed) in enumerate(about if what == "draw" else ()):
            print(json.dumps({"number": number, **_drawn(model, prompt, seed, told)}), flush=True)
        print(json.dumps({"done": True}), flush=True)


@torch.no_grad()
def _drawn(model: Any, prompt: list[int], seed: int, told: dict[str, Any]) -> dict[str, Any]:
    draw, ids, logps = torch.Generator().manual_seed(seed), list(prompt), list[float]()
    while len(logps) < told["max_new"] and (not logps or ids[-1] not in told["ends"]):
        row = (model(torch.tensor([ids])).logits[0, -1].double() / told["temperature"]).log_softmax(-1)
        ids.append(int(torch.multinomial(row.exp(), 1, generator=draw)))
        logps.append(float(row[ids[-1]]))
    finish = "stop" if ids[-1] in told["ends"] else "length"
    return {"tokens": ids[len(prompt) :], "logps": logps, "finish": finish}


if __name__ == "__main__":
    main()
