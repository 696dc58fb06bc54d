"""Diversity of the responses to the same prompts: within a prompt and across prompts, with intervals.

Two questions that are often mixed up:

*within*  how different are the n responses to one prompt? One value per prompt, averaged over prompts, with the
          clustered Student interval of that mean. Needs at least two responses per prompt.
*across*  how different are the responses to different prompts? The j-th responses of all prompts are one set; one
          value per set, averaged over j. Its interval is a delete-a-group jackknife over prompts: prompts (whole
          clusters) are dealt into at most `BLOCKS` groups by a fixed seed, the value is computed without each group,
          and se^2 = (G - 1) / G * sum of squared deviations of these G values (Kott 2001, J. Off. Stat. 17(4)), with
          Student's quantile for G - 1 degrees of freedom. No resampled set holds a response twice, which for a
          measure of repetition would count as a repetition.

A `Measure` (catalog kind "diversity") turns all texts into one function of a set of them, doing what is slow
(tokenising, embedding) once per text. Graded answers have their own metrics in `diversity_answers` and `passk`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from harness.errors import DataError, UsageError
from harness.stats.distributions import t_quantile
from harness.stats.standard_errors import Array, mean_interval
from harness.types import Estimate, Json

Form = Literal["within", "across"]
FORMS: tuple[Form, ...] = ("within", "across")
Mask: TypeAlias = npt.NDArray[np.bool_]
Subset: TypeAlias = "Callable[[Mask], float]"
"""Value of the responses of one set that a mask keeps; NaN where it is undefined."""
Group: TypeAlias = "Callable[[Sequence[int]], Subset]"
"""Indexes into the texts -> the value on any subset of them."""

BLOCKS = 20
"""Groups of prompts that the jackknife leaves out in turn."""
_BLOCK_SEED = 0


class Embed(Protocol):
    """Texts to vectors; each distinct text is embedded once in the life of the object."""

    def __call__(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """One row per text, shape [texts, dimensions]."""

    def identity(self) -> Mapping[str, Json]:
        """What decides the vectors."""


class Entail(Protocol):
    """A natural-language-inference model."""

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Array:
        """P(contradiction) and P(entailment) of each (premise, hypothesis), shape [pairs, 2]."""

    def identity(self) -> Mapping[str, Json]:
        """What decides the probabilities."""

    def shorten(self, text: str) -> str:
        """A text that fits beside another one of its kind into the model's window."""


class Cut(Protocol):
    """Cuts texts into their steps."""

    def __call__(self, texts: Sequence[str]) -> list[list[str]]:
        """The steps of each text, in order."""

    def identity(self) -> Mapping[str, Json]:
        """What decides the steps."""


@dataclass(frozen=True)
class Tools:
    """What measures may need besides the texts."""

    embed: Embed | None = None
    entail: Entail | None = None
    cut: Cut | None = None
    """What cuts a response into steps; None: its paragraphs."""
    bleu_tokenizer: str = "13a"
    """sacrebleu's name of the tokenizer for self-BLEU; "zh" splits Chinese text into characters."""
    vocabulary: int = 30_522
    """V of the expectation-adjusted distinct: a constant, so that values of different runs can be compared."""
    nli_pairs: int = 256
    """Most ordered pairs of one set that the NLI model reads: all pairs of 16 responses; larger sets are sampled."""


@dataclass(frozen=True)
class Measure:
    """One way to say how diverse a set of responses is."""

    name: str
    prepare: Callable[[Sequence[str], Tools], Group]
    low: float
    """Smallest possible value; an interval never reaches below it."""
    high: float
    """Largest possible value, infinity if there is none."""
    source: str
    needs: Literal["nothing", "vocabulary", "sacrebleu", "embedder", "nli"] = "nothing"
    """What of the tools it reads, and so what decides its values beside the texts."""
    higher_is_more_diverse: bool = True
    curve: Callable[[Sequence[str], Tools], Sequence[Group]] | None = None
    """The same measure step by step, for a measure of steps: one group function for each index."""
    version: str = "1"
    """Raised whenever the same texts would get another value."""

    def __call__(self, texts: Sequence[str], tools: Tools) -> Group:
        """The value of any set of these texts, as a function of their indexes."""
        return self.prepare(texts, tools)


@dataclass(frozen=True)
class Corpus:
    """The usable responses of one run."""

    texts: tuple[str, ...]
    """Problem after problem, in order of attempt."""
    sizes: Mapping[str, int]
    """Problem id -> how many of the texts are its responses, in the order of `texts`."""
    clusters: Mapping[str, str] = field(default_factory=dict)
    """Problem id -> cluster, as `Problem.cluster`; a problem that is not listed is its own."""

    def members(self) -> dict[str, range]:
        """Problem id -> indexes of its responses."""
        found: dict[str, range] = {}
        start = 0
        for problem, size in self.sizes.items():
            found[problem] = range(start, start + size)
            start += size
        return found


@dataclass(frozen=True)
class Scores:
    """A measure in one of its two forms on one run."""

    measure: str
    form: Form
    estimate: Estimate
    """`counts`: "undefined" is how many prompts (within) or sets (across) have no value, "short" how many prompts
    have fewer than two responses (within) or how many sets hold less than half of the prompts (across)."""
    problems: Mapping[str, float] = field(default_factory=dict)
    """Value of each prompt; empty for the form across."""
    blocks: tuple[float, ...] = ()
    """Value without each group of prompts; empty for the form within."""
    curve: tuple[Estimate, ...] = ()
    """Of a measure of steps, within a prompt: the value at each step index for which a prompt has one."""


def within(measure: Measure, corpus: Corpus, group: Group) -> Scores:
    """Mean over prompts of the value of each prompt's responses.

    Raises `UsageError` if no prompt has two responses, `DataError` if the value is undefined on every prompt.
    """
    values: dict[str, float] = {}
    short = undefined = samples = 0
    for problem, indexes in corpus.members().items():
        if len(indexes) < 2:
            short += 1
            continue
        value = group(indexes)(np.ones(len(indexes), dtype=bool))
        if math.isnan(value):
            undefined += 1
            continue
        values[problem] = value
        samples += len(indexes)
    if not values:
        if undefined == 0:
            raise UsageError(
                f"{measure.name} within a prompt needs at least 2 usable responses to a prompt, and no prompt has so "
                "many: generate more with --n 4 (or another number), or ask for --form across"
            )
        raise DataError(f"{measure.name} is undefined on every prompt, so there is nothing to average")
    numbers = np.array(list(values.values()), dtype=np.float64)
    mean = mean_interval(numbers, [corpus.clusters.get(problem, "") for problem in values], share=False)
    low, high = clip(measure, mean.low, mean.high)
    counts = {"undefined": undefined, "short": short}
    estimate = Estimate(mean.value, low, high, mean.se, len(values), samples, counts)
    return Scores(measure.name, "within", estimate, problems=values)


def across(measure: Measure, corpus: Corpus, group: Group) -> Scores:
    """Mean over j of the value of the j-th responses of all prompts.

    A set counts while at least half of the prompts have a j-th response. Raises `UsageError` for fewer than two
    prompts, `DataError` if the value is undefined on every set.
    """
    members = corpus.members()
    if len(members) < 2:
        raise UsageError(f"{measure.name} across prompts needs at least 2 prompts, not {len(members)}")
    block_of, count = deal(list(members), corpus.clusters)
    values: list[float] = []
    without: list[list[float]] = []
    short = samples = undefined = 0
    for j in range(max(len(indexes) for indexes in members.values())):
        chosen = [(indexes[j], block_of[problem]) for problem, indexes in members.items() if len(indexes) > j]
        if 2 * len(chosen) < len(members):
            short += 1
            continue
        value_of = group([index for index, _ in chosen])
        blocks = np.array([block for _, block in chosen], dtype=np.intp)
        value = value_of(np.ones(len(blocks), dtype=bool))
        if math.isnan(value):
            undefined += 1
            continue
        values.append(value)
        samples += len(blocks)
        without.append([value_of(blocks != block) for block in range(count)] if count > 1 else [])
    if not values:
        raise DataError(f"{measure.name} is undefined on every set of responses, so there is nothing to average")
    value = float(np.mean(values))
    replicates = np.mean(np.array(without, dtype=np.float64), axis=0)
    se, half = jackknife(replicates)
    low, high = clip(measure, value - half, value + half)
    counts = {"undefined": undefined, "short": short}
    estimate = Estimate(value, low, high, se, len(members), samples, counts)
    return Scores(measure.name, "across", estimate, blocks=tuple(float(number) for number in replicates))


def curve(measure: Measure, corpus: Corpus, tools: Tools) -> tuple[Estimate, ...]:
    """A measure of steps within a prompt, step by step, up to the last index that any prompt has a value for."""
    found: list[Estimate] = []
    for group in measure.curve(corpus.texts, tools) if measure.curve is not None else ():
        try:
            found.append(within(measure, corpus, group).estimate)
        except DataError:  # no prompt has two responses with a step here, so none has later ones
            break
    return tuple(found)


def deal(problems: Sequence[str], clusters: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """(problem -> its jackknife group, number of groups): whole clusters, dealt in an order of their own.

    Depends on the set of problem ids only, so that two runs over the same problems leave out the same ones.
    """
    units: dict[tuple[str, str], list[str]] = {}
    for problem in sorted(problems):
        cluster = clusters.get(problem, "")
        units.setdefault(("cluster", cluster) if cluster else ("problem", problem), []).append(problem)
    order = sorted(units)
    random.Random(_BLOCK_SEED).shuffle(order)
    count = min(BLOCKS, len(order))
    return {problem: i % count for i, unit in enumerate(order) for problem in units[unit]}, count


def jackknife(replicates: Array) -> tuple[float, float]:
    """(standard error, half the 95 % interval) from the values without each group, shape [groups].

    (0, infinity) where a single group leaves nothing to compare, (NaN, infinity) where a value without a group is
    undefined.
    """
    count = len(replicates)
    if count < 2:
        return 0.0, math.inf
    if np.isnan(replicates).any():
        return math.nan, math.inf
    deviations = replicates - replicates.mean()
    se = math.sqrt((count - 1) / count * float(deviations @ deviations))
    return se, t_quantile(count - 1) * se


def clip(measure: Measure, low: float, high: float) -> tuple[float, float]:
    """An interval cut to the values that the measure can take."""
    return max(low, measure.low), min(high, measure.high)
