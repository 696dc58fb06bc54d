"""`tiny` and `tiny12m`: language models trained from scratch once on the embedded world, and kept.

`tiny`, of 3.5 million parameters, is the student of `harness bench --preset demo`: fast on two cores, imperfect, and
able to learn in a minute. `tiny12m` is its sibling with room for more: the student of comparisons that `tiny` is too
small for, and a teacher of `tiny` with the same tokenizer. The first use trains the model, a minute or two on two
cores (`tiny12m`: about ten); later ones load it from the cache in less than a second. What they are taught is in
`tiny_pretrain`, their tokenizer in `tiny_tokenizer`.

    harness run --suite synth_easy --model tiny
    harness run --suite synth_easy --model hf:$(python -m harness.models.tiny)     # the same, as a folder
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

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


TINY12M = Recipe(hidden=384, layers=6, heads=6, mlp=1152)
"""What `tiny` is taught, in a model of three and a half times its size."""


def build(rest: str, options: Mapping[str, str]) -> HfModel:
    """The engine's entry; takes the options of `hf` other than the model's place. The dtype is float32 unless told.

    Raises `ConfigError` for `tiny:anything`, `MissingExtra` without torch and transformers.
    """
    return built("tiny", rest, options, tiny_student)


def build_12m(rest: str, options: Mapping[str, str]) -> HfModel:
    """The same of `tiny12m`."""
    return built("tiny12m", rest, options, functools.partial(tiny_student, TINY12M))


def built(name: str, rest: str, options: Mapping[str, str], make: Callable[[], Path]) -> HfModel:
    """The engine over a model that `make` trains at its first use. Raises as `build` does."""
    # bfloat16 saves next to nothing at this size, and float32 gives every sample the same on any batch.
    parsed: HfOptions = options_of_one(name, rest, {"dtype": "float32", **options}, "are trained on this machine")
    folder = make()
    return HfModel(name, replace(find_source(str(folder), parsed.adapter), called={"model": folder.name}), parsed)


def tiny_student(recipe: Recipe | None = None) -> Path:
    """The checkpoint's folder: config.json, model.safetensors, tokenizer; trained first if it is not in the cache.

    `recipe` is that of `tiny` unless told. Raises `PrerequisiteError` if the cache cannot be written or torch is too
    old.
    """
    recipe = Recipe() if recipe is None else recipe
    name = "tiny12m" if recipe == TINY12M else "tiny"
    key = short_hash(f"{_FORMAT} {VOCABULARY} {recipe}", digits=12)
    return made_once(f"{name}-{key}", functools.partial(_train, recipe, name), megabytes=20 if name == "tiny" else 60)


def _train(recipe: Recipe, name: str, folder: Path) -> None:
    train_into(folder, recipe, tiny_tokenizer(), name, "a minute or two" if name == "tiny" else "about ten minutes")


def train_into(folder: Path, recipe: Recipe, tokenizer: Any, name: str, long: str) -> None:
    """Train a model of that recipe and write it, with its tokenizer, into a folder; stderr says how long it takes."""
    import torch

    print(f"training the model {name} once, {long}, into {folder.parent}", file=sys.stderr)
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
