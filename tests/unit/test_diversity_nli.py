"""NLI diversity: contradicting > neutral > entailing, by a scripted scorer and by a real (tiny, trained) model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from harness.errors import ConfigError, ModelError, UsageError
from harness.metrics.diversity import Corpus, Tools, across, within
from harness.metrics.diversity_nli import MEANINGS, NLI, label_indexes, ordered_pairs, sampled_sentences
from harness.stats.standard_errors import Array
from harness.types import Json

CONTRADICTING, NEUTRAL, ENTAILING = ("yes", "no"), ("maybe", "rain"), ("yes", "yes")


class Scripted:
    """Says what a perfect model would of "yes", "no", "maybe" and "rain"; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Array:
        self.asked += pairs
        return np.array([(1.0, 0.0) if {a, b} == {"yes", "no"} else (0.0, float(a == b)) for a, b in pairs])

    def identity(self) -> Mapping[str, Json]:
        return {"nli": "scripted"}

    def shorten(self, text: str) -> str:
        return sampled_sentences(text)


def score(texts: Sequence[str], tools: Tools) -> float:
    return NLI(texts, tools)(range(len(texts)))(np.ones(len(texts), dtype=bool))


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (CONTRADICTING, 1.0),
        (NEUTRAL, 0.5),
        (ENTAILING, 0.0),
        (("yes", "no", "maybe"), 0.5 * (1 + 2 / 6)),
        (("yes", "yes", "no", "no"), 0.5 * (1 + (8 - 4) / 12)),
    ],
)
def test_contradiction_is_diversity(texts: tuple[str, ...], wanted: float) -> None:
    assert score(texts, Tools(entail=Scripted())) == pytest.approx(wanted)


def test_every_ordered_pair_once_and_sampled_beyond_the_limit() -> None:
    assert sorted(ordered_pairs(4, 12)) == [(i, j) for i in range(4) for j in range(4) if i != j]
    drawn = ordered_pairs(1000, 256)
    assert len(set(drawn)) == 256
    assert all(i != j and 0 <= j < 1000 for i, j in drawn)
    assert drawn == ordered_pairs(1000, 256)
    assert ordered_pairs(1, 256) == []
    scorer = Scripted()
    score(["yes"] * 16, Tools(entail=scorer))
    assert len(scorer.asked) == 240


def test_both_forms() -> None:
    corpus = Corpus(("yes", "yes", "no", "no", "yes", "yes"), {"a": 2, "b": 2, "c": 2})
    group = NLI(corpus.texts, Tools(entail=Scripted()))
    assert within(NLI, corpus, group).estimate.value == 0.0
    assert across(NLI, corpus, group).estimate.value == pytest.approx(0.5 * (1 + (4 - 2) / 6))


def test_a_long_response_is_five_of_its_sentences_in_order() -> None:
    text = " ".join(f"Sentence {i:02d} ends." for i in range(40))
    short = sampled_sentences(text)
    numbers = [int(part[9:11]) for part in short.split(". ")]
    assert len(numbers) == 5
    assert numbers == sorted(numbers)
    assert short == sampled_sentences(text)
    assert sampled_sentences("One. Two.") == "One. Two."
    assert len(sampled_sentences("。".join("一二三四五六七八")).split()) == 5


@pytest.mark.parametrize(
    ("names", "order", "wanted"),
    [
        (["CONTRADICTION", "NEUTRAL", "ENTAILMENT"], None, [0, 1, 2]),
        (["entailment", "neutral", "contradiction"], None, [2, 1, 0]),
        (["contradiction", "entailment", "neutral"], None, [0, 2, 1]),
        (["entails", "neutral", "contradicts"], None, [2, 1, 0]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["entailment", "neutral", "contradiction"], [2, 1, 0]),
        (["LABEL_0", "LABEL_1", "LABEL_2"], None, "card"),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["entail", "neutral", "contradiction"], "own order"),
        (["entailment", "not_entailment"], None, "2 labels"),
        (["negative", "neutral", "positive"], None, "card"),
        (["contradiction", "neutral", "entailment"], ["entailment", "neutral", "contradiction"], "contradicts"),
        (["LABEL_0", "neutral", "LABEL_2"], ["neutral", "entailment", "contradiction"], "contradicts"),
        (["entailment", "entailment", "neutral"], None, "card"),
    ],
)
def test_labels_are_read_by_name(names: list[str], order: list[str] | None, wanted: list[int] | str) -> None:
    if isinstance(wanted, str):
        with pytest.raises(ConfigError, match=wanted):
            label_indexes(dict(enumerate(names)), order)
        return
    found = label_indexes(dict(enumerate(names)), order)
    assert [found[meaning] for meaning in MEANINGS] == wanted


def test_no_model() -> None:
    with pytest.raises(UsageError, match="--nli hf:"):
        score(ENTAILING, Tools())


def tiny_model(folder: Path, labels: Sequence[str], *, train: bool) -> str:
    """A one-layer BERT over six words, with labels in the given order, taught what `Scripted` says."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "yes", "no", "maybe", "rain"]
    backend = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokens),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    model = BertForSequenceClassification(config)
    if train:
        said = tokens[4:]
        pairs = [(a, b) for a in said for b in said]
        index = {label.lower(): i for i, label in enumerate(labels)}
        shares = Scripted()(pairs)
        wanted = torch.tensor(
            [index["contradiction"] if c else index["entailment"] if e else index["neutral"] for c, e in shares]
        )
        inputs = tokenizer([a for a, _ in pairs], [b for _, b in pairs], return_tensors="pt")
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
        model.train()
        for _ in range(1000):
            optimiser.zero_grad()
            loss = model(**inputs, labels=wanted).loss
            loss.backward()
            optimiser.step()
            if loss.item() < 0.01:
                break
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "labels", [("contradiction", "neutral", "entailment"), ("ENTAILMENT", "NEUTRAL", "CONTRADICTION")]
)
def test_a_real_model_in_either_label_order(tmp_path: Path, labels: tuple[str, ...]) -> None:
    from harness.metrics.diversity_nli import NliModel

    folder = tiny_model(tmp_path / "nli", labels, train=True)
    model = NliModel(f"hf:{folder}", dtype="float32")
    assert model.window == 64
    against, neutral, follows = (score(texts, Tools(entail=model)) for texts in (CONTRADICTING, NEUTRAL, ENTAILING))
    assert against > 0.9 > neutral > 0.4 > 0.1 > follows
    long = " ".join(["yes ."] * 500)
    assert score([long, "no"], Tools(entail=model)) >= 0.0  # sampled and truncated, not refused
    assert len(model.shorten(long)) < len(long)
    assert model.shorten("yes") == "yes"


@pytest.mark.slow
def test_models_that_cannot_be_used(tmp_path: Path) -> None:
    from harness.metrics.diversity_nli import NliModel

    nameless = tiny_model(tmp_path / "nameless", ("LABEL_0", "LABEL_1", "LABEL_2"), train=False)
    with pytest.raises(ConfigError, match="--nli-labels"):
        NliModel(nameless)
    assert NliModel(nameless, labels=MEANINGS).identity()["labels"] == {name: i for i, name in enumerate(MEANINGS)}
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "config.json").write_text("{}")
    (broken / "model.safetensors").write_text("no weights")
    with pytest.raises(ModelError, match="does not load"):
        NliModel(str(broken))
