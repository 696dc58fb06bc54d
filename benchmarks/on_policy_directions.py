"""Whether on-policy distillation goes where it should: towards a sharpened copy of `tiny`, in so many steps.

    .venv/bin/python benchmarks/on_policy_directions.py [--steps 20] [--methods opd,gkd] [--seeds 0]

The teacher is the student with its scores doubled (temperature .5), so that it is of the student's own form and the
exact KL can be reached. What is compared is the mean of the first three and of the last three steps, on what the
student wrote at each: the exact reverse KL for gkd with beta 1, its estimate from the drawn tokens for the others, and
for methods with a reward its mean in the first and in the last quarter of the steps. No prompt comes twice in 50 steps
of 64 completions in groups of 8, so that the reward is that of problems that were not trained on yet.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

SETTINGS = {"learning_rate": 1e-4, "batch_size": 64, "scheduler": "constant", "warmup": 0.0, "lora_rank": None}
METHODS = {
    "opd": {},
    "gkd": {"lam": "1.0", "beta": "1.0"},
    "minillm": {},
    "tsd_kd": {},
    "grpo": {},
    "kdrl": {"b": "0.05", "fall": "0.0"},
    "trrd": {},
    "opd_then_rl": {"steps": "10"},
}


def sharpened(folder: Path) -> Path:
    """`tiny` with its scores doubled, saved."""
    import torch
    import transformers

    from harness.models.tiny import tiny_student

    source = tiny_student()
    model = transformers.AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        model.model.norm.weight.mul_(2)
    model.save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(folder)
    return folder


def main() -> None:
    """One line a method and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--methods", default="opd,gkd")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the optimiser")
    parsed = parser.parse_args()
    own = {key: json.loads(value) for key, _, value in (told.partition("=") for told in parsed.set)}
    with tempfile.TemporaryDirectory() as folder:
        teacher = sharpened(Path(folder) / "teacher")
        for method in parsed.methods.split(","):
            for seed in map(int, parsed.seeds.split(",")):
                print(json.dumps(measure(method, seed, parsed.steps, teacher, Path(folder) / f"{method}{seed}", own)))


def measure(
    method: str, seed: int, steps: int, teacher: Path, results: Path, own: dict[str, object]
) -> dict[str, object]:
    """The KL at the first and at the last three steps of one training."""
    from backends.config import Runtime, TrainConfig
    from backends.train import train

    config = TrainConfig(
        method=method,
        student="tiny",
        teacher=f"hf:{teacher}",
        data="synth:levels=1+2,per_level=200",
        options=METHODS[method],
        settings={**SETTINGS, "max_steps": steps, **own},
        rollout={"max_new": 96},
        seed=seed,
    )
    card = train(config, results, Runtime(logging_steps=1))
    (path,) = results.glob("models/*/metrics.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    name = next(name for name in ("reward", "teacher_k1", "divergence") if name in rows[0])
    size = max(3, steps // 4) if name == "reward" else 3
    first, last = (sum(row[name] for row in part) / size for part in (rows[:size], rows[-size:]))
    return {
        "method": method, "seed": seed, "measure": name, "first": round(first, 4), "last": round(last, 4),
        "change": round(last / first - 1, 3), "seconds": card.seconds, "tokens": card.tokens,
    }  # fmt: skip


if __name__ == "__main__":
    main()
