"""The 18 indicators of text quality and the values that each may have.

Indicators, their meanings and value sets are those of ThinkAnswer Loss (Findings of EMNLP 2025,
2025.findings-emnlp.177, Fig. 5); keys and wording are ours. One place for the prompt that asks for them, the grader
that compares them and the metrics that report them one by one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UnknownName
from harness.types import Json


@dataclass(frozen=True, slots=True)
class Indicator:
    """One property of a text, to be described by one of a few values."""

    key: str
    """Name in replies, labels and metrics: `linguistic_fluency`."""
    meaning: str
    """What is to be decided, in one line."""
    criteria: tuple[tuple[str, str], ...]
    """The closed set: each value, as a reply should write it, and when it is the one."""

    @property
    def values(self) -> tuple[str, ...]:
        """The values of the closed set."""
        return tuple(value for value, _ in self.criteria)


def _graded(high: str, medium: str, low: str) -> tuple[tuple[str, str], ...]:
    return (("high", high), ("medium", medium), ("low", low))


INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "advertisement",
        "advertising in the text",
        (
            ("none", "nothing is advertised"),
            ("header/footer", "only at the head or the foot, around a text about something else"),
            ("full", "the whole text is openly an advertisement"),
            ("soft", "advertising disguised as content"),
        ),
    ),
    Indicator(
        "linguistic_fluency",
        "how grammatical and natural the language is",
        _graded(
            "reads naturally, without errors",
            "a few errors or clumsy places that do not hinder reading",
            "errors or broken sentences hinder reading",
        ),
    ),
    Indicator(
        "knowledge_density",
        "how much information the text gives for its length",
        _graded(
            "nearly every sentence tells facts or insights",
            "information and filler in like parts",
            "mostly filler, generalities or repetition",
        ),
    ),
    Indicator(
        "content_diversity",
        "how much words and sentences vary",
        _graded(
            "rich vocabulary, sentences of many forms",
            "some variation, with words or sentence patterns that come again",
            "the same words and sentence patterns over and over",
        ),
    ),
    Indicator(
        "symbol_format_noise",
        "how much is garbled: stray symbols, markup, broken formatting",
        _graded("so much that it disturbs reading", "here and there", "none or hardly any"),
    ),
    Indicator(
        "emotional_polarity",
        "the feeling that the text expresses",
        (
            ("strong positive", "clear praise, enthusiasm or joy"),
            ("neutral", "matter-of-fact, mixed or weak"),
            ("strong negative", "clear anger, blame, fear or grief"),
        ),
    ),
    Indicator(
        "credibility",
        "how far the statements can be believed",
        (
            ("authoritative", "well founded: sources, established facts or recognised authors"),
            ("partially questionable", "some statements are doubtful, exaggerated or without support"),
            ("false/misleading", "central statements are false or made to mislead"),
        ),
    ),
    Indicator(
        "structure_complexity",
        "how elaborate the structure of the text is",
        _graded(
            "several levels: sections, nested arguments or lists",
            "a few parts in a simple order",
            "one plain sequence, a single sentence or phrase",
        ),
    ),
    Indicator(
        "readability",
        "who can read it",
        (
            ("general", "anybody, without knowledge of the field"),
            ("professional", "people of the field"),
            ("abstruse", "hardly anyone: obscure even to people of the field"),
        ),
    ),
    Indicator(
        "originality",
        "where the text comes from, as far as it shows",
        (
            ("original", "the author's own"),
            ("integrated rewriting", "put together or reworded from other texts"),
            ("plagiarism", "copied as it is"),
        ),
    ),
    Indicator(
        "interactivity",
        "how far the text addresses its readers",
        (
            ("high", "it addresses them directly: questions, requests, calls to act"),
            ("medium", "now and then"),
            ("none", "not at all"),
        ),
    ),
    Indicator(
        "accuracy_compliance",
        "whether the text is what it is labelled as: its title, tags or category against its content",
        _graded(
            "label and content agree; so does a text without a label that is what it presents itself as",
            "the label fits only in part, or promises more than there is",
            "the label says something else than the content",
        ),
    ),
    Indicator(
        "paragraph_coherence",
        "how well each part of the text leads on to the next",
        _graded(
            "every part follows from the one before, or there is only one",
            "some jumps between parts",
            "the parts stand side by side without connection",
        ),
    ),
    Indicator(
        "topic_centrality",
        "how closely the text keeps to one topic",
        _graded("one topic throughout", "one main topic with digressions", "no main topic, or several at once"),
    ),
    Indicator(
        "content_standardisation",
        "how free the language is of informal expressions: slang, internet language, dialect, private abbreviations",
        _graded("standard written language throughout", "some informal expressions", "informal for the most part"),
    ),
    Indicator(
        "compliance",
        "whether the text is lawful and fit for publication",
        (
            ("compliant", "nothing unlawful, hateful, obscene, or harmful to somebody's rights"),
            ("non-compliant", "some of that"),
        ),
    ),
    Indicator(
        "coherence",
        "whether the sentences agree with each other",
        _graded(
            "no sentence contradicts another, and references are clear; so for a single sentence in itself",
            "a small inconsistency, or a reference that is unclear",
            "sentences contradict each other or do not belong together",
        ),
    ),
    Indicator(
        "professionality",
        "whether the terms of the field are used, and used correctly",
        _graded(
            "its terms throughout, correctly",
            "few terms where they would be in place, or some used loosely",
            "none where they would be in place, or wrong ones",
        ),
    ),
)
BY_KEY: Mapping[str, Indicator] = {indicator.key: indicator for indicator in INDICATORS}


def find_indicator(key: str) -> Indicator:
    """The indicator of that key; raises `UnknownName` with a suggestion."""
    if key not in BY_KEY:
        raise UnknownName("indicator", key, BY_KEY)
    return BY_KEY[key]


def _uniform(text: str) -> str:
    """A value without what spelling alone makes different: case, width, white space, a full stop at the end."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".。").rstrip()


_SPELLINGS: Mapping[str, Mapping[str, str]] = {
    indicator.key: {_uniform(value): value for value in indicator.values} for indicator in INDICATORS
}
_LONGEST = 100  # characters; normalising can lengthen a text, and no value has more than 22


def read_value(indicator: Indicator, value: Json) -> str | None:
    """The value of the closed set that is meant, None if none is: "High", "ｈｉｇｈ" and "high." are "high"."""
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    return _SPELLINGS[indicator.key].get(_uniform(value))
