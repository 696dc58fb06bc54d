"""Does a reply decline to do what it was asked? Asked only of replies in which nothing was found to grade or to read.

The rule: within the first three sentences of the answer, a sentence says of the speaker ("I", "we", "this assistant")
that it cannot, will not, may not or declines to do what was asked for: help, answer, provide, judge, compare and their
like, or "that" and "this request"; or that the request itself is against rules. "I cannot help but …", "I cannot find
an error" and "I cannot be sure" decline nothing, and neither does a problem that has no solution. A reply that gives an
answer all the same is graded, whatever else it says. How often the rule is right on generated forms, a third of them
held back: docs/LOG.md.
"""

from __future__ import annotations

import re

_HEAD = 600
"""Characters from the beginning that are looked at: a refusal comes first."""
_SENTENCES = 3
_END = re.compile(r"(?<=[.!?])\s+|\n+")
_SPEAKER = r"(?:i|we|this\s+(?:assistant|model)|as\s+an?\s+(?:ai|assistant)[^.]{0,60}?,\s*i)"
_UNABLE = (
    r"(?:can(?:not|\s+not|'?t)|could\s*n[o']?t|won'?t|will\s+not|would\s+rather\s+not|must\s+not|may\s+not"
    r"|(?:am|'m|are|'re|is)\s+(?:not\s+(?:able|allowed|permitted|willing|going|comfortable|in\s+a\s+position)|unable|unwilling)"
    r"(?:\s+to)?|(?:have|need)\s+to\s+(?:decline|refuse)|must\s+(?:decline|refuse)|decline|refuse)"
)
_FILLER = (
    r"(?:\s+(?:to|and|therefore|currently|really|ethically|in\s+good\s+conscience|either|be|with|on|a|any|the|you"
    r"|your))*"
)
_ASKED = (
    r"(?:help(?!\s+but)|helping|assist\w*|compl(?:y|ying)|provid\w+|answer\w*|fulfil\w*|do\s+(?:that|this|so)|creat\w+"
    r"|writ\w+|generat\w+|judg\w+|evaluat\w+|rat(?:e|ing)\b|compar\w+|scor\w+|grad\w+|discuss\w*|engag\w+"
    r"|participat\w+|continu\w+|support\w*|respond\w*|offer\w*|produc\w+|choos\w+|commit\s+myself|solve\s+(?:that|this)"
    r"|(?:that|this|such)\s+request|say\s+which)"
)
_DECLINES = re.compile(rf"\b{_SPEAKER}\b\s*{_UNABLE}{_FILLER}\s*{_ASKED}\b", re.IGNORECASE)
_HAVE_TO = re.compile(
    rf"\b{_SPEAKER}(?:\s+(?:am|will)|'m|'ll)?(?:\s+going\s+to)?\s+(?:must|have\s+to|need\s+to)\s+(?:decline|refuse)\b",
    re.IGNORECASE,
)
_ALONE = re.compile(
    rf"^\W*(?:sorry|i'?m\s+sorry|i\s+apologi[sz]e)?\W*(?:but\s+)?{_SPEAKER}\s*{_UNABLE}\W*$", re.IGNORECASE
)
_AGAINST = re.compile(
    r"\b(?:request|question|content|task|it)\b[^.]{0,40}\b(?:violates|goes\s+against|is\s+against|breaches)\b[^.]{0,40}"
    r"\b(?:polic|guideline|rule|terms|principle)",
    re.IGNORECASE,
)


def refuses(text: str) -> bool:
    """True if the reply (its answer, think block aside) declines. Takes time linear in `_HEAD`."""
    head = text.strip().replace("’", "'")[:_HEAD]
    sentences = [sentence for sentence in _END.split(head) if sentence.strip()][:_SENTENCES]
    return any(rule.search(sentence) for sentence in sentences for rule in (_DECLINES, _HAVE_TO, _ALONE, _AGAINST))
