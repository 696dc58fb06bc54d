"""`tiny_bpe`: a teacher like `tiny` with another tokenizer, trained from scratch once on the embedded world and kept.

Methods for a teacher of any vocabulary (`uld`, `gld`, `gold`) have so a real pair on a CPU: the teacher reads text in
pieces of words and single digits, where `tiny` reads whole words and numbers up to 99, and it has another template and
other control tokens. Unlike `tiny` it is taught right chains only, and more stories.

    harness train --method uld --student tiny --teacher tiny_bpe --data synth:levels=1+2 --set alignment=bytes
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.hashing import short_hash
from harness.models.hf import HfModel
from harness.models.made_once import made_once
from harness.models.tiny import built, train_into
from harness.models.tiny_pretrain import Recipe
from harness.models.tiny_tokenizer import world_texts

_FORMAT = 1
"""Raised when the code changes what is learnt, so that the model is trained again."""
VOCABULARY = 640
"""Most tokens: too few for whole words."""
END, PAD = "</s>", "<pad>"
TEMPLATE = (
    "{% for m in messages %}[{{ m.role }}]\n{{ m.content }}{% if m.role == 'assistant' %}</s>{% endif %}\n"
    "{% endfor %}{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
RECIPE = Recipe(
    mix={("arithmetic", 1): 1_000, ("arithmetic", 2): 3_000, ("word", 1): 800, ("word", 2): 1_600}, wrong=0.0, seed=1
)


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; takes the options of `hf` other than the model's place. The dtype is float32 unless told.

    Raises `ConfigError` for `tiny_bpe:anything`, `MissingExtra` without torch and transformers.
    """
    return built("tiny_bpe", rest, options, tiny_bpe)


def tiny_bpe(recipe: Recipe = RECIPE) -> Path:
    """The checkpoint's folder; trained first if it is not in the cache. Raises `PrerequisiteError` as `tiny` does."""
    key = short_hash(f"{_FORMAT} {VOCABULARY} {recipe}", digits=12)
    return made_once(f"tiny_bpe-{key}", functools.partial(_train, recipe), megabytes=20)


def _train(recipe: Recipe, folder: Path) -> None:
    train_into(folder, recipe, bpe_tokenizer(), "tiny_bpe", "some minutes")


def bpe_tokenizer() -> Any:
    """A byte-level byte-pair tokenizer of the world's text, as GPT-2's: any text can be encoded, digits one by one."""
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(world_texts(), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=END,
        pad_token=PAD,
        chat_template=TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


if __name__ == "__main__":
    print(tiny_bpe())
