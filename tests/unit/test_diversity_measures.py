"""Measures of diversity: the golden table, sacrebleu's own numbers, and what must hold for any texts."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import catalog
from harness.errors import DataError, UsageError
from harness.metrics.diversity import BLOCKS, Corpus, Measure, Tools, across, curve, deal, jackknife, within
from harness.metrics.diversity_embed import (
    DISPERSION,
    MAX_STEPS,
    STEP_DISPERSION,
    VENDI,
    StepVectors,
    dispersion,
    steps,
    vendi,
)
from harness.metrics.diversity_text import DISTINCT_1, DISTINCT_2, EAD, SELF_BLEU, ead, nearest_other, words
from harness.run.diversity import _settings
from harness.stats.distributions import t_quantile
from harness.types import Json

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "diversity.json").read_text(encoding="utf-8"))
TEXTUAL = (DISTINCT_1, DISTINCT_2, EAD, SELF_BLEU)


class Vectors:
    """An embedder of texts that are indexes into a table, or the bag of their letters."""

    def __init__(self, table: Sequence[Sequence[float]] | None = None) -> None:
        self._table = table

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if self._table is not None:
            return np.array([self._table[int(text)] for text in texts], dtype=np.float32)
        rows = np.zeros((len(texts), 27), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            row[26] = 1.0
            for letter in text.lower():
                if "a" <= letter <= "z":
                    row[ord(letter) - ord("a")] += 1.0
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def identity(self) -> dict[str, Json]:
        return {"embedder": "table" if self._table is not None else "letters"}


def value(measure: Measure, texts: Sequence[str], tools: Tools | None = None) -> float:
    """A measure of one set of texts."""
    tools = tools if tools is not None else Tools(embed=Vectors())
    return measure(texts, tools)(range(len(texts)))(np.ones(len(texts), dtype=bool))


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: str(case["name"]))
def test_golden(case: dict[str, Any]) -> None:
    measure = cast(Measure, catalog.load("diversity", case["measure"]))
    table = np.eye(case["orthogonal"]).tolist() if "orthogonal" in case else case.get("vectors")
    texts = case["texts"] if "texts" in case else [str(i) for i in range(len(table))]
    tools = Tools(embed=Vectors(table), vocabulary=case.get("vocabulary", 30_522))
    found = value(measure, texts, tools)
    if case["value"] is None:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(case["value"], abs=1e-6)


def test_every_measure_is_listed_under_its_own_name() -> None:
    for name in catalog.entries("diversity"):
        measure = catalog.load("diversity", name)
        assert isinstance(measure, Measure)
        assert measure.name == name
        assert measure.source


@pytest.mark.parametrize("tokenizer", ["13a", "zh", "intl", "char"])
def test_self_bleu_is_sacrebleus_sentence_bleu(tokenizer: str) -> None:
    import sacrebleu

    rng = random.Random(0)
    lexicon = ["the", "The", "cat", "sat", "on", "a", "mat", ",", ".", "3.5", "it's", "中文", "x", "\n", "&quot;"]
    for _ in range(60):
        texts = [" ".join(rng.choices(lexicon, k=rng.randint(1, 14))).strip() or "x" for _ in range(rng.randint(2, 7))]
        mask = np.array([rng.random() < 0.8 for _ in texts])
        kept = [text for text, keep in zip(texts, mask, strict=True) if keep]
        subset = SELF_BLEU(texts, Tools(bleu_tokenizer=tokenizer))(range(len(texts)))
        if len(kept) < 2:
            assert math.isnan(subset(mask))
            continue
        wanted = [
            sacrebleu.sentence_bleu(text, kept[:i] + kept[i + 1 :], tokenize=tokenizer).score
            for i, text in enumerate(kept)
        ]
        assert subset(mask) == pytest.approx(sum(wanted) / len(wanted) / 100, abs=1e-9)


text_lists = st.lists(st.text("abc d中.", min_size=1, max_size=12).filter(str.strip), min_size=2, max_size=6)


@given(text_lists, st.randoms(use_true_random=False))
def test_values_are_in_range_and_the_order_of_responses_does_not_matter(texts: list[str], rng: random.Random) -> None:
    shuffled = texts.copy()
    rng.shuffle(shuffled)
    for measure in (*TEXTUAL, DISPERSION, VENDI):
        here = value(measure, texts)
        assert math.isnan(here) or measure.low - 1e-9 <= here <= measure.high + 1e-9
        assert value(measure, shuffled) == pytest.approx(here, nan_ok=True)


@given(text_lists)
def test_saying_everything_twice_is_less_diverse(texts: list[str]) -> None:
    for measure in (*TEXTUAL, DISPERSION, VENDI):
        once, twice = value(measure, texts), value(measure, texts + texts)
        if math.isnan(once):
            continue
        gain = twice - once if measure.higher_is_more_diverse else once - twice
        assert gain <= 1e-6
    if not math.isnan(once := value(DISTINCT_1, texts)):
        assert value(DISTINCT_1, texts + texts) == pytest.approx(once / 2)
    assert value(SELF_BLEU, texts + texts) == pytest.approx(1.0)
    assert value(VENDI, texts + texts) == pytest.approx(value(VENDI, texts), abs=1e-5)


@given(text_lists, st.data())
def test_a_mask_is_the_same_as_a_smaller_set(texts: list[str], data: st.DataObject) -> None:
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))))
    kept = [text for text, keep in zip(texts, mask, strict=True) if keep]
    for measure in (*TEXTUAL, DISPERSION, VENDI, STEP_DISPERSION):
        subset = measure(texts, Tools(embed=Vectors()))(range(len(texts)))
        assert subset(mask) == pytest.approx(value(measure, kept) if kept else math.nan, nan_ok=True)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=9))
def test_nearest_other_length_is_sacrebleus(lengths: list[int]) -> None:
    wanted = [
        min((abs(other - own), other) for j, other in enumerate(lengths) if j != i)[1] for i, own in enumerate(lengths)
    ]
    assert nearest_other(np.array(lengths, dtype=np.int64)).tolist() == wanted


@given(st.integers(1, 60), st.integers(1, 1000))
def test_ead_is_one_for_what_is_expected_of_random_words(total: int, vocabulary: int) -> None:
    expected = vocabulary * (1 - ((vocabulary - 1) / vocabulary) ** total)
    assert ead(1, total, vocabulary) == pytest.approx(1 / expected, rel=1e-6)


def test_words_in_linear_time_on_hostile_text() -> None:
    assert len(words("a" * 200_000 + "中" * 100_000 + "\u0301" * 100_000)) == 100_002
    assert words("It's 3.5 über-großes 日本語 한국어 สวัสดี") == [
        *("it", "s", "3", "5", "über", "großes", "日", "本", "語", "한국어", "สวัสดี")
    ]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one", ["one"]),
        ("one\ntwo", ["one", "two"]),
        ("one\nmore\n\n two", ["one\nmore", "two"]),
        ("a\n \t\nb\r\n\r\nc", ["a", "b", "c"]),
        ("x\n\n" * 100, ["x"] * MAX_STEPS),
    ],
)
def test_steps(text: str, wanted: list[str]) -> None:
    assert steps(text) == wanted


def test_steps_are_compared_index_by_index() -> None:
    corpus = Corpus(("aa\n\nbb\n\ncc", "aa\n\ndd", "aa\n\nbb\n\ncc"), {"p": 3})
    found = curve(STEP_DISPERSION, corpus, Tools(embed=Vectors()))
    assert [point.n_samples for point in found] == [3, 3, 3]
    assert found[0].value == pytest.approx(1.0)
    assert found[1].value > 1.0
    assert found[2].value == pytest.approx(1.0)  # the response without a third step is left out
    overall = within(STEP_DISPERSION, corpus, STEP_DISPERSION(corpus.texts, Tools(embed=Vectors()))).estimate.value
    assert overall == pytest.approx(sum(point.value for point in found) / 3)


def test_steps_may_be_cut_by_another() -> None:
    class ByComma:
        def __call__(self, texts: Sequence[str]) -> list[list[str]]:
            return [[part for part in text.split(",") if part] for text in texts]

        def identity(self) -> dict[str, Json]:
            return {"steps": "commas"}

    tools = Tools(embed=Vectors(), cut=ByComma())
    found = curve(STEP_DISPERSION, Corpus(("aa,bb", "aa,dd", ""), {"p": 3}), tools)
    assert [round(point.value, 6) for point in found[:1]] == [1.0] and found[1].value > 1.0
    assert StepVectors([",", ""], tools).longest == 0
    settings = [_settings(measure, tools) for measure in (STEP_DISPERSION, DISPERSION)]
    assert ["steps" in one for one in settings] == [True, False]
    assert "steps" not in _settings(STEP_DISPERSION, Tools(embed=Vectors()))  # values kept before stay valid


def test_vectors_without_any_row() -> None:
    assert math.isnan(dispersion(np.empty((0, 3))))
    assert math.isnan(vendi(np.empty((0, 3))))


# --- forms and intervals ---------------------------------------------------------------------------------------------


def shares(name: str = "x") -> Measure:
    """A measure whose value is the mean of numbers written as texts: everything about it is known."""

    def prepare(texts: Sequence[str], tools: Tools) -> Any:
        numbers = np.array([float(text) for text in texts])
        return lambda indexes: lambda mask: float(numbers[list(indexes)][mask].mean()) if mask.any() else math.nan

    return Measure(name, prepare, -math.inf, math.inf, "a test")


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    rng = random.Random(1)
    numbers = [rng.gauss() for _ in range(BLOCKS)]
    corpus = Corpus(tuple(map(str, numbers)), {f"p{i}": 1 for i in range(BLOCKS)})
    found = across(shares(), corpus, shares()(corpus.texts, Tools())).estimate
    se = float(np.std(numbers, ddof=1)) / math.sqrt(BLOCKS)
    assert found.se == pytest.approx(se)
    assert found.high - found.value == pytest.approx(se * t_quantile(BLOCKS - 1))


def test_the_jackknife_covers_a_known_share_of_different_words() -> None:
    """Distinct-1 of random words: the interval of a set holds the mean over many sets of its size."""
    rng = random.Random(0)

    def draw() -> Corpus:
        texts = tuple(" ".join(str(rng.randint(0, 400)) for _ in range(8)) for _ in range(60))
        return Corpus(texts, {f"p{i}": 1 for i in range(60)})

    found = [across(DISTINCT_1, corpus, DISTINCT_1(corpus.texts, Tools())) for corpus in (draw() for _ in range(120))]
    truth = sum(scores.estimate.value for scores in found) / len(found)
    held = sum(scores.estimate.low <= truth <= scores.estimate.high for scores in found) / len(found)
    assert 0.88 <= held <= 1.0


def test_clusters_are_never_split_and_decide_the_interval_within() -> None:
    problems = [f"p{i}" for i in range(40)]
    clusters = {problem: f"c{i // 2}" for i, problem in enumerate(problems)}
    block_of, count = deal(problems, clusters)
    assert count == BLOCKS
    assert all(block_of[a] == block_of[b] for a, b in zip(problems[::2], problems[1::2], strict=True))
    texts = tuple(str(float(i // 2)) for i in range(40) for _ in range(2))
    sizes = {problem: 2 for problem in problems}
    alone, paired = Corpus(texts, sizes), Corpus(texts, sizes, clusters)
    assert (
        within(shares(), paired, shares()(texts, Tools())).estimate.se
        > within(shares(), alone, shares()(texts, Tools())).estimate.se
    )


def test_across_averages_the_jth_responses_while_half_of_the_prompts_have_one() -> None:
    corpus = Corpus(("1", "3", "9", "2", "4", "3"), {"a": 3, "b": 2, "c": 1})
    found = across(shares(), corpus, shares()(corpus.texts, Tools())).estimate
    assert found.value == pytest.approx((2.0 + 3.5) / 2)
    assert (found.n_problems, found.n_samples, found.counts["short"]) == (3, 5, 1)


def test_undefined_prompts_are_left_out_and_counted() -> None:
    corpus = Corpus(("a", "b", "a b", "a c", "x"), {"p": 2, "q": 2, "r": 1})
    found = within(DISTINCT_2, corpus, DISTINCT_2(corpus.texts, Tools())).estimate
    assert (found.value, found.n_problems) == (1.0, 1)
    assert dict(found.counts) == {"undefined": 1, "short": 1}
    assert not math.isfinite(found.se) or found.se == 0.0


def test_refusals() -> None:
    single, wordless = Corpus(("a", "b"), {"p": 1, "q": 1}), Corpus(("a", "b"), {"p": 2})
    with pytest.raises(UsageError, match=r"--n 4.*--form across"):
        within(DISTINCT_1, single, DISTINCT_1(single.texts, Tools()))
    with pytest.raises(DataError, match="undefined on every prompt"):
        within(DISTINCT_2, wordless, DISTINCT_2(wordless.texts, Tools()))
    with pytest.raises(UsageError, match="at least 2 prompts"):
        across(DISTINCT_1, wordless, DISTINCT_1(wordless.texts, Tools()))
    with pytest.raises(DataError, match="undefined on every set"):
        across(DISTINCT_2, single, DISTINCT_2(single.texts, Tools()))
    assert jackknife(np.array([1.0])) == (0.0, math.inf)
