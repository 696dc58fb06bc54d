"""Finding the problems of an imported run among our own, so that it stands under our suite's name.

A problem is found by its text: the other tool's prompt contains our question, white space aside. Only if every
problem is found, each once, does the run count as ours; otherwise it keeps its own ids and the name "<tool>:<task>".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.errors import HarnessError
from harness.hashing import canonical_json, short_hash
from harness.interop.common import ForeignItem, ForeignRun
from harness.types import Json

SUITES: Mapping[str, Mapping[str, str]] = {
    "lighteval": {
        "aime24": "aime24",
        "aime24_avg": "aime24",
        "aime24_gpassk": "aime24",
        "aime25": "aime25",
        "aime25_avg": "aime25",
        "aime25_gpassk": "aime25",
        "math_500": "math500",
        "math_500_gpassk": "math500",
        "gpqa:diamond": "gpqa",
        "gsm8k": "gsm8k",
        "arc:easy": "arc_easy",
        "arc:challenge": "arc_challenge",
    },
    "lm-eval": {
        "aime24": "aime24",
        "aime25": "aime25",
        "hendrycks_math500": "math500",
        "minerva_math500": "math500",
        "gpqa_diamond_zeroshot": "gpqa",
        "gpqa_diamond_n_shot": "gpqa",
        "gpqa_diamond_cot_zeroshot": "gpqa",
        "gpqa_diamond_cot_n_shot": "gpqa",
        "gpqa_diamond_generative_n_shot": "gpqa",
        "gsm8k": "gsm8k",
        "gsm8k_cot": "gsm8k",
        "gsm8k_cot_zeroshot": "gsm8k",
        "gsm8k_cot_llama": "gsm8k",
        "arc_easy": "arc_easy",
        "arc_challenge": "arc_challenge",
        "arc_challenge_chat": "arc_challenge",
    },
}
"""Task of the other tool -> our suite with the same problems."""
_TEXT_FIELDS = ("problem", "question", "body", "input", "prompt")
_SPACE = re.compile(r"\s+")
_MAX_QUESTION = 200_000


def normalise(text: str) -> str:
    """White space collapsed: tools strip and wrap differently, but never change words."""
    return _SPACE.sub(" ", text[:_MAX_QUESTION]).strip()


def located(run: ForeignRun, data_dir: Path | None) -> ForeignRun:
    """The run under its name here: our suite and ids if its problems are ours and the data are in `data_dir`."""
    own = replace(run, suite=f"{run.tool}:{run.task}")
    if not run.items:
        return own
    texts = sorted(item.question or item.key for item in run.items)
    own = replace(own, data_sha256=short_hash(canonical_json(texts), 64))
    name = SUITES[run.tool].get(run.task)
    if name is None:
        return own
    if data_dir is None:  # asking the hub for a data set is not what an import should do unasked
        return replace(own, note=f"to match its problems with suite {name}, say --data-dir")
    try:
        rows, sha256 = _suite_rows(name, data_dir)
    except HarnessError as error:  # no data here is no reason not to import
        return replace(own, note=f"not matched to suite {name}: {error}")
    questions = {str(row["id"]): _texts(row) for row in rows}
    ids = match(run.items, questions, {str(row["id"]): _choices(row) for row in rows})
    if missing := [item.key for item in run.items if item.key not in ids]:
        lost = f"{len(missing)} of {len(run.items)} problems were not found in it"
        return replace(own, note=f"not matched to suite {name}: {lost}")
    return replace(run, suite=name, data_sha256=sha256, ids=ids)


def _suite_rows(name: str, data_dir: Path) -> tuple[Sequence[Mapping[str, Json]], str]:
    from harness.datasets import load_rows
    from harness.suites import load_suite

    suite = load_suite(name)
    return load_rows(suite.data, data_dir), suite.data.sha256


def _texts(row: Mapping[str, Json]) -> str:
    """The problem's own text: its longest text field of a known name."""
    texts = [normalise(value) for name in _TEXT_FIELDS if isinstance(value := row.get(name), str)]
    return max(texts, key=len, default="")


def _choices(row: Mapping[str, Json]) -> list[str]:
    """Option texts, which tell apart the few problems that ask the same question."""
    choices = row.get("choices")
    return [normalise(str(choice)) for choice in choices] if isinstance(choices, list | tuple) else []


def match(
    items: Sequence[ForeignItem], questions: Mapping[str, str], choices: Mapping[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """The other tool's key -> our problem id, by text; a problem that two items claim is given to neither."""
    exact: dict[str, list[str]] = {}
    for problem_id, text in questions.items():
        exact.setdefault(text, []).append(problem_id)
    found: dict[str, str] = {}
    claimed: dict[str, int] = {}
    for item in items:
        text = normalise(item.question)
        ids = exact.get(text, []) if text else []
        if not ids and text:
            inside = [text_ for text_ in exact if text_ and text_ in text]
            longest = max(inside, key=len, default="")  # a short question may be part of a longer one
            ids = exact.get(longest, []) if longest else []
        if len(ids) > 1 and choices is not None:
            ids = [one for one in ids if choices[one] and all(choice in text for choice in choices[one])]
            most = max((sum(map(len, choices[one])) for one in ids), default=0)
            ids = [one for one in ids if sum(map(len, choices[one])) == most]  # "3 cm" is also in "13 cm"
        if len(ids) == 1:
            found[item.key] = ids[0]
            claimed[ids[0]] = claimed.get(ids[0], 0) + 1
    return {key: problem_id for key, problem_id in found.items() if claimed[problem_id] == 1}
