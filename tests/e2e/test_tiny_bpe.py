"""A real pair of two vocabularies: `tiny_bpe`'s tokenizer, and `uld` and `gold` from it to a model on `tiny`'s."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("transformers", reason="needs the extra hf")

import torch

from backends.config import Runtime, TrainConfig
from backends.train import train
from harness.errors import ConfigError
from harness.models import load_model
from harness.models.tiny import tiny_student
from harness.models.tiny_bpe import bpe_tokenizer, tiny_bpe
from harness.models.tiny_pretrain import Recipe

TEXTS = (
    "Jack buys 3 notebooks for 18 dollars each.\n<think>\n3 * 18 = 54.\n</think>\nThe answer is 54.",
    "Let x = 12,345.67 – naïve “quotes”,\n\n\tif n>=0: return 数学   # \U0001f600 </s> \r\n",
)
MIX = {("arithmetic", 1): 160, ("word", 1): 160}
SMALL = Recipe(hidden=32, layers=1, heads=2, mlp=32, mix=MIX, batch=8, other_rate=0.03, warm_up=2)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The folders of a small teacher on one tokenizer and of a smaller student on the other."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("harness.models.tiny._THREADS", 1)
        yield tiny_bpe(SMALL), tiny_student(Recipe(hidden=16, layers=1, heads=2, mlp=16, mix={("arithmetic", 1): 8}))
    torch.set_num_threads(threads)


def trained(method: str, student: Path, teacher: Path, results: Path, **options: str) -> list[dict[str, float]]:
    settings = {"batch_size": 8, "micro_batch": 8, "max_steps": 12, "learning_rate": 1e-2, "scheduler": "constant"}
    config = TrainConfig(
        method=method,
        student=f"hf:{student}",
        data="synth:levels=1,per_level=48,style=long",
        teacher=f"hf:{teacher}",
        options=options,
        settings=settings | {"warmup": 0.0, "lora_rank": None},  # type: ignore[arg-type]
        max_length=512,
    )
    train(config, results, Runtime(logging_steps=1))
    (path,) = results.glob("models/*/metrics.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_in_other_pieces_than_tinys(text: str, pair: tuple[Path, Path]) -> None:
    import transformers

    ours, theirs = (transformers.AutoTokenizer.from_pretrained(folder) for folder in pair)
    ids = ours(text.replace("</s>", ""), add_special_tokens=False)["input_ids"]
    assert ours.decode(ids) == text.replace("</s>", "")
    pieces = [[one.decode([number]) for number in one(text)["input_ids"]] for one in (ours, theirs)]
    assert pieces[0] != pieces[1] and len(pieces[0]) > len(pieces[1])
    assert all(len(piece.strip()) == 1 for piece in pieces[0] if piece.strip().isdigit())
    assert ours.eos_token != theirs.eos_token and ours.chat_template != theirs.chat_template


def test_its_vocabulary_is_the_same_every_time(pair: tuple[Path, Path]) -> None:
    import transformers

    stored = transformers.AutoTokenizer.from_pretrained(pair[0]).get_vocab()
    assert stored == bpe_tokenizer().get_vocab() and len(stored) == 640


@pytest.mark.parametrize(
    ("method", "options"), [("uld", {}), ("uld", {"alignment": "bytes"}), ("gold", {"lam": "0"})], ids=str
)
def test_the_loss_falls_with_a_teacher_of_another_vocabulary(
    method: str, options: dict[str, str], pair: tuple[Path, Path], tmp_path: Path
) -> None:
    rows = trained(method, pair[1], pair[0], tmp_path, **options)
    first, last = rows[:3], rows[-3:]
    for name in ("loss", "distance"):
        assert sum(row[name] for row in last) < sum(row[name] for row in first), name
    assert all(row["unread"] == 0 for row in rows)


@pytest.mark.parametrize("method", ["uld", "gold"])
def test_identical_models_give_0(method: str, pair: tuple[Path, Path], tmp_path: Path) -> None:
    options = {"lam": "0"} if method == "gold" else {"alignment": "bytes"}
    assert trained(method, pair[0], pair[0], tmp_path, **options)[0]["distance"] == pytest.approx(0.0, abs=1e-6)


def test_a_name_behind_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="tiny_bpe"):
        load_model("tiny_bpe:big", {})
