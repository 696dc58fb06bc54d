"""Mixture-of-experts students: the plan tells of the balancing loss, and nobody is left asking for router outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from backends.config import Runtime, TrainConfig
from backends.plan import describe, plan_training
from backends.train import train
from harness.models.hf_load import load_checkpoint
from harness.models.hf_source import HfOptions, find_source
from tests.tiny_model import write_model, write_tokenizer

SIZES: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": 16,
    "intermediate_size": 16,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "num_experts_per_tok": 2,
    "max_position_embeddings": 512,
    "pad_token_id": 257,
    "bos_token_id": 258,
    "eos_token_id": 256,
}
EXPERTS = ("mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "gpt_oss")
FLAGS = ("output_router_logits", "router_aux_loss_coef")


def write_experts(folder: Path, kind: str, asks: bool) -> Path:
    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **SIZES, num_experts=4, num_local_experts=4)
    config.output_router_logits = asks
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def told(student: Path) -> TrainConfig:
    settings = {"batch_size": 2, "max_steps": 1}
    return TrainConfig("sft", f"hf:{student}", "synth:levels=1,per_level=2", settings=settings, max_length=512)


@pytest.mark.parametrize("kind", EXPERTS)
def test_the_dry_run_says_that_nothing_balances(kind: str, tmp_path: Path) -> None:
    student = write_experts(tmp_path / "s", kind, False)
    lines = describe(plan_training(told(student), tmp_path))
    coefficient = json.loads((student / "config.json").read_text())["router_aux_loss_coef"]
    (line,) = [line for line in lines if line.startswith("mixture of experts")]
    assert f"(router_aux_loss_coef {coefficient} of its config) is not in the objective" in line


def test_a_model_without_experts_is_not_told_of_them(tmp_path: Path) -> None:
    plan = plan_training(told(write_model(tmp_path / "s", context=512)), tmp_path)
    assert not any(line.startswith("mixture of experts") for line in describe(plan))


@pytest.mark.parametrize(("kind", "asks"), [("mixtral", False), ("qwen3_moe", True), ("gpt_oss", False)])
def test_the_saved_config_is_the_students(kind: str, asks: bool, tmp_path: Path) -> None:
    student = write_experts(tmp_path / "s", kind, asks)
    card = train(told(student), tmp_path / "r", Runtime())
    before = json.loads((student / "config.json").read_text())
    after = json.loads((tmp_path / "r" / "models" / card.id / "model" / "config.json").read_text())
    assert {flag: after[flag] for flag in FLAGS} == {flag: before[flag] for flag in FLAGS}


@pytest.mark.parametrize("kind", EXPERTS)
def test_evaluation_never_asks_for_router_outputs(kind: str, tmp_path: Path) -> None:
    source = find_source(str(write_experts(tmp_path / "s", kind, True)))
    model = load_checkpoint(source, HfOptions(), "cpu", "float32", None).model
    found = model(input_ids=torch.tensor([[1, 2, 3]]))
    assert found.router_logits is None and found.aux_loss is None
