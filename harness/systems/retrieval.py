"""What a system looks up for a question: the texts nearest to it, by words (BM25) or by meaning (embeddings).

BM25 (Robertson and Zaragoza 2009) with k1 1.5 and b 0.75: for each word of the question that a text has,
ln(1 + (N - n + 0.5) / (n + 0.5)) * f * (k1 + 1) / (f + k1 * (1 - b + b * length / mean length)), where n of the N texts
have the word, and this one f times. Words are those of `backends.records.contamination`.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from backends.records.contamination import words
from harness.errors import DataError
from harness.types import Json

if TYPE_CHECKING:
    from harness.metrics.diversity_embed import Embedder

By = Literal["bm25", "dense"]
K1, B = 1.5, 0.75


class Bm25:
    """Texts by the words that they share with a question."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts: dict[str, list[tuple[int, float]]] = defaultdict(list)
        """Word -> (text, weight) of the texts that have it."""
        counted = [Counter(words(text)) for text in texts]
        lengths = [counts.total() for counts in counted]
        mean = sum(lengths) / len(lengths) or 1.0
        for place, counts in enumerate(counted):
            norm = K1 * (1 - B + B * lengths[place] / mean)
            for word, count in counts.items():
                self._texts[word].append((place, count * (K1 + 1) / (count + norm)))
        self._size = len(texts)

    def scores(self, question: str) -> dict[int, float]:
        """Text -> score, of those that share a word with the question; each word of the question counts once."""
        found: dict[int, float] = defaultdict(float)
        for word in dict.fromkeys(words(question)):
            having = self._texts.get(word, [])
            rare = math.log(1 + (self._size - len(having) + 0.5) / (len(having) + 0.5))
            for place, weight in having:
                found[place] += rare * weight
        return found


class Library:
    """Texts to look up; loaded and counted once."""

    def __init__(self, texts: Sequence[str], by: By, embedder: str, what: str) -> None:
        """`what` names the texts in errors. Raises `DataError` for none, and what `Embedder` raises."""
        if not texts:
            raise DataError(f"{what} holds nothing that could be looked up")
        self._texts, self._same = list(texts), [words(text) for text in texts]
        self._bm25 = Bm25(texts) if by == "bm25" else None
        self._embed: Embedder | None = None
        self._alone = asyncio.Lock()
        if by == "dense":
            from harness.metrics.diversity_embed import Embedder

            self._embed = Embedder(embedder)

    def identity(self) -> dict[str, Json]:
        """What decides what is found."""
        return {"bm25": [K1, B]} if self._embed is None else dict(self._embed.identity())

    async def nearest(self, question: str, most: int) -> list[int]:
        """Places of the texts nearest to the question, nearest first, of equals the earlier.

        By words, those that share none are not near at all. A text that is the question itself is left out: its answer
        would be this question's.
        """
        asked = words(question)
        scores = await self._scores(question)
        near = sorted((-score, place) for place, score in scores.items() if self._same[place] != asked)
        return [place for _, place in near[:most]]

    async def _scores(self, question: str) -> dict[int, float]:
        if self._bm25 is not None:
            return self._bm25.scores(question)
        async with self._alone:
            return await asyncio.to_thread(self._cosines, question)

    def _cosines(self, question: str) -> dict[int, float]:
        import numpy as np

        assert self._embed is not None
        rows = self._embed([*self._texts, question])
        unit = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return {place: float(value) for place, value in enumerate(unit[:-1] @ unit[-1])}
