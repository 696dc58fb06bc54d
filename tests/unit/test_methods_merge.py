"""Merging as a method: averages by hand, what cannot be merged is refused, the result loads and generates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from tiny_model import answer, request, tiny, write_model

from backends.base import load_method
from backends.config import TrainConfig
from backends.load import find_weights
from backends.make import make_model
from backends.methods.merge import METHOD, MergeOptions, make
from backends.plan import plan_training
from harness.errors import ConfigError, UsageError
from harness.models.hf_load import load_for_training
from harness.options import parse_options
from harness.registry import find_card


def load(spec: str) -> tuple[Any, Any]:
    return load_for_training(find_weights(spec, Path()), torch.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    return {name: f"hf:{write_model(root / name, seed)}" for seed, name in enumerate(("base", "a", "b"))}


def weights(spec: str) -> dict[str, torch.Tensor]:
    return dict(load(spec)[0].state_dict())


def merged(folder: Path, **options: str) -> dict[str, torch.Tensor]:
    make(parse_options(MergeOptions, options, "merge"), load, folder)
    return weights(f"hf:{folder}")


def test_an_average_is_the_average(models: dict[str, str], tmp_path: Path) -> None:
    a, b = weights(models["a"]), weights(models["b"])
    both = f"{models['a']},{models['b']}"
    for shares, (first, second) in {"0.25,0.75": (0.25, 0.75), "": (0.5, 0.5)}.items():
        found = merged(tmp_path / f"m{shares}", models=both, **({"weights": shares} if shares else {}))
        assert found.keys() == a.keys()
        for name, value in found.items():
            torch.testing.assert_close(value, first * a[name] + second * b[name])


def test_a_merge_is_registered_with_its_parents(models: dict[str, str], tmp_path: Path) -> None:
    config = TrainConfig("merge", "both", "synth", options={"models": f"{models['a']},{models['b']}"})
    card = make_model(METHOD, config, tmp_path)
    assert card == make_model(METHOD, config, tmp_path) == find_card(tmp_path, "both-merge")[1]
    assert card.parents == (models["a"], models["b"])
    again = make_model(METHOD, replace(config, options={"models": f"trained:both,{models['b']}"}), tmp_path)
    assert again.parents == (f"trained:{card.id}", models["b"]), (
        "by its whole id: a beginning may mean two models later"
    )
    found = dict(load_for_training(find_weights(f"trained:{card.id}", tmp_path), torch.float32)[0].state_dict())
    a, b = weights(models["a"]), weights(models["b"])
    torch.testing.assert_close(found, {name: (value + b[name]) / 2 for name, value in a.items()})


def test_balanced_initialisation_draws_the_average_to_the_base(models: dict[str, str], tmp_path: Path) -> None:
    base, a, b = (weights(models[name]) for name in ("base", "a", "b"))
    options = {"mode": "bai", "models": f"{models['a']},{models['b']}", "base": models["base"]}
    found = merged(tmp_path / "m", **options)
    for name, value in found.items():
        torch.testing.assert_close(value, 0.1 * base[name] + 0.9 * (a[name] + b[name]) / 2)
    same = merged(tmp_path / "base", **options, alpha="1")
    assert all(torch.equal(value, base[name]) for name, value in same.items())
    first = merged(tmp_path / "first", **options, alpha="0", weights="1,0")
    assert all(torch.equal(value, a[name]) for name, value in first.items())


def test_the_result_loads_and_generates_and_says_what_it_is(models: dict[str, str], tmp_path: Path) -> None:
    told = make(MergeOptions(models=(models["a"], models["b"])), load, tmp_path / "m")
    assert told["models"] == [models["a"], models["b"]] and told["weights"] == [0.5, 0.5]
    assert told["alpha"] is None and told["new_rows"] == {}
    model = tiny(tmp_path / "m")
    (completion,) = answer(model, [request("hello")]).values()
    assert completion.text


def test_an_adapter_is_merged_before_it_is_averaged(models: dict[str, str], tmp_path: Path) -> None:
    model, _ = load(models["a"])
    plain = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], init_lora_weights=False)
    adapter = peft.get_peft_model(model, config)
    adapter.peft_config["default"].base_model_name_or_path = models["a"].removeprefix("hf:")
    adapter.save_pretrained(tmp_path / "adapter")
    whole = weights(f"hf:{tmp_path / 'adapter'}")
    moved = "model.layers.0.self_attn.q_proj.weight"
    assert not torch.equal(whole[moved], plain[moved])
    found = merged(tmp_path / "m", models=f"{models['a']},hf:{tmp_path / 'adapter'}")
    torch.testing.assert_close(found[moved], (plain[moved] + whole[moved]) / 2)


def test_other_architectures_are_refused(models: dict[str, str], tmp_path: Path) -> None:
    def refused(other: str, match: str) -> None:
        with pytest.raises(ConfigError, match=match):
            make(MergeOptions(models=(models["a"], other)), load, tmp_path / "m")
        assert not (tmp_path / "m").exists()

    folder = Path(models["a"].removeprefix("hf:"))
    same_shapes = transformers.LlamaForCausalLM.from_pretrained(folder)
    same_shapes.config.num_attention_heads, same_shapes.config.num_key_value_heads = 8, 4
    same_shapes.config.head_dim = 4
    same_shapes.save_pretrained(tmp_path / "heads")
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "heads")
    refused(f"hf:{tmp_path / 'heads'}", "its num_attention_heads is 8, the first model's 4")
    deeper = write_model(tmp_path / "deeper", tie_word_embeddings=True)
    config = transformers.LlamaConfig.from_pretrained(folder)
    config.num_hidden_layers = 3
    transformers.LlamaForCausalLM(config).save_pretrained(deeper)
    refused(f"hf:{deeper}", "other tensors")


def test_other_vocabularies_are_refused(models: dict[str, str], tmp_path: Path) -> None:
    other = write_model(tmp_path / "other")
    text = (other / "tokenizer.json").read_text(encoding="utf-8")
    (other / "tokenizer.json").write_text(text.replace('"A": ', '"AA": '), encoding="utf-8")
    for options in (
        {"models": f"{models['a']},hf:{other}"},
        {"mode": "bai", "models": models["a"], "base": f"hf:{other}"},
    ):
        with pytest.raises(ConfigError, match="cannot be merged"):
            merged(tmp_path / "m", **options)


def test_quantised_models_are_refused(models: dict[str, str], tmp_path: Path) -> None:
    def load_quantised(spec: str) -> tuple[Any, Any]:
        model, tokenizer = load(spec)
        model.config.quantization_config = {"quant_method": "awq"}
        return model, tokenizer

    with pytest.raises(ConfigError, match="quantised: merge the original weights"):
        make(MergeOptions(models=(models["a"], models["b"])), load_quantised, tmp_path / "m")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "needs models"),
        ({"models": "hf:a"}, "at least 2"),
        ({"models": "hf:a,hf:b", "base": "hf:c"}, "has no base"),
        ({"models": "hf:a", "mode": "bai"}, "needs base"),
        ({"models": "hf:a,hf:b", "weights": "0.5"}, "2 numbers that sum to 1"),
        ({"models": "hf:a,hf:b", "weights": "0.5,0.6"}, "2 numbers that sum to 1"),
        ({"models": "hf:a,hf:b", "weights": "nan,0.6"}, "2 numbers that sum to 1"),
        ({"models": "hf:a,hf:b", "weights": "half,half"}, "must be numbers"),
        ({"models": "hf:a", "mode": "bai", "base": "hf:b", "alpha": "1.5"}, "alpha"),
        ({"models": "hf:a,hf:b", "mode": "sum"}, "mode"),
    ],
)
def test_bad_options_are_refused_before_anything_is_loaded(options: dict[str, str], match: str, tmp_path: Path) -> None:
    def nothing(spec: str) -> tuple[Any, Any]:
        raise AssertionError(spec)

    with pytest.raises(ConfigError, match=match):
        make(parse_options(MergeOptions, options, "merge"), nothing, tmp_path / "m")


def test_it_trains_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="merge trains nothing and needs no plan"):
        plan_training(TrainConfig("merge", "both", "synth"), tmp_path)


def test_an_object_that_is_no_method_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.base.load", lambda kind, name: object())
    with pytest.raises(UsageError, match="method 'odd' is of type object, no TrainMethod or MakeMethod"):
        load_method("odd")
