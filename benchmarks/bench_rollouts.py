"""What drawing costs a training, in CPU seconds of one process and one thread: bars of docs/design/0007-on-policy.md.

    .venv/bin/python benchmarks/bench_rollouts.py [--student tiny] [--rounds 3] [--prompts 8] [--group 8]

- decode: tokens a second of the engine in training, of the same engine alone (`harness run`), of `model.generate`, for
  the same prompts and, of the first two, the same seeds; wanted: in training / alone .95 at least, / generate 2
- step: shares of drawing, of marking, credit and journal, and of training, over a few steps of grpo
- passes: forward and backward of the policy loss and of SFT's likelihood on the same rows; wanted: 1.1 at the most

Rounds take turns, and medians are compared, so that a slow minute falls on all.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

NEW = 96
"""Most tokens of a completion."""


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU time of this process, all threads, and what came out."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def student(spec: str) -> tuple[Any, Any, Any]:
    """(policy, encoder, source of weights)."""
    import torch

    from backends.base import Training
    from backends.load import find_weights
    from backends.records.segments import Encoder
    from backends.trainers.head import add_objective_head, score
    from harness.models.hf_load import load_for_training

    source = find_weights(spec, Path("results"))
    model, tokenizer = load_for_training(source, torch.float32)
    add_objective_head(model)
    policy = Training(
        model=model.train(), tokenizer=tokenizer, device=model.device, batches=lambda: (), teacher=None,
        forward=lambda function, batch, other=None: score(other or model, batch, function),
        load=lambda spec: (None, None), examples=0,
    )  # fmt: skip
    return policy, Encoder(tokenizer, 1024), source


def decode(args: argparse.Namespace) -> dict[str, float]:
    """Tokens a CPU second."""
    import torch

    from backends.records.synth import synth_records
    from backends.rollouts.engine import Wanted
    from backends.rollouts.engine_hf import HfEngine
    from backends.rollouts.settings import RolloutSettings
    from harness.models.hf import HfModel, HfOptions
    from harness.types import Request

    policy, encoder, source = student(args.student)
    records = synth_records(0, args.prompts // 2, (1, 2))
    wanted = [
        (record, Wanted(encoder.prompt(record), 1000 * place + n))
        for place, record in enumerate(records)
        for n in range(args.group)
    ]

    def in_training() -> int:
        engine, found = HfEngine(RolloutSettings(max_new=NEW)), list[int]()
        engine.sync(policy, 0)
        engine.draw([one for _, one in wanted], lambda _, drawn: found.append(len(drawn.tokens_T)))
        return sum(found)

    alone_model = HfModel("hf:student", source, HfOptions(dtype="float32", device="cpu"))
    alone_model.load()
    requests = [
        Request(f"{n}", record.prompt, 1.0, 1.0, NEW, (), one.seed, attempt=n) for n, (record, one) in enumerate(wanted)
    ]

    def alone() -> int:
        async def ask() -> int:
            return sum(done.tokens_out or 0 for done in await asyncio.gather(*map(alone_model.answer, requests)))

        return asyncio.run(ask())

    ids = [torch.tensor(one.prompt.tokens) for _, one in wanted]
    width, pad = max(map(len, ids)), policy.tokenizer.pad_token_id or policy.tokenizer.eos_token_id
    batch = torch.stack([torch.nn.functional.pad(row, (width - len(row), 0), value=pad) for row in ids])
    mask = torch.stack([torch.nn.functional.pad(torch.ones_like(row), (width - len(row), 0)) for row in ids])

    def generate() -> int:
        out = policy.model.eval().generate(
            input_ids=batch, attention_mask=mask, max_new_tokens=NEW, do_sample=True, top_k=0, pad_token_id=pad
        )[:, width:]
        ends = (out == policy.tokenizer.eos_token_id).int().cumsum(1)
        return int((ends == 0).sum() + (ends[:, -1] > 0).sum())

    speeds: dict[str, list[float]] = {}
    for turn in range(args.rounds + 1):
        for work in (in_training, alone, generate):
            spent, tokens = seconds(work)
            if turn:  # the first warms up
                speeds.setdefault(work.__name__, []).append(tokens / spent)
    found = {name: statistics.median(values) for name, values in speeds.items()}
    found["in_training / alone"] = found["in_training"] / found["alone"]
    found["in_training / generate"] = found["in_training"] / found["generate"]
    return found


def step(args: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of a step and what they went to."""
    from backends.config import Runtime, TrainConfig
    from backends.rollouts.drawing import Drawing
    from backends.rollouts.rolls import Rolls
    from backends.train import train

    spent: dict[str, list[float]] = {"draw": [], "make": []}

    def timed(kind: type, name: str, into: str) -> None:
        whole = getattr(kind, name)

        def method(*words: Any, **more: Any) -> Any:
            took, found = seconds(lambda: whole(*words, **more))
            spent[into].append(took)
            return found

        setattr(kind, name, method)

    timed(Drawing, "draw", "draw")
    timed(Rolls, "make", "make")
    steps: list[float] = []
    config = TrainConfig(
        "grpo", args.student, f"synth:levels=1+2,per_level={args.prompts * args.steps}",
        settings={"max_steps": args.steps, "batch_size": args.prompts * args.group, "learning_rate": 1e-5},
        rollout={"group": args.group, "max_new": NEW}, precision="float32",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        train(config, Path(folder), Runtime(logging_steps=1), watch=lambda now: steps.append(time.process_time()))
    whole = statistics.median(late - early for early, late in pairwise(steps[1:]))
    draw = statistics.median(spent["draw"][2:])
    beside = statistics.median(make - drawn for make, drawn in zip(spent["make"][2:], spent["draw"][2:], strict=True))
    return {"step": whole, "draw share": draw / whole, "mark, credit and journal share": beside / whole}


def passes(args: argparse.Namespace) -> dict[str, float]:
    """CPU seconds of forward and backward over the same rows."""
    from backends.base import Objective, Step, load_method
    from backends.methods.sft import LikelihoodObjective
    from backends.records.collate import collate, padding
    from backends.records.segments import tokenise
    from backends.records.synth import synth_records
    from backends.rollouts.settings import RolloutSettings
    from backends.trainers.batch import as_batch
    from backends.trainers.head import score

    policy, encoder, _ = student(args.student)
    data = tokenise(encoder, synth_records(0, args.prompts * args.group // 2, (1, 2)))
    batches = [
        as_batch(collate(data.examples[start : start + 8], padding(policy.tokenizer)))
        for start in range(0, len(data.examples), 8)
    ]
    import dataclasses

    import torch

    method: Any = load_method("grpo")
    policy = dataclasses.replace(policy, rollout=RolloutSettings(max_new=NEW))
    numbered = [dataclasses.replace(b, numbers={"advantage": torch.ones(len(b.labels_RT))}) for b in batches]
    made: dict[str, Objective] = {
        "sft": LikelihoodObjective(None),
        "grpo": method.stages(method.options())[0].objective(),
    }
    times: dict[str, list[float]] = {name: [] for name in made}
    for objective in made.values():
        objective.setup(policy)
    for turn in range(args.rounds + 1):
        for name, objective in made.items():

            def run(objective: Objective = objective) -> None:
                policy.model.zero_grad()
                counts: dict[str, Any] = {}
                for batch in numbered:
                    for key, count in objective.counts(batch).items():
                        counts[key] = counts.get(key, 0) + count
                for batch in numbered:
                    prepared = objective.prepare(batch, Step(0, 1))
                    found = score(
                        policy.model, batch,
                        lambda logits, b=batch, p=prepared: objective.loss(b, logits, counts, Step(0, 1), p),
                    )  # fmt: skip
                    found.value.backward()

            spent, _ = seconds(run)
            if turn:
                times[name].append(spent)
    found = {name: statistics.median(values) for name, values in times.items()}
    return found | {"grpo / sft": found["grpo"] / found["sft"]}


def main() -> None:
    """One JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--steps", type=int, default=8)
    args = parser.parse_args()
    found = {work.__name__: work(args) for work in (decode, step, passes)}
    print(json.dumps({part: {name: round(value, 3) for name, value in told.items()} for part, told in found.items()}))


if __name__ == "__main__":
    main()
