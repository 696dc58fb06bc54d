"""Pieces of `bench_on_policy.py`: a trainer on its settings, the same rows for two losses, decoding, the journal."""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any


def trainer_of(method: str, parsed: argparse.Namespace, steps: int) -> Any:
    from backends.config import Runtime, TrainConfig
    from backends.plan import plan_training
    from backends.trainers.callbacks import Watch
    from backends.trainers.setup import make_trainer

    folder = Path(tempfile.mkdtemp())
    batch = parsed.prompts * parsed.group
    settings = {"batch_size": batch, "micro_batch": parsed.rows, "max_steps": steps, "learning_rate": 1e-5}
    config = TrainConfig(
        method=method,
        student=parsed.student,
        teacher=parsed.student if method == "opd" else None,
        data="synth:levels=1+2,per_level=200",
        settings={**settings, "lora_rank": None, "scheduler": "constant", "warmup": 0.0},
        rollout={} if method == "sft" else {"group": parsed.group, "max_new": parsed.max_new},
        precision="float32",
    )
    plan = plan_training(config, folder)
    (stage,) = plan.stages
    watch = Watch(stage.stage.name, folder / "metrics.jsonl", None, None, None, None)
    place = folder / "models" / plan.model_id / "checkpoints" / stage.stage.name
    trainer = make_trainer(plan, stage, Runtime(logging_steps=1), watch, place, None, folder)
    trainer.begin()
    return trainer


def same_rows(parsed: argparse.Namespace) -> tuple[Any, list[Any]]:
    """A trainer, and the micro-batches of its first generation."""
    trainer = trainer_of("grpo", parsed, 1)
    size = parsed.prompts * parsed.group // parsed.rows
    parts = trainer.feed.batch(trainer.step, [[]] * size, trainer._training)
    return trainer, [list(part) for part in parts]


def passes(parsed: argparse.Namespace) -> dict[str, float]:
    """Forward and backward pass over the same rows with either loss, by turns."""
    from backends.base import Step
    from backends.methods.sft import LikelihoodObjective
    from backends.records.collate import collate, padding
    from backends.trainers.batch import as_batch
    from backends.trainers.head import score

    trainer, parts = same_rows(parsed)
    model = trainer.model.train()
    batches = [as_batch(collate(part, padding(trainer.processing_class))) for part in parts]
    objectives = {"policy": trainer.objective, "sft": LikelihoodObjective()}
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    for _ in range(parsed.steps):
        for name, objective in objectives.items():
            counts: dict[str, Any] = {}
            for batch in batches:
                for key, count in objective.counts(batch).items():
                    counts[key] = counts.get(key, 0) + count
            began = time.process_time()
            for batch in batches:
                prepared = objective.prepare(batch, Step(0, 1))

                def loss(logits: Any, o: Any = objective, b: Any = batch, c: Any = counts, p: Any = prepared) -> Any:
                    return o.loss(b, logits, c, Step(0, 1), p).value

                score(model, batch, loss).backward()
            seconds[name].append(time.process_time() - began)
            model.zero_grad()
    trainer.feed.close()
    return {name: statistics.median(values[1:] or values) for name, values in seconds.items()}


def decode(parsed: argparse.Namespace) -> dict[str, float]:
    """Tokens a CPU second: the engine within a training, the same engine under `harness run`, and `generate`."""
    import asyncio

    import torch

    from backends.rollouts.engine import Drawn, Wanted
    from backends.rollouts.engine_hf import HfEngine
    from backends.rollouts.order import completion_seed
    from harness.models import load_model
    from harness.types import Request

    trainer = trainer_of("grpo", parsed, 1)
    rolls = trainer.feed._rolls
    source = rolls.source
    records = source.records[: parsed.prompts]
    prompts = [source.encoder.prompt(record) for record in records]
    seeds = [completion_seed(0, "train", record.id, 0, sample) for record in records for sample in range(parsed.group)]
    engine = HfEngine(source.settings)
    engine.sync(trainer._training, 0)
    wanted = [Wanted(prompts[number // parsed.group], seed) for number, seed in enumerate(seeds)]
    alone = load_model(parsed.student, {"dtype": "float32"}, "results")

    def in_training() -> int:
        lengths: list[int] = []

        def emit(number: int, drawn: Drawn) -> None:
            lengths.append(len(drawn.tokens_T))

        engine.draw(wanted, emit)
        return sum(lengths)

    async def ask() -> int:
        requests = [
            Request(
                id=str(number), messages=records[number // parsed.group].prompt, temperature=1.0, top_p=1.0,
                max_tokens=parsed.max_new, stop=(), seed=seed,
            )
            for number, seed in enumerate(seeds)
        ]  # fmt: skip
        done = await asyncio.gather(*(alone.answer(request) for request in requests))
        return sum(one.tokens_out or 0 for one in done)

    def generate() -> int:
        tokenizer = trainer.processing_class
        padded = tokenizer.pad(
            {"input_ids": [list(prompts[number // parsed.group].tokens) for number in range(len(seeds))]},
            padding_side="left", return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            out = trainer.model.eval().generate(**padded, do_sample=True, top_k=0, max_new_tokens=parsed.max_new)
        new = out[:, padded["input_ids"].shape[1] :]
        ended = (new == tokenizer.eos_token_id).int().cumsum(1)
        return int((ended - (new == tokenizer.eos_token_id).int() == 0).sum())

    with asyncio.Runner() as runner:
        ways = {"training": in_training, "alone": lambda: runner.run(ask()), "generate": generate}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(3):
            for name, way in ways.items():
                began = time.process_time()
                tokens = way()
                rates[name].append(tokens / (time.process_time() - began))
    trainer.feed.close()
    return {f"{name}_per_s": max(values) for name, values in rates.items()}


def journal(parsed: argparse.Namespace) -> dict[str, float]:
    """64 completions of 4,096 tokens: both parts written."""
    import numpy as np

    from backends.records.record import TrainRecord
    from backends.rollouts.journal import Journal
    from backends.rollouts.types import Rollout, RolloutGroup, RolloutMark, TeacherRow
    from harness.types import Message

    rng, words = np.random.default_rng(0), random.Random(0)
    text = [str(number) for number in range(2000)]

    def group(number: int) -> RolloutGroup:
        record = TrainRecord(f"r{number}", (Message("user", " ".join(words.choices(text, k=100))),))
        prompt_T = rng.integers(0, 150_000, 500).astype(np.int32)
        drawn = tuple(
            Rollout(
                record=record.id, visit=0, sample=sample, seed=sample, prompt_T=prompt_T,
                tokens_T=np.minimum(rng.zipf(1.2, 4096), 150_000).astype(np.int32),
                logps_T=rng.standard_normal(4096).astype(np.float32),
                text=" ".join(words.choices(text, k=4096)), finish="stop", version=0,
            )
            for sample in range(8)
        )  # fmt: skip
        return RolloutGroup(record, drawn)

    groups = [group(number) for number in range(8)]
    marked = [
        replace(
            one,
            marks=tuple(RolloutMark(0.5, {"accuracy": 1.0}, True) for _ in one.rollouts),
            teacher=tuple(TeacherRow(rollout.logps_T) for rollout in one.rollouts),
        )
        for one in groups
    ]
    old = {"old_logps": [rollout.logps_T for one in groups for rollout in one.rollouts]}
    with tempfile.TemporaryDirectory() as folder:
        written, seconds = Journal(Path(folder), "train", "s"), []
        for generation in range(5):
            began = time.process_time()
            written.write_drawn(generation, 0, "w", groups)
            written.write_marked(generation, "w", marked, old)
            seconds.append(time.process_time() - began)
        size = sum(path.stat().st_size for path in written.place.glob("000000.*"))
    return {"seconds": min(seconds), "mb": size / 1e6}
