"""BIG-Bench Hard: 27 tasks, 6,511 questions of three kinds of answer.

17 tasks are multiple choice and are graded by letter, with their options in a seeded order. Two ask for a number. The
other eight (yes/no, valid/invalid, True/False, closing brackets, sorted words) are graded as exact text.
Three rows have a gold answer that is none of their options, because a title with a comma was split; they are asked as
they stand and graded as exact text (`BROKEN`).

No worked examples are shown, unlike in the original paper's 3-shot prompts. Data carry the BIG-bench canary: keep them
out of training sets.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.datasets import INDEX, PART, clean_text
from harness.suites._render import BOXED_NUMBER, LETTERS, choice_problem, text, user
from harness.types import DataRef, HubRef, Json, Problem, Sampling, Suite

NUMBERS = ("multistep_arithmetic_two", "object_counting")
FORMS: dict[str, str] = {
    "boolean_expressions": "True or False",
    "causal_judgement": "Yes or No",
    "dyck_languages": "only the brackets that are missing, separated by single spaces",
    "formal_fallacies": "valid or invalid",
    "navigate": "Yes or No",
    "sports_understanding": "yes or no",
    "web_of_lies": "Yes or No",
    "word_sorting": "the sorted words, separated by single spaces",
}
"""Tasks that are graded as exact text -> the form of the answer that the prompt asks for."""
CHOICES = (
    "date_understanding",
    "disambiguation_qa",
    "geometric_shapes",
    "hyperbaton",
    "logical_deduction_five_objects",
    "logical_deduction_seven_objects",
    "logical_deduction_three_objects",
    "movie_recommendation",
    "penguins_in_a_table",
    "reasoning_about_colored_objects",
    "ruin_names",
    "salient_translation_error_detection",
    "snarks",
    "temporal_sequences",
    "tracking_shuffled_objects_five_objects",
    "tracking_shuffled_objects_seven_objects",
    "tracking_shuffled_objects_three_objects",
)
BROKEN = ("movie_recommendation-163", "ruin_names-99", "ruin_names-144")
"""Rows whose gold answer is no option."""

_OPTION = re.compile(r"\(([A-Z])\) ?(.*)")
_HUB = HubRef("lukaemon/bbh", None, "test", "982bb89fd79532a8ac676a61fc42eb1aeec63f99")


def _row(subset: str, problem_id: str, raw: Mapping[str, Json]) -> dict[str, Json]:
    return {
        "id": problem_id,
        "subset": subset,
        "input": clean_text(raw["input"]),
        "target": clean_text(raw["target"]),
    }


def _local(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _row(clean_text(raw["subset"]), clean_text(raw["id"]), raw)


def _hub(raw: Mapping[str, Json]) -> dict[str, Json]:
    return _row(str(raw[PART]), f"{raw[PART]}-{raw[INDEX]}", raw)


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    subset, question, target = text(row, "subset"), text(row, "input"), text(row, "target")
    meta: dict[str, Json] = {"subset": subset}
    if subset in CHOICES and row["id"] not in BROKEN:
        stem, options = _split(question)
        correct = LETTERS.index(target.strip("()"))
        return choice_problem({**row, "question": stem}, seed, options=options, correct=correct, meta=meta)
    if subset in NUMBERS:
        return Problem(text(row, "id"), user(question, BOXED_NUMBER), target, "number", meta=meta)
    form = FORMS.get(subset, "the text of the right option")
    closing = f"Reason step by step, then end with a line of the form 'The answer is X', where X is {form}."
    return Problem(text(row, "id"), user(question, closing), target, "exact", meta=meta)


def _split(question: str) -> tuple[str, list[str]]:
    """Stem and options; raises `ValueError` if the options are not (A), (B), … one to a line."""
    stem, marker, listing = question.partition("\nOptions:\n")
    found = [_OPTION.fullmatch(line) for line in listing.split("\n")]
    letters = "".join(match[1] for match in found if match is not None)
    if not marker or letters != LETTERS[: len(found)]:
        raise ValueError("the options are not one to a line")
    return stem, [match[2].strip() for match in found if match is not None]


BBH = Suite(
    name="bbh",
    version="1",
    summary="BIG-Bench Hard: 27 reasoning tasks, zero-shot",
    data=DataRef(
        files=("bbh.jsonl",),
        rows=6511,
        sha256="2bafa6874d4a3a364771b56f5339fb07260c57c3eba77c3cc8dda214769d603b",
        from_local=_local,
        hub=tuple(
            HubRef(_HUB.repo, subset, _HUB.split, _HUB.revision) for subset in sorted((*CHOICES, *NUMBERS, *FORMS))
        ),
        from_hub=_hub,
    ),
    render=_render,
    grader="exact",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
    metrics=("avg@n", "pass@4", "maj@4"),
    formats=("think",),
    licence="MIT",
    paper="Suzgun et al. 2022, arXiv 2210.09261",
)
