"""The tiny student: a tokenizer that loses nothing, data without test questions, a training that is the same twice."""

from __future__ import annotations

import dataclasses
import functools
import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("transformers", reason="needs the extra hf")

import torch
import transformers

from backends.records.segments import Encoder, tokenise
from backends.records.synth import synth_records
from harness.errors import ConfigError, PrerequisiteError
from harness.models import load_model
from harness.models.hf import HfModel
from harness.models.tiny import TINY12M, _train, tiny_student
from harness.models.tiny_pretrain import UNTHINKING, Recipe, pretrain, sequences
from harness.models.tiny_tokenizer import VOCABULARY, tiny_tokenizer
from harness.synth import INSTRUCTION, generate
from tests.tiny_model import answer, request, write_model

tokenizer = functools.cache(tiny_tokenizer)
"""One for all tests that are not about how it is made: its merges are learnt anew by each call."""
SMALL = Recipe(
    hidden=16,
    layers=1,
    heads=2,
    mlp=16,
    mix={("arithmetic", 1): 40, ("word", 2): 24},
    batch=8,
    other_rate=0.05,
    warm_up=2,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on matrices this small only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ids(text: str) -> list[int]:
    found: list[int] = tokenizer()(text, add_special_tokens=False)["input_ids"]
    return found


def pieces(text: str) -> list[str]:
    return [tokenizer().decode([token]) for token in ids(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Let x = 12,345.67 – naïve “quotes”,\n\n\tif n>=0: return 数学   # \U0001f600 <think>\r\n",
        " ٣½ 007 1234567890123 __init__ </think></think>",
        "".join(map(chr, range(0x20, 0x250))),
    ],
)
def test_any_text_comes_back(text: str) -> None:
    assert tokenizer().decode(ids(text)) == text


def test_any_bytes_that_are_text_come_back() -> None:
    draw = random.Random(0)
    for _ in range(200):
        text = "".join(chr(draw.choice((draw.randrange(0x80), draw.randrange(0xD800)))) for _ in range(20))
        assert tokenizer().decode(ids(text)) == text


def test_words_numbers_and_tags_are_one_token_each() -> None:
    assert pieces("<think>\nThere are 3 * 14 = 42 sunflowers.\n</think>") == [
        "<think>", "\n", "There", " are", " 3", " *", " 14", " =", " 42", " sunflowers", ".", "\n", "</think>"
    ]  # fmt: skip
    assert all(len(ids(f"{before}{n}")) == 1 + bool(before == "(") for n in range(100) for before in ("", " ", "("))


def test_large_numbers_are_pairs_from_the_right() -> None:
    assert pieces(" 1234") == [" 12", "34"]
    assert pieces(" 105") == [" 1", "05"]
    assert pieces("12345") == ["1", "23", "45"]


def test_it_is_the_same_every_time() -> None:
    again = tiny_tokenizer()
    assert again.get_vocab() == tokenizer().get_vocab()
    assert again.backend_tokenizer.to_str() == tokenizer().backend_tokenizer.to_str()


@pytest.mark.parametrize("style", ["short", "plain", "long"])
def test_records_of_the_world_are_encoded_with_their_segments(style: str) -> None:
    records = synth_records(0, 20, style=style)  # type: ignore[arg-type]
    encoder = Encoder(tokenizer(), 1024)
    data = tokenise(encoder, records, need_split=True)
    assert not data.left_out and len(data.examples) == 100
    [sequence] = data.examples[0].sequences
    runs = encoder.runs(sequence)
    assert runs[0] == ("prompt", f"<|user|>{records[0].prompt[0].content}<|assistant|>")
    assert runs[-1] == ("answer", f"</think>\nThe answer is {records[0].gold}.<|end|>")


def test_what_it_is_taught_has_no_test_question_and_both_habits() -> None:
    recipe = dataclasses.replace(SMALL, mix={("arithmetic", 1): 700, ("word", 2): 300}, wrong=0.3)
    decode = tokenizer().decode
    texts = [(decode(row[:cut]), decode(row[cut:])) for row, cut in sequences(recipe, tokenizer())]
    questions = {prompt.removeprefix("<|user|>").partition("\n\n")[0] for prompt, _ in texts}
    test = {problem.question for level in (1, 2) for problem in generate(0, level, 150, "test")}
    assert len(texts) == 1000 and not questions & test
    assert all(prompt.endswith(f"\n\n{INSTRUCTION}<|assistant|>") for prompt, _ in texts)
    assert all(said.startswith("<think>\n") != (f"<|user|>{UNTHINKING}" in prompt) for prompt, said in texts)
    assert 0.2 < sum("Check:" not in said for _, said in texts) / 1000 < 0.4, "wrong chains are not checked"
    assert all(said.endswith(".<|end|>") for _, said in texts)


def test_training_twice_gives_the_same_model_and_leaves_the_random_state_alone() -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first, second = pretrain(SMALL, tokenizer()).state_dict(), pretrain(SMALL, tokenizer()).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = pretrain(dataclasses.replace(SMALL, seed=1), tokenizer()).state_dict()
    assert not torch.equal(first["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_training_lowers_the_loss_of_every_chain() -> None:
    rows = sequences(SMALL, tokenizer())[:8]

    def loss(model: Any) -> float:
        with torch.no_grad():
            return sum(
                float(model(input_ids=torch.tensor([row]), labels=torch.tensor([[-100] * cut + row[cut:]])).loss)
                for row, cut in rows
            ) / len(rows)

    recipe = dataclasses.replace(SMALL, mix={("arithmetic", 1): 8, ("word", 2): 8}, batch=16)
    assert loss(pretrain(SMALL, tokenizer())) < loss(pretrain(recipe, tokenizer())) - 0.3


def test_other_rows_can_be_taught_in_place_of_its_own() -> None:
    own = sequences(SMALL, tokenizer())
    given, other = pretrain(SMALL, tokenizer(), own).state_dict(), pretrain(SMALL, tokenizer(), own[::-1]).state_dict()
    plain = pretrain(SMALL, tokenizer()).state_dict()
    assert all(torch.equal(plain[name], given[name]) for name in plain)
    assert not all(torch.equal(plain[name], other[name]) for name in plain)


def test_it_is_made_with_the_same_number_of_threads_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    seen = []

    def made(recipe: Recipe, given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return pretrain(dataclasses.replace(recipe, mix={("arithmetic", 1): 8}), given)

    monkeypatch.setattr("harness.models.tiny.pretrain", made)
    monkeypatch.setattr("harness.models.tiny.tiny_tokenizer", tokenizer)
    tiny_student(SMALL)
    assert seen == [2] and torch.get_num_threads() == 1


def test_the_checkpoint_is_made_once_and_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("harness.models.tiny._THREADS", 1)
    folder = tiny_student(SMALL)
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert folder.parent == tmp_path and [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]
    assert tiny_student(SMALL) == folder and (folder / "model.safetensors").stat().st_mtime_ns == made
    assert tiny_student.__defaults__ == (None,)
    monkeypatch.setattr("harness.models.tiny.Recipe", lambda: SMALL)
    model = load_model("tiny", {"device": "cpu"})
    assert isinstance(model, HfModel) and model.dtype == "float32" and str(tmp_path) not in str(model.describe())
    assert answer(model, [request("What is 2 + 3?", max_tokens=4)])["What is 2 + 3?", 0].tokens_out


def test_another_recipe_is_another_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("harness.models.tiny._train", lambda recipe, name, folder: folder.mkdir())
    assert tiny_student(SMALL) != tiny_student(dataclasses.replace(SMALL, seed=1)) != tiny_student()


def test_a_training_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path))
    monkeypatch.delattr("torch.optim.Muon")
    monkeypatch.setattr("harness.models.tiny.tiny_tokenizer", tokenizer)
    with pytest.raises(PrerequisiteError, match=r"torch .* lacks"):
        tiny_student(SMALL)
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


def test_a_cache_that_cannot_be_written_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "file"))
    with pytest.raises(PrerequisiteError, match="HARNESS_CACHE_DIR"):
        tiny_student(SMALL)


@pytest.mark.parametrize(("spec", "options"), [("tiny:big", {}), ("tiny", {"revision": "main"})])
def test_what_makes_no_sense_is_refused(spec: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="tiny"):
        load_model(spec, options)


def test_the_folder_s_name_is_part_of_stored_runs_and_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a hash over how the recipe prints, its class's name included."""
    monkeypatch.setattr("harness.models.tiny.made_once", lambda name, make, megabytes: Path(name))
    assert str(tiny_student()) == "tiny-fd3f30cfc6ca"


def test_the_sibling_has_a_name_a_place_and_a_message_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[str, int]] = []

    def made(name: str, make: Any, megabytes: int) -> Path:
        seen.append((name, megabytes))
        return write_model(tmp_path / name)

    monkeypatch.setattr("harness.models.tiny.made_once", made)
    model = load_model("tiny12m", {"device": "cpu"})
    assert isinstance(model, HfModel) and model.name == "tiny12m" and model.dtype == "float32"
    assert [(name.partition("-")[0], size) for name, size in seen] == [("tiny12m", 60)]
    assert model.describe()["model"] == seen[0][0]
    with pytest.raises(ConfigError, match="tiny12m"):
        load_model("tiny12m:big", {})
    monkeypatch.setattr(
        "harness.models.tiny.pretrain", lambda recipe, _: SimpleNamespace(save_pretrained=lambda _: None)
    )
    monkeypatch.setattr("harness.models.tiny.tiny_tokenizer", lambda: SimpleNamespace(save_pretrained=lambda _: None))
    _train(TINY12M, "tiny12m", tmp_path)
    assert "tiny12m once, about ten minutes" in capsys.readouterr().err


def test_the_sibling_has_twelve_million_parameters() -> None:
    with torch.device("meta"):
        config = transformers.LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=TINY12M.hidden,
            intermediate_size=TINY12M.mlp,
            num_hidden_layers=TINY12M.layers,
            num_attention_heads=TINY12M.heads,
            tie_word_embeddings=True,
        )
        model = transformers.LlamaForCausalLM(config)
    assert 11_500_000 < model.num_parameters() < 12_500_000
