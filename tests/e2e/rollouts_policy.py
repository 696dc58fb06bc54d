"""A tiny student that moves, what it is asked, and how far a sampler is from it: for tests of engines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

from backends.base import Training
from backends.rollouts.engine import Drawn, Engine, Wanted
from backends.rollouts.settings import RolloutSettings
from backends.trainers.head import add_objective_head
from harness.models.hf_prompt import PromptRenderer
from harness.types import Message
from tests.tiny_model import write_model

SETTINGS = RolloutSettings(max_new=24, temperature=0.7, engine="vllm")
NEAR = 1e-5


def policy(folder: Path) -> Training:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    add_objective_head(model)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return Training(
        model=model.train(), tokenizer=tokenizer, forward=lambda *_: None, batches=lambda: (), device=model.device,
        teacher=None, load=lambda spec: (None, None), examples=0,
    )  # fmt: skip


def wanted(training: Training, prompts: int = 6, group: int = 4) -> list[Wanted]:
    """Prompts that are longer than a block of the cache, of one beginning."""
    render = PromptRenderer(training.tokenizer, None, False, None).render
    texts = ["the same beginning " * 9 + str(number) for number in range(prompts)]
    made = [render((Message("user", text),)) for text in texts]
    return [Wanted(prompt, 100 * n + sample) for n, prompt in enumerate(made) for sample in range(group)]


def draw(engine: Engine, asked: list[Wanted]) -> list[Drawn]:
    found: dict[int, Drawn] = {}
    engine.draw(asked, lambda number, drawn: found.update({number: drawn}))
    return [found[number] for number in range(len(asked))]


def gap(training: Training, asked: list[Wanted], drawn: list[Drawn]) -> float:
    """Mean |log p of the student - log p of the sampler|."""
    far = []
    for one, found in zip(asked, drawn, strict=True):
        ids = torch.tensor([*one.prompt.tokens, *found.tokens_T.tolist()])[None]
        with torch.no_grad():
            logps = (training.model.eval()(ids).logits / SETTINGS.temperature).log_softmax(-1)
        own = logps[0, len(one.prompt.tokens) - 1 : -1].gather(1, ids[0, len(one.prompt.tokens) :, None])[:, 0]
        far.append(np.abs(own.numpy() - found.logps_T))
    return float(np.concatenate(far).mean())


def move(training: Training, seed: int) -> None:
    """As a long training would."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for weight in training.model.parameters():
            weight.add_(0.1 * weight.abs().mean() * torch.randn_like(weight))


def tokens(drawn: list[Drawn]) -> list[list[int]]:
    return [one.tokens_T.tolist() for one in drawn]


def with_model(folder: Path, tied: bool) -> Path:
    return write_model(folder, context=512, head_dim=32, tie_word_embeddings=tied)
