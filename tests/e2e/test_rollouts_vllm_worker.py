"""The student's weights in vLLM's own worker on a CPU: tied and untied heads. Runs in `.venv-full`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from backends.rollouts.student_weights import write_weights
from harness.models.vllm import find_version
from tests.tiny_model import write_model

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # the library's own, by the dozen
]

if find_version() is None:
    pytest.skip("needs the environment .venv-full", allow_module_level=True)

SCRIPT = """
import json, sys, torch, transformers
from vllm import EngineArgs
from vllm.config import set_current_vllm_config
from vllm.v1.executor.uniproc_executor import UniProcExecutor
first, *others = sys.argv[1:]
config = EngineArgs(
    model=first, skip_tokenizer_init=True, generation_config="vllm", dtype="float32", max_model_len=512,
    max_num_seqs=16, max_num_batched_tokens=512, enable_chunked_prefill=False, enforce_eager=True,
    worker_extension_cls="backends.rollouts.vllm_worker.Weights",
).create_engine_config()
far = {}
with set_current_vllm_config(config), torch.no_grad():
    worker = UniProcExecutor(config)
    def head(folder):
        own = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        states = torch.linspace(-1, 1, 7 * 32).reshape(7, 32)
        (model,) = worker.collective_rpc("get_model")
        down = [one.model.layers[0].mlp.down_proj(torch.ones(1, 64)) for one in (own, model)]
        down = [one[0] if isinstance(one, tuple) else one for one in down]
        logits = (model.compute_logits(states)[:, :259] - own.lm_head(states)).abs().max()
        return float(logits), float((down[0] - down[1]).abs().max())
    far["start"] = head(first)
    for number, folder in enumerate(others):
        far[f"before {number}"] = head(folder)
        worker.collective_rpc("reload_weights", kwargs={"weights_path": folder})
        far[f"reload {number}"] = head(folder)
        worker.collective_rpc("take_weights", args=(folder,))
        far[f"taken {number}"] = head(folder)
print("FAR", json.dumps(far))
"""


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_weights_arrive_where_a_plain_reload_leaves_a_tied_head(tied: bool, tmp_path: Path) -> None:
    folders = [write_model(tmp_path / "0", context=512, head_dim=32, tie_word_embeddings=tied)]
    model = transformers.AutoModelForCausalLM.from_pretrained(folders[0], dtype=torch.float32)
    for number in (1, 2):
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        folders.append(tmp_path / str(number))
        write_weights(model, folders[-1])
    told = {"VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_STREAM": "ext://sys.stderr"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, folders)], capture_output=True, text=True, env={**os.environ, **told}
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("FAR ")] or [done.stderr[-3000:]]
    far = json.loads(line.removeprefix("FAR "))
    for name, (head, layer) in far.items():
        if name.startswith("before"):
            assert head > 0.1 and layer > 0.1
        else:
            assert layer < 1e-5
            assert head > 0.1 if tied and name.startswith("reload") else head < 1e-5
