"""MT-Bench's own judge prompts, read from its data when they are needed; and how its judges' replies are read.

The texts belong to the benchmark and are not part of this project: they come from `judge_prompts.jsonl` of FastChat
(also found as `mt_bench_judge_prompts.jsonl`) in the data folder. A prompt is {name, type, system_prompt,
prompt_template, …}; its name says what it is for: "single" or "pair", "math" with reference answers, "multi-turn" for
the second turn.

A single-answer judge writes its rating as [[7]] and a pairwise judge its verdict as [[A]], [[B]] or [[C]] (a tie).
FastChat takes the first [[number]], else the first [number]; so do we where a file's judgments are read again
(`find_rating`). A judge that is asked here gets one more condition: the numbers that it gives must agree, because a
reply with two ratings has quoted one of them from somewhere, often from the answer that it judges.
"""

from __future__ import annotations

import re
import string
from pathlib import Path

from harness.datasets import MissingData, data_folder
from harness.datasets.local import read_file
from harness.errors import DataError
from harness.hashing import canonical_json, short_hash
from harness.types import Completion
from judges.prompts.official import OfficialPrompt, Parts
from judges.types import Malformed, Verdict

FILES = ("mt_bench_judge_prompts.jsonl", "judge_prompts.jsonl")
LOW, HIGH = 1.0, 10.0
UNPARSED = -1.0
"""FastChat's score of a judgment without a rating."""

_REFERENCES = ("ref_answer_1", "question_2", "ref_answer_2")
_FIELDS: dict[str, frozenset[str]] = {
    "single-v1": frozenset({"question", "answer"}),
    "single-math-v1": frozenset({"question", "answer", "ref_answer_1"}),
    "single-v1-multi-turn": frozenset({"question_1", "answer_1", "question_2", "answer_2"}),
    "single-math-v1-multi-turn": frozenset({"question_1", "answer_1", "question_2", "answer_2", *_REFERENCES}),
    "pair-v2": frozenset({"question", "answer_a", "answer_b"}),
    "pair-math-v1": frozenset({"question", "answer_a", "answer_b", "ref_answer_1"}),
    "pair-v2-multi-turn": frozenset(
        {"question_1", "question_2", "answer_a_1", "answer_a_2", "answer_b_1", "answer_b_2"}
    ),
    "pair-math-v1-multi-turn": frozenset(
        {"question_1", "answer_a_1", "answer_a_2", "answer_b_1", "answer_b_2", *_REFERENCES}
    ),
}
"""Prompt name -> the fields that its template must show; one that left a text out would judge without it."""

# Bounded repetition, so that a reply of a million digits is read in linear time.
_DOUBLE = re.compile(r"\[\[(\d{1,9}(?:\.\d{0,9})?)\]\]")
_SINGLE = re.compile(r"\[(\d{1,9}(?:\.\d{0,9})?)\]")
_LETTER = re.compile(r"\[\[([ABC])\]\]")


def prompt_name(pair: bool, guided: bool, turns: int) -> str:
    """Which prompt is for this kind of judging, with or without references, for the first or the second turn."""
    start = ("pair-math-v1" if guided else "pair-v2") if pair else ("single-math-v1" if guided else "single-v1")
    return start if turns == 1 else f"{start}-multi-turn"


def find_prompts(data_dir: Path | None) -> dict[str, OfficialPrompt] | None:
    """The benchmark's prompts, None if its file is not in the data folder (or there is no such folder).

    Raises `DataError` for a file that is there and is not what it should be.
    """
    folder = data_folder(data_dir)
    if folder is None:
        return None
    found = next((name for name in FILES if (folder / name).is_file()), None)
    return read_prompts(folder, found) if found is not None else None


def official_prompts(data_dir: Path | None) -> dict[str, OfficialPrompt]:
    """As `find_prompts`, but raises `MissingData` if the file is not there."""
    prompts = find_prompts(data_dir)
    if prompts is None:
        where = data_folder(data_dir)
        raise MissingData(
            f"MT-Bench's own judge prompts are read from {' or '.join(FILES)} in the data folder "
            f"({where if where is not None else 'none is named'}): put FastChat's file there and say --data-dir, "
            "or judge with our rubric (prompt own)"
        )
    return prompts


def read_prompts(folder: Path, name: str) -> dict[str, OfficialPrompt]:
    """All eight prompts of a file. Raises `DataError` naming the line, or what is missing."""
    prompts: dict[str, OfficialPrompt] = {}
    for raw in read_file(folder, name, None):
        title, system, template = (raw.fields.get(key) for key in ("name", "system_prompt", "prompt_template"))
        if not isinstance(title, str) or not isinstance(system, str) or not isinstance(template, str):
            raise DataError(f"{raw.where}: a judge prompt needs the texts name, system_prompt and prompt_template")
        if title not in _FIELDS:
            continue  # FastChat's file may hold prompts of other benchmarks
        if title in prompts:
            raise DataError(f"{raw.where}: prompt {title!r} stands twice")
        prompt_id = f"{title}#{short_hash(canonical_json([system, template]), 12)}"
        user = _cut(template, title, raw.where)
        prompts[title] = OfficialPrompt(prompt_id, (("system", ((system, None),)), ("user", user)))
    missing = [wanted for wanted in _FIELDS if wanted not in prompts]
    if missing:
        raise DataError(f"{folder / name} has no prompt {', '.join(map(repr, missing))}: get FastChat's judge_prompts")
    return prompts


def _cut(template: str, name: str, where: str) -> Parts:
    """A template in `str.format` notation at its fields, which must be the ones that a prompt of this name shows."""
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise DataError(f"{where}: the template of {name!r} has unbalanced braces ({error})") from error
    shown = {field for _, field, _, _ in parts if field is not None}
    if shown != _FIELDS[name] or any(spec or conversion for _, _, spec, conversion in parts):
        wrong = sorted(shown ^ _FIELDS[name]) or ["formats"]
        raise DataError(f"{where}: the template of {name!r} lacks or adds {', '.join(map(repr, wrong))}")
    return tuple((text, field) for text, field, _, _ in parts)


def find_rating(text: str) -> float | None:
    """The rating that FastChat reads from a judgment: the first [[n]], else the first [n]; None outside 1 to 10."""
    match = _DOUBLE.search(text) or _SINGLE.search(text)
    return in_range(float(match[1])) if match is not None else None


def in_range(rating: float) -> float | None:
    """The rating, None if no judge can have meant it."""
    return rating if LOW <= rating <= HIGH else None


def read_rating(completion: Completion) -> Verdict:
    """A single-answer judge's reply; raises `Malformed` for none, several different or impossible ratings."""
    text = completion.answer_text or ""
    found = _DOUBLE.findall(text) or _SINGLE.findall(text)
    ratings = sorted({float(number) for number in found})
    if not ratings:
        raise Malformed('the rating is missing: end with it in double brackets, for example "[[5]]"')
    if len(ratings) > 1:
        shown = ", ".join(f"[[{rating:g}]]" for rating in ratings[:5])
        raise Malformed(f"there are different ratings in it ({shown}): write your own one only, in double brackets")
    if not LOW <= ratings[0] <= HIGH:
        raise Malformed(f"the rating {ratings[0]:g} is not between {LOW:g} and {HIGH:g}")
    return Verdict(value=ratings[0] / HIGH, label=f"{ratings[0]:g}", reason=text)


def find_letter(text: str) -> str | None:
    """The verdict that FastChat reads: [[A]] before [[B]] before [[C]], wherever they stand; None if there is none."""
    return next((letter for letter in "ABC" if f"[[{letter}]]" in text), None)


def read_letter(completion: Completion) -> Verdict:
    """A pairwise judge's reply, for the answer shown first; `Malformed` for no verdict or different ones."""
    text = completion.answer_text or ""
    letters = sorted(set(_LETTER.findall(text)))
    if not letters:
        raise Malformed('the verdict is missing: end with "[[A]]", "[[B]]" or "[[C]]"')
    if len(letters) > 1:
        shown = ", ".join(f"[[{letter}]]" for letter in letters)
        raise Malformed(f"there are different verdicts in it ({shown}): write your own one only")
    value = {"A": 1.0, "B": 0.0, "C": 0.5}[letters[0]]
    return Verdict(value=value, label=letters[0], reason=text)
