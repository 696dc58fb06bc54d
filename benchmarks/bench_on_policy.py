"""Cost of training on what the student writes: every bar as a ratio, of one run on one machine.

    .venv/bin/python benchmarks/bench_on_policy.py [--student tiny] [--steps 8] [--rounds 2] [--only journal,decode]

Seconds are CPU seconds of one thread (of all threads with --threads), so that other work on the machine counts little;
each measurement is a process of its own and rounds take turns. A step's time goes from the end of one step to the end
of the next, drawing included, and is the median over the steps after the second. "The same rows" are, for a pass,
the completions of the first generation, and for the peak of memory those that GRPO was trained on, step by step, in a
process that has drawn nothing: what drawing leaves to the process is held before in any other.

| bar | wanted |
|---|---|
| decode in training against the same engine alone, tokens per second | at least .95 |
| decode against `model.generate` | at least 2 |
| step against TRL's GRPOTrainer | at most .8 |
| policy pass against SFT pass on the same rows | at most 1.1 |
| OPD against GRPO, per token read, teacher of the same size | at most 1.4 |
| marking, credit and cutting; with journal and collating: share of a step | at most 1 %; 3 % |
| drawing: share of a step | at most 40 % |
| peak memory above what is held before, against SFT of the same rows | at most 1.15 |
| journal of 64 x 4,096 tokens with four arrays: MB, seconds | at most 5; .1 |
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench_training import peak_mib, resident_mib
from on_policy_pieces import decode, journal, passes, trainer_of

BARS = ("journal", "decode", "grpo", "trl", "opd", "sft", "passes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--student", default="tiny")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--rows", type=int, default=16, help="completions of a forward pass")
    parser.add_argument("--max-new", type=int, default=96)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default=",".join(BARS))
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--kept", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one:
        import torch

        torch.set_num_threads(parsed.threads)
        print(json.dumps(MEASURES[parsed.one](parsed)))
        return
    found: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(parsed.rounds):
            for name in parsed.only.split(","):
                found.setdefault(name, []).append(in_its_own_process(name, Path(folder) / "rows"))
    for line in report({name: best(runs) for name, runs in found.items()}):
        print(line)


def in_its_own_process(name: str, kept: Path) -> dict[str, float]:
    command = [sys.executable, __file__, *sys.argv[1:], "--one", name, "--kept", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"  {name}: {found}", file=sys.stderr)
    return found


def best(runs: list[dict[str, float]]) -> dict[str, float]:
    """Of several rounds the quickest; rates the highest."""
    return {key: (max if key.endswith("_per_s") else min)(run[key] for run in runs) for key in runs[0]}


def report(found: dict[str, dict[str, float]]) -> Iterator[str]:
    def line(name: str, value: str, wanted: str) -> str:
        return f"{name:<64}{value:>24}  {wanted}"

    grpo = found.get("grpo")
    if "decode" in found:
        decode = found["decode"]
        alone, generate = decode["alone_per_s"], decode["generate_per_s"]
        yield line("decode in training / the engine alone", f"{decode['training_per_s'] / alone:.2f}", ">= .95")
        yield line("decode / model.generate", f"{decode['training_per_s'] / generate:.2f}", ">= 2")
    if grpo and "trl" in found:
        yield line("step / TRL's GRPOTrainer", f"{grpo['step'] / found['trl']['step']:.2f}", "<= .8")
    if "passes" in found:
        yield line("policy pass / SFT pass", f"{found['passes']['policy'] / found['passes']['sft']:.2f}", "<= 1.1")
    if grpo and "opd" in found:
        yield line("OPD / GRPO, per token read", f"{found['opd']['per_read'] / grpo['per_read']:.2f}", "<= 1.4")
    if grpo:
        with_all = grpo["scoring"] + grpo["journal"] + grpo["collate"]
        yield line("marking + credit, share of a step", f"{grpo['scoring'] / grpo['step']:.1%}", "<= 1 %")
        yield line("... with journal and collating", f"{with_all / grpo['step']:.1%}", "<= 3 %")
        yield line("drawing, share of a step", f"{grpo['draw'] / grpo['step']:.0%}", "<= 40 %")
        yield line("s a step, tokens read", f"{grpo['step']:.2f}, {grpo['read']:,.0f}", "")
    if grpo and "sft" in found:
        yield line("peak memory / SFT of the same rows", f"{grpo['mib'] / found['sft']['mib']:.2f}", "<= 1.15")
    if "journal" in found:
        told = f"{found['journal']['mb']:.2f} MB, {found['journal']['seconds']:.3f} s"
        yield line("journal, 64 x 4,096 tokens, four arrays, texts", told, "<= 5 MB, <= .1 s")


# --- what is measured -------------------------------------------------------------------------------------------------


def clocked(trainer: Any) -> dict[str, float]:
    """Median CPU seconds of a step, from the end of one to the end of the next, and the peak of memory."""
    from transformers import TrainerCallback

    ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.process_time())

    trainer.add_callback(Clock())
    held = resident_mib()
    trainer.train()
    steps = [later - before for before, later in pairwise(ends)]
    return {"step": statistics.median(steps[1:]), "mib": peak_mib() - held}


@contextmanager
def timed(owner: Any, name: str, spent: dict[str, float], key: str) -> Iterator[None]:
    """CPU seconds of all calls of a method."""
    original: Callable[..., Any] = getattr(owner, name)

    def call(*args: Any, **more: Any) -> Any:
        began = time.process_time()
        try:
            return original(*args, **more)
        finally:
            spent[key] = spent.get(key, 0.0) + time.process_time() - began

    setattr(owner, name, call)
    try:
        yield
    finally:
        setattr(owner, name, original)


def rolled(method: str, parsed: argparse.Namespace) -> dict[str, float]:
    """Our trainer, and where its time goes."""
    import backends.trainers.trainer as module
    from backends.rollouts.engine_hf import HfEngine
    from backends.rollouts.journal import Journal
    from backends.rollouts.rolls import Rolls

    spent = dict.fromkeys(("make", "draw", "journal", "collate"), 0.0)
    trainer = trainer_of(method, parsed, parsed.steps)
    of_feed, rows = trainer.feed.batch, []

    def noted(*words: Any) -> Any:
        rows.append([list(part) for part in of_feed(*words)])
        return rows[-1]

    trainer.feed.batch = noted
    with (
        timed(Rolls, "make", spent, "make"),
        timed(HfEngine, "draw", spent, "draw"),
        timed(Journal, "write_drawn", spent, "journal"),
        timed(Journal, "write_marked", spent, "journal"),
        timed(module, "collate", spent, "collate"),
    ):
        found = clocked(trainer)
    trainer.feed.close()
    if method == "grpo":
        parsed.kept.write_bytes(pickle.dumps(rows))
    each = {name: seconds / parsed.steps for name, seconds in spent.items()}
    read = trainer.account.total.read / parsed.steps
    each["scoring"] = each["make"] - each["draw"] - each["journal"]
    return {**found, **each, "read": read, "per_read": found["step"] / read}


def stock(parsed: argparse.Namespace) -> dict[str, float]:
    """TRL's GRPOTrainer on the same prompts, batch and completions, with a reward that costs nothing."""
    import torch
    import transformers
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from backends.load import find_weights
    from backends.records.synth import synth_records
    from harness.models.hf_load import load_for_training

    transformers.utils.logging.set_verbosity_error()
    folder = tempfile.mkdtemp()
    model, tokenizer = load_for_training(find_weights(parsed.student, Path(folder)), torch.float32)
    records = synth_records(0, 200, (1, 2))
    prompts = [
        {"prompt": [{"role": turn.role, "content": turn.content} for turn in record.prompt]} for record in records
    ]
    batch = parsed.prompts * parsed.group
    args = GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=parsed.rows,
        gradient_accumulation_steps=batch // parsed.rows,
        num_generations=parsed.group,
        max_completion_length=parsed.max_new,
        max_steps=parsed.steps,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        beta=0.0,
        temperature=1.0,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=0,
    )

    def digits(completions: list[Any], **_: Any) -> list[float]:
        return [float(sum(char.isdigit() for char in one[-1]["content"])) for one in completions]

    trainer = GRPOTrainer(
        model, digits, args=args, train_dataset=Dataset.from_list(prompts), processing_class=tokenizer
    )
    return clocked(trainer)


def supervised(parsed: argparse.Namespace) -> dict[str, float]:
    """SFT on the completions that GRPO was trained on, in the same micro-batches."""
    from backends.methods.sft import LikelihoodObjective
    from backends.trainers.feed import Fixed

    steps = pickle.loads(parsed.kept.read_bytes())  # of `grpo`, which goes before
    trainer = trainer_of("sft", parsed, parsed.steps)

    class Again(Fixed):
        def batch(self, step: Any, indices: Any, policy: Any) -> Any:
            return steps[step.number]

    trainer.feed, trainer.objective = Again([one for part in steps[0] for one in part]), LikelihoodObjective()
    return clocked(trainer)


MEASURES: dict[str, Callable[[argparse.Namespace], dict[str, float]]] = {
    "journal": journal,
    "decode": decode,
    "grpo": lambda parsed: rolled("grpo", parsed),
    "opd": lambda parsed: rolled("opd", parsed),
    "trl": stock,
    "sft": supervised,
    "passes": passes,
}

if __name__ == "__main__":
    main()
