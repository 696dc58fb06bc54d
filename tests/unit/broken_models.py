"""Checkpoints and adapters that are sound, and ones that are broken in every way that was thought of.

folder = MODELS["missing head"].make(tmp_path / "m", base)          # base: a folder of `tiny_model.write_model`
folder = ADAPTERS["prefixed keys"].make(tmp_path / "a", base)
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft
import tiny_model
import torch
import transformers
from safetensors.torch import load_file, save_file

State = dict[str, Any]
WEIGHTS, ADAPTER = "model.safetensors", "adapter_model.safetensors"


@dataclass(frozen=True)
class Case:
    """A folder to make, and whether it is a model."""

    sound: bool
    build: Callable[[Path, Path, random.Random], None]

    def make(self, folder: Path, base: Path, seed: int = 0) -> Path:
        self.build(folder, base, random.Random(seed))
        return folder


def write(path: Path, state: Mapping[str, Any]) -> None:
    save_file({key: value.contiguous().clone() for key, value in state.items()}, path, metadata={"format": "pt"})


def edit_json(path: Path, **values: object) -> None:
    found = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not ...}), encoding="utf-8")


def add_tokens(folder: Path, number: int) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"<new{i}>" for i in range(number)])
    tokenizer.save_pretrained(folder)


# --- whole checkpoints ------------------------------------------------------------------------------------------------


def of_weights(change: Callable[[State, random.Random], State]) -> Callable[[Path, Path, random.Random], None]:
    def build(folder: Path, base: Path, rng: random.Random) -> None:
        shutil.copytree(base, folder)
        write(folder / WEIGHTS, change(load_file(base / WEIGHTS), rng))

    return build


def of_folder(change: Callable[[Path, random.Random], object]) -> Callable[[Path, Path, random.Random], None]:
    def build(folder: Path, base: Path, rng: random.Random) -> None:
        shutil.copytree(base, folder)
        change(folder, rng)

    return build


def pick(state: State, rng: random.Random) -> str:
    return rng.choice(sorted(state))


def cut(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, len(data) - 1)])


def larger(folder: Path, rows: int) -> None:
    """Embeddings of more rows, as padding to a round number leaves them."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    model.resize_token_embeddings(rows, mean_resizing=False)
    model.save_pretrained(folder)


def with_adapter_beside(folder: Path, rng: random.Random) -> None:
    base = folder.with_name(folder.name + "-base")
    shutil.copytree(folder, base)
    write_adapter(folder, base, rng)


def sharded(folder: Path, rng: random.Random) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    (folder / WEIGHTS).unlink()
    model.save_pretrained(folder, max_shard_size="30KB")


def lost_shard(folder: Path, rng: random.Random) -> None:
    sharded(folder, rng)
    rng.choice(sorted(folder.glob("model-*.safetensors"))).unlink()


def as_bin(folder: Path, rng: random.Random) -> None:
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def not_finite(state: State, rng: random.Random) -> State:
    name = pick(state, rng)
    state[name].view(-1)[rng.randrange(state[name].numel())] = rng.choice([float("nan"), float("inf")])
    return state


MODELS: dict[str, Case] = {
    "as it is": Case(True, of_folder(lambda folder, rng: None)),
    "half precision": Case(True, of_weights(lambda s, rng: {k: v.to(torch.bfloat16) for k, v in s.items()})),
    "padded embeddings": Case(True, of_folder(lambda f, rng: larger(f, 264 + rng.randrange(50)))),
    "sharded": Case(True, of_folder(sharded)),
    "pickled": Case(True, of_folder(as_bin)),
    "a value head besides": Case(True, of_weights(lambda s, rng: s | {"v_head.summary.weight": torch.ones(1, 32)})),
    "old buffers besides": Case(
        True,
        of_weights(lambda s, rng: s | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}),
    ),
    "tokens added to both": Case(True, of_folder(lambda f, rng: (add_tokens(f, 3), larger(f, 262)))),
    "a tensor missing": Case(False, of_weights(lambda s, rng: drop(s, rng))),
    "missing head": Case(False, of_weights(lambda s, rng: {k: v for k, v in s.items() if "lm_head" not in k})),
    "missing embeddings": Case(False, of_weights(lambda s, rng: {k: v for k, v in s.items() if "embed" not in k})),
    "prefixed keys": Case(
        False,
        of_weights(lambda s, rng: prefixed(s, rng.choice(["module.", "base_model.model.", "_orig_mod.", "student."]))),
    ),
    "keys without their prefix": Case(
        False, of_weights(lambda s, rng: {k.removeprefix("model.layers."): v for k, v in s.items()})
    ),
    "keys of another architecture": Case(
        False, of_weights(lambda s, rng: {k.replace("model.layers", "transformer.h"): v for k, v in s.items()})
    ),
    "no tensors": Case(False, of_weights(lambda s, rng: {})),
    "one foreign tensor": Case(False, of_weights(lambda s, rng: {"weight": torch.ones(2)})),
    "an empty tensor": Case(False, of_weights(lambda s, rng: s | {(k := pick(s, rng)): s[k].new_zeros(0)})),
    "a tensor cut short": Case(
        False, of_weights(lambda s, rng: s | {(k := pick(s, rng)): s[k][: max(1, len(s[k]) // 2)]})
    ),
    "a tensor of another width": Case(
        False, of_weights(lambda s, rng: s | {"model.norm.weight": torch.ones(rng.choice([1, 16, 31, 33]))})
    ),
    "flattened tensors": Case(False, of_weights(lambda s, rng: {k: v.flatten() for k, v in s.items()})),
    "more layers than the config": Case(
        False,
        of_weights(
            lambda s, rng: s | {k.replace("layers.1.", "layers.2."): v for k, v in s.items() if "layers.1." in k}
        ),
    ),
    "fewer layers than the config": Case(
        False, of_weights(lambda s, rng: {k: v for k, v in s.items() if "layers.1." not in k})
    ),
    "an adapter never merged": Case(
        False,
        of_weights(
            lambda s, rng: s | {f"model.layers.0.self_attn.q_proj.lora_{m}.weight": torch.ones(4, 32) for m in "AB"}
        ),
    ),
    "base layers of an adapter": Case(
        False,
        of_weights(lambda s, rng: {k.replace("q_proj.weight", "q_proj.base_layer.weight"): v for k, v in s.items()}),
    ),
    "an adapter beside": Case(False, of_folder(with_adapter_beside)),
    "a shard lost": Case(False, of_folder(lost_shard)),
    "not finite": Case(False, of_weights(not_finite)),
    "weights cut off": Case(False, of_folder(lambda f, rng: cut(f / WEIGHTS, rng))),
    "weights of no bytes": Case(False, of_folder(lambda f, rng: (f / WEIGHTS).write_bytes(b""))),
    "weights that are a pointer": Case(
        False, of_folder(lambda f, rng: (f / WEIGHTS).write_text("version https://git-lfs.github.com/spec/v1\noid x\n"))
    ),
    "weights gone": Case(False, of_folder(lambda f, rng: (f / WEIGHTS).unlink())),
    "config cut off": Case(False, of_folder(lambda f, rng: cut(f / "config.json", rng))),
    "config gone": Case(False, of_folder(lambda f, rng: (f / "config.json").unlink())),
    "config of an unknown kind": Case(False, of_folder(lambda f, rng: edit_json(f / "config.json", model_type="nope"))),
    "config of no kind": Case(
        False, of_folder(lambda f, rng: edit_json(f / "config.json", model_type=..., architectures=...))
    ),
    "config of another size": Case(
        False, of_folder(lambda f, rng: edit_json(f / "config.json", hidden_size=rng.choice([16, 64])))
    ),
    "config of another vocabulary": Case(
        False, of_folder(lambda f, rng: edit_json(f / "config.json", vocab_size=rng.choice([128, 1000])))
    ),
    "config with wrong types": Case(
        False, of_folder(lambda f, rng: edit_json(f / "config.json", num_hidden_layers=rng.choice(["two", [2], {}])))
    ),
    "config of an encoder": Case(False, of_folder(lambda f, rng: edit_json(f / "config.json", model_type="bert"))),
    "tokenizer too large": Case(False, of_folder(lambda f, rng: add_tokens(f, rng.randrange(1, 40)))),
    "tokenizer gone": Case(False, of_folder(lambda f, rng: [p.unlink() for p in f.glob("tokenizer*")])),
    "tokenizer cut off": Case(False, of_folder(lambda f, rng: cut(f / "tokenizer.json", rng))),
    "tokenizer with wrong types": Case(
        False, of_folder(lambda f, rng: edit_json(f / "tokenizer.json", normalizer=rng.choice([-1, "x", [1]])))
    ),
    "tokenizer of no bytes": Case(False, of_folder(lambda f, rng: (f / "tokenizer.json").write_bytes(b""))),
}


def drop(state: State, rng: random.Random) -> State:
    del state[pick(state, rng)]
    return state


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


# --- adapters ---------------------------------------------------------------------------------------------------------


def write_adapter(folder: Path, base: Path, rng: random.Random, *, rows: int | None = None, **more: Any) -> None:
    torch.manual_seed(rng.randrange(1 << 30))
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    if rows is not None:
        model.resize_token_embeddings(rows, mean_resizing=False)
        with torch.no_grad():
            for table in {model.get_input_embeddings().weight, model.get_output_embeddings().weight}:
                table[-1] += 1.0
    options = {"r": rng.choice([2, 4, 8]), "target_modules": ["q_proj", "v_proj"], "init_lora_weights": False} | more
    wrapped = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    wrapped.save_pretrained(folder, **({} if rows is None else {"save_embedding_layers": True}))
    edit_json(folder / "adapter_config.json", base_model_name_or_path=str(base))


def adapter(
    change: Callable[[State, random.Random], State] = lambda state, rng: state, **more: Any
) -> Callable[[Path, Path, random.Random], None]:
    def build(folder: Path, base: Path, rng: random.Random) -> None:
        write_adapter(folder, base, rng, **more)
        write(folder / ADAPTER, change(load_file(folder / ADAPTER), rng))

    return build


def adapter_files(
    change: Callable[[Path, random.Random], object], **more: Any
) -> Callable[[Path, Path, random.Random], None]:
    def build(folder: Path, base: Path, rng: random.Random) -> None:
        write_adapter(folder, base, rng, **more)
        change(folder, rng)

    return build


def of_another_base(**sizes: Any) -> Callable[[Path, Path, random.Random], None]:
    def build(folder: Path, base: Path, rng: random.Random) -> None:
        other = folder.with_name(folder.name + "-other")
        shutil.copytree(base, other)
        config = transformers.AutoConfig.from_pretrained(base, **sizes)
        transformers.AutoModelForCausalLM.from_config(config).save_pretrained(other)
        write_adapter(folder, other, rng)
        edit_json(folder / "adapter_config.json", base_model_name_or_path=str(base))

    return build


def with_tokenizer(folder: Path, base: Path, rng: random.Random, extra: int, rows: int | None) -> None:
    write_adapter(folder, base, rng, rows=rows)
    tiny_model.write_tokenizer(folder)
    if extra:
        add_tokens(folder, extra)


def nested(folder: Path, base: Path, rng: random.Random) -> None:
    """An adapter saved from a model that had one already."""
    write_adapter(folder, base, rng)
    state = load_file(folder / ADAPTER)
    write(
        folder / ADAPTER,
        {key.replace("base_model.model.", "base_model.model.base_model.model.", 1): v for key, v in state.items()},
    )


def scaled(state: State, rng: random.Random, part: str) -> State:
    key = rng.choice(sorted(k for k in state if part in k))
    return state | {key: state[key][:-1]}


ADAPTERS: dict[str, Case] = {
    "as it is": Case(True, adapter()),
    "on all layers": Case(True, adapter(target_modules="all-linear")),
    "on two layers only": Case(True, adapter(layers_to_transform=[1])),
    "with rank-stabilised scale": Case(True, adapter(use_rslora=True)),
    "with magnitudes": Case(True, adapter(use_dora=True)),
    "begun by a decomposition": Case(True, adapter(init_lora_weights="pissa")),
    "begun by another decomposition": Case(True, adapter(init_lora_weights="olora")),
    "begun at random": Case(True, adapter(init_lora_weights="gaussian")),
    "with a bias": Case(True, adapter(bias="lora_only")),
    "of several ranks": Case(True, adapter(rank_pattern={"q_proj": 3}, alpha_pattern={"q_proj": 5})),
    "with the head as a whole": Case(True, adapter(modules_to_save=["lm_head"])),
    "with the head and embeddings": Case(True, adapter(modules_to_save=["lm_head", "embed_tokens"])),
    "on the embeddings": Case(True, adapter(target_modules=["q_proj", "embed_tokens"])),
    "with resized embeddings": Case(True, adapter(rows=262)),
    "with resized embeddings and tokens": Case(True, lambda f, b, rng: with_tokenizer(f, b, rng, 3, 262)),
    "with the base's tokenizer": Case(True, lambda f, b, rng: with_tokenizer(f, b, rng, 0, None)),
    "in half precision": Case(True, adapter(lambda s, rng: {k: v.to(torch.bfloat16) for k, v in s.items()})),
    "a tensor missing": Case(False, adapter(drop)),
    "a layer missing": Case(False, adapter(lambda s, rng: {k: v for k, v in s.items() if "layers.1." not in k})),
    "no tensors": Case(False, adapter(lambda s, rng: {})),
    "prefixed keys": Case(
        False, adapter(lambda s, rng: prefixed(s, rng.choice(["module.", "student.", "base_model.model."])))
    ),
    "keys without their prefix": Case(
        False, adapter(lambda s, rng: {k.removeprefix("base_model.model."): v for k, v in s.items()})
    ),
    "keys of another architecture": Case(
        False, adapter(lambda s, rng: {k.replace("model.layers", "transformer.h"): v for k, v in s.items()})
    ),
    "keys of other layers": Case(
        False, adapter(lambda s, rng: {k.replace("q_proj", "up_proj"): v for k, v in s.items()})
    ),
    "one key more": Case(
        False,
        adapter(lambda s, rng: s | {"base_model.model.model.layers.0.mlp.up_proj.lora_A.weight": torch.ones(4, 32)}),
    ),
    "a layer that the base lacks": Case(
        False,
        adapter(lambda s, rng: s | {k.replace("layers.1.", "layers.7."): v for k, v in s.items() if "layers.1." in k}),
    ),
    "an empty tensor": Case(False, adapter(lambda s, rng: s | {(k := pick(s, rng)): s[k].new_zeros(0)})),
    "a tensor cut short": Case(False, adapter(lambda s, rng: scaled(s, rng, "lora_"))),
    "another rank than the config": Case(
        False, adapter_files(lambda f, rng: edit_json(f / "adapter_config.json", r=rng.choice([1, 3, 16])))
    ),
    "no rank": Case(
        False,
        adapter_files(lambda f, rng: edit_json(f / "adapter_config.json", r=rng.choice([0, -4, "four", None]))),
    ),
    "targets that are no layers": Case(
        False, adapter_files(lambda f, rng: edit_json(f / "adapter_config.json", target_modules=["c_attn"]))
    ),
    "more targets than tensors": Case(
        False,
        adapter_files(
            lambda f, rng: edit_json(f / "adapter_config.json", target_modules=["q_proj", "v_proj", "o_proj"])
        ),
    ),
    "fewer targets than tensors": Case(
        False, adapter_files(lambda f, rng: edit_json(f / "adapter_config.json", target_modules=["q_proj"]))
    ),
    "the head said and not there": Case(
        False, adapter_files(lambda f, rng: edit_json(f / "adapter_config.json", modules_to_save=["lm_head"]))
    ),
    "a norm there and not said": Case(
        True,
        adapter_files(
            lambda f, rng: edit_json(f / "adapter_config.json", modules_to_save=None), modules_to_save=["norm"]
        ),
    ),
    "of a wider base": Case(False, of_another_base(hidden_size=64)),
    "of a deeper base": Case(False, of_another_base(num_hidden_layers=3)),
    "of a shallower base": Case(False, of_another_base(num_hidden_layers=1)),
    "of a base with other heads": Case(False, of_another_base(num_key_value_heads=4)),
    "resized embeddings without the head": Case(
        False, adapter(lambda s, rng: {k: v for k, v in s.items() if "lm_head" not in k}, rows=262)
    ),
    "resized embeddings of two sizes": Case(
        False,
        adapter(lambda s, rng: {k: v[:-1] if "lm_head" in k else v for k, v in s.items()}, rows=262),
    ),
    "resized embeddings left out": Case(False, lambda f, b, rng: resized_left_out(f, b, rng)),
    "tokens without embeddings": Case(False, lambda f, b, rng: with_tokenizer(f, b, rng, rng.randrange(1, 9), None)),
    "more tokens than embeddings": Case(False, lambda f, b, rng: with_tokenizer(f, b, rng, 9, 262)),
    "nested": Case(False, nested),
    "not finite": Case(False, adapter(not_finite)),
    "weights cut off": Case(False, adapter_files(lambda f, rng: cut(f / ADAPTER, rng))),
    "weights of no bytes": Case(False, adapter_files(lambda f, rng: (f / ADAPTER).write_bytes(b""))),
    "weights gone": Case(False, adapter_files(lambda f, rng: (f / ADAPTER).unlink())),
    "config cut off": Case(False, adapter_files(lambda f, rng: cut(f / "adapter_config.json", rng))),
    "config of another method": Case(
        False,
        adapter_files(
            lambda f, rng: edit_json(
                f / "adapter_config.json", peft_type=rng.choice(["IA3", "PROMPT_TUNING", "NOPE", 3])
            )
        ),
    ),
    "config of no object": Case(
        False, adapter_files(lambda f, rng: (f / "adapter_config.json").write_text(rng.choice(["[]", "3", "null", ""])))
    ),
}


def resized_left_out(folder: Path, base: Path, rng: random.Random) -> None:
    """LoRA on resized embeddings whose own rows were not saved."""
    write_adapter(folder, base, rng, rows=262, target_modules=["q_proj", "embed_tokens"])
    state = load_file(folder / ADAPTER)
    write(folder / ADAPTER, {key: value for key, value in state.items() if "lora_" in key})
