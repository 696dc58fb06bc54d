"""What our trainer takes from the inside of transformers' one, as it was when it was written: read before an update.

A hook that is renamed is not missed by anybody: the override is simply never called, and a training that should have
stopped goes on. So each of them is named here, with its arguments and with who calls it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from objective_steps import record
from tiny_model import write_model
from transformers import Trainer

from backends.base import Loss, Objective, Step, Training
from backends.config import Settings
from backends.records.segments import Encoder, Example, tokenise
from backends.trainers.feed import Fixed
from backends.trainers.head import add_objective_head
from backends.trainers.setup import _with_adapter
from backends.trainers.trainer import ObjectiveTrainer

SEEN = "transformers 5.19.0"
HOOKS = {
    "get_batch_samples": ("self, epoch_iterator, num_batches, device", "_run_epoch"),
    "compute_loss": ("self, model, inputs, return_outputs, num_items_in_batch", "training_step"),
    "create_scheduler": ("self, num_training_steps, optimizer", "create_optimizer_and_scheduler"),
    "log": ("self, logs, start_time", "_maybe_log_save_evaluate"),
    "_clip_grad_norm": ("self, model", "_run_epoch"),
    "_save_checkpoint": ("self, model, trial", "_maybe_log_save_evaluate"),
    "_load_from_checkpoint": ("self, resume_from_checkpoint, model", "_prepare_for_training"),
    "_load_optimizer_and_scheduler": ("self, checkpoint", "_prepare_for_training"),
    "_load_rng_state": ("self, checkpoint", "_run_epoch"),
}
"""What is overridden -> its arguments, and which of transformers' methods calls it."""
CALLED = {"_prepare_inputs": "self, inputs", "_get_output_dir": "self, trial"}
"""What is called."""


def arguments(function: Any) -> str:
    return ", ".join(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_as_it_was(name: str) -> None:
    told = f"{name} of transformers {transformers.__version__} is not that of {SEEN}: read it, then this table"
    expected, caller = HOOKS[name]
    assert arguments(getattr(Trainer, name)) == expected, told
    assert arguments(getattr(ObjectiveTrainer, name)) == expected, told
    assert f"self.{name}(" in inspect.getsource(getattr(Trainer, caller)), told


@pytest.mark.parametrize("name", CALLED)
def test_what_is_called_is_as_it_was(name: str) -> None:
    assert arguments(getattr(Trainer, name)) == CALLED[name], f"{name} of {transformers.__version__}, not of {SEEN}"


def test_the_tables_are_whole() -> None:
    own = {name for name in vars(ObjectiveTrainer) if hasattr(Trainer, name) and not name.startswith("__")}
    assert own - {"loss_is_scaled_for_ga"} == set(HOOKS)
    called = set(re.findall(r"self\.(_\w+)\(", inspect.getsource(ObjectiveTrainer)))
    assert {name for name in called if hasattr(Trainer, name)} == set(CALLED)


def test_transformers_does_not_divide_a_loss_that_says_it_is_scaled() -> None:
    assert Trainer.loss_is_scaled_for_ga is None and ObjectiveTrainer.loss_is_scaled_for_ga is True
    assert "self.loss_is_scaled_for_ga" in inspect.getsource(Trainer.training_step)


class _Numbers(Objective):
    """Remembers which examples each step's micro-batches have; counts them all beforehand."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, list[int], int]] = []

    def loss(self, batch: Any, logits: Any, counts: Any, step: Step, prepared: Any) -> Loss:
        self.seen.append((step.number, batch.index_R.tolist(), int(counts["tokens"])))
        return Loss(logits.hidden_BTD.sum() * 0.0)


class _Turned(Fixed):
    """As a feed that makes its examples may: each micro-batch from the other end of the data, and one more in each."""

    asked: tuple[int, ...] = ()

    def batch(self, step: Step, indices: Sequence[Sequence[int]], policy: Training) -> list[list[Example]]:
        assert policy.examples == self.size and next(policy.model.parameters()).requires_grad
        self.asked += (step.number,)
        return [[self.examples[-1 - i] for i in part] + [self.examples[0]] for part in indices]


def test_a_feed_is_asked_once_a_step_and_may_give_what_it_likes(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "student")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    examples = tokenise(Encoder(tokenizer, 64), [record(i, response="a" * (i + 1)) for i in range(6)]).examples
    feed, objectives = _Turned(examples), (_Numbers(), _Numbers())
    for objective, given in zip(objectives, (Fixed(examples), feed), strict=True):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        add_objective_head(model)
        args = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"), per_device_train_batch_size=1, gradient_accumulation_steps=2,
            max_steps=3, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True,
            remove_unused_columns=False, dataloader_pin_memory=False, logging_strategy="no",
        )  # fmt: skip
        trainer = ObjectiveTrainer(model, tokenizer, given, objective, args, load=lambda spec: (None, None))
        trainer.begin()
        trainer.train()
    plain, turned = (objective.seen for objective in objectives)
    assert sorted(index for _, (index,), _ in plain) == list(range(6))  # one epoch, each example once
    assert feed.asked == (0, 1, 2)
    assert [(number, [5 - index, 0]) for number, (index,), _ in plain] == [(n, rows) for n, rows, _ in turned]
    lengths = [index + 2 for index in range(6)]  # "a" * (index + 1) and the end of sequence
    for number, _, tokens in turned:
        assert tokens == sum(lengths[i] for n, rows, _ in turned for i in rows if n == number)


@pytest.mark.parametrize(("packed", "dtype"), [(False, torch.float32), (True, torch.bfloat16)])
def test_an_adapter_is_drawn_from_the_seed_and_of_a_packed_base_is_in_bfloat16(
    packed: bool, dtype: torch.dtype, tmp_path: Path
) -> None:
    folder, drawn = write_model(tmp_path / "student"), []
    for _ in range(2):
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        model.is_loaded_in_8bit = packed
        torch.rand(3)  # what came before does not matter
        adapted = _with_adapter(model, Settings(lora_rank=2), seed=5)
        drawn.append({name: weight for name, weight in adapted.named_parameters() if weight.requires_grad})
    assert {weight.dtype for weight in drawn[0].values()} == {dtype}
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0])
    assert any(weight.any() for weight in drawn[0].values())
