"""The 18 indicators of text quality and the values that each may have.

Indicators and value sets are those of ThinkAnswer Loss (Findings of EMNLP 2025, 2025.findings-emnlp.177, Fig. 5); keys
and definitions are ours. One place for the prompt that asks for them, the grader that compares them and the metrics
that report them one by one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import UnknownName
from harness.types import Json

_GRADED = ("high", "medium", "low")


@dataclass(frozen=True, slots=True)
class Indicator:
    """One property of a text, to be described by one of a few values."""

    key: str
    """Name in replies, labels and metrics: `linguistic_fluency`."""
    values: tuple[str, ...]
    """The closed set, as a reply should write it."""
    meaning: str
    """What is to be decided, in one line."""


INDICATORS: tuple[Indicator, ...] = (
    Indicator(
        "advertisement",
        ("none", "header/footer", "full", "soft"),
        "advertising in the text: none at all, only at its head or foot, all of it, or disguised as content",
    ),
    Indicator("linguistic_fluency", _GRADED, "how grammatical and natural the language is"),
    Indicator("knowledge_density", _GRADED, "how much information the text gives for its length"),
    Indicator("content_diversity", _GRADED, "how many different aspects or viewpoints the text covers"),
    Indicator("symbol_format_noise", _GRADED, "how much is garbled: stray symbols, markup, broken formatting"),
    Indicator(
        "emotional_polarity",
        ("strong positive", "neutral", "strong negative"),
        "the feeling that the text expresses",
    ),
    Indicator(
        "credibility",
        ("authoritative", "partially questionable", "false/misleading"),
        "how far the statements can be believed",
    ),
    Indicator("structure_complexity", _GRADED, "how elaborate the structure of the text is"),
    Indicator(
        "readability",
        ("general", "professional", "abstruse"),
        "who can read it: anybody, people of the field, hardly anyone",
    ),
    Indicator(
        "originality",
        ("original", "integrated rewriting", "plagiarism"),
        "whether the text is the author's own, put together from others, or copied",
    ),
    Indicator(
        "interactivity", ("high", "medium", "none"), "how far the text addresses its readers or asks them to act"
    ),
    Indicator("accuracy_compliance", _GRADED, "how precisely facts, names and terms are stated"),
    Indicator("paragraph_coherence", _GRADED, "how well each part of the text leads on to the next"),
    Indicator("topic_centrality", _GRADED, "how closely the text keeps to one topic"),
    Indicator("content_standardisation", _GRADED, "how well the text keeps to the conventions of its kind"),
    Indicator("compliance", ("compliant", "non-compliant"), "whether the text is lawful and fit for publication"),
    Indicator("coherence", _GRADED, "how well the text hangs together as a whole"),
    Indicator("professionality", _GRADED, "how much expertise the text shows"),
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
