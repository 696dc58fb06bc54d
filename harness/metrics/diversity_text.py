"""Repetition of words: distinct-n, its expectation-adjusted form, and self-BLEU.

Nothing here compares texts pairwise. A set of texts becomes arrays of n-gram numbers once; the value of a subset is
then a few passes over these arrays. For self-BLEU the clipped count of an n-gram over all *other* texts is its
largest count in the set, or the second largest for the text that holds the largest.

Words (for distinct-n): lower-cased runs of letters, digits, underscores and combining marks; every Han character and
kana is a word of its own, since these scripts write no spaces; everything else separates words. n-grams never run
from one response into the next.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt

from harness.metrics.diversity import Group, Mask, Measure, Subset, Tools
from harness.models.base import import_extra

Ids = npt.NDArray[np.int64]

_ALONE = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff"
"""Han ideographs, hiragana and katakana."""
_ORDERS = 4


@cache
def _word() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, 0x10000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    return re.compile(f"[{_ALONE}]|(?:(?![{_ALONE}])[\\w{re.escape(marks)}])+")


def words(text: str) -> list[str]:
    """The words of a text, lower-cased, as the module docstring says; linear time."""
    return _word().findall(text.lower())


def numbered(texts: Sequence[str], tokenise: Callable[[str], Sequence[str]]) -> list[Ids]:
    """Each text as the numbers of its tokens; equal tokens have equal numbers."""
    known: dict[str, int] = {}
    return [np.array([known.setdefault(t, len(known)) for t in tokenise(text)], dtype=np.int64) for text in texts]


def ngrams(rows: Sequence[Ids], order: int) -> tuple[Ids, npt.NDArray[np.intp]]:
    """All n-grams of some texts: (number of each occurrence, counting from 0, index of its text)."""
    lengths = np.array([len(row) for row in rows], dtype=np.intp)
    owners = np.repeat(np.arange(len(rows)), lengths)
    _, tokens = np.unique(np.concatenate([*rows, np.empty(0, dtype=np.int64)]), return_inverse=True)
    grams = tokens
    for ahead in range(1, order):
        # Pairs (number of the shorter n-gram, next token), renumbered each time: exact, and never overflows.
        size = max(len(tokens) - ahead, 0)
        pairs = grams[:size] * len(tokens) + tokens[ahead : ahead + size]
        _, grams = np.unique(pairs, return_inverse=True)
    inside = owners[: len(grams)] == owners[order - 1 : order - 1 + len(grams)]
    return grams[inside].astype(np.int64), owners[: len(grams)][inside]


def _distinct(order: int, value: Callable[[int, int, Tools], float]) -> Callable[[Sequence[str], Tools], Group]:
    """A measure that depends on how many n-grams a set has, and how many different ones."""

    def prepare(texts: Sequence[str], tools: Tools) -> Group:
        rows = numbered(texts, words)

        def group(indexes: Sequence[int]) -> Subset:
            grams, owners = ngrams([rows[i] for i in indexes], order)
            size = int(grams.max()) + 1 if len(grams) else 0

            def subset(mask: Mask) -> float:
                kept = grams[mask[owners]]
                if len(kept) == 0:
                    return math.nan
                different = int((np.bincount(kept, minlength=size) > 0).sum())
                return value(different, len(kept), tools)

            return subset

        return group

    return prepare


def ead(different: int, total: int, vocabulary: int) -> float:
    """Distinct words over the number expected of `total` draws from `vocabulary` equally likely ones.

    Liu et al. 2022 (arXiv 2202.13587): N / (V (1 - ((V - 1) / V)^C)). Can
    exceed 1 a little, since draws of equally likely words repeat by chance.
    """
    if vocabulary == 1:
        return float(different)
    return different / (-vocabulary * math.expm1(total * math.log1p(-1.0 / vocabulary)))


def _self_bleu(texts: Sequence[str], tools: Tools) -> Group:
    metrics = import_extra("sacrebleu.metrics", "self-BLEU", "judge")
    tokenizer = metrics.BLEU(tokenize=tools.bleu_tokenizer, effective_order=True).tokenizer
    rows = numbered(texts, lambda text: tokenizer(text.rstrip()).split())

    def group(indexes: Sequence[int]) -> Subset:
        chosen = [rows[i] for i in indexes]
        return _SelfBleu(chosen, metrics.BLEU.compute_bleu)

    return group


class _SelfBleu:
    """Sentence BLEU of each text of a set against all others, averaged: sacrebleu's smoothing "exp", effective order.

    Equal to `sacrebleu.sentence_bleu(text, others).score / 100` (a test holds it to that).
    """

    def __init__(self, rows: Sequence[Ids], compute: Callable[..., object]) -> None:
        self._lengths = np.array([len(row) for row in rows], dtype=np.int64)
        self._compute = compute
        self._orders = [_counted(rows, order) for order in range(1, _ORDERS + 1)]

    def __call__(self, mask: Mask) -> float:
        """Mean over the kept texts; NaN for fewer than two."""
        kept = np.flatnonzero(mask)
        if len(kept) < 2:
            return math.nan
        matched = [_matched(*counted, mask)[kept].tolist() for counted in self._orders]
        lengths = self._lengths[kept]
        nearest = nearest_other(lengths).tolist()
        scores = [
            self._compute(
                correct=[order[i] for order in matched],
                total=[max(length - n, 0) for n in range(_ORDERS)],
                sys_len=length,
                ref_len=nearest[i],
                smooth_method="exp",
                effective_order=True,
            ).score  # type: ignore[attr-defined]
            for i, length in enumerate(lengths.tolist())
        ]
        return min(1.0, float(np.mean(scores)) / 100.0)


def _counted(rows: Sequence[Ids], order: int) -> tuple[Ids, npt.NDArray[np.intp], Ids]:
    """(n-gram, text, count of it in that text), the highest count of each n-gram first."""
    grams, owners = ngrams(rows, order)
    size = int(grams.max()) + 1 if len(grams) else 1
    keys, counts = np.unique(owners * size + grams, return_counts=True)
    gram, owner = keys % size, keys // size
    ranked = np.lexsort((-counts, gram))
    return gram[ranked], owner[ranked], counts[ranked].astype(np.int64)


def _matched(gram: Ids, owner: npt.NDArray[np.intp], count: Ids, mask: Mask) -> Ids:
    """n-grams of each text that the other kept texts have too, clipped by their largest count there; shape [texts]."""
    keep = mask[owner]
    gram, owner, count = gram[keep], owner[keep], count[keep]
    first = np.ones(len(gram), dtype=bool)
    first[1:] = gram[1:] != gram[:-1]
    starts = np.flatnonzero(first)
    others = np.repeat(count[starts], np.diff(np.append(starts, len(gram))))
    # The text with the highest count of an n-gram is held against the runner-up, which stands right after it.
    second = np.append(starts[1:], len(gram)) > starts + 1
    others[starts] = np.where(second, count[np.minimum(starts + 1, max(len(count) - 1, 0))], 0)
    matches = np.bincount(owner, weights=np.minimum(count, others), minlength=len(mask))
    return matches.astype(np.int64)


def nearest_other(lengths: Ids) -> Ids:
    """For each of at least two lengths the closest among the others, the smaller one of two equally close."""
    order = np.argsort(lengths, kind="stable")
    ranked = lengths[order]
    before = np.concatenate((ranked[1:2], ranked[:-1]))  # the shortest has no predecessor: its successor twice
    after = np.concatenate((ranked[1:], ranked[-2:-1]))
    nearest = np.empty_like(lengths)
    nearest[order] = np.where(after - ranked < np.abs(ranked - before), after, before)
    return nearest


_LI = "Li et al. 2016, arXiv 1510.03055"
DISTINCT_1 = Measure("distinct-1", _distinct(1, lambda different, total, _: different / total), 0.0, 1.0, _LI)
DISTINCT_2 = Measure("distinct-2", _distinct(2, lambda different, total, _: different / total), 0.0, 1.0, _LI)
EAD = Measure(
    "ead",
    _distinct(1, lambda different, total, tools: ead(different, total, tools.vocabulary)),
    0.0,
    math.inf,
    "Liu et al. 2022, arXiv 2202.13587",
    needs="vocabulary",
)
SELF_BLEU = Measure(
    "self-bleu",
    _self_bleu,
    0.0,
    1.0,
    "Zhu et al. 2018, arXiv 1802.01886; BLEU by sacrebleu, Post 2018, arXiv 1804.08771",
    needs="sacrebleu",
    higher_is_more_diverse=False,
)
