"""The memory estimate: published sizes, agreement with what the allocator sees, and how devices share."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
import transformers

from backends.config import Settings
from backends.losses.nll import token_logps
from backends.losses.positions import HeadLogits
from backends.memory import GIB, Work, estimate, fits, model_config, parameters, table
from backends.recipe import architecture

PUBLISHED = {
    "deepseek-r1-distill-qwen-1.5b": 1_777_088_000,
    "deepseek-r1-distill-qwen-7b": 7_615_616_512,
    "deepseek-r1-distill-qwen-14b": 14_770_033_664,
    "llama-2-7b": 6_738_415_616,
    "llama-3.1-8b": 8_030_261_248,
    "ministral-8b-2410": 8_019_808_256,
    "qwen2.5-math-1.5b": 1_543_714_304,
}
ROWS, LENGTH = 2, 192


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_parameters_are_the_published_number(name: str) -> None:
    assert parameters(model_config(architecture(name))) == PUBLISHED[name]


def small() -> Any:
    return transformers.LlamaConfig(
        vocab_size=1024,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
    )


def measured(work: Work) -> float:
    """Bytes that torch's allocator holds at the peak of two real optimiser steps, weights included."""
    import peft

    torch.manual_seed(0)
    lora = work.settings.lora_rank is not None
    model: Any = transformers.LlamaForCausalLM(work.config).to(
        torch.bfloat16 if lora and work.bf16 else torch.float32
    ).train()  # fmt: skip
    if work.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    inner = model
    if lora:
        model = peft.get_peft_model(
            model, peft.LoraConfig(task_type="CAUSAL_LM", r=work.settings.lora_rank, target_modules="all-linear")
        )
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    weights = sum(weight.nbytes for weight in model.parameters())
    optimiser = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    ids = torch.randint(0, 1024, (work.rows, work.length))
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        for _ in range(2):
            for _ in range(2 if work.accumulates else 1):
                with torch.autocast("cpu", torch.bfloat16, enabled=work.bf16):
                    hidden = inner.model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
                    logps = token_logps(HeadLogits(hidden, inner.lm_head.weight), ids)
                (-logps.mean()).backward()
                del hidden, logps
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    now = peak = 0
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    for event in sorted(events, key=lambda event: event.start_ns()):
        now += event.nbytes()
        peak = max(peak, now)
    return weights + peak


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("rank", [None, 8])
def test_agrees_with_the_allocator(bf16: bool, checkpointing: bool, rank: int | None) -> None:
    work = Work(small(), ROWS, LENGTH, Settings(lora_rank=rank), bf16=bf16, checkpointing=checkpointing)
    ratio = sum(estimate(work).values()) / measured(work)
    print(f"bf16 {bf16} checkpointing {checkpointing} rank {rank}: {ratio:.3f}")
    assert 0.9 < ratio < 1.25


def test_agrees_without_accumulation() -> None:
    work = Work(small(), ROWS, LENGTH, Settings(), bf16=False, accumulates=False)
    ratio = sum(estimate(work).values()) / measured(work)
    print(f"{ratio:.3f}")
    assert 0.9 < ratio < 1.25


def test_more_of_the_same_costs_more() -> None:
    work = Work(small(), ROWS, LENGTH, Settings())
    base = estimate(work)
    assert estimate(dataclasses.replace(work, rows=4))["activations"] > 1.5 * base["activations"]
    assert estimate(dataclasses.replace(work, checkpointing=True))["activations"] < base["activations"]
    assert estimate(dataclasses.replace(work, frozen_models=1))["frozen"] == 2 * parameters(work.config)
    adapter = estimate(dataclasses.replace(work, settings=Settings(lora_rank=8)))
    assert adapter["gradients"] < base["gradients"] / 10 and adapter["optimiser"] == 2 * adapter["gradients"]
    assert adapter["weights"] < 0.6 * base["weights"], "the base is kept in bfloat16"


def test_devices_share() -> None:
    work = Work(small(), ROWS, LENGTH, Settings())
    one, ddp, zero2, fsdp = (
        estimate(work, devices, sharding)
        for devices, sharding in [(1, "none"), (8, "copies"), (8, "zero2"), (8, "whole")]
    )
    count = 4 * parameters(work.config)
    assert one["weights"] == ddp["weights"] == count and fsdp["weights"] == count / 8
    assert ddp["shared"] == count, "buckets"
    for found in (zero2, fsdp):
        assert (found["gradients"], found["optimiser"]) == (count / 8, 2 * count / 8)
    assert sum(estimate(work, 16, "whole").values()) < sum(fsdp.values())


def test_the_table_and_what_fits() -> None:
    work = Work(small(), ROWS, LENGTH, Settings())
    found = estimate(work)
    assert fits(found) and not fits(found, gib=1.0)
    assert sum(found.values()) * 1.05 / GIB < 1, "room for the context is left"
    lines = table(work)
    assert len(lines) == 5 and lines[1].startswith("1 x 80 GB ") and lines[1].endswith("yes")
    assert lines[4].startswith("8 x 80 GB, FSDP or ZeRO-3 ")
