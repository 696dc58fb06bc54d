"""MT-Bench's own files, as FastChat writes them.

    model_answer/<model>.jsonl       {question_id, answer_id, model_id, choices[{index, turns[2]}], tstamp}
    reference_answer/gpt-4.jsonl     the same
    model_judgment/<judge>_single    {question_id, model, judge[2], user_prompt, judgment, score, turn, tstamp}
    model_judgment/<judge>_pair      {question_id, model_1, model_2, g1_winner, g2_winner, judge[2], g1_user_prompt,
                                      g1_judgment, g2_user_prompt, g2_judgment, turn, tstamp}

Judgments may leave out their prompts and texts, and may carry `dup` (above 0: the same answer judged once more) and
`source`. A score of -1 says that the judgment has no rating. Rows are data of strangers: whatever does not fit is
refused with the name of its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.datasets.local import Raw
from harness.errors import DataError
from harness.hashing import short_hash
from harness.types import Json
from judges.protocols.mt_bench.prompts import HIGH, UNPARSED
from judges.protocols.stored_rows import Answer, checked, read_rows
from judges.types import Judgment, Task

CATEGORIES = ("writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities")
"""In the order of the questions: ten each, from 81 on."""
FIRST, LAST = 81, 160
Winner = Literal["model_1", "model_2", "tie", "error"]
_WINNERS: tuple[Winner, ...] = ("model_1", "model_2", "tie", "error")

_KIND = "MT-Bench row of that kind"


@dataclass(frozen=True, slots=True)
class SingleRow:
    """One judgment of one answer."""

    question_id: int
    turn: int
    model: str
    judge: str
    prompt: str
    """Name of the judge prompt: "single-v1"."""
    score: float | None
    """As the file has it: 1 to 10, -1 for a judgment without a rating; None where the file leaves it out."""
    judgment: str = ""
    dup: int = 0
    where: str = ""
    """File and line, for messages."""


@dataclass(frozen=True, slots=True)
class PairRow:
    """Both games about one pair of answers: model_1 shown first, then model_2 shown first."""

    question_id: int
    turn: int
    model_1: str
    model_2: str
    winners: tuple[Winner, Winner]
    judge: str
    prompt: str
    judgments: tuple[str, str] = ("", "")
    where: str = ""


def category_of(question_id: int) -> str:
    """The category of one of the 80 questions."""
    return CATEGORIES[(question_id - FIRST) // 10]


def read_answers(path: Path) -> list[Answer]:
    """The answers of a model_answer or reference_answer file, each question once."""
    found = [checked(raw, _answer, _KIND) for raw in read_rows([path], refuse_empty=True)]
    _refuse_twice((f"{answer.question} by {answer.model}" for answer in found), str(path))
    return found


def read_single(raw: Raw) -> SingleRow:
    """A row of a single-answer judgment file; raises `DataError` naming the row."""
    return checked(raw, lambda fields: _single(fields, raw.where), _KIND)


def read_pair(raw: Raw) -> PairRow:
    """A row of a pairwise judgment file; raises `DataError` naming the row."""
    return checked(raw, lambda fields: _pair(fields, raw.where), _KIND)


def answers_of(tasks: Sequence[Task], model: str) -> list[Answer]:
    """The answers to both turns of each question, from the task of its last turn; one attempt at each."""
    last = {_place(task.problem_id)[0]: task for task in sorted(tasks, key=lambda task: len(task.answers))}
    return [Answer(str(question), model, task.answers) for question, task in sorted(last.items())]


def single_of(judgment: Judgment, model: str) -> SingleRow:
    """Our judgment of one turn as the file has it, -1 where it could not be read; without the prompt's text."""
    question, turn = _place(judgment.problem_id)
    score = round(judgment.verdict.value * HIGH, 6) if judgment.verdict is not None else UNPARSED
    return SingleRow(question, turn, model, judgment.judge, judgment.rubric, score, judgment.raw)


def pair_of(judgments: Sequence[Judgment], model: str, opponent: str) -> PairRow:
    """Both games about one turn, the first of each order; one that could not be read is an "error"."""
    first, second = (
        next(one for one in judgments if one.order == order) for order in ("candidate_first", "opponent_first")
    )
    question, turn = _place(first.problem_id)
    winners = (_winner_of(first), _winner_of(second))
    said = (first.raw, second.raw)
    return PairRow(question, turn, model, opponent, winners, first.judge, first.rubric, said)


def _place(problem_id: str) -> tuple[int, int]:
    """(question, turn) of a problem of our suite: "81/2"."""
    question, _, turn = problem_id.partition("/")
    return int(question), int(turn)


def _winner_of(judgment: Judgment) -> Winner:
    if judgment.verdict is None:
        return "error"
    value = judgment.verdict.value
    return "tie" if value == 0.5 else "model_1" if value > 0.5 else "model_2"


def answer_row(answer: Answer, tstamp: float) -> dict[str, Json]:
    """A row of model_answer/<model>.jsonl; `answer_id` is a hash of the content, so writing twice changes nothing."""
    content = "\n".join((answer.question, answer.model, *answer.turns))
    return {
        "question_id": int(answer.question),
        "answer_id": short_hash(content),
        "model_id": answer.model,
        "choices": [{"index": 0, "turns": list(answer.turns)}],
        "tstamp": tstamp,
    }


def single_row(row: SingleRow, tstamp: float) -> dict[str, Json]:
    """A row of model_judgment/<judge>_single.jsonl."""
    return {
        "question_id": row.question_id,
        "model": row.model,
        "judge": [row.judge, row.prompt],
        "user_prompt": "",
        "judgment": row.judgment,
        "score": row.score if row.score is not None else UNPARSED,
        "turn": row.turn,
        "tstamp": tstamp,
    }


def pair_row(row: PairRow, tstamp: float) -> dict[str, Json]:
    """A row of model_judgment/<judge>_pair.jsonl."""
    return {
        "question_id": row.question_id,
        "model_1": row.model_1,
        "model_2": row.model_2,
        "g1_winner": row.winners[0],
        "g2_winner": row.winners[1],
        "judge": [row.judge, row.prompt],
        "g1_user_prompt": "",
        "g1_judgment": row.judgments[0],
        "g2_user_prompt": "",
        "g2_judgment": row.judgments[1],
        "turn": row.turn,
        "tstamp": tstamp,
    }


def _answer(fields: Mapping[str, Json]) -> Answer:
    choices = fields["choices"]
    if isinstance(choices, str) or not isinstance(choices, Sequence) or len(choices) != 1:
        raise ValueError("choices should be a list of one answer")
    (choice,) = choices
    if not isinstance(choice, Mapping):
        raise TypeError("a choice should be an object")
    return Answer(str(_known_question(fields)), _text(fields, "model_id"), _texts(choice["turns"], "turns"))


def _single(fields: Mapping[str, Json], where: str) -> SingleRow:
    judge, prompt = _judge(fields)
    score = fields.get("score")
    if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
        raise TypeError(f"score should be a number, is {score!r}")
    return SingleRow(
        question_id=_known_question(fields),
        turn=_turn(fields),
        model=_text(fields, "model"),
        judge=judge,
        prompt=prompt,
        score=float(score) if score is not None else None,
        judgment=_optional(fields, "judgment"),
        dup=_number(fields.get("dup", 0), "dup"),
        where=where,
    )


def _pair(fields: Mapping[str, Json], where: str) -> PairRow:
    judge, prompt = _judge(fields)
    model_1, model_2 = _text(fields, "model_1"), _text(fields, "model_2")
    if model_1 == model_2:
        raise ValueError(f"{model_1!r} is compared with itself")
    return PairRow(
        question_id=_known_question(fields),
        turn=_turn(fields),
        model_1=model_1,
        model_2=model_2,
        winners=(_winner(fields, "g1_winner"), _winner(fields, "g2_winner")),
        judge=judge,
        prompt=prompt,
        judgments=(_optional(fields, "g1_judgment"), _optional(fields, "g2_judgment")),
        where=where,
    )


def _winner(fields: Mapping[str, Json], key: str) -> Winner:
    for winner in _WINNERS:
        if fields[key] == winner:
            return winner
    raise ValueError(f"{key} is {fields[key]!r}, not one of {', '.join(_WINNERS)}")


def _judge(fields: Mapping[str, Json]) -> tuple[str, str]:
    """(model, prompt name); the file has a list of both."""
    judge = _texts(fields["judge"], "judge")
    if len(judge) != 2:
        raise ValueError("judge should be a list of model and prompt name")
    return judge[0], judge[1]


def _known_question(fields: Mapping[str, Json]) -> int:
    question_id = _number(fields["question_id"], "question_id")
    if not FIRST <= question_id <= LAST:
        raise ValueError(f"question_id {question_id} is not one of MT-Bench's ({FIRST} to {LAST})")
    return question_id


def _turn(fields: Mapping[str, Json]) -> int:
    turn = _number(fields["turn"], "turn")
    if turn not in (1, 2):
        raise ValueError(f"turn {turn}: MT-Bench has turns 1 and 2")
    return turn


def _number(value: Json, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} should be a whole number, is {value!r}")
    return value


def _text(fields: Mapping[str, Json], key: str) -> str:
    value = fields[key]
    if not isinstance(value, str) or not value:
        raise TypeError(f"{key} should be a text, is {value!r}")
    return value


def _optional(fields: Mapping[str, Json], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise TypeError(f"{key} should be a text, is {type(value).__name__}")
    return value


def _texts(value: Json, name: str) -> tuple[str, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{name} should be a list of texts")
    return tuple(str(item) for item in value)


def _refuse_twice(keys: Iterable[str], where: str) -> None:
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise DataError(f"{where}: question {key} stands twice")
        seen.add(key)
