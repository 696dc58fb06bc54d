"""`questions:<grader>:<file>`: one's own questions with known answers, e.g. `questions:exact:validation.jsonl`.

The file is JSON lines, a JSON list, parquet, CSV or TSV: a path, or the name of a file in the data folder. Its rows are

    {"question": "...", "gold": "...", "id": "...", "choices": ["...", "..."]}

or training records, whose `prompt` is a list of turns. `question` may be called prompt, instruction, problem or query,
`gold` answer or target; of a worked answer with `#### 72` the 72 counts. Without `id` a row is named by its content.
Rows of `harness data missing` name their twin in their meta; of one that lacks a premise it is right to say so.
Nothing is added to a question: what form an answer has to take stands in it. With the grader `choice` a row has its
options in `choices` (in a table one cell with a JSON list) and as `gold` the right one, as its letter or in its words;
they are shown in a seeded order.

No grader is taken for granted, and none is believed: before anything is asked, each row's own gold must be right in its
eyes. Raises `DataError` for a row that is not as above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from harness.datasets import clean_text
from harness.datasets.tables import as_json
from harness.errors import DataError, UnknownName, UsageError
from harness.files import is_number
from harness.grading import get_grader, score_completion
from harness.hashing import canonical_json
from harness.suites._own_file import Rows, own_data, row_id
from harness.suites._render import LETTERS, choice_problem, text, texts
from harness.types import Completion, Json, Message, Problem, Sampling, Score, Suite

PREFIX = "questions"
GRADERS = ("exact", "integer", "number", "math", "choice")
QUESTIONS = ("question", "prompt", "instruction", "problem", "query")
ANSWERS = ("gold", "answer", "target")
_ROLES = ("system", "user", "assistant")


def _first(raw: Mapping[str, Json], names: tuple[str, ...]) -> Json:
    found = next((raw[name] for name in names if raw.get(name) not in (None, "")), None)
    if found is None:
        raise ValueError(f"it has none of {', '.join(names)}")
    return found


def _turns(asked: Json) -> list[Json]:
    if isinstance(asked, str):
        return [{"role": "user", "content": _said(asked, "the question")}]
    if not isinstance(asked, list) or not asked:
        raise TypeError("the question should be text, or a list of turns with role and content")
    turns: list[Json] = []
    for turn in asked:
        if not isinstance(turn, Mapping) or turn.get("role") not in _ROLES:
            raise TypeError(f"a turn of the question needs a role, one of {', '.join(_ROLES)}")
        turns.append({"role": turn["role"], "content": _said(turn.get("content"), "a turn of the question")})
    if asked[-1]["role"] != "user":
        raise ValueError("the question should end with a turn of the user")
    return turns


def _said(given: Json, what: str) -> str:
    said = clean_text(given) if isinstance(given, str) else ""
    if not said:
        raise ValueError(f"{what} should be text, and not empty")
    return said


def _gold(given: Json) -> str:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        raise TypeError("the gold answer should be text or a number")
    if isinstance(given, float) and not math.isfinite(given):
        raise ValueError("the gold answer is a number too large to be read: write it as text")
    _, marker, last = str(given).rpartition("####")
    found = last.replace(",", "") if marker else last
    return _said(found, "the gold answer")


def _local(raw: Mapping[str, Json], grader: str) -> dict[str, Json]:
    turns, gold = _turns(_first(raw, QUESTIONS)), _gold(_first(raw, ANSWERS))
    content = canonical_json([turns, gold])
    row: dict[str, Json] = {"id": row_id(raw.get("id"), "question", content), "turns": turns, "gold": gold}
    meta = raw.get("meta")
    if isinstance(meta, Mapping) and isinstance(meta.get("missing"), bool) and isinstance(meta.get("twin"), str):
        row |= {"missing": meta["missing"], "twin": meta["twin"]}
    if grader == "choice":
        row |= _choice(raw.get("choices"), gold, turns)
    _recognised(_open_problem({**row}, grader) if grader != "choice" else _choice_problem(row, 0))
    return row


def _choice(given: Json, gold: str, turns: list[Json]) -> dict[str, Json]:
    if isinstance(given, str):
        given = as_json(given)  # a cell of a table
    if not isinstance(given, list) or not 2 <= len(given) <= len(LETTERS):
        raise TypeError(f"""'choices' should be a list of 2 to {len(LETTERS)} texts, in one cell as ["red", "blue"]""")
    if len(turns) != 1:
        raise ValueError("a question with choices has one turn")
    options = [_said(str(one) if is_number(one) else one, "a choice") for one in given]
    if len(set(options)) < len(options):
        raise ValueError("two of its choices are the same")
    by_words = [index for index, option in enumerate(options) if option == gold]
    by_letter = [LETTERS.index(gold)] if len(gold) == 1 and gold in LETTERS[: len(options)] else []
    if len(found := {*by_words, *by_letter}) != 1:
        raise ValueError(f"gold {gold!r} should be the letter of one of its {len(options)} choices, or its words")
    return {"options": list(options), "correct": found.pop()}


def _recognised(problem: Problem) -> None:
    """Its grader must call its own gold right, or every verdict on it would be worthless."""
    said = get_grader(problem.grader).gold_text(problem)
    try:
        verdict = score_completion(problem, Completion(said, "stop"))
    except DataError as error:
        raise ValueError(f"{error}; another grader may fit: {', '.join(GRADERS)}") from error
    if isinstance(verdict, Score) and verdict.value != 1.0:
        raise ValueError(
            f"the grader {problem.grader!r} does not find its own gold {problem.target!r} right ({verdict.status}): "
            f"another one may fit: {', '.join(GRADERS)}"
        )


def _open_problem(row: Mapping[str, Json], grader: str) -> Problem:
    turns = row["turns"]
    assert isinstance(turns, list)
    messages = tuple(Message(turn["role"], turn["content"]) for turn in turns)
    problem = Problem(id=text(row, "id"), messages=messages, target=text(row, "gold"), grader=grader)
    if "missing" not in row:
        return problem
    pair = {"missing": row["missing"], "twin": row["twin"]}
    return replace(problem, grader="abstain" if row["missing"] else grader, cluster=text(row, "twin"), meta=pair)


def _choice_problem(row: Mapping[str, Json], seed: int) -> Problem:
    turns, correct = row["turns"], row["correct"]
    assert isinstance(turns, list) and isinstance(correct, int)
    asked = {"id": row["id"], "question": turns[0]["content"]}
    return choice_problem(asked, seed, options=texts(row, "options"), correct=correct)


def _distinct(rows: Rows) -> Rows:
    """The rows as they are; `DataError` if an id stands twice."""
    seen: set[str] = set()
    for row in rows:
        if (name := text(row, "id")) in seen:
            raise DataError(f"two rows have the id {name!r}: leave out the repeat, or give every row an id of its own")
        seen.add(name)
    return rows


def build(rest: str) -> Suite:
    """The suite over a file's questions; its data are pinned to what they are when a run is planned.

    Raises `UsageError` where grader or file are not said, `UnknownName` for a grader that cannot serve, `MissingData`
    for a path to nothing.
    """
    grader, colon, file = rest.partition(":")
    if not colon:
        raise UsageError(
            f"{PREFIX}:{rest}: say how answers are checked, and then the file, as in {PREFIX}:math:mine.jsonl "
            f"(one of {', '.join(GRADERS)})"
        )
    if grader not in GRADERS:
        raise UnknownName(f"grader of {PREFIX}", grader, GRADERS)
    by_letter = grader == "choice"
    return Suite(
        name=f"{PREFIX}:{rest}",
        version="1",
        summary=f"one's own questions, checked by the grader {grader}",
        data=own_data(PREFIX, file, partial(_local, grader=grader), _distinct),
        render=_choice_problem if by_letter else lambda row, _: _open_problem(row, grader),
        grader=grader,
        sampling=Sampling(n=1, temperature=0.0, max_tokens=4096),
        metrics=("avg@n", "tokens_out"),
        formats=("think",),
        licence="that of the file",
        paper="",
    )
