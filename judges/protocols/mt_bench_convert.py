"""Between MT-Bench's files and our tasks and judgments, so that answers made elsewhere are judged here and ours there.

    tasks_of(read_questions("question.jsonl", "gpt-4.jsonl"), read_answers("model_answer/m.jsonl"))   -> tasks to judge
    single_rows(judging, tasks, judgments, "m")   -> rows of model_judgment/<judge>_single.jsonl
    pair_rows(judging, tasks, judgments, "m", "other")   -> rows of model_judgment/<judge>_pair.jsonl
    answers_of(tasks, "m")   -> rows of model_answer/m.jsonl

FastChat's files know one answer and one judgment for each turn: attempts after the first are left out, and of several
repeats the first one is written.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.errors import DataError
from judges.protocols.mt_bench_files import Answer, PairRow, Question, SingleRow, Winner
from judges.protocols.mt_bench_prompts import HIGH, UNPARSED
from judges.types import Judging, Judgment, Order, Task

GUIDED = ("reasoning", "math", "coding")
"""Categories that are judged with the reference answers."""
_ORDERS: tuple[Order, Order] = ("candidate_first", "opponent_first")


def tasks_of(
    questions: Sequence[Question], answers: Sequence[Answer], opponents: Sequence[Answer] | None = None
) -> list[Task]:
    """One task for each turn of each answer, held against the opponent's answers if there are any.

    Raises `DataError` naming the questions that are unknown or lack an answer or, where needed, a reference.
    """
    known = {question.question_id: question for question in questions}
    theirs = {answer.question_id: answer.turns for answer in opponents} if opponents is not None else None
    tasks: list[Task] = []
    for answer in answers:
        question = known.get(answer.question_id)
        if question is None:
            raise DataError(f"{answer.model}: there is no question {answer.question_id} among the {len(known)} given")
        against = None if theirs is None else theirs.get(answer.question_id, ())
        for whose, turns in ((answer.model, answer.turns), ("the opponent", against)):
            if turns is not None and len(turns) != len(question.turns):
                raise DataError(
                    f"question {answer.question_id}: {whose} has {len(turns)} answers to {len(question.turns)} turns"
                )
        tasks += [_task(question, answer.turns, against, turn) for turn in range(1, len(question.turns) + 1)]
    return tasks


def _task(question: Question, answers: tuple[str, ...], opponent: tuple[str, ...] | None, turn: int) -> Task:
    guided = question.category in GUIDED
    if guided and (len(question.reference) != len(question.turns) or not all(question.reference)):
        raise DataError(
            f"question {question.question_id} ({question.category}) has no reference answer for each turn: "
            "read it with FastChat's reference_answer file"
        )
    return Task(
        problem_id=f"{question.question_id}/{turn}",
        attempt=0,
        turns=question.turns[:turn],
        answers=answers[:turn],
        opponent=opponent[:turn] if opponent is not None else None,
        reference=question.reference[turn - 1] if guided else None,
        cluster=str(question.question_id),
        meta={
            "category": question.category,
            "turn": turn,
            "references": list(question.reference) if guided else [],
        },
    )


def answers_of(tasks: Sequence[Task], model: str) -> list[Answer]:
    """The first attempt's answers to both turns of each question, from the task of its last turn."""
    last = {_question(task): task for task in sorted(_first(tasks), key=lambda task: len(task.turns))}
    return [Answer(question, model, last[question].answers) for question in sorted(last)]


def single_rows(
    judging: Judging, tasks: Sequence[Task], judgments: Sequence[Sequence[Judgment]], model: str
) -> list[SingleRow]:
    """One row for each judged turn; a judgment without a rating has the score -1."""
    rows: list[SingleRow] = []
    for task, said in zip(tasks, judgments, strict=True):
        if task.attempt > 0 or not said:
            continue
        verdict = said[0].verdict
        rows.append(
            SingleRow(
                question_id=_question(task),
                turn=len(task.turns),
                model=model,
                judge=said[0].judge,
                prompt=judging.rubric_id(task).partition("#")[0],
                score=round(verdict.value * HIGH, 6) if verdict is not None else UNPARSED,
                judgment=said[0].raw,
                user_prompt=judging.asks(task)[0].messages[-1].content,
            )
        )
    return rows


def pair_rows(
    judging: Judging, tasks: Sequence[Task], judgments: Sequence[Sequence[Judgment]], model: str, opponent: str
) -> list[PairRow]:
    """One row for each judged turn, the candidate as model_1; a game that could not be read is an "error"."""
    rows: list[PairRow] = []
    for task, said in zip(tasks, judgments, strict=True):
        games = [next((one for one in said if one.order == order), None) for order in _ORDERS]
        first, second = games
        if task.attempt > 0 or first is None or second is None:
            continue
        prompts = {ask.order: ask.messages[-1].content for ask in reversed(judging.asks(task))}
        rows.append(
            PairRow(
                question_id=_question(task),
                turn=len(task.turns),
                model_1=model,
                model_2=opponent,
                winners=(_winner(first), _winner(second)),
                judge=first.judge,
                prompt=judging.rubric_id(task).partition("#")[0],
                judgments=(first.raw, second.raw),
                user_prompts=(prompts[_ORDERS[0]], prompts[_ORDERS[1]]),
            )
        )
    return rows


def _first(tasks: Sequence[Task]) -> list[Task]:
    return [task for task in tasks if task.attempt == 0]


def _question(task: Task) -> int:
    try:
        return int(task.cluster)
    except ValueError as error:
        raise DataError(f"problem {task.problem_id!r} is no turn of an MT-Bench question") from error


def _winner(judgment: Judgment) -> Winner:
    if judgment.verdict is None:
        return "error"
    value = judgment.verdict.value
    return "tie" if value == 0.5 else "model_1" if value > 0.5 else "model_2"
