"""Does a judge's verdict contradict the reason that it gives? Counted as the note "self_contradiction", never mended.

The rule, by kind of rubric: the last thing that the reason *asserts* about the decision must not be another decision.

- points: a level that the reason of a dimension names ("level 3", "3/5", "3 out of 5") against the level given to it.
- rating: the same with the rubric's own highest rating ("7/10", "a rating of 7").
- pairwise: who is said to be better, stronger, preferable, the winner (or worse, weaker, the loser) against the side
  that the verdict takes. A verdict of a tie contradicts nothing, and "better" counts only where nothing narrows it
  ("better structured").
- label: nothing, since its reasons name no levels.

A statement asserts nothing where its clause holds a word that takes it back (not, if, would, rather than, between, …):
silence is not a contradiction, so what the rule does not understand is not counted. How often it is right on generated
forms, a third of them held back: docs/LOG.md.
"""

from __future__ import annotations

import re

from judges.types import LEVELS, Rubric, Verdict

NOTE = "self_contradiction"
_MOST = 4000
"""Characters from the end of a reason that are looked at."""
_CLAUSE = re.compile(
    r"[.;:!?\n(),]+(?=\s|$)|\b(?:but|yet|still|although|though|while|whereas|however)\b", re.IGNORECASE
)
_TAKEN_BACK = re.compile(
    r"\b(?:not|never|no|neither|nor|cannot|if|would|could|might|may|whether|unless|were|think|hardly|barely|nearly"
    r"|almost|than level|for level|rather than|instead of|more than|less than|short of|between|below|under|above"
    r"|beyond)\b|n't",
    re.IGNORECASE,
)
_NOUN = r"(?:(?:answer|response|reply|assistant|option|candidate|solution)\s+)"
_SIDE = rf"(?:{_NOUN}(?P<%s>[AB12])|(?P<%s>(?-i:[AB])))\b"
_ADVERBS = (
    r"(?:\s+(?:is|are|seems|remains|and|therefore|thus|clearly|somewhat|much|far|slightly|overall|simply|also|a|bit|the"
    r"|right))*"
)
_BETTER = r"(?:better|best|stronger|superior|preferable|preferred|winner)"
_WORSE = r"(?:worse|worst|weaker|inferior|loser)"
_END = (
    r"(?=\s*$|\s+(?:answers?|responses?|one|choice|option|than|overall|because|since|as|for|here|on|in|to|of the two"
    r"|by)\b)"
)


def _side(name: str) -> str:
    return _SIDE % (f"{name}_named", f"{name}_bare")


_STATEMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:{_side('win')}{_ADVERBS}\s+(?:should\s+be\s+)?{_BETTER}{_END})",
        rf"(?i:{_side('lose')}{_ADVERBS}\s+{_WORSE}{_END})",
        rf"(?i:{_side('win')}\s+(?:clearly\s+)?(?:wins|beats|is ahead)\b)",
        rf"(?i:{_side('lose')}\s+(?:clearly\s+)?loses\b)",
        rf"(?i:\b(?:prefer|preference is|go with|choose)\s+{_side('win')})",
        rf"(?i:\b{_BETTER}(?:\s+(?:answer|response|one|choice))?\s+is\s+{_side('win')})",
    )
)


def contradicts(rubric: Rubric, verdict: Verdict) -> bool:
    """True if the reason asserts another decision than the verdict's."""
    if rubric.kind == "points":
        return any(named_level(mark.reason, LEVELS) not in (None, mark.level) for mark in verdict.marks)
    if rubric.kind == "rating":
        return named_level(verdict.reason, rubric.high) not in (None, round(verdict.value * rubric.high))
    if rubric.kind == "pairwise" and verdict.value != 0.5:
        return preferred(verdict.reason) not in (None, 0 if verdict.value > 0.5 else 1)
    return False


def preferred(reason: str) -> int | None:
    """0 for the answer shown first (A, 1), 1 for the other, by the last statement that stands; None without one."""
    found: int | None = None
    for clause in _CLAUSE.split(reason[-_MOST:]):
        if _TAKEN_BACK.search(clause):
            continue
        for pattern in _STATEMENTS:
            for match in pattern.finditer(clause):
                name = next(value for value in match.groupdict().values() if value is not None)
                first = name.upper() in ("A", "1")
                lost = any(key.startswith("lose") and value for key, value in match.groupdict().items())
                found = int(first == lost)
    return found


def named_level(reason: str, most: int) -> int | None:
    """The last level that the reason gives and nothing takes back; None without one."""
    pattern = re.compile(
        rf"\b(?:level|rating|score)(?:\s+of)?\s+(\d{{1,3}})\b(?:\s*/\s*{most}\b)?"
        rf"|(?:^|(?:\b(?:so|give|a|is|at|gets|deserves)\s+))\s*(\d{{1,3}})(?:\s*/\s*{most}|\s+out\s+of\s+{most})\b(?=\s*$)",
        re.IGNORECASE,
    )
    found: int | None = None
    for clause in _CLAUSE.split(reason[-_MOST:]):
        said = re.split(r"\brather than\b|\binstead of\b", clause, maxsplit=1)[0]
        if _TAKEN_BACK.search(said):
            continue
        for match in pattern.finditer(said.strip()):
            level = int(match[1] or match[2])
            if 1 <= level <= most:
                found = level
    return found
