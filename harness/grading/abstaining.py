"""Does a text say that its question cannot be answered? By sentence patterns, no model: `doubts` and `abstains`.

A sentence doubts its question where it says that something is not given, not stated or missing, that there is not
enough information, that something cannot be determined or is not known (and not merely "yet"), or asks the user for
what is lacking. A reply abstains where one of its last two paragraphs does so and nothing after that commits itself:
"the price is not given; with 5 dollars, the answer is 20" is an answer. The grader `abstain` calls exactly this right.

What else the words could mean is left out by the words beside them: "cannot be negative", "nothing is missing", "is
anything missing?", "not needed". English only. `tests/unit/test_grading_abstaining.py` has the rate on forms that were
not looked at while the patterns were written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.answers import after_answer_phrase, last_boxed
from harness.grading.base import MAX_ANSWER, InProcessGrader, right, wrong
from harness.grading.number import find_number
from harness.sentences import math_segments, sentences
from harness.types import Extracted, Problem, Score

UNANSWERABLE = "cannot be determined"
"""The target of problems that lack something, and what an abstention is called."""
_LONGEST = 1000
"""Characters of a sentence that are looked at."""
_TAIL = 2
"""Paragraphs at the end of a reply in which it abstains."""

_NOT = r"(?:n't|\snot|\snever|\snowhere)"
_BE = (
    rf"(?:\w+'(?:s|re)|is|are|was|were|has|have|had|been){_NOT}"
    r"(?:\s(?:been|ever|actually|really|explicitly|directly|clearly|even|fully))*"
)
_GIVEN = (
    r"(?:given|specified|stated|provided|mentioned|told|supplied|disclosed|defined|included|indicated|known|clear|said)"
)
_ADVERBS = r"(?:\s(?:actually|really|ever|explicitly|directly|clearly|even|fully|also))*"
_TELLER = (
    r"(?:question|problem|text|statement|story|prompt|puzzle|exercise|task|wording|description"
    r"|it|this|that|they|you|we)"
)
_TELLS = (
    r"(?:say|tell|state|specify|mention|give|provide|include|indicate|define|contain|supply|disclose|know|have|explain)"
)
_INFORMATION = r"(?:information|info|data|details?|context|premises?|facts?|conditions?|constraints?|numbers?|values?)"
_CANNOT = (
    r"(?:can't|cannot|can\snot|could\snot|couldn't|unable\sto|(?:im|not\s)possible\sto|no\sway\s(?:to|of)"
    r"|not\sable\sto)"
)
_FIND = (
    r"(?:be\s|really\s|possibly\s|actually\s|uniquely\s)*(?:determin(?:e|ed|ing)|answer(?:ed|ing)?|solved?|solving"
    r"|calculat(?:e|ed|ing)|comput(?:e|ed|ing)|found|find|know(?:n|ing)?|tell(?:ing)?|work(?:ed)?\s(?:it\s|this\s)?out"
    r"|figured?\s(?:it\s)?out|deduced?|inferr?(?:ed)?|say|give\s(?:a|an|the)\s(?:definite|exact|specific|numeric))"
)
_DOUBTS = re.compile(
    "|".join(
        (
            rf"\b(?:{_BE}|isn't|aren't|wasn't|weren't|hasn't\sbeen|haven't\sbeen){_ADVERBS}\s{_GIVEN}\b(?!\sto\sbe)",
            rf"\b(?:never|nowhere){_ADVERBS}\s(?:been\s)?(?:{_GIVEN}|says?|tells?|states?|mentions?|gives?|specif(?:y|ies))\b",
            rf"\bno\s(?:\w+\s){{0,4}}(?:is|are|was|were)\s{_GIVEN}\b",
            rf"\b{_TELLER}\s(?:do|does|did)(?:n't|\snot){_ADVERBS}\s{_TELLS}\b",
            rf"\b(?:without|lack(?:s|ing)?|missing|miss(?:es)?|insufficient|incomplete|not\senough|n't\senough|too\slittle"
            rf"|more|additional|further|no)\s(?:\w+\s){{0,2}}{_INFORMATION}\b",
            rf"\b{_INFORMATION}\s(?:\w+\s){{0,4}}(?:is|are|seems?|appears?)\s(?:to\sbe\s)?(?:missing|lacking|insufficient|incomplete|absent)\b",
            r"\b(?:is|are|seems?|appears?)\s(?:to\sbe\s)?(?:missing|incomplete|under-?specified|under-?determined|unspecified|undefined|unknown"
            r"|unanswerable|indeterminate|ill-posed|ambiguous|unclear|unstated)\b",
            r"\b(?:missing|unspecified|unstated|unknown)\s(?:premise|quantity|price|number|amount|value|start)",
            rf"\b{_CANNOT}\s{_FIND}\b",
            r"\b(?:don't|do\snot|doesn't|does\snot)\s(?:actually\s|really\s)?(?:know|have)\s(?:the|how|what|which|who|when|where|any|enough\sinf)",
            r"\bI(?:'m|\sam)\snot\s(?:sure|certain|aware|familiar)\b",
            r"\bI\s(?:really\s|simply\s)?(?:don't|do\snot)\s(?:know|recall|remember)\b",
            r"\b(?:could|can|would)\syou\s(?:please\s)?(?:tell|provide|clarify|specify|give|share|confirm)\b",
            r"\bplease\s(?:provide|clarify|specify|tell\sme|share|state)\b",
            rf"\b(?:{_TELLER}|which|that|it)\s(?:forg[eo]ts?|omits?|omitted|leaves?\sout|left\sout|skips|withholds?)\b",
            r"\b(?:is|are|was|were|been|simply)\s(?:omitted|left\sout|left\sopen|withheld|absent)\b",
            r"\b(?:no|not\sa|n't\sa|any)\s(?:unique|definite|definitive|single|exact|one)\s(?:answer|solution|value|result|number)\b",
            r"\b(?:could|can|may|might)\sbe\sany(?:thing|\s(?:number|value|amount))\b|\bany\s(?:number|value|amount)\s(?:would|could|will)\s(?:do|work|fit)\b",
            r"\b(?:would|we|I|you)\s(?:first\s)?(?:have|need)\sto\s(?:be\stold|know)\b",
            rf"\b(?:not|n't)\s(?:actually\s|really\s)?(?:{_TELLS})\s(?:me|us|you)\b",
            r"\b(?:isn't|aren't|not|n't)\sanywhere\b|\bhave\sto\sguess\b|\bknows?\snothing\sabout\b",
            r"\b(?:we|I|it)(?:'m|'re|\sam|\sare|\sis)?\s(?:still\s)?(?:lacks?|missing)\b",
            r"\bwithout\b.{0,80}\b(?:nothing|no\sway|not\spossible|impossible|can't|cannot|can\snot)\b",
            rf"\b{_TELLER}\s(?:gives?|has|have|states?|mentions?|contains?|provides?|offers?|includes?|tells?\sus)\s(?:us\s)?no(?:thing)?\b",
            r"\bthere(?:'s|\sis|\swas)\sno\s(?:\w+\s)?(?:value|number|price|amount|mention|figure|count|quantity|indication|hint)\b",
            r"\b(?:nobody|no\sone|nothing)\s(?:here\s)?(?:tells|says|states|mentions|specifies|indicates)\b",
            r"(?:'s|\bremains?)\s(?:unclear|unknown|unspecified|open|missing|undefined|ambiguous)\b",
            r"\b(?:too|is|rather)\s(?:vague|imprecise|indefinite)\b|\b(?:unsolvable|unanswerable|not\ssolvable|not\sanswerable)\b",
            rf"\b{_CANNOT}\sbe\s(?:pinned\sdown|settled|fixed|resolved|inferred|derived|established|worked\sout)\b",
            rf"^\W*(?:not|never)\s{_GIVEN}\b|\?\s(?:not|never)\s{_GIVEN}\b|\bleft\s(?:unspecified|undefined|open|unstated|blank)\b",
            rf"\b(?:don't|do\snot|can't|cannot|can\snot|couldn't)\s(?:see|find|spot|get)\b.{{0,80}}\b(?:in|from|anywhere\sin)\s(?:the\s|this\s)?{_TELLER}\b",
            r"\b(?:be|is|just)\sa\s(?:mere\s|pure\s)?guess\b|\bhas\sa\sgap\b|\b(?:number|value|fact|premise|detail)\sshort\b|\bbut\sabsent\b",
            r"\b(?:have|has)\sto\sbe\s(?:supplied|provided|given|specified|told)\b|\bneed\b.{0,80};\swhat\s(?:is|are)\b",
            rf"\bnot\s(?:something|a\s\w+)\s(?:that\s)?(?:we|I|one)\scan\s{_FIND}\b|\b(?:doesn't|does\snot)\s(?:give|name|fix|settle)\s(?:a|the|an)\b",
            r"\bdepends\son\s(?:\w+\s){0,6}(?:which|that|and)\s(?:\w+\s){0,2}(?:not|unknown|n't)\b",
        )
    ),
    re.IGNORECASE,
)
_MAY = re.compile(
    r"n't|\b(?:no|not|cannot|never|nowhere|nothing|nobody|without|lack|miss|insuff|incompl|un|im|ind|ill-|ambig|vague|abs"
    r"|you|please|forg|omit|leav|left|skips|withh|any|needs?|guess|gap|short|too|more|addit|further|depends|know|ha(?:s|ve)\sto)",
    re.IGNORECASE,
)
"""What every sentence has that `_DOUBTS` finds: most have none of it, and one look is a tenth of forty."""
_CERTAIN = re.compile(
    r"\bnothing\s(?:\w+\s){0,2}(?:missing|unclear|unknown|left\sout|omitted|skipped)"
    r"|\b(?:no|not\sany)\s(?:\w+\s){0,2}(?:missing|more|additional|further)\b"
    r"|\b(?:no|without\sany|not?\s(?:really\s)?an?y?)\s(?:information|data|premise|condition|doubt)\s(?:is|are)?\s?(?:missing|lacking|left)"
    r"|\b(?:don't|do\snot|doesn't|does\snot|didn't|no|without)\sneed(?:ed|ing)?\b|\bnot\s(?:needed|necessary|relevant|required)\b"
    r"|\byet\b|\bfor\snow\b|\bso\sfar\b"
    r"|\b(?:can't|cannot|can\snot)\sbe\s(?:negative|less|more|right|true|larger|smaller|zero|correct|a\s)"
    r"|\bunknown\s(?:\w+\s)?(?:comes\sout|turns\sout|equals)\b|\bunknown\s(?:is|be|by|as)\s[a-z]\b|\b(?:let|call|denote)\s(?:the\s)?(?:unknown|missing)"
    r"|\bsolv(?:e|ing)\sfor\b|\bto\sfind\sthe\s(?:missing|unknown)\b",
    re.IGNORECASE,
)
"""What shows that a sentence with such words does not doubt its question."""
_GUESS = re.compile(
    r"\b(?:guess|estimate|assum\w+|suppos\w+|say)\b.{0,80}?(?:\bis\b|=|:|\bwould\sbe\b|\bget\b|\bit's\b)\W{0,6}(?:\w+\s){0,2}?\$?-?\d"
)


def doubts(sentence: str) -> bool:
    """Whether a sentence says that its question leaves out something that it needs."""
    plain = _plain(sentence)
    if _MAY.search(plain) is None:
        return False
    return _DOUBTS.search(plain) is not None and _CERTAIN.search(plain) is None and not _asks_itself(plain)


def abstains(answer_text: str) -> bool:
    """Whether a reply ends by saying that its question cannot be answered, and not in an answer."""
    verdict = False
    for _, sentence in told_sentences(tail(answer_text)):
        committed = _commits(sentence)
        if committed is not None:
            verdict = not committed
        elif doubts(sentence):
            verdict = True
    return verdict


def tail(answer_text: str) -> str:
    """The last two paragraphs."""
    return "\n\n".join([part for part in re.split(r"\n[ \t]*\n", answer_text) if part.strip()][-_TAIL:])


def told_sentences(text: str) -> Iterator[tuple[int, str]]:
    """Where each sentence of a text begins, and the sentence with its stop."""
    found = sentences(text, math_segments(text))
    ends = [*[start for start, _ in found[1:]], len(text)][: len(found)]
    for (start, _), end in zip(found, ends, strict=True):
        yield start + len(text[start:end]) - len(text[start:end].lstrip()), text[start:end].strip()


def first_doubt(text: str) -> int | None:
    """Where the first sentence begins that doubts its question; None where none does."""
    return next((start for start, sentence in told_sentences(text) if doubts(sentence)), None)


def _commits(sentence: str) -> bool | None:
    """Whether a sentence names an answer (True) or names that there is none (False); None where it does neither."""
    said = last_boxed(sentence) or after_answer_phrase(sentence)
    if said is not None and said.strip(" .*$"):
        named = re.sub(r"\\text\s?\{([^{}]*)\}", r"\1", said)
        return not (
            doubts(f"It {named}") or doubts(f"It is {named}") or (doubts(sentence) and not re.search(r"\d", named))
        )
    return True if _GUESS.search(_plain(sentence)) else None


def _asks_itself(plain: str) -> bool:
    """Whether it is a question of the writer's own ("Is anything missing?"), and not one to the user."""
    asked = plain.rstrip(" \"')*").endswith("?")
    return asked and not re.search(
        r"\byou\b|\bplease\b|, (?:is it|are we|does it|do we)\?|; what", plain, re.IGNORECASE
    )


def _plain(sentence: str) -> str:
    cut = sentence[:_LONGEST].replace("\u2019", "'").replace("*", "").replace("_", "")
    return re.sub(r"\s+", " ", cut)


class AbstainGrader(InProcessGrader):
    """Right where the reply abstains; else the number that it gives is what is wrong."""

    name = "abstain"

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """`UNANSWERABLE`, or the number that the reply ends in."""
        if abstains(answer_text):
            return Extracted(UNANSWERABLE, explicit=True)
        found = find_number(answer_text)
        return None if found is None else Extracted(found.answer[:MAX_ANSWER], found.explicit)

    def grade(self, target: str, answer: str) -> Score:
        """Whether it abstained."""
        return right(answer) if answer == UNANSWERABLE else wrong(answer, "gives an answer where there is none")

    def gold_text(self, problem: Problem) -> str:
        """How a model abstains."""
        return "Something that is needed is not given, so the answer cannot be determined."

    def wrong_text(self, problem: Problem) -> str:
        """An answer all the same."""
        return "The final answer is $\\boxed{7}$."


GRADER = AbstainGrader()
