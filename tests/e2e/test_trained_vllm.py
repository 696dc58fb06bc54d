"""Models of the registry in the real vLLM on a CPU: whole checkpoints and LoRA adapters. Runs in `.venv-full`."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.models.vllm import find_version
from harness.registry import MODEL, ModelCard, models_dir, write_card

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),  # the library's own, by the dozen
]

if find_version() is None:
    pytest.skip("needs the environment .venv-full", allow_module_level=True)

CARD = ModelCard(
    id="whole", method="sft", base="smollm2", teacher=None, config={}, config_hash="", data=None, data_hash=None,
    seed=0, records=None, tokens=1000, steps=None, seconds=None, device=None, commit=None, kind="full",
    created="2026-01-01T00:00:00Z", stopped="finished", final={}, versions={}, fingerprint=None,
)  # fmt: skip


def write_lora(folder: Path, rank: int = 20, scale: float = 1.0) -> None:
    """A random LoRA adapter over the embedded model's query projections, in peft's format, without peft."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    layers, width = 30, 576
    tensors: dict[str, Any] = {}
    for layer in range(layers):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        tensors[f"{name}.lora_A.weight"] = torch.randn(rank, width) * 0.05
        tensors[f"{name}.lora_B.weight"] = torch.randn(width, rank) * 0.05
    folder.mkdir(parents=True)
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": int(rank * scale), "target_modules": ["q_proj"]}
    config |= {"task_type": "CAUSAL_LM", "bias": "none", "base_model_name_or_path": "smollm2"}
    (folder / "adapter_config.json").write_text(json.dumps(config))


@pytest.fixture
def results(tmp_path: Path) -> Path:
    from harness.models.smollm2 import converted, find_gguf

    whole = models_dir(tmp_path) / "whole"
    shutil.copytree(converted(find_gguf()), whole / MODEL)
    write_card(whole, CARD)
    lora = models_dir(tmp_path) / "lora"
    write_lora(lora / MODEL)
    write_card(lora, replace(CARD, id="lora", kind="adapter"))
    return tmp_path


def run(results: Path, model: str, *options: str) -> dict[str, Any]:
    """Records of a run, by problem: text, and the spec."""
    arguments = ["run", "--suite", "synth_easy", "--limit", "2", "--max-tokens", "24", "--max-failures", "1", "--quiet"]
    arguments += ["--model", model, "--results-dir", str(results), "--json", "--model-arg", "dtype=float32"]
    arguments += [part for option in options for part in ("--model-arg", option)]
    done = subprocess.run([sys.executable, "-m", "harness", *arguments], capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    run_id = json.loads(done.stdout)["rows"][0]["run_id"]
    from harness.run.folder import RunFolder

    folder = RunFolder.of(results, run_id)
    texts = {record.problem_id: record.completion.text for record in folder.records}
    return {"texts": texts, "identity": folder.spec.model_identity}


VLLM = ("engine=vllm", "enforce_eager=true", "max_model_len=1024")


@pytest.mark.parametrize("name", ["whole", "lora"])
def test_both_engines_have_the_same_model(results: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    by_vllm = run(results, f"trained:{name}", *VLLM)
    assert by_vllm["identity"]["engine"] == "vllm"
    assert by_vllm["identity"]["trained"]["id"] == name
    # Greedy, in float32: the same weights give the same words for a while.
    by_hf = run(results, f"trained:{name}", "device=cpu")
    starts = {problem: text[:20] for problem, text in by_hf["texts"].items()}
    assert starts == {problem: text[:20] for problem, text in by_vllm["texts"].items()}
    if name == "lora":
        plain = run(results, "smollm2", "device=cpu")
        assert plain["texts"] != by_hf["texts"]
