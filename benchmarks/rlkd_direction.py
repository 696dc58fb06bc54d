"""Does RLKD teach the teacher's way, and not only the right answer? A direction check on a small world.

    .venv/bin/python benchmarks/rlkd_direction.py --work DIR [--seeds 3] [--steps 60] [--arms grpo,rlkd,shuffled]

Level-3 sums, (a o b) o (c o d), with two right orders. The student was taught such sums in random orders and takes
either side first; the teacher always takes the right side first. Every arm draws as many completions for the
same problems: `rlkd` is paid for accuracy and structure 3 : 3, `shuffled` the same with another record's teacher,
`grpo` for accuracy alone.

Registered before it was run (seeds 0 to 2, 95 % intervals over problems and seeds, sums that nobody trained on, at the
paper's temperature of 0.7):
  + structure match of `rlkd` less that of `grpo`: at least .05, interval above 0
  + structure match of `rlkd` less that of `shuffled`: at least .05, interval above 0
  0 accuracy of `rlkd` less that of `grpo`: not below -.05

Some minutes of a core (OMP_NUM_THREADS=1); the same command goes on where it was stopped. Structure match is Algorithm
1 over the teacher's steps, by the rule and exactly; "right first" is the share of completions that begin with the right
side, whatever becomes of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from small_world import Measures, less, mean, measured, plain_student, record, sides, world

from backends.config import Runtime, TrainConfig
from backends.records.record import TrainRecord, write_records
from backends.train import train
from harness.synth import SynthProblem

BOTH = "accuracy=3+structure=3"
ARMS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "grpo": ("grpo", {"weights": "accuracy=3+structure=0"}, {}),
    "rlkd": ("rlkd", {"weights": BOTH, "kl_coef": "0"}, {}),
    "shuffled": ("rlkd", {"weights": BOTH, "kl_coef": "0"}, {"structure.shuffle_teacher": "true"}),
}
"""Arm -> method, its options, options of its rewards."""
TEMPERATURE = 0.7
"""The paper's, for training and for measuring."""
RULES = {"structure.gsrm": "rule:equations", "structure.normalise": "n_teacher"}


def teacher_record(problem: SynthProblem) -> TrainRecord:
    """The problem with the right side worked out first."""
    found = sides(problem)
    assert found is not None
    return record(problem, found[1])


def arm(work: Path, name: str, base: str, seed: int, parsed: argparse.Namespace) -> str:
    """One training; the same command again finds it."""
    method, options, reward = ARMS[name]
    settings: dict[str, Any] = {
        "learning_rate": parsed.rate,
        "max_steps": parsed.steps,
        "batch_size": parsed.batch,
        "scheduler": "constant",
        "warmup": 0.0,
        "max_grad_norm": 1.0,
    }
    config = TrainConfig(
        method,
        base,
        str(work / "teacher.jsonl"),
        options=options,
        settings=settings,
        rollout={"group": 8, "temperature": TEMPERATURE, "max_new": 40},
        reward={**RULES, **reward},
        seed=seed,
        max_length=256,
    )
    return f"trained:{train(config, work / 'results', Runtime(logging_steps=5)).id}"


def measure(work: Path, spec: str, dev: Sequence[TrainRecord]) -> Measures:
    """Structure match as a share of the teacher's steps, accuracy, pass@4, and the side that comes first."""
    options = {"structure.gsrm": RULES["structure.gsrm"]}
    found, texts = measured(work, spec, dev, "accuracy=1+structure=1", options, temperature=TEMPERATURE)
    begins = [str(one.think).partition(" = ")[0] for one in dev]
    first = [
        [text.replace("<think>", "").strip().startswith(f"{begin} =") for text in row]
        for begin, row in zip(begins, texts, strict=True)
    ]
    right = found["accuracy"]
    return {
        "match": found["structure.match"],
        "accuracy": right,
        "pass@4": right.max(1, keepdims=True),
        "right first": np.array(first, float),
    }


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=1e-4)
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--dev", type=int, default=150)
    parser.add_argument("--batch", type=int, default=64, help="completions a step")
    parser.add_argument("--rows", type=int, default=24_000, help="chains that the student is taught first")
    parsed = parser.parse_args()
    parsed.work.mkdir(parents=True, exist_ok=True)
    write_records(parsed.work / "teacher.jsonl", [teacher_record(one) for one in world("train", 300, 5)])
    dev = [replace(teacher_record(one), response=None) for one in world("dev", parsed.dev)]
    base = plain_student(parsed.work, parsed.rows)
    before = measure(parsed.work, base, dev)
    print("before", {name: mean([values]) for name, values in before.items()}, flush=True)
    after: dict[str, list[Measures]] = {name: [] for name in parsed.arms.split(",")}
    for seed in range(parsed.seeds):
        for name, runs in after.items():
            runs.append(measure(parsed.work, arm(parsed.work, name, base, seed, parsed), dev))
            print(seed, name, {key: mean([values]) for key, values in runs[-1].items()}, flush=True)

    def compare(name: str, other: str, runs: Sequence[Measures], others: Sequence[Measures]) -> None:
        print(name, "less", other, {key: less([r[key] for r in runs], [o[key] for o in others]) for key in before})

    for name, runs in after.items():
        print(name, {key: mean([run[key] for run in runs]) for key in before})
        compare(name, "before", runs, [before])
    for other in ("grpo", "shuffled"):
        if "rlkd" in after and other in after:
            compare("rlkd", other, after["rlkd"], after[other])


if __name__ == "__main__":
    main()
