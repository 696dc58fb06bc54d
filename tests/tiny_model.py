"""A tiny random transformers model, made on the spot: 2 layers, grouped heads, a byte-level tokenizer of 259 tokens."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers

from harness.models.hf import HfModel, build
from harness.types import Completion, Message, Request

END = "<|end|>"
CHAT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system turns') }}{% endif %}"
    "{{ m.role[0] }}:{{ m.content }}\n{% endfor %}{% if add_generation_prompt %}a:{% endif %}"
)

WORDS = tuple(
    pair
    for line in (
        "h e, a n, e r, Ġ t, Ġt he, w er, s wer, t h, Ġ an, i n, T he, Ġ i, Ġi s, Ġ h, Ġ w, Ġan swer, th in",
        "thin k, a s, Ġ s, Ġ 3, o n, Ġ m, Ġ d, a t, Ġh as, Ġ 2, a r, l l, Ġd o, Ġ e, r i, e s, A n, An swer",
        "Ġw i, Ġwi th, Ġe q, Ġeq u, Ġequ at, Ġequat i, Ġequati on, Ġequation s, Ġthe n, Ġw ri, Ġwri t",
        "Ġwrit e, Ġan d, Ġ n, Ġn u, Ġnu m, Ġnum b, Ġnumb er, Ġ 9",
    )
    for pair in line.split(", ")
)
"""Merges that halve the records of the embedded world, and what training on them takes."""


def write_tokenizer(folder: Path, template: str | None = CHAT, merges: Sequence[str] = (), end: str = END) -> None:
    """A byte-level tokenizer of 259 tokens and one for each merge ("t h"): 256 bytes, end, pad, start, merged ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(first, second) for first, second in map(str.split, merges)]
    tokens = [*alphabet, end, "<|pad|>", "<|start|>", *map("".join, pairs)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=end, pad_token="<|pad|>", bos_token="<|start|>"
    )
    fast.chat_template = template
    fast.save_pretrained(folder)


def write_model(
    folder: Path, seed: int = 0, context: int = 256, merges: Sequence[str] = (), end: str = END, **more: object
) -> Path:
    """A random 2-layer model with grouped heads; the flat start makes its samples varied."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=259 + len(merges),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.4,
        eos_token_id=256,
        bos_token_id=258,
        pad_token_id=257,
        **more,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    write_tokenizer(folder, merges=merges, end=end)
    return folder


def write_scripted(
    folder: Path, script: Sequence[str], special: Sequence[str] = (), template: str = CHAT, after: str = ":"
) -> Path:
    """A model whose weights say `script` after a prompt that ends in the token `after`; each token at most once.

    Tokens are single ASCII characters or members of `special`, which the tokenizer has as special tokens. Its layers do
    nothing, so that the head sees the last token alone and answers with the next one of the script.
    """
    write_tokenizer(folder, template)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    tokenizer.save_pretrained(folder)
    size = (len(tokenizer) + 31) // 32 * 32
    config = transformers.LlamaConfig(
        vocab_size=size,
        hidden_size=size,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=size // 32,
        num_key_value_heads=size // 32,
        max_position_embeddings=256,
        eos_token_id=256,
        bos_token_id=258,
        pad_token_id=257,
        tie_word_embeddings=False,
    )
    model = transformers.LlamaForCausalLM(config)
    ids = tokenizer.convert_tokens_to_ids([after, *script, END])
    with torch.no_grad():
        for parameter in model.model.layers.parameters():
            parameter.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.zero_()
        for before, next_one in itertools.pairwise(ids):
            model.lm_head.weight[next_one, before] = 10.0
    model.save_pretrained(folder)
    return folder


def request(text: str, attempt: int = 0, **changes: object) -> Request:
    values: dict[str, object] = {
        "temperature": 1.0, "top_p": 1.0, "max_tokens": 24, "stop": (), "seed": 7919 * attempt + len(text)
    }  # fmt: skip
    messages = (Message("user", text),)
    return Request(f"{text}/{attempt}", messages, attempt=attempt, **{**values, **changes})  # type: ignore[arg-type]


def answer(model: HfModel, requests: Sequence[Request]) -> dict[tuple[str, int], Completion]:
    async def collect() -> dict[tuple[str, int], Completion]:
        try:
            completions = await asyncio.gather(*map(model.answer, requests))
        finally:
            await model.close()
        keys = [(request.id.rpartition("/")[0], request.attempt) for request in requests]
        return dict(zip(keys, completions, strict=True))

    return asyncio.run(collect())


def tiny(path: Path, **options: str) -> HfModel:
    return build(str(path), {"dtype": "float32", "device": "cpu"} | options)
