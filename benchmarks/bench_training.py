"""Cost of the methods against TRL's SFTTrainer: same model, same sequences, same batches, in one run.

    .venv/bin/python benchmarks/bench_training.py [--student hf:PATH|tiny|smollm2] [--steps 24] [--rounds 3]

Each measurement is a process of its own, so that its peak memory is its own; rounds take turns, so that a slow minute
of the machine falls on all. A step's time is the median over the steps after the third. Methods on pairs are compared
with SFT on the same number of sequences. The wanted ratios: step time 1.15 for thinkanswer and krsl, 1.5 for emo; peak
memory 1.2, counted above what the process holds before the first step. Run it alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METHODS = ("sft", "thinkanswer", "emo", "krsl")
PAIRS = {"krsl"}
TAUGHT = {"kd"}


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What is measured, from the command line or from words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16, help="sequences per step")
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16"])
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--teacher", help="for methods that distil its distributions (kd)")
    parser.add_argument("--per-level", type=int, default=200, help="problems of each of three levels")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main() -> None:
    parsed = arguments()
    if parsed.one:
        print(json.dumps(measure(parsed.one, parsed)))
        return
    found: dict[str, list[dict[str, float]]] = {}
    wanted = parsed.methods.split(",")
    names = [name for method in wanted for name in (method, "trl pairs" if method in PAIRS else "trl")]
    for _ in range(parsed.rounds):
        for name in dict.fromkeys(names):
            found.setdefault(name, []).append(in_its_own_process(name))
    print(f"{'method':<14}{'s/step':>10}{'ratio':>8}{'MiB':>10}{'ratio':>8}{'loss':>10}")
    for name, runs in found.items():
        base = found["trl pairs" if name in PAIRS or name == "trl pairs" else "trl"]
        seconds, memory = (min(run[key] for run in runs) for key in ("seconds", "mib"))
        ratio = seconds / min(run["seconds"] for run in base)
        more = memory / min(run["mib"] for run in base)
        print(f"{name:<14}{seconds:>10.4f}{ratio:>8.3f}{memory:>10.1f}{more:>8.3f}{runs[0]['loss']:>10.4f}")


def in_its_own_process(name: str) -> dict[str, float]:
    done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--one", name], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {name}: {found}", file=sys.stderr)
    return found


def measure(name: str, parsed: argparse.Namespace) -> dict[str, float]:
    from transformers import TrainerCallback

    steps: list[float] = []
    held: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not held:
                held.append(resident_mib())
            self.since = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            steps.append(time.perf_counter() - self.since)

    trainer = (stock if name.startswith("trl") else ours)(name, parsed)
    trainer.add_callback(Clock())
    trainer.train()
    loss = next(row["loss"] for row in reversed(trainer.state.log_history) if "loss" in row)
    return {"seconds": statistics.median(steps[3:]), "mib": peak_mib() - held[0], "loss": loss}


def peak_mib() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def resident_mib() -> float:
    """Now; the peak counts from here."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated() / 2**20
    Path("/proc/self/clear_refs").write_text("5")  # the peak is what is held now
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def plan_of(method: str, parsed: argparse.Namespace, results: Path) -> Any:
    from backends.config import TrainConfig
    from backends.plan import plan_training

    batch = parsed.batch // 2 if method in PAIRS else parsed.batch
    settings = {"batch_size": batch, "micro_batch": batch, "max_steps": parsed.steps, "learning_rate": 1e-4}
    options = {"sft_stage": "false"} if method in PAIRS else {}
    config = TrainConfig(
        method=method,
        student=parsed.student,
        teacher=parsed.teacher if method in TAUGHT else None,
        data=f"synth:levels=1+2+3,per_level={parsed.per_level}",
        settings={**settings, "lora_rank": None, "scheduler": "constant", "warmup": 0.0},
        options=options,
        precision=parsed.precision,
        gradient_checkpointing=parsed.checkpointing,
    )
    return plan_training(config, results)


def ours(method: str, parsed: argparse.Namespace) -> Any:
    from backends.config import Runtime
    from backends.trainers.callbacks import Watch
    from backends.trainers.setup import make_trainer

    folder = Path(tempfile.mkdtemp())
    plan = plan_of(method, parsed, folder)
    (stage,) = plan.stages
    watch = Watch(stage.stage.name, folder / "metrics.jsonl", None, None, None, None)
    trainer = make_trainer(plan, stage, Runtime(logging_steps=1), watch, folder / "checkpoints", None, folder)
    trainer.begin()
    return trainer


def stock(name: str, parsed: argparse.Namespace) -> Any:
    """TRL's SFTTrainer on the very sequences: pairs as rows, chosen and rejected side by side."""
    import torch
    import transformers
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from backends.load import find_weights
    from harness.models.hf_load import load_for_training

    transformers.utils.logging.set_verbosity_error()
    folder = Path(tempfile.mkdtemp())
    plan = plan_of("krsl" if name == "trl pairs" else "sft", parsed, folder)
    (stage,) = plan.stages
    rows = [sequence for example in stage.data.examples for sequence in example.sequences]
    model, tokenizer = load_for_training(find_weights(parsed.student, folder), torch.float32)
    args = SFTConfig(
        output_dir=str(folder),
        per_device_train_batch_size=parsed.batch,
        max_steps=parsed.steps,
        learning_rate=1e-4,
        lr_scheduler_type="constant",
        bf16=parsed.precision == "bf16",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=parsed.checkpointing,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataset_kwargs={"skip_prepare_dataset": True},
        max_length=None,
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=0,
    )
    columns = {"input_ids": [row.ids_T.tolist() for row in rows], "labels": [row.labels_T.tolist() for row in rows]}
    return SFTTrainer(model, args, train_dataset=Dataset.from_dict(columns), processing_class=tokenizer)


if __name__ == "__main__":
    main()
