"""Grader for the tasks of reasoning-gym: the library's own scorer decides; its partial credit is not a right answer.

The target names the problem (task, seed, index) and pins its text by hash; the worker makes the problem again, so
that the scorer sees exactly what the library made. Tasks whose scorer cannot be trusted are refused by name, with the
reason: above all those that would run a text of the model as Python.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib import metadata
from typing import Any, Protocol

from harness.errors import DataError, MissingExtra, UnknownName, UsageError
from harness.grading.base import BaseGrader, explicit_answer, right, wrong
from harness.hashing import canonical_json, short_hash
from harness.types import Extracted, Problem, Score

Entry = Mapping[str, Any]
"""A problem of the library: question, answer, metadata. `Any`: the metadata is whatever the task puts there."""

OPEN, CLOSE = "<answer>", "</answer>"
MAX_LENGTH = 20_000
"""Longest answer that is scored, in characters; the longest gold answer seen has about 5,000."""

_RUNS_TEXT = "its scorer runs the model's text as Python code"
_NO_GOLD = "the library gives no answer for its problems, so its scorer cannot be checked"
_NOT_STABLE = "its problems differ from one Python process to the next"
REFUSED: Mapping[str, str] = {
    "binary_matrix": _RUNS_TEXT,
    "n_queens": _RUNS_TEXT,
    "spiral_matrix": _RUNS_TEXT,
    "string_insertion": _RUNS_TEXT,
    "countdown": f"{_RUNS_TEXT} (through sympy)",
    "intermediate_integration": f"{_RUNS_TEXT} (through sympy)",
    "polynomial_multiplication": f"{_RUNS_TEXT} (through sympy)",
    "puzzle24": f"{_RUNS_TEXT} (through sympy)",
    "simple_integration": f"{_RUNS_TEXT} (through sympy)",
    "boxnet": _NO_GOLD,
    "graph_color": _NO_GOLD,
    "propositional_logic": _NO_GOLD,
    "rubiks_cube": _NO_GOLD,
    "rush_hour": _NO_GOLD,
    "codeio": _NOT_STABLE,
    "isomorphic_strings": _NOT_STABLE,
    "knight_swap": _NOT_STABLE,
    "list_functions": _NOT_STABLE,
    "ransom_note": _NOT_STABLE,
    "word_ladder": _NOT_STABLE,
    "game_of_life_halting": "its scorer takes any text for the answer 'False'",
    "composite": "it is a mixture of other tasks and has no problems of its own",
}
"""Task -> why it is not offered. Measured with reasoning-gym 0.1.25; docs/synth.md says how."""

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, SyntaxError)
"""What scorers raise on a text that is not of the form they expect."""


class Dataset(Protocol):
    """What is used of a data set of the library."""

    def __getitem__(self, index: int) -> Entry:
        """The problem of that index."""

    def score_answer(self, answer: str, entry: Entry) -> float:
        """The library's reward, 0 to 1."""


@cache
def library() -> Any:
    """The library's `factory` module (it has no types); raises `MissingExtra` if it is not installed."""
    try:
        importlib.import_module("reasoning_gym")
        return importlib.import_module("reasoning_gym.factory")
    except ModuleNotFoundError as error:
        if error.name != "reasoning_gym":
            raise
        raise MissingExtra("gym:<task>", "gym") from error


def library_version() -> str:
    """Version of the installed distribution; its `__version__` lags behind."""
    try:
        return metadata.version("reasoning-gym")
    except metadata.PackageNotFoundError:
        raise MissingExtra("gym:<task>", "gym") from None


@lru_cache(maxsize=8)
def dataset(task: str, seed: int, size: int) -> Dataset:
    """A data set of the library.

    Raises `MissingExtra`, `UnknownName` for a task the library does not have, `UsageError` for a refused one.
    """
    factory = library()
    if task in REFUSED:
        raise UsageError(f"gym:{task} is not offered: {REFUSED[task]}")
    if task not in factory.DATASETS:
        raise UnknownName("reasoning-gym task", task, sorted(set(factory.DATASETS) - set(REFUSED)))
    with contextlib.redirect_stdout(io.StringIO()):  # some tasks print
        made: Dataset = factory.create_dataset(task, seed=seed, size=size)
    return made


@lru_cache(maxsize=512)
def entry(task: str, seed: int, size: int, index: int) -> Entry:
    """One problem of the library."""
    with contextlib.redirect_stdout(io.StringIO()):
        return dataset(task, seed, size)[index]


def fingerprint(problem: Entry) -> str:
    """Hash of a problem's question and answer."""
    return short_hash(canonical_json([problem["question"], problem["answer"]]))


def make_target(task: str, seed: int, size: int, index: int) -> str:
    """The target of a problem, as canonical JSON."""
    pin = fingerprint(entry(task, seed, size, index))
    return canonical_json({"task": task, "seed": seed, "size": size, "index": index, "pin": pin})


def read_target(target: str) -> tuple[Dataset, Entry]:
    """Data set and problem of a target; raises `DataError` if the library no longer makes the same problem."""
    try:
        fields = json.loads(target)
        place = (str(fields["task"]), int(fields["seed"]), int(fields["size"]))
        index, pin = int(fields["index"]), fields["pin"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"target {target[:200]!r} does not name a reasoning-gym problem") from error
    problem = entry(*place, index)
    if fingerprint(problem) != pin:
        raise DataError(
            f"reasoning-gym {library_version()} makes another problem for gym:{place[0]} #{index} than the one "
            "that was asked: grade with the library version of the run"
        )
    return dataset(*place), problem


def reward(data: Dataset, problem: Entry, answer: str) -> float | None:
    """The library's reward for an answer; None if its scorer cannot read the answer.

    A scorer that fails on the library's own answer too is broken, not the answer: its exception goes up.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            return float(data.score_answer(answer, problem))
        except _UNREADABLE:
            data.score_answer(str(problem["answer"]).strip(), problem)
            return None


def near_misses(gold: str) -> list[str]:
    """Texts that look like the answer and are not: a digit or letter changed, from the last to the first; halves."""
    found = []
    for index in reversed(range(len(gold))):
        char = gold[index]
        if char.isascii() and char.isalnum():
            other = str((int(char) + 1) % 10) if char.isdigit() else ("b" if char.lower() != "b" else "d")
            found.append(gold[:index] + (other.upper() if char.isupper() else other) + gold[index + 1 :])
        if len(found) == 40:
            break
    return [*found, gold[: len(gold) // 2], gold + "\n" + gold, "no idea"]


class GymGrader(BaseGrader):
    """See the module docstring."""

    name = "gym"

    def version(self) -> str:
        """Own version and the library's."""
        return f"{super().version()}+reasoning-gym-{library_version()}"

    def preload(self) -> None:
        """Import the library."""
        library()

    def extract(self, problem: Problem, answer_text: str) -> Extracted | None:
        """The text in the last pair of answer tags, else what is boxed or follows "the answer is"."""
        end = answer_text.rfind(CLOSE)
        start = answer_text.rfind(OPEN, 0, end) if end >= 0 else -1
        if start >= 0:
            return Extracted(answer_text[start + len(OPEN) : end].strip(), True)
        marked = explicit_answer(answer_text)
        return Extracted(marked, True) if marked is not None else None

    def grade(self, target: str, answer: str) -> Score:
        """Right if the library's reward is 1; raises `DataError` for a target that is not (or no longer) a problem."""
        data, problem = read_target(target)
        if len(answer) > MAX_LENGTH:
            return wrong(answer[:100], f"answer of {len(answer)} characters")
        got = reward(data, problem, answer)
        if got is None:
            return wrong(answer, "reasoning-gym's scorer cannot read it")
        why = f"reasoning-gym reward {got:.3g}"
        return right(answer, why) if got >= 1.0 else wrong(answer, why)

    def gold_text(self, problem: Problem) -> str:
        """The library's own answer between answer tags."""
        _, made = read_target(problem.target)
        return f"{OPEN}{str(made['answer']).strip()}{CLOSE}"

    def wrong_text(self, problem: Problem) -> str:
        """The first near miss that the library does not accept; raises `DataError` if it accepts all of them."""
        data, made = read_target(problem.target)
        for text in near_misses(str(made["answer"]).strip()):
            got = reward(data, made, text)
            if got is None or got < 1.0:
                return f"{OPEN}{text}{CLOSE}"
        raise DataError(f"{problem.id}: reasoning-gym accepts every near miss of its own answer")


GRADER = GymGrader()
