"""NLI diversity: do the responses contradict each other, or does one follow from the other?

1/2 (1 + mean over ordered pairs i != j of P(contradiction) - P(entailment)): 0.5 if all pairs are neutral, 1 if all
contradict, 0 if all entail. Class probabilities instead of labels are the "confidence" version of Stasaski and Hearst
2022 (arXiv 2205.01497), rescaled to [0, 1].

Which output of a model means what is read from its own label names: two popular models order their labels differently,
and a wrong order turns the score upside down without any sign of it. A model that only says LABEL_0 is refused unless
the user says the order.
"""

from __future__ import annotations

import math
import random
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from harness.errors import ConfigError, ModelError, UsageError
from harness.metrics.diversity import Group, Mask, Measure, Subset, Tools
from harness.models.base import import_extra
from harness.models.hf_source import Dtype, find_source, resolve_dtype
from harness.stats.standard_errors import Array
from harness.types import Json

MEANINGS = ("contradiction", "neutral", "entailment")
_STEMS = ("contradict", "neutral", "entail")  # "not_entailment" starts with none of them
WINDOW = 512
"""Most tokens of a pair, as the published measure has it."""
SENTENCES = 5
"""Sentences that stand for a response which would not fit beside another one."""
_SEED = 0
_BATCH = 32
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n+")


def label_indexes(names: Mapping[int, str], order: Sequence[str] | None = None) -> dict[str, int]:
    """Index of "contradiction", "neutral" and "entailment" among a model's outputs.

    `names` is the model's own index -> label. `order` is what the user says about a model that only has LABEL_0 and so
    on; it may not contradict names that do say something. Raises `ConfigError` where the three cannot be told apart.
    """
    shown = ", ".join(f"{index} {name!r}" for index, name in sorted(names.items()))
    if len(names) != len(MEANINGS):
        raise ConfigError(
            f"the NLI model has {len(names)} labels ({shown}); it needs exactly contradiction, neutral and entailment"
        )
    found: dict[str, int] = {}
    for index, name in names.items():
        plain = re.sub(r"[^a-z]", "", name.lower())
        for meaning, stem in zip(MEANINGS, _STEMS, strict=True):
            if plain.startswith(stem):
                found[meaning] = index
    said = {meaning: index for index, meaning in enumerate(order)} if order is not None else None
    if said is not None and set(said) != set(MEANINGS):
        raise ConfigError(
            f"--nli-labels wants {','.join(MEANINGS)} in the model's own order, not {','.join(order or ())}"
        )
    if len(found) == len(MEANINGS):
        if said is not None and said != found:
            raise ConfigError(f"--nli-labels contradicts the model's own label names ({shown}): leave it out")
        return found
    if said is None:
        raise ConfigError(
            f"the NLI model's labels ({shown}) do not say which is which: look the order up on its card and give it as "
            "--nli-labels contradiction,neutral,entailment"
        )
    if any(said[meaning] != index for meaning, index in found.items()):
        raise ConfigError(f"--nli-labels contradicts the model's own label names ({shown})")
    return said


class NliModel:
    """A transformers sequence-classification model as a scorer of (premise, hypothesis) pairs.

    Raises `MissingExtra`, `PrerequisiteError` or `ModelError` as the hf engine does, `ConfigError` for labels that do
    not say what they mean.
    """

    def __init__(
        self,
        name: str,
        *,
        labels: Sequence[str] | None = None,
        dtype: Dtype = "auto",
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """`name`: folder or hub id, with or without "hf:". `progress` is told how many pairs have been read."""
        self._torch = import_extra("torch", "NLI diversity", "hf")
        library = import_extra("transformers", "NLI diversity", "hf")
        library.utils.logging.disable_progress_bar()
        source = find_source(name.removeprefix("hf:"))
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self.dtype = resolve_dtype(dtype, self._device != "cpu")
        try:
            config = library.AutoConfig.from_pretrained(**source.asked())
            self._index = label_indexes({int(i): str(label) for i, label in config.id2label.items()}, labels)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other libraries' notes about their own defaults
                self._tokenizer: Any = library.AutoTokenizer.from_pretrained(**source.asked())
                self._model: Any = library.AutoModelForSequenceClassification.from_pretrained(
                    **source.asked(), dtype=getattr(self._torch, self.dtype)
                )
        except (OSError, ValueError) as error:
            raise ModelError(f"{name!r} does not load as an NLI model: {error}") from error
        self._model = self._model.to(self._device).eval()
        longest = getattr(config, "max_position_embeddings", None) or WINDOW
        self.window = min(WINDOW, int(longest), int(self._tokenizer.model_max_length))
        self._progress = progress
        self._done = 0
        self._identity: dict[str, Json] = {
            "nli": name.removeprefix("hf:"),
            "fingerprint": source.fingerprint,
            "revision": source.revision,
            "labels": dict(self._index),
            "dtype": self.dtype,
        }

    def identity(self) -> dict[str, Json]:
        """What decides the probabilities."""
        return self._identity

    def shorten(self, text: str) -> str:
        """The text, or `SENTENCES` of its sentences, drawn by a seed of the text, if it fills over half the window."""
        if len(self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]) <= self.window // 2 - 2:
            return text
        return sampled_sentences(text)

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Array:
        """P(contradiction) and P(entailment) of each (premise, hypothesis), shape [pairs, 2]."""
        distinct = sorted(set(pairs), key=lambda pair: (len(pair[0]) + len(pair[1]), pair))
        found: dict[tuple[str, str], tuple[float, float]] = {}
        for start in range(0, len(distinct), _BATCH):
            batch = distinct[start : start + _BATCH]
            inputs = self._tokenizer(
                [premise for premise, _ in batch],
                [hypothesis for _, hypothesis in batch],
                truncation="longest_first",
                max_length=self.window,
                padding=True,
                return_tensors="pt",
            ).to(self._device)
            with self._torch.inference_mode():
                shares = self._model(**inputs).logits.float().softmax(-1).cpu().numpy()
            against, follows = shares[:, self._index["contradiction"]], shares[:, self._index["entailment"]]
            found.update(zip(batch, zip(against.tolist(), follows.tolist(), strict=True), strict=True))
        self._done += len(pairs)
        if self._progress is not None:
            self._progress(self._done)
        return np.array([found[pair] for pair in pairs], dtype=np.float64).reshape(-1, 2)


def sampled_sentences(text: str) -> str:
    """`SENTENCES` sentences of a text in their order, drawn without replacement; the same ones for the same text."""
    sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
    if len(sentences) <= SENTENCES:
        return text
    chosen = sorted(random.Random(text).sample(range(len(sentences)), SENTENCES))
    return " ".join(sentences[i] for i in chosen)


def ordered_pairs(size: int, most: int) -> list[tuple[int, int]]:
    """All ordered pairs of different indexes below `size`, or `most` of them drawn without replacement."""
    total = size * (size - 1)
    numbers = range(total) if total <= most else sorted(random.Random(_SEED).sample(range(total), most))
    return [
        (number // (size - 1), (other := number % (size - 1)) + (other >= number // (size - 1))) for number in numbers
    ]


def _nli(texts: Sequence[str], tools: Tools) -> Group:
    if tools.entail is None:
        raise UsageError("nli needs a model: name a sequence-classification model with --nli hf:<folder or hub id>")
    entail = tools.entail
    short = {text: entail.shorten(text) for text in dict.fromkeys(texts)}

    def group(indexes: Sequence[int]) -> Subset:
        pairs = ordered_pairs(len(indexes), tools.nli_pairs)
        shares = entail([(short[texts[indexes[i]]], short[texts[indexes[j]]]) for i, j in pairs])
        gaps = shares[:, 0] - shares[:, 1]
        first = np.array([i for i, _ in pairs], dtype=np.intp)
        second = np.array([j for _, j in pairs], dtype=np.intp)

        def subset(mask: Mask) -> float:
            kept = gaps[mask[first] & mask[second]]
            return 0.5 * (1.0 + float(kept.mean())) if len(kept) else math.nan

        return subset

    return group


NLI = Measure("nli", _nli, 0.0, 1.0, "Stasaski and Hearst 2022, arXiv 2205.01497", needs="nli")
