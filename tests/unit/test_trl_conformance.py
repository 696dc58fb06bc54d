"""Our losses and our SFT against TRL's own, called as TRL's trainers call them."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from objective_steps import record
from tiny_model import write_model
from torch import Tensor

from backends.base import TrainMethod, load_method
from backends.losses.preference import dpo_loss, orpo_loss, simpo_loss
from backends.records.segments import Encoder

CPU = SimpleNamespace(device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x)


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return -2.0 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) - 0.05


@pytest.mark.parametrize("beta", [0.01, 0.5])
def test_dpo(beta: float) -> None:
    from trl import DPOTrainer

    logps_RT = drawn(8, 5).requires_grad_()  # four preferred responses, then four rejected ones
    mask_RT = torch.ones(8, 6, dtype=torch.int64)
    mask_RT[:, 0] = 0  # the prompt
    reference_P, other_P = drawn(4, seed=1) * 5, drawn(4, seed=2) * 5
    ones = torch.ones(8, 5)
    outputs = SimpleNamespace(log_probs=logps_RT, entropy=ones, mean_logits=ones, is_top1=ones.bool())
    trainer = SimpleNamespace(
        model=SimpleNamespace(training=True), accelerator=CPU, aux_loss_enabled=False, ld_alpha=None,
        precompute_ref_logps=True, f_divergence_type="reverse_kl", loss_types=["sigmoid"], loss_weights=[1.0],
        beta=beta, label_smoothing=0.0, use_weighting=False, _metrics=defaultdict(lambda: defaultdict(list)),
        _total_train_tokens=0, _tp_size=1,
    )  # fmt: skip
    inputs = {
        "input_ids": torch.ones_like(mask_RT),
        "attention_mask": torch.ones_like(mask_RT),
        "completion_mask": mask_RT,
        "ref_chosen_logps": reference_P,
        "ref_rejected_logps": other_P,
    }
    theirs = DPOTrainer._compute_loss(trainer, lambda **_: outputs, inputs, False)
    sums_R = logps_RT.sum(1)
    ours = dpo_loss(sums_R[:4], sums_R[4:], reference_P, other_P, beta=beta)
    torch.testing.assert_close(ours.loss_P.mean(), theirs)
    same_gradient(ours.loss_P.mean(), theirs, logps_RT)
    margins = trainer._metrics["train"]["rewards/margins"]
    assert ours.margin_P.mean().item() == pytest.approx(margins[0], rel=1e-5)


def same_gradient(ours: Tensor, theirs: Tensor, leaf: Tensor) -> None:
    (first,) = torch.autograd.grad(ours, leaf, retain_graph=True)
    (second,) = torch.autograd.grad(theirs, leaf)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(("beta", "gamma"), [(2.0, 1.0), (2.5, 0.0)])
def test_simpo(beta: float, gamma: float) -> None:
    from trl.experimental.cpo.cpo_trainer import CPOTrainer

    means_2P = drawn(2, 6).requires_grad_()
    trainer = SimpleNamespace(
        alpha=0.0, loss_type="simpo", simpo_gamma=gamma, beta=beta, label_smoothing=0.0, accelerator=CPU
    )
    theirs, _, _ = CPOTrainer.cpo_loss(trainer, means_2P[0], means_2P[1])
    ours = simpo_loss(means_2P[0], means_2P[1], beta=beta, gamma=gamma)
    torch.testing.assert_close(ours.loss_P, theirs)
    same_gradient(ours.loss_P.sum(), theirs.sum(), means_2P)


@pytest.mark.parametrize("beta", [0.1, 0.3])
def test_orpo(beta: float) -> None:
    from trl.experimental.orpo.orpo_trainer import ORPOTrainer

    means_2P = drawn(2, 6).requires_grad_()
    losses, _, _, _, _ = ORPOTrainer.odds_ratio_loss(
        SimpleNamespace(beta=beta, accelerator=CPU), means_2P[0], means_2P[1]
    )
    theirs = -means_2P[0] - losses  # as its `get_batch_loss_metrics` puts them together
    ours = orpo_loss(means_2P[0], means_2P[1], beta=beta)
    torch.testing.assert_close(ours.loss_P, theirs)
    same_gradient(ours.loss_P.sum(), theirs.sum(), means_2P)


@pytest.mark.slow
def test_four_steps_of_sft_are_those_of_the_stock_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from backends.trainers.feed import Fixed
    from backends.trainers.head import add_objective_head
    from backends.trainers.trainer import ObjectiveTrainer

    reports: list[str] = []
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda topic, **_: reports.append(topic))
    folder = write_model(tmp_path / "student")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    records = [record(i, response="a response, longer and longer" * (1 + i % 3) + str(i)) for i in range(16)]
    method = cast(TrainMethod, load_method("sft"))
    (stage,) = method.stages(method.options())
    examples = stage.examples(Encoder(tokenizer, 256), records).examples

    def args(name: str) -> Any:
        return SFTConfig(
            output_dir=str(tmp_path / name), per_device_train_batch_size=2, gradient_accumulation_steps=2,
            max_steps=4, learning_rate=0.1, lr_scheduler_type="constant", optim="sgd", max_grad_norm=1.0, seed=3,
            use_cpu=True, bf16=False, gradient_checkpointing=False, report_to="none", save_strategy="no",
            logging_steps=1, disable_tqdm=True, max_length=None, dataset_kwargs={"skip_prepare_dataset": True},
            dataloader_pin_memory=False,
        )  # fmt: skip

    def model() -> Any:
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    ours, theirs = model(), model()
    add_objective_head(ours)
    objective = stage.objective()
    mine = ObjectiveTrainer(ours, tokenizer, Fixed(examples), objective, args("ours"), load=lambda spec: (None, None))
    assert reports == []  # nobody is told of a training here
    mine.begin()
    mine.train()
    rows = {
        "input_ids": [example.sequences[0].ids_T.tolist() for example in examples],
        "labels": [example.sequences[0].labels_T.tolist() for example in examples],
    }
    stock = SFTTrainer(theirs, args("theirs"), train_dataset=Dataset.from_dict(rows), processing_class=tokenizer)
    stock.train()
    for (name, first), second in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=1e-5, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")
    logged = [[entry["loss"] for entry in t.state.log_history if "loss" in entry] for t in (mine, stock)]
    assert len(logged[0]) == 4 and logged[0] == pytest.approx(logged[1], rel=1e-4)
    start = model()
    assert not torch.equal(start.lm_head.weight, ours.lm_head.weight)
