"""The student draws with the decode loop of evaluation: the same samples and log-probabilities; it stays as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny_model import answer, request, tiny, write_model

from backends.base import Training
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.engine_hf import HfEngine
from backends.rollouts.settings import RolloutSettings
from backends.trainers.head import add_objective_head
from harness.errors import ConfigError
from harness.models.hf_attention import NAME
from harness.models.hf_prompt import PromptRenderer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


def policy(folder: Path, adapter: bool = False) -> Training:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    add_objective_head(model)
    if adapter:
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return Training(
        model=model.train(), tokenizer=tokenizer, forward=lambda *_: None, batches=lambda: (), device=model.device,
        teacher=None, load=lambda spec: (None, None), examples=0,
    )  # fmt: skip


def draw(training: Training, texts: dict[str, int], **told: Any) -> dict[int, Drawn]:
    render = PromptRenderer(training.tokenizer, None, False, None).render
    wanted = [Wanted(render(request(text).messages), seed) for text, seed in texts.items()]
    engine = HfEngine(RolloutSettings(**{"max_new": 24, **told}))
    found: dict[int, Drawn] = {}
    engine.sync(training, 0)
    engine.draw(wanted, lambda number, drawn: found.update({number: drawn}))
    engine.close()
    return found


TEXTS = {"a": 1, "hello": 2, "x" * 40: 3, "one two": 4}


def test_it_draws_what_evaluation_draws_and_leaves_the_student_as_it_was(folder: Path) -> None:
    training = policy(folder)
    drawn = draw(training, TEXTS, temperature=0.8)
    asked = [request(text, seed=seed, temperature=0.8) for text, seed in TEXTS.items()]
    evaluated = answer(tiny(folder), asked)
    assert [drawn[number].text for number in range(4)] == [evaluated[text, 0].text for text in TEXTS]
    assert [drawn[number].finish for number in range(4)] == [evaluated[text, 0].finish for text in TEXTS]
    assert training.model.training and training.model.config._attn_implementation != NAME
    assert all(weight.requires_grad and weight.grad is None for weight in training.model.parameters())


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("adapter", [False, True])
def test_log_probabilities_are_the_students_at_the_sampling_temperature(
    folder: Path, temperature: float, adapter: bool
) -> None:
    training = policy(folder, adapter)
    prompts = PromptRenderer(training.tokenizer, None, False, None)
    for number, drawn in draw(training, TEXTS, temperature=temperature).items():
        prompt = prompts.render(request(list(TEXTS)[number]).messages).tokens
        ids = torch.tensor([*prompt, *drawn.tokens_T.tolist()])[None]
        with torch.no_grad():
            logps = (training.model.eval()(ids).logits / temperature).log_softmax(-1)
        expected = logps[0, len(prompt) - 1 : -1].gather(1, ids[0, len(prompt) :, None])[:, 0]
        np.testing.assert_allclose(drawn.logps_T, expected.numpy(), atol=2e-5)


def test_the_token_that_ends_a_completion_is_trained_and_not_read(folder: Path) -> None:
    training = policy(folder)
    ended = [drawn for drawn in draw(training, {f"{n}": n for n in range(64)}).values() if drawn.finish == "stop"]
    assert ended and all(drawn.tokens_T[-1] == 256 and 256 not in drawn.tokens_T[:-1] for drawn in ended)
    assert all("<|end|>" not in drawn.text for drawn in ended)


def test_what_takes_the_sample_amiss_is_raised(folder: Path) -> None:
    training = policy(folder)
    engine = HfEngine(RolloutSettings(max_new=4))
    engine.sync(training, 0)

    def emit(number: int, drawn: Drawn) -> None:
        raise LookupError("no place for it")

    with pytest.raises(LookupError, match="no place"):
        render = PromptRenderer(training.tokenizer, None, False, None).render
        engine.draw([Wanted(render(request("a").messages), 1)], emit)


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [("ACCELERATE_USE_FSDP", "true", "FSDP"), ("ACCELERATE_DEEPSPEED_ZERO_STAGE", "3", "ZeRO-3")],
)
def test_it_is_refused_where_weights_are_taken_apart(
    variable: str, value: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigError, match=name):
        HfEngine(RolloutSettings(max_new=4))
