"""Grader for short texts: equality after normalising Unicode form, case, white space, quotes and final punctuation.

The answer is what the last box holds, else what follows the last "the answer is", else the last non-empty line. A
target that is an option in brackets, "(B)", is also answered by "B", by "(B) the option's text" and by a sentence that
ends in the only option it names. "(B) or (C)" and "not (B)" answer nothing.
"""

from __future__ import annotations

import re
import unicodedata

from harness.grading.base import MAX_ANSWER, InProcessGrader, explicit_answer, right, wrong
from harness.types import Extracted, Problem, Score

_OPTION = re.compile(r"\(([a-z])\)")
_MARKED_OPTION = re.compile(r"\(?([a-z])(?:\)|[.:](?=\s|$)|$|(?=\s?(?:,|/|&|\bor\b|\band\b)))")
_ANOTHER_OPTION = re.compile(r"\(([a-z])\)|^\s?(?:,|/|&|,?\s?\bor\b|,?\s?\band\b)\s?(?:both\s)?([a-z])(?![a-z'’])")
_REFUSED = re.compile(
    r"^\W*(?:is|isn['’]t|are|was|cannot|can['’]t|does|doesn['’]t)\s(?:\w+\s)?(?:not|wrong|incorrect|false|impossible|excluded|be)\b"
)
_REASON = re.compile(r"(?<=\w)(?:,?\s(?:because|since|not|rather\sthan|instead\sof)\s|,\sas\s|\s\().*$")
"""What follows an answer in its sentence and is none of it: "valid, since …", "true, not false"."""
_DENIAL = re.compile(r"\b(?:not|cannot|never|neither|nor|except|excluding|than|wrong|incorrect|either)\b|n['’]t\b")


def _option(found: str) -> str:
    """The option that an answer names, "(b)", or the answer itself if it names none, several, or denies one."""
    marked = _MARKED_OPTION.match(found)
    if marked:
        rest = found[marked.end() :]
        others = {one or two for one, two in _ANOTHER_OPTION.findall(rest)} - {marked[1]}
        return found if others or _REFUSED.match(rest) else f"({marked[1]})"
    named = set(_OPTION.findall(found))
    if len(named) == 1 and not _DENIAL.search(found) and re.search(r"\([a-z]\)\W*$", found):
        return f"({named.pop()})"
    return found


def normalised(text: str) -> str:
    """NFKC, lower case, single spaces, without dollars, emphasis, quotes and final punctuation around it."""
    body = unicodedata.normalize("NFKC", text).casefold()
    body = re.sub(r"\\(?:text|mathrm|textbf)\s?\{([^{}]*)\}", r"\1", body)
    body = re.sub(r"\s+", " ", body).strip()
    previous = None
    while body != previous:
        previous = body
        body = body.strip("$*`\"' ")
        body = body[:-1] if body[-1:] in (".", "!", "。", ",", ";") and body[:-1].strip() else body
    return body


class ExactGrader(InProcessGrader):
    """See the module docstring."""

    name = "exact"
    release = "2"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find the final answer of a reply."""
        marked = explicit_answer(answer_text)
        if marked is not None and normalised(marked[:MAX_ANSWER]):
            return Extracted(marked[:MAX_ANSWER], True)
        lines = answer_text.strip().rsplit("\n", 1)
        return Extracted(lines[-1][:MAX_ANSWER].strip(), False) if lines[-1].strip() else None

    def grade(self, target: str, answer: str) -> Score:
        """Right if the normalised texts are equal."""
        gold, found = normalised(target), normalised(answer)
        if _OPTION.fullmatch(gold):
            found = _option(found)
        elif found != gold:
            found = _REASON.sub("", found) or found
        return right(gold) if found == gold else wrong(found[:200], f"{found[:60]!r} is not {gold[:60]!r}")

    def gold_text(self, problem: Problem) -> str:
        """The target after the phrase that is looked for."""
        return f"So the answer is {problem.target}."

    def wrong_text(self, problem: Problem) -> str:
        """The target with a word added, or another option."""
        option = _OPTION.fullmatch(normalised(problem.target))
        if option:
            return f"So the answer is ({'B' if option[1] == 'a' else 'A'})."
        return f"So the answer is not {problem.target}."


GRADER = ExactGrader()
