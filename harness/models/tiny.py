"""`tiny`: a language model of 3.5 million parameters, trained from scratch once on the embedded world and kept.

It is the student of `harness bench --preset demo`: fast on two cores, imperfect, and able to learn in a minute. The
first use trains it, a minute or two on two cores; later ones load it from the cache in less than a second. What it is
taught is in `tiny_pretrain`, its tokenizer in `tiny_tokenizer`.

    harness run --suite synth_easy --model tiny
    harness run --suite synth_easy --model hf:$(python -m harness.models.tiny)     # the same, as a folder
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.hashing import short_hash
from harness.models.hf import HfModel
from harness.models.hf_source import HfOptions, find_source, options_of_one
from harness.models.made_once import made_once
from harness.models.tiny_pretrain import Recipe, pretrain
from harness.models.tiny_tokenizer import VOCABULARY, tiny_tokenizer

_FORMAT = 1
"""Raised when the code changes what is learnt, so that the model is trained again."""
_THREADS = 2
"""Of the training, whatever the process has else: sums are rounded by their number, and one machine has one model."""


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; takes the options of `hf` other than the model's place. The dtype is float32 unless told.

    Raises `ConfigError` for `tiny:anything`, `MissingExtra` without torch and transformers.
    """
    # bfloat16 saves next to nothing at this size, and float32 gives every sample the same on any batch.
    parsed: HfOptions = options_of_one("tiny", rest, {"dtype": "float32", **options}, "are trained on this machine")
    folder = tiny_student()
    return HfModel("tiny", replace(find_source(str(folder), parsed.adapter), called={"model": folder.name}), parsed)


def tiny_student(recipe: Recipe | None = None) -> Path:
    """The checkpoint's folder: config.json, model.safetensors, tokenizer; trained first if it is not in the cache.

    Raises `PrerequisiteError` if the cache cannot be written or torch is too old.
    """
    recipe = Recipe() if recipe is None else recipe
    key = short_hash(f"{_FORMAT} {VOCABULARY} {recipe}", digits=12)
    return made_once(f"tiny-{key}", functools.partial(_train, recipe), megabytes=20)


def _train(recipe: Recipe, folder: Path) -> None:
    import torch

    tokenizer = tiny_tokenizer()
    print(f"training the model tiny once, a minute or two, into {folder.parent}", file=sys.stderr)
    threads = torch.get_num_threads()
    torch.set_num_threads(_THREADS)
    try:
        model = pretrain(recipe, tokenizer)
    finally:
        torch.set_num_threads(threads)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    print(tiny_student())
