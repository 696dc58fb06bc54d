"""Steps of GRPO and OPD whose completions an engine draws: that it has the student's weights, and where time goes."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from backends.config import Runtime, TrainConfig
from backends.train import train
from benchmarks.gpu.running import Numbers, Place

STEPS = 4
"""The first starts the engine; the last is measured, after the weights have moved three times."""


def measure_rollouts(place: Place, engine: str) -> Numbers:
    """Seconds of the last step and its shares, the gap of the sampler, and most memory, of each method.

    A stale layer, or a sampler with other weights, ends the training and this with it.
    """
    found: dict[str, float] = {}
    for method in ("grpo", "opd"):
        with tempfile.TemporaryDirectory(dir=place.folder) as folder:
            found |= {f"{method} {name}": value for name, value in _steps(place, engine, method, Path(folder)).items()}
    return found


def _steps(place: Place, engine: str, method: str, results: Path) -> dict[str, float]:
    group, prompts, new = (4, 2, 16) if place.tiny else (8, 16, 256)
    own = {"options": {"weights": "letters=1"}} if method == "grpo" else {"teacher": f"hf:{place.model(1)}"}
    told = TrainConfig(
        method=method,
        student=f"hf:{place.model()}",
        data="synth:levels=1,per_level=40",
        settings={
            "batch_size": group * prompts, "max_steps": STEPS, "learning_rate": 1e-5, "lora_rank": None,
            "scheduler": "constant",
        },
        rollout={"group": group, "max_new": new, "engine": engine},
        max_length=1024,
        precision="bf16",
        **own,  # type: ignore[arg-type]
    )  # fmt: skip
    seconds: list[float] = []
    card = train(told, results, Runtime(logging_steps=1), watch=lambda status: seconds.append(status.seconds))
    rows = [json.loads(line) for line in (results / "models" / card.id / "metrics.jsonl").read_text().splitlines()]
    step, last = seconds[-1] - seconds[-2], rows[-1]
    shares = {name: last[f"seconds/{name}"] / step for name in ("sync", "draw", "mark")}
    return {
        "s/step": step,
        **{f"share {name}": value for name, value in shares.items()},
        "share rest": 1 - sum(shares.values()),
        "sampler gap": max(row["sampler_gap"] for row in rows),
        "MiB": max(row["memory_mb"] for row in rows),
    }


if __name__ == "__main__":
    print(json.dumps(measure_rollouts(Place(Path(sys.argv[1]), sys.argv[2], sys.argv[3:] == ["tiny"], ""), "vllm")))
