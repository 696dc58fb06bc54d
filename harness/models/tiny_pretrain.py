"""Trains the `tiny` model from scratch on the embedded world: a base model that is imperfect, but able to learn.

What it is taught, and what is kept from it, makes it a student worth distilling: it knows sums and writes long
chains; of the stories it has seen few, so that it often mixes up what they ask for; one chain in ten that it has seen
has a mistake; to some questions it answers without a think block. All problems are of the train split, so that no test
question of the suites is among them.

The layers' matrices are trained by Muon (Jordan et al. 2024; Liu et al., arXiv:2502.16982), which needs about half the
steps that AdamW needs here. The same recipe gives the same model on the same machine with the same number of threads
(`tiny` sets it); elsewhere sums are rounded differently.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from harness.errors import DataError, PrerequisiteError
from harness.models.hf_source import resolve_dtype
from harness.synth import INSTRUCTION, Family, Level, SynthProblem, build, render, stream, wrong_chain
from harness.synth.rng import Rng

DATA_SEED = 1
"""Of the streams of problems."""
UNTHINKING = "Work out"
"""Questions that begin so are answered without a think block: about one in ten."""
_VARIANTS = 8
_WINDOW = 16
_LEAST = 0.03
"""Of the learning rate, at the end."""

Row = tuple[list[int], int]
"""Token ids of a prompt and its response, and how many of them are the prompt."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the weights, but for the machine."""

    hidden: int = 256
    layers: int = 4
    heads: int = 4
    mlp: int = 704
    context: int = 1024
    mix: Mapping[tuple[Family, Level], int] = field(
        default_factory=lambda: {
            ("arithmetic", 1): 1_200,
            ("arithmetic", 2): 4_000,
            ("word", 1): 300,
            ("word", 2): 300,
        }
    )
    """Chains of each family and level; where the problems run out, they are repeated."""
    wrong: float = 0.1
    """Share of chains with a mistake in them; these are plain, the right ones long."""
    batch: int = 16
    matrix_rate: float = 0.02
    """Peak learning rate of the layers' matrices."""
    other_rate: float = 5e-3
    """Peak learning rate of embeddings and norms, by AdamW."""
    warm_up: int = 50
    """Steps until the peak; then down along a cosine."""
    seed: int = 0


def pretrain(recipe: Recipe, tokenizer: Any, rows: Sequence[Row] | None = None) -> Any:
    """The trained `LlamaForCausalLM`, in float32, on the CPU; progress goes to stderr.

    `rows` are taught in place of the recipe's own. The caller's random state is left alone. Raises `PrerequisiteError`
    if torch has no Muon.
    """
    import torch

    model = _untrained(recipe, tokenizer)
    optimisers = _optimisers(model, recipe)
    batches = _batches(sequences(recipe, tokenizer) if rows is None else rows, recipe.batch)
    total = len(batches)
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: min((step + 1) / recipe.warm_up, max(_LEAST, _cosine(step / total)))
        )
        for optimiser in optimisers
    ]
    half = resolve_dtype("auto", on_gpu=False) == "bfloat16"
    started = time.monotonic()
    model.train()
    for step, batch in enumerate(batches, start=1):
        ids_BT, mask_BT, labels_BT = _padded(batch, tokenizer.pad_token_id)
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(input_ids=ids_BT, attention_mask=mask_BT, labels=labels_BT).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
        if step % 50 == 0 or step == total:
            left = (time.monotonic() - started) / step * (total - step)
            print(f"  step {step} of {total}, loss {loss.item():.3f}, {left:.0f} s left", file=sys.stderr)
    return model.eval()


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


# --- data -----------------------------------------------------------------------------------------------------------


def sequences(recipe: Recipe, tokenizer: Any) -> list[Row]:
    """Every chain with its prompt and the end of sequence as token ids, in random order."""
    rng = Rng("tiny", recipe.seed)
    prompts, responses = [], []
    for (family, level), count in recipe.mix.items():
        for problem in _problems(family, level, count):
            turn = [{"role": "user", "content": f"{problem.question}\n\n{INSTRUCTION}"}]
            prompts.append(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))
            responses.append(_response(problem, rng, recipe.wrong))
    both = [tokenizer(texts, add_special_tokens=False)["input_ids"] for texts in (prompts, responses)]
    rows = [([*prompt, *response, tokenizer.eos_token_id], len(prompt)) for prompt, response in zip(*both, strict=True)]
    return rng.shuffled(rows)


def _problems(family: Family, level: Level, count: int) -> Iterator[SynthProblem]:
    known: list[SynthProblem] = []
    try:
        for problem in islice(stream(DATA_SEED, level, "train", family), count):
            known.append(problem)
            yield problem
    except DataError:  # the bare sums of level 1 are few
        for index in range(count - len(known)):
            yield known[index % len(known)]


def _response(problem: SynthProblem, rng: Rng, wrong: float) -> str:
    mistaken = rng.below(1000) < 1000 * wrong
    chain = wrong_chain(problem, rng.below(_VARIANTS)) if mistaken else build(problem, "long")
    return render(chain, "plain" if problem.question.startswith(UNTHINKING) else "think", boxed=False)


def _batches(rows: Sequence[Row], size: int) -> list[list[Row]]:
    """Rows of like length together, within windows of 16 batches, so that padding is little and the order random."""
    batches = []
    for start in range(0, len(rows), _WINDOW * size):
        window = sorted(rows[start : start + _WINDOW * size], key=lambda row: len(row[0]))
        cut = [window[first : first + size] for first in range(0, len(window), size)]
        batches += Rng("batches", start).shuffled(cut)
    return batches


def _padded(batch: list[Row], pad: int) -> tuple[Any, Any, Any]:
    """Ids, attention mask and labels, B x T; only responses are learnt."""
    import torch

    longest = max(len(ids) for ids, _ in batch)
    ids_BT = torch.full((len(batch), longest), pad)
    mask_BT = torch.zeros((len(batch), longest), dtype=torch.long)
    labels_BT = torch.full((len(batch), longest), -100)
    for row, (ids, prompt) in enumerate(batch):
        ids_BT[row, : len(ids)] = torch.tensor(ids)
        mask_BT[row, : len(ids)] = 1
        labels_BT[row, prompt : len(ids)] = torch.tensor(ids[prompt:])
    return ids_BT, mask_BT, labels_BT


# --- model ----------------------------------------------------------------------------------------------------------


def _untrained(recipe: Recipe, tokenizer: Any) -> Any:
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.mlp,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        return transformers.LlamaForCausalLM(config)


def _optimisers(model: Any, recipe: Recipe) -> list[Any]:
    import torch

    if not hasattr(torch.optim, "Muon"):
        raise PrerequisiteError(f"the model tiny is trained by Muon, which torch {torch.__version__} lacks: use 2.9")
    named = list(model.named_parameters())
    inner = [weight for name, weight in named if weight.ndim == 2 and "embed" not in name]
    outer = [weight for name, weight in named if weight.ndim != 2 or "embed" in name]
    return [
        torch.optim.Muon(inner, lr=recipe.matrix_rate, momentum=0.95, weight_decay=0.0),
        torch.optim.AdamW(outer, lr=recipe.other_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
