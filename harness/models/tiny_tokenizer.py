"""The tokenizer of the `tiny` model: whole words of the embedded world, numbers up to 99, bytes for all else.

Why an own one: in a model of this size, a vocabulary of 49,000 tokens would be nearly all of a step's cost. A word of a
story is one token and so is a number up to 99, so that chains are short and a number is copied in one piece, which
is learnt sooner than copying digits; larger numbers are pairs of digits from the right ("1234" is 12, 34). The
byte-pair merges are learnt from the world's train split: the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.synth import INSTRUCTION, LEVELS, STYLES, build, generate, render

END, PAD = "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")
VOCABULARY = 1280
"""Most tokens; merges run out a little earlier."""
TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% if m.role == 'assistant' %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
_WORDS = r"</?think>| ?\p{L}+| ?[0-9]{1,2}(?=(?:[0-9]{2})*(?![0-9]))| ?\p{N}|\n| ?[^\s\p{L}\p{N}]|\s"
"""What merges never cross: think tags, words, numbers and marks with the blank before them, white space."""
_PER_LEVEL = 400
_REPEATS = 50
"""So often is every number shown: its merge must come before those of rare words."""


def tiny_tokenizer() -> Any:
    """A `PreTrainedTokenizerFast` with a chat template; any text can be encoded, and decoded to itself."""
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    special = [PAD, END, *(f"<|{role}|>" for role in ROLES)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(world_texts(), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=special[2:],
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def world_texts() -> Iterator[str]:
    """Questions and chains of every story, and the words that every prompt and answer has."""
    for level in LEVELS:
        for problem in generate(0, level, _PER_LEVEL, "train"):
            yield f"{problem.question}\n\n{INSTRUCTION}"
            for style in STYLES:
                yield render(build(problem, style), "think", boxed=False)
    for _ in range(_REPEATS):
        yield " ".join(f"{number} ({number}" for number in range(200))
