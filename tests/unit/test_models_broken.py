"""What cannot be loaded as it is meant is refused by `models add` and by `run`: one line, exit 2; what can is not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_model
from broken_models import ADAPTERS, MODELS, Case

from harness.cli.main import entry
from harness.errors import BrokenModel, HarnessError
from harness.models.adopting import adopt
from harness.models.hf_load import load_for_training
from harness.models.hf_source import find_source
from harness.registry import list_cards

Call = Callable[..., tuple[int, str]]
CASES = [("model", name) for name in MODELS] + [("adapter", name) for name in ADAPTERS]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.write_model(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            entry()
        return int(stop.value.code or 0), capsys.readouterr().err

    return call


def case_of(kind: str, name: str) -> Case:
    return (MODELS if kind == "model" else ADAPTERS)[name]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")  # peft's, while the case is made
def test_add_takes_what_is_sound_and_nothing_else(tmp_path: Path, base: Path, kind: str, name: str) -> None:
    case = case_of(kind, name)
    folder = case.make(tmp_path / "given", base, seed=1)
    spec = f"hf:{base}"
    if case.sound:
        card = adopt(tmp_path / "results", folder, spec)
        assert card.kind == ("full" if kind == "model" else "adapter")
        model, _ = load_for_training(find_given(kind, folder, base), "auto")
        assert model is not None
        return
    with pytest.raises(HarnessError) as caught:
        adopt(tmp_path / "results", folder, spec)
    assert isinstance(caught.value, BrokenModel) and caught.value.exit_code == 2
    assert list_cards(tmp_path / "results").cards == []


def find_given(kind: str, folder: Path, base: Path) -> object:
    adapter = None if kind == "model" else str(folder)
    return find_source(str(folder if kind == "model" else base), adapter)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), CASES)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_run_takes_what_is_sound_and_nothing_else(
    tmp_path: Path, base: Path, harness: Call, kind: str, name: str
) -> None:
    case = case_of(kind, name)
    folder = case.make(tmp_path / "given", base, seed=2)
    spec = [f"hf:{folder}"] if kind == "model" else [f"hf:{base}", "--model-arg", f"adapter={folder}"]
    options = (
        "--limit",
        "1",
        "--max-tokens",
        "3",
        "--quiet",
        "--model-arg",
        "dtype=float32",
        "--model-arg",
        "device=cpu",
    )
    code, err = harness("run", "--suite", "synth_easy", *options, "--results-dir", tmp_path, "--model", *spec)
    told = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (code, told) == (code, []) if case.sound else (code, len(told), len(err.splitlines())) == (2, 1, 1)
    assert code in (0, 1) if case.sound else code == 2


def test_a_tied_model_needs_no_head(tmp_path: Path) -> None:
    tied = tiny_model.write_model(tmp_path / "tied", tie_word_embeddings=True)
    adopt(tmp_path, MODELS["missing head"].make(tmp_path / "given", tied), "tiny")


def test_an_adapter_with_resized_embeddings_is_loaded_with_the_base_resized(tmp_path: Path, base: Path) -> None:
    from safetensors.torch import load_file

    folder = ADAPTERS["with resized embeddings and tokens"].make(tmp_path / "a", base)
    model, tokenizer = load_for_training(find_source(str(base), str(folder)), "auto")  # type: ignore[arg-type]
    brought = load_file(folder / "adapter_model.safetensors")
    assert model.config.vocab_size == 262 and len(tokenizer) == 262
    for name, table in (
        ("model.embed_tokens", model.get_input_embeddings()),
        ("lm_head", model.get_output_embeddings()),
    ):
        assert bool((table.weight == brought[f"base_model.model.{name}.weight"]).all())


def test_shapes_that_do_not_fit_are_told_with_the_tensor(tmp_path: Path, base: Path) -> None:
    told = {}
    for name in ("resized embeddings without the head", "of a wider base"):
        folder = ADAPTERS[name].make(tmp_path / name, base)
        with pytest.raises(BrokenModel) as caught:
            adopt(tmp_path / "results", folder, f"hf:{base}")
        told[name] = str(caught.value)
    assert (
        "'model.embed_tokens' [262, 32] in the adapter, [259, 32] here" in told["resized embeddings without the head"]
    )
    assert "'lm_head' none in the adapter" in told["resized embeddings without the head"]
    assert "64] in the adapter, [" in told["of a wider base"] and "lora_" in told["of a wider base"]


def test_a_placeholder_without_an_embedding_fails_the_prompts_that_hold_it(tmp_path: Path, base: Path) -> None:
    """Text-only models of a family of image models have the family's tokenizer (Gemma 3 1B)."""
    import shutil

    import transformers

    folder = shutil.copytree(base, tmp_path / "wider")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<image_soft_token>"])
    tokenizer.save_pretrained(folder)
    adopt(tmp_path / "results", folder, "tiny")
    told = tiny_model.answer(
        tiny_model.tiny(folder), [tiny_model.request("plain"), tiny_model.request("<image_soft_token>?")]
    )
    assert told["plain", 0].finish != "error"
    assert told["<image_soft_token>?", 0].error == (
        "the prompt holds the token '<image_soft_token>', which the model has no embedding for"
    )


def test_an_adapter_whose_config_is_nested_without_end_names_no_base(harness: Call, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("[" * 50_000)
    (tmp_path / "adapter_model.safetensors").touch()
    code, said = harness("run", "--suite", "synth_easy", "--model", f"hf:{tmp_path}", "--results-dir", tmp_path / "r")
    assert (code, said.count("\n")) == (2, 1) and "adapter_config.json names no base model" in said
