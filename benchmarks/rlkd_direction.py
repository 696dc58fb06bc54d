"""Does RLKD teach the teacher's way, and not only the right answer? A direction check on the embedded world.

    .venv/bin/python benchmarks/rlkd_direction.py --work DIR [--seeds 3] [--steps 60] [--arms grpo,rlkd,shuffled]

Level-3 problems whose steps can be taken in two orders. A student (tiny, fine-tuned on such problems in random orders)
knows both; the teacher always takes the one that the question does not suggest. Every arm draws the same number of
completions for the same problems; `rlkd` gets accuracy and structure 3 : 3, `shuffled` the same with another record's
teacher, `grpo` accuracy alone. Expected: structure match of `rlkd` above both, accuracy within a few points.

About half an hour of one core (OMP_NUM_THREADS=1); the same command goes on where it was stopped. Measured on problems
that nobody trained on, 4 completions each at the paper's temperature of 0.7, before and after: structure match
(Algorithm 1 over the teacher's steps), its share among right answers, accuracy, pass@4. Differences are paired by
problem and seed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from backends.config import Runtime, TrainConfig
from backends.records.record import TrainRecord, write_records
from backends.rewards.scorers import open_scorers
from backends.rewards.total import Totals
from backends.rollouts.types import Rollout, RolloutGroup
from backends.train import train
from harness.models import load_model
from harness.models.base import bounded
from harness.synth import INSTRUCTION, SynthProblem, build, generate, render
from harness.synth.chains import orders, random_order
from harness.synth.rng import Rng
from harness.types import Completion, Message, Request

ARMS = {
    "grpo": ("grpo", {"weights": "accuracy=3+structure=0"}, {}),
    "rlkd": ("rlkd", {"weights": "accuracy=3+structure=3"}, {}),
    "shuffled": ("rlkd", {"weights": "accuracy=3+structure=3"}, {"structure.shuffle_teacher": "true"}),
}
"""Arm -> method, its options, options of its rewards."""
SAMPLES = 4
LARGEST = 99
"""Result of a step."""
TEMPERATURE = 0.7
"""The paper's, for training and here for measuring, too: at 1 tiny mistakes digits more often than orders."""


def other_way(problem: SynthProblem) -> tuple[str, ...] | None:
    """The order that the question does not suggest; None where there is one order alone."""
    found = orders(problem, 4)
    return found[1] if len(found) == 2 else None


def problems(split: Any, count: int, seed: int = 0) -> list[SynthProblem]:
    """So many level-3 sums with two orders and small numbers: what tiny can learn to work out."""
    drawn = [problem for problem in generate(seed, 3, 12 * count, split) if problem.family == "arithmetic"]
    small = [problem for problem in drawn if all(0 <= sub.answer <= LARGEST for sub in problem.subproblems)]
    return [problem for problem in small if other_way(problem) is not None][:count]


def record(problem: SynthProblem, order: tuple[str, ...] | None) -> TrainRecord:
    """The problem with the chain in that order."""
    chain = build(problem, "plain", order)
    return TrainRecord(
        id=problem.id,
        prompt=(Message("user", f"{problem.question}\n\n{INSTRUCTION}"),),
        task="math",
        think=render(chain, "steps"),
        gold=str(problem.answer),
        response=render(chain, "think", boxed=False),
        meta={"grader": "integer", "dataset": "synth"},
    )


def student(work: Path, count: int, epochs: float) -> str:
    """Tiny, fine-tuned on chains in random orders; trained once."""
    rows = [
        record(problem, random_order(problem, Rng("direction", problem.id)))
        for problem in [
            *problems("train", count, 3),
            *(p for p in generate(3, 2, count, "train") if p.family == "arithmetic"),
        ]
    ]
    data = work / "sft.jsonl"
    write_records(data, rows)
    settings: dict[str, Any] = {"learning_rate": 6e-4, "epochs": epochs, "batch_size": 32}
    config = TrainConfig("sft", "tiny", str(data), settings=settings, max_length=512)
    return f"trained:{train(config, work / 'results', Runtime()).id}"


def arm(work: Path, name: str, base: str, seed: int, parsed: argparse.Namespace) -> str:
    """One training run; the same command again finds it."""
    method, options, reward = ARMS[name]
    if method == "rlkd":
        options = {**options, "kl_coef": "0"}
    settings: dict[str, Any] = {
        "learning_rate": parsed.rate,
        "max_steps": parsed.steps,
        "batch_size": parsed.batch,
        "scheduler": "constant",
        "warmup": 0.0,
        "max_grad_norm": 1.0,
    }
    rules = {"structure.gsrm": "rule:equations", "structure.normalise": "n_teacher"}
    config = TrainConfig(
        method,
        base,
        str(work / "teacher.jsonl"),
        options=options,
        settings=settings,
        rollout={"group": 8, "temperature": TEMPERATURE, "max_new": 72},
        reward={**rules, **reward},
        seed=seed,
        max_length=512,
    )
    return f"trained:{train(config, work / 'results', Runtime(logging_steps=5)).id}"


def measure(work: Path, spec: str, dev: Sequence[TrainRecord]) -> dict[str, list[list[float]]]:
    """Structure match and accuracy of each problem's completions."""
    path = work / f"{spec.replace(':', '-').replace('/', '_')}.json"
    if path.exists():
        found: dict[str, list[list[float]]] = json.loads(path.read_text())
        return found
    drawn = asyncio.run(answers(spec, work, dev))
    totals = Totals("accuracy=1+structure=1", {"structure.gsrm": "rule:equations"})
    result: dict[str, list[list[float]]] = {"match": [], "accuracy": []}
    with open_scorers(None, work / "results") as scorers:
        for one, completions in zip(dev, drawn, strict=True):
            marks = totals.mark(RolloutGroup(one, tuple(rollout(one, c) for c in completions)), scorers)
            result["match"].append([float(mark.parts["structure.match"] or 0.0) for mark in marks])
            result["accuracy"].append([float(mark.parts["accuracy"] or 0.0) for mark in marks])
    path.write_text(json.dumps(result))
    return result


async def answers(spec: str, work: Path, dev: Sequence[TrainRecord]) -> list[list[Completion]]:
    """Four completions of each prompt."""
    model = load_model(spec, {}, work / "results")
    found: dict[tuple[int, int], Completion] = {}

    async def one(place: tuple[int, int]) -> None:
        number, sample = place
        seed = 1_000_003 * number + sample
        request = Request(f"{number}/{sample}", dev[number].prompt, TEMPERATURE, 1.0, 72, (), seed)
        found[place] = await model.answer(request)

    try:
        await bounded([(number, sample) for number in range(len(dev)) for sample in range(SAMPLES)], one)
    finally:
        await model.close()
    return [[found[number, sample] for sample in range(SAMPLES)] for number in range(len(dev))]


def rollout(of: TrainRecord, completion: Completion) -> Rollout:
    """A completion as rewards see it."""
    nothing = np.zeros(0, np.int32)
    return Rollout(
        of.id, 0, 0, 0, nothing, nothing, np.zeros(0, np.float32), completion.text, completion.finish, 0,
        completion.opened_think,
    )  # fmt: skip


def numbers(found: dict[str, list[list[float]]]) -> dict[str, np.ndarray]:
    """By problem."""
    match, right = np.array(found["match"]), np.array(found["accuracy"])
    return {"match": match.mean(1), "accuracy": right.mean(1), "pass@4": right.max(1), "both": (match * right).mean(1)}


def interval(values: np.ndarray) -> str:
    """Mean and half of a 95 % interval over problems and seeds."""
    flat = values.ravel()
    return f"{flat.mean():+.3f} +- {1.96 * flat.std(ddof=1) / np.sqrt(len(flat)):.3f}"


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--dev", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64, help="completions a step")
    parser.add_argument("--sft", type=int, default=1000, help="problems that the student is fine-tuned on first")
    parser.add_argument("--epochs", type=float, default=8)
    parsed = parser.parse_args()
    parsed.work.mkdir(parents=True, exist_ok=True)
    write_records(parsed.work / "teacher.jsonl", [record(one, other_way(one)) for one in problems("train", 200, 5)])
    dev = [replace(record(one, other_way(one)), response=None) for one in problems("dev", parsed.dev)]
    base = student(parsed.work, parsed.sft, parsed.epochs)
    before = numbers(measure(parsed.work, base, dev))
    print("before", {name: interval(values) for name, values in before.items()}, flush=True)
    after: dict[str, dict[str, np.ndarray]] = {}
    for seed in range(parsed.seeds):
        for name in parsed.arms.split(","):
            found = numbers(measure(parsed.work, arm(parsed.work, name, base, seed, parsed), dev))
            for key, values in found.items():
                stacked = after.setdefault(name, {})
                stacked[key] = np.concatenate([stacked.get(key, np.zeros((0, len(dev)))), values[None]])
            print(seed, name, {key: interval(values) for key, values in found.items()}, flush=True)
    for name, found in after.items():
        print(name, "less before", {key: interval(values - before[key][None]) for key, values in found.items()})
    for other in ("grpo", "shuffled"):
        if "rlkd" in after and other in after:
            print("rlkd less", other, {key: interval(after["rlkd"][key] - after[other][key]) for key in before})


if __name__ == "__main__":
    main()
