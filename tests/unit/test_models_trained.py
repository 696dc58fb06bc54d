"""Models of the registry as engines: full checkpoints, adapters, adapters over adapters; what identifies them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
import transformers
from registry_cards import add_card

from harness.errors import ConfigError, HarnessError, MissingExtra, PrerequisiteError, StoreError, UnknownName
from harness.models import load_model, vllm
from harness.models.hf import HfModel
from harness.models.trained import fingerprint, lineage_facts
from harness.models.vllm import VllmModel
from harness.registry import MODEL, models_dir, read_card

FLOAT = {"dtype": "float32", "device": "cpu"}


def add_full(results: Path, name: str, seed: int = 0, **facts: Any) -> Path:
    folder = add_card(results, name, **facts)
    tiny_model.write_model(folder / MODEL, seed=seed)
    return folder


def write_adapter(folder: Path, base: Path, seed: int = 0, rank: int = 4) -> Path:
    """A random LoRA adapter over a checkpoint; its config names a base that is not there, as one moved here does."""
    import peft

    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    config = peft.LoraConfig(
        r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM"
    )
    peft.get_peft_model(model, config).save_pretrained(folder)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "no/such/base"}))
    return folder


def load(results: Path, name: str, **options: str) -> HfModel:
    model = load_model(f"trained:{name}", {**FLOAT, **options}, results)
    assert isinstance(model, HfModel)
    return model


def logits(model: HfModel) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model.load().model(torch.arange(20)[None]).logits
    return found


def test_a_full_model_answers_as_its_checkpoint_does(tmp_path: Path) -> None:
    folder = add_full(tmp_path, "tiny-sft-1")
    requests = [tiny_model.request("hello"), tiny_model.request("abc")]
    model = load(tmp_path, "tiny-s")
    assert model.name == "trained:tiny-sft-1"
    texts = {key: reply.text for key, reply in tiny_model.answer(model, requests).items()}
    direct = tiny_model.answer(tiny_model.tiny(folder / MODEL), requests)
    assert texts == {key: reply.text for key, reply in direct.items()}


def test_the_identity_follows_the_weights_and_not_the_place(tmp_path: Path) -> None:
    add_full(tmp_path / "one", "a", fingerprint="0" * 16)
    before = load(tmp_path / "one", "a").describe()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert load(tmp_path / "two", "a").describe() == before
    assert str(tmp_path) not in json.dumps(before)
    by_path = load(tmp_path, str(tmp_path / "two" / "models" / "a"))
    assert by_path.describe() == before and by_path.name == "trained:a"
    tiny_model.write_model(tmp_path / "two" / "models" / "a" / MODEL, seed=1)
    after = load(tmp_path / "two", "a").describe()
    assert after["fingerprint"] != before["fingerprint"]
    assert fingerprint(models_dir(tmp_path / "one") / "a") == before["fingerprint"]


def test_it_is_evaluated_in_the_precision_of_its_first_student(tmp_path: Path) -> None:
    add_full(tmp_path, "one", base="tiny")
    add_full(tmp_path, "two", base="trained:one")
    add_full(tmp_path, "other", base="hf:owner/name")
    add_full(tmp_path, "orphan", base="trained:gone")
    add_full(tmp_path, "circle", base="trained:circle")
    found = {}
    for name in ("one", "two", "other", "orphan", "circle"):
        model = load_model(f"trained:{name}", {}, tmp_path)
        assert isinstance(model, HfModel)
        found[name] = model.options.dtype
    assert found == {"one": "float32", "two": "float32", "other": "auto", "orphan": "auto", "circle": "auto"}
    told = load_model("trained:two", {"dtype": "bfloat16"}, tmp_path)
    assert isinstance(told, HfModel) and told.options.dtype == "bfloat16"


def test_the_card_is_told_with_the_identity(tmp_path: Path) -> None:
    folder = add_full(tmp_path, "a", method="krsl", tokens=7, teacher="openai:gpt-x")
    told = load(tmp_path, "a").describe()["trained"]
    assert told == lineage_facts(read_card(folder))
    assert told["method"] == "krsl" and told["base"] == "tiny" and told["tokens"] == 7  # type: ignore[call-overload,index]
    assert told["id"] == "a" and told["data_hash"] == "d" * 64 and told["seed"] == 0  # type: ignore[call-overload,index]


def test_an_adapter_is_merged_into_the_base_of_its_card(tmp_path: Path) -> None:
    base = tiny_model.write_model(tmp_path / "base")
    folder = add_card(tmp_path, "lora", kind="adapter", base=f"hf:{base}")
    write_adapter(folder / MODEL, base)
    import peft

    plain = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    expected = peft.PeftModel.from_pretrained(plain, folder / MODEL).merge_and_unload()(torch.arange(20)[None]).logits
    model = load(tmp_path, "lora")
    assert torch.allclose(logits(model), expected, atol=1e-5)
    first = model.describe()
    assert first["adapter"] == "trained:lora" and first["adapter_fingerprint"] and first["fingerprint"]
    write_adapter(folder / MODEL, base, seed=1)
    assert load(tmp_path, "lora").describe()["adapter_fingerprint"] != first["adapter_fingerprint"]
    tiny_model.write_model(base, seed=5)
    assert load(tmp_path, "lora").describe()["fingerprint"] != first["fingerprint"]


def test_an_adapter_is_never_put_over_another_base(tmp_path: Path) -> None:
    """Pinned by `add` and by training alike; a base that was retrained in its place is told, whoever asks."""
    from click.testing import CliRunner

    from harness.cli.models_show import show
    from harness.models.adopting import adopt
    from harness.models.trained import find_base

    base = tiny_model.write_model(tmp_path / "base")
    card = adopt(tmp_path, write_adapter(tmp_path / "adapter", base), f"hf:{base}", "lora")
    over = adopt(tmp_path, write_adapter(tmp_path / "second", base, seed=3), "trained:lora", "over")
    assert card.base_fingerprint and over.base_fingerprint and card.base_fingerprint != over.base_fingerprint
    load(tmp_path, "over")
    assert "as the card says" in CliRunner().invoke(show, ["lora", "--results-dir", str(tmp_path)]).output
    tiny_model.write_model(base, seed=5)
    for name in ("lora", "over"):
        with pytest.raises(StoreError, match="'lora' is no longer the one that it was trained from"):
            load(tmp_path, name)
        with pytest.raises(StoreError, match="no longer the one"):
            find_base(f"trained:{name}", tmp_path)
    assert "NOT AS IT WAS" in CliRunner().invoke(show, ["lora", "--results-dir", str(tmp_path)]).output
    tiny_model.write_model(base)
    load(tmp_path, "over")
    shutil.rmtree(models_dir(tmp_path) / "lora" / MODEL)
    write_adapter(models_dir(tmp_path) / "lora" / MODEL, base, seed=9)
    with pytest.raises(StoreError, match="'trained:lora' of 'over' is no longer the one"):
        load(tmp_path, "over")


@pytest.mark.parametrize("base", ["tiny", "hf:owner/name"])
def test_showing_a_model_neither_makes_nor_fetches_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base: str
) -> None:
    from click.testing import CliRunner

    from harness.cli.models_show import show
    from harness.models import trained

    def refuse(*_: object) -> None:
        raise AssertionError("the base was asked for")

    monkeypatch.setattr(trained, "find_base", refuse)
    folder = add_card(tmp_path, "lora", kind="adapter", base=base, base_fingerprint="f" * 16)
    (folder / MODEL).mkdir()
    (folder / MODEL / "adapter_config.json").write_text('{"r": 4}')
    shown = CliRunner().invoke(show, ["lora", "--results-dir", str(tmp_path)])
    assert shown.exit_code == 0 and "checked when it is loaded" in shown.output


def test_a_base_on_the_hub_is_taken_at_its_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.models import hf_source
    from harness.models.trained import find_base

    asked: list[str | None] = []

    def commit(repo: str, revision: str | None, file: str) -> str:
        asked.append(revision)
        return revision or "b" * 40  # where the branch is now

    monkeypatch.setattr(hf_source, "hub_commit", commit)
    folder = add_card(tmp_path, "lora", kind="adapter", base="hf:owner/name", base_fingerprint=f"commit:{'a' * 40}")
    (folder / MODEL).mkdir()
    (folder / MODEL / "adapter_config.json").write_text('{"r": 4}')
    assert find_base("trained:lora", tmp_path).revision == "a" * 40
    assert asked == ["a" * 40]


def chain(results: Path) -> Path:
    """A full model, an adapter over it, an adapter over that; returns the full model's folder."""
    full = add_full(results, "full")
    write_adapter(add_card(results, "first", kind="adapter", base="trained:full") / MODEL, full / MODEL, seed=1)
    write_adapter(add_card(results, "second", kind="adapter", base="trained:first") / MODEL, full / MODEL, seed=2)
    return full


def test_adapters_over_adapters_are_merged_in_order(tmp_path: Path) -> None:
    import peft

    model = transformers.AutoModelForCausalLM.from_pretrained(chain(tmp_path) / MODEL, dtype=torch.float32)
    for name in ("first", "second"):
        model = peft.PeftModel.from_pretrained(model, models_dir(tmp_path) / name / MODEL).merge_and_unload()
    second = load(tmp_path, "second")
    assert torch.allclose(logits(second), model(torch.arange(20)[None]).logits, atol=1e-4)
    assert not torch.allclose(logits(second), logits(load(tmp_path, "first")), atol=1e-2)
    before = second.describe()
    write_adapter(models_dir(tmp_path) / "first" / MODEL, models_dir(tmp_path) / "full" / MODEL, seed=9)
    assert load(tmp_path, "second").describe() != before  # what it stands on has changed
    assert str(tmp_path) not in json.dumps(before)


@pytest.mark.parametrize(
    ("name", "options", "error", "message"),
    [
        ("", {}, ConfigError, "needs a model's id"),
        ("fulll", {}, UnknownName, "Did you mean 'full'"),
        ("../models/absent", {}, StoreError, "no model folder"),
        ("full", {"dtyp": "float32"}, ConfigError, "Did you mean 'dtype'"),
        ("full", {"adapter": "x"}, ConfigError, "no option 'adapter'"),
        ("full", {"revision": "main"}, ConfigError, "no option 'revision'"),
        ("full", {"engine": "llama"}, ConfigError, "one of hf, vllm"),
        ("empty", {}, PrerequisiteError, "a card but no model/"),
        ("lying", {}, StoreError, "says adapter, .* holds no LoRA adapter"),
        ("remote", {}, ConfigError, "cannot be the base"),
        ("loop", {}, StoreError, "lead back to it"),
        ("orphan", {}, UnknownName, "gone"),
    ],
)
def test_what_cannot_be_loaded_is_one_clear_error(
    tmp_path: Path, name: str, options: dict[str, str], error: type[HarnessError], message: str
) -> None:
    full = add_full(tmp_path, "full")
    add_card(tmp_path, "empty")
    tiny_model.write_model(add_card(tmp_path, "lying", kind="adapter") / MODEL)
    for orphan, base in (("remote", "openai:gpt-x"), ("loop", "trained:loop"), ("orphan", "trained:gone")):
        folder = add_card(tmp_path, orphan, kind="adapter", base=base) / MODEL
        folder.mkdir()
        (folder / "adapter_config.json").write_text('{"r": 4}')
    assert full.is_dir()
    with pytest.raises(error, match=message):
        load(tmp_path, name, **options)


def test_vllm_gets_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain(tmp_path)
    write_adapter(models_dir(tmp_path) / "first" / MODEL, models_dir(tmp_path) / "full" / MODEL, rank=20)
    monkeypatch.setattr(vllm, "find_version", lambda: None)
    with pytest.raises(MissingExtra, match="vllm"):
        load_model("trained:full", {"engine": "vllm"}, tmp_path)
    monkeypatch.setattr(vllm, "find_version", lambda: "vllm 0")
    full = load_model("trained:full", {"engine": "vllm", "max_num_seqs": "8"}, tmp_path)
    assert isinstance(full, VllmModel)
    assert full.source.location == str(models_dir(tmp_path) / "full" / MODEL)
    assert full.options.engine_arguments() == {"dtype": "auto", "max_num_seqs": 8}
    assert full.describe()["engine"] == "vllm" and full.describe()["model"] == "trained:full"
    adapted = load_model("trained:first", {"engine": "vllm"}, tmp_path)
    assert isinstance(adapted, VllmModel)
    assert adapted.source.adapter == str(models_dir(tmp_path) / "first" / MODEL)
    assert adapted.options.max_lora_rank == 32  # room for 20
    told = load_model("trained:first", {"engine": "vllm", "max_lora_rank": "64"}, tmp_path)
    assert isinstance(told, VllmModel) and told.options.max_lora_rank == 64
    with pytest.raises(ConfigError, match="merge them"):
        load_model("trained:second", {"engine": "vllm"}, tmp_path)
    with pytest.raises(ConfigError, match="no option 'batch_size'"):
        load_model("trained:full", {"engine": "vllm", "batch_size": "8"}, tmp_path)


@pytest.mark.slow
def test_evaluating_needs_no_training_library(tmp_path: Path) -> None:
    """A full run through the command line, in a process of its own."""
    chain(tmp_path)
    code = "import sys\nfrom harness.cli.main import cli\ncli(sys.argv[1:], standalone_mode=False)\n"
    code += "print('trl' in sys.modules)"
    arguments = ["run", "--suite", "synth_easy", "--limit", "3", "--max-tokens", "8", "--max-failures", "1", "--quiet"]
    arguments += ["--results-dir", str(tmp_path), "--model-arg", "max_length=4096", "--model-arg", "device=cpu"]
    arguments += ["--model", "trained:full", "--model", "trained:second", "--json"]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown, imported = done.stdout.rsplit("}", 1)
    assert imported.strip() == "False"
    rows = json.loads(shown + "}")["rows"]
    assert {row["model"] for row in rows} == {"trained:full", "trained:second"}
    specs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/spec.json")]
    assert {spec["model_identity"]["trained"]["id"] for spec in specs} == {"full", "second"}
