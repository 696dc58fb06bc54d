"""Grader for knights and knaves: of every person, whether they are a knight or a knave.

The target, "Ada is a knight, Ben is a knave", names the people. The answer is what stands behind the last answer
phrase or in the last box, else the reply's last lines, read up to where everybody has been named. "Ada and Ben are
knights", "Knaves: Chen", "Ada: knight", "neither is a knight" are read; a person named twice differently, a "maybe" or
an "or" makes it no answer, and so a wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from harness.answers import answer_phrases, last_boxed
from harness.errors import DataError
from harness.grading.base import MAX_ANSWER, InProcessGrader, right, wrong
from harness.types import Extracted, Problem, Score

_PERSON = re.compile(r"([A-Z][a-z]+) is a (knight|knave)(?:, |$)")
_MARKS = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\b|\\[,;! ]|[*_`$|\"“”]|\\\\")
_SENTENCE = re.compile(r"[^.!?;\n]{1,2000}")
_UNSURE = re.compile(
    r"\b(?:or|either|if|perhaps|maybe|might|may|could|possibly|probably|suppose|assume|unless|unknown|cannot|can't"
    r"|except|besides|everyone but|all but|would|were)\b",
    re.IGNORECASE,
)
_KIND = r"(?P<kind>knights?|knaves?|truth-?\s?tellers?|liars?)"
_NONE = r"(?P<none>not|neither|nobody|none|no one|no|nor|isn['’]t|aren['’]t)"
_ALL = r"(?P<all>all|both|everyone|everybody|each)"
_NEXT = re.compile(r"\W*(?:(?:is|are|=|:)\s*)?(?:only\s)?\W*$")
_COPULA = re.compile(r"\s*(?:is|are|isn['’]t|=|:)(?:\W|$)")

Facts = dict[str, bool]
"""Name -> whether a knight."""


class _Contradiction(Exception):
    """Somebody is said to be both, or it is not said for sure."""


class _PeopleReader:
    """Reads sentences one after the other, and keeps what they say."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        every = "|".join(map(re.escape, names))
        self.token = re.compile(rf"\b(?:(?P<name>{every})(?!['’]s)|(?i:{_KIND}|{_NONE}|{_ALL}))(?!\w)")
        self.said: Facts = {}

    def sentence(self, text: str) -> None:
        """Add what a sentence says; raises `_Contradiction`."""
        tokens = list(self.token.finditer(text))
        if not any(token["kind"] for token in tokens):
            return
        if _UNSURE.search(text):
            raise _Contradiction
        waiting: list[str] = []
        last: list[str] = []
        everybody = denied = False
        heading: bool | None = None
        for place, token in enumerate(tokens):
            if token["name"]:
                if heading is not None and not _COPULA.match(text, token.end()):
                    self._add([token["name"]], heading)
                else:
                    heading = None
                    waiting.append(token["name"])
            elif token["all"]:
                everybody = True
            elif token["none"]:
                denied = True
                everybody = everybody or token["none"].lower() in ("neither", "nobody", "none", "no one")
            else:
                knight = token["kind"].lower().startswith(("knight", "truth")) != denied
                if waiting or (everybody and not self._heads(text, tokens, place)):
                    last = waiting or list(self.names)
                    self._add(last, knight)
                elif self._heads(text, tokens, place):
                    heading, last = knight, []
                else:
                    self._add(last, knight)
                waiting, everybody, denied = [], False, False

    @staticmethod
    def _heads(text: str, tokens: Sequence[re.Match[str]], place: int) -> bool:
        """Whether the kind stands before its people: "the knights are Ada and Ben"."""
        if place + 1 == len(tokens) or not tokens[place + 1]["name"]:
            return False
        return _NEXT.fullmatch(text, tokens[place].end(), tokens[place + 1].start()) is not None

    def _add(self, people: Sequence[str], knight: bool) -> None:
        for name in people:
            if self.said.setdefault(name, knight) != knight:
                raise _Contradiction


def _read(names: Sequence[str], text: str) -> Facts | None:
    """What a text says, up to where everybody has been named; None where it contradicts itself or is not sure."""
    reader = _PeopleReader(names)
    for sentence in _SENTENCE.finditer(_MARKS.sub(" ", text[:MAX_ANSWER])):
        try:
            reader.sentence(sentence[0])
        except _Contradiction:
            return None
        if len(reader.said) == len(names):
            break
    return reader.said


def _target(target: str) -> Facts:
    facts = {found[1]: found[2] == "knight" for found in _PERSON.finditer(target)}
    if not facts or _written(facts, list(facts)) != target:
        raise DataError(f"target {target[:80]!r} is no solution such as 'Ada is a knight, Ben is a knave'")
    return facts


def _written(facts: Mapping[str, bool], names: Sequence[str]) -> str:
    return ", ".join(f"{name} is a {'knight' if facts[name] else 'knave'}" for name in names if name in facts)


def _regions(text: str) -> Iterator[tuple[str, bool]]:
    """Where an answer may stand, the likeliest first, and whether it is marked."""
    boxed = last_boxed(text)
    if boxed:
        yield boxed, True
    phrase = next(answer_phrases(text), None)
    if phrase is not None:
        yield text[phrase[1] :], True
        return
    lines = [line for line in text[-MAX_ANSWER:].splitlines() if line.strip()]
    for count in range(1, min(len(lines), 12) + 1):
        yield "\n".join(lines[-count:]), False


class KnightsGrader(InProcessGrader):
    """See the module docstring."""

    name = "knights"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """Find what a reply says of each person, in the target's words where it can be read."""
        names = list(_target(problem.target))
        found: Extracted | None = None
        for region, marked in _regions(answer_text):
            facts = _read(names, region)
            if facts is None:
                return Extracted(region[:MAX_ANSWER].strip(), marked)
            if facts:
                found = Extracted(_written(facts, names), marked)
            if len(facts) == len(names):
                break
        return found

    def grade(self, target: str, answer: str) -> Score:
        """Right if everybody is what the target says."""
        gold = _target(target)
        facts = _read(list(gold), answer)
        if facts is None:
            return wrong(answer[:200], "contradicts itself, or is not sure")
        missing = [name for name in gold if name not in facts]
        if missing:
            return wrong(answer[:200], f"does not say what {missing[0]} is")
        return right(target) if facts == gold else wrong(_written(facts, list(gold)))

    def gold_text(self, problem: Problem) -> str:
        """The target, as the prompt asks for it."""
        return f"The answer is {problem.target}."

    def wrong_text(self, problem: Problem) -> str:
        """One person is the other kind."""
        facts = _target(problem.target)
        name = next(iter(facts))
        return f"The answer is {_written({**facts, name: not facts[name]}, list(facts))}."


GRADER = KnightsGrader()
