r"""Answers of formulas and words in turn ("$h(t)=At+B$ for some real $A,B$"): equal piece by piece."""

from __future__ import annotations

import re

from harness.grading.mathclaim import claim_of, read_tokens
from harness.grading.mathjudge import claims_equal
from harness.grading.mathtext import TexToken, Unreadable


def segments_equal(gold: str, answer: str) -> bool:
    """Whether both are the same sequence of words and equal formulas. Raises `Undecided`."""
    try:
        golds, answers = _segments(read_tokens(gold)), _segments(read_tokens(answer))
    except Unreadable:
        return False
    return len(golds) == len(answers) and all(_segment_equal(g, a) for g, a in zip(golds, answers, strict=True))


def _segments(found: list[TexToken]) -> list[list[TexToken]]:
    """Maximal runs of words and of anything else."""
    runs: list[list[TexToken]] = []
    for token in found:
        if runs and (runs[-1][-1].kind == "word") == (token.kind == "word"):
            runs[-1].append(token)
        else:
            runs.append([token])
    return runs


def _segment_equal(gold: list[TexToken], answer: list[TexToken]) -> bool:
    if (gold[0].kind == "word") != (answer[0].kind == "word"):
        return False
    texts = [[token.text for token in side] for side in (gold, answer)]
    if texts[0] == texts[1]:
        return True
    if gold[0].kind == "word":
        words = [re.findall(r"\w+", " ".join(side).lower()) for side in texts]
        return words[0] == words[1]
    try:
        return claims_equal(claim_of(gold), claim_of(answer))
    except Unreadable:
        return False
