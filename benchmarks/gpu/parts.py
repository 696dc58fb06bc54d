"""The parts of `make gpu`: what each does, and its numbers."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.bench_training import PAIRS, arguments, measure
from benchmarks.gpu.running import Numbers, Part, Place, Skipped

ROOT = Path(__file__).resolve().parents[2]
METHODS = ("sft", "thinkanswer", "krsl", "emo", "kd")


def models(place: Place) -> Numbers:
    """A student and a teacher of about half a billion parameters each, shaped as Qwen2.5-0.5B."""
    import torch
    import transformers

    from harness.models.tiny_tokenizer import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    sizes = {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "vocab_size": 151_936}
    heads = {"num_attention_heads": 14, "num_key_value_heads": 2}
    if place.tiny:
        sizes = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "vocab_size": 1_536}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 2}  # of 32: vLLM takes no smaller ones on a CPU
    ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = transformers.Qwen2Config(
        **sizes, **heads, **ends, max_position_embeddings=4096, tie_word_embeddings=True, dtype="bfloat16"
    )
    for number in range(2):
        torch.manual_seed(number)
        with torch.device(place.device):
            model = transformers.Qwen2ForCausalLM(config).to(torch.bfloat16)
        model.save_pretrained(place.model(number))
        tokenizer.save_pretrained(place.model(number))
    device = torch.cuda.get_device_name() if place.device == "cuda" else "cpu"
    return {
        "device": device,
        "torch": torch.__version__,
        "parameters": float(sum(p.numel() for p in model.parameters())),
    }


def pytest_gpu(place: Place) -> Numbers:
    """The tests that need a GPU; without one they say so."""
    done = _run(sys.executable, "-m", "pytest", "-m", "gpu", "tests/gpu", "-p", "no:cacheprovider")
    counts = {word: int(count) for count, word in re.findall(r"(\d+) (passed|skipped|failed)", done)}
    return {"passed": counts.get("passed", 0), "skipped": counts.get("skipped", 0)}


def hf(place: Place) -> Numbers:
    from benchmarks.gpu.engines import measure_hf

    return measure_hf(place)


def vllm(place: Place) -> Numbers:
    """In the environment that has vLLM, which need not be this one."""
    return _beside_vllm(place, "benchmarks.gpu.engines")


def rollouts(place: Place) -> Numbers:
    """Drawn in the training process."""
    from benchmarks.gpu.rollouts import measure_rollouts

    return measure_rollouts(place, "hf")


def rollouts_vllm(place: Place) -> Numbers:
    """Drawn by vLLM on the device of the training, in the environment that has it."""
    return _beside_vllm(place, "benchmarks.gpu.rollouts")


def _beside_vllm(place: Place, module: str) -> Numbers:
    asked = subprocess.run([place.vllm_python, "-c", "import vllm"], capture_output=True, text=True, check=False)
    if asked.returncode:
        raise Skipped(f"no vLLM in the environment of {Path(place.vllm_python).name}; name another with --vllm-python")
    words = [str(place.folder), place.device, *(["tiny"] if place.tiny else [])]
    numbers: Numbers = json.loads(_run(place.vllm_python, "-m", module, *words).splitlines()[-1])
    return numbers


def step(name: str, place: Place) -> Numbers:
    """The median step and the peak memory of one method, or of TRL's SFTTrainer on the same sequences."""
    words = ["--student", f"hf:{place.model()}", "--teacher", f"hf:{place.model(1)}", "--precision", "bf16"]
    words += ["--batch", "4", "--steps", "5", "--per-level", "4"] if place.tiny else ["--batch", "64", "--steps", "14"]
    found = measure(name, arguments(words))
    return {"s/step": found["seconds"], "MiB above the model": found["mib"], "loss": found["loss"]}


def demo(place: Place) -> Numbers:
    """`harness bench --preset demo` with one seed."""
    words = ["--preset", "demo", "--seeds", "1", "--results-dir", str(place.folder / "results"), "--json", "--quiet"]
    if place.tiny:
        words += ["--student", f"hf:{place.model()}", "--budget", "1ktok", "--limit", "4"]
        words += ["--max-tokens", "8"]
    shown = json.loads(_run(sys.executable, "-m", "harness", "bench", *words))
    return {row["model"]: float(row["measures"]["accuracy"]["value"]) for row in shown["rows"]}


def _run(*words: str) -> str:
    """What a command printed. Raises `CalledProcessError`; what it said on stderr is in the part's log."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment, check=False)
    if done.returncode:
        print(done.stdout[-2000:])
        raise subprocess.CalledProcessError(done.returncode, words)
    return done.stdout


def _steps() -> list[Part]:
    parts: dict[str, Part] = {}
    for method in METHODS:
        base = "trl pairs" if method in PAIRS else "trl"
        for name, against in ((base, None), (method, f"step {base}")):
            parts.setdefault(name, Part(f"step {name}", 60, functools.partial(step, name), against))
    return list(parts.values())


PARTS = (
    Part("models", 90, models),
    Part("tests", 90, pytest_gpu),
    Part("hf", 120, hf),
    Part("vllm", 200, vllm),
    *_steps(),
    Part("rollouts", 120, rollouts),
    Part("rollouts vllm", 240, rollouts_vllm, "rollouts"),
    Part("demo", 240, demo),
)
