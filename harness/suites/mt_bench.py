"""MT-Bench: 80 questions of two turns in eight categories, scored by a judge.

Only first turns are listed; the second is rendered from the answer to the first, without its thoughts, as a user of a
chat would have seen it (`next_turn`). An answer that shows nothing, because its think block was never closed, goes on
as an empty one: leaving such conversations out would flatter models that think too long. Only a turn whose predecessor
failed for good is not asked, and it is counted as failed.

Each category has the temperature of the benchmark's own generation script. That script cuts answers at 1,024 tokens,
which cuts most chains of thought: the limit here is 16,384, and `--max-tokens 1024` is the published setting.
The references of mathematics, reasoning and coding are GPT-4's answers, as the published judgments used them; some are
wrong. The notes that other questions carry are kept in the rows and, as in the original, not shown to the judge.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.datasets import clean_text
from harness.reasoning import with_answer
from harness.suites._render import text, texts
from harness.types import Completion, DataRef, Json, Message, Problem, Sampling, Suite

TEMPERATURES: dict[str, float] = {
    "writing": 0.7,
    "roleplay": 0.7,
    "reasoning": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "extraction": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
}
"""Category -> temperature of generation, in the benchmark's order of questions."""
GUIDED = ("reasoning", "math", "coding")
"""Categories that are judged with a reference."""


def _row(raw: Mapping[str, Json]) -> dict[str, Json]:
    category, turns = clean_text(raw["category"]), [clean_text(turn) for turn in texts(raw, "turns")]
    if category not in TEMPERATURES or len(turns) != 2:
        raise ValueError(f"category {category!r} with {len(turns)} turns")
    reference = [clean_text(turn) for turn in texts(raw, "reference")] if raw["reference"] is not None else []
    if category in GUIDED and (len(reference) != 2 or not all(reference)):
        raise ValueError(f"a question of {category} needs a reference for each turn")
    return {"id": str(raw["question_id"]), "category": category, "turns": turns, "reference": reference}


def _render(row: Mapping[str, Json], seed: int) -> Problem:
    category, turns = text(row, "category"), texts(row, "turns")
    references = texts(row, "reference") if category in GUIDED else []
    return _turn(
        text(row, "id"),
        1,
        (Message("user", turns[0]),),
        {"category": category, "turns": turns, "references": references},
    )


def _turn(question: str, turn: int, messages: tuple[Message, ...], facts: Mapping[str, Json]) -> Problem:
    references = texts(facts, "references")
    return Problem(
        id=f"{question}/{turn}",
        messages=messages,
        target=references[turn - 1] if references else "",
        grader="exact",
        reference=references[turn - 1] if references else None,
        cluster=question,
        temperature=TEMPERATURES[text(facts, "category")],
        meta={**facts, "question": question, "turn": turn},
    )


def next_turn(problem: Problem, completion: Completion) -> Problem | None:
    """The second turn after an answer to the first; None after the second."""
    turn, turns = len(problem.messages) // 2 + 1, texts(problem.meta, "turns")
    if turn >= len(turns):
        return None
    shown = with_answer(completion).answer_text or ""
    messages = (*problem.messages, Message("assistant", shown), Message("user", turns[turn]))
    return _turn(problem.cluster, turn + 1, messages, problem.meta)


MT_BENCH = Suite(
    name="mt_bench",
    version="1",
    summary="MT-Bench: 80 questions of two turns in eight categories, rated from 1 to 10 by a judge",
    data=DataRef(
        files=("mt_bench_questions.jsonl",),
        rows=80,
        sha256="809e7b8a34145804b96acb694d8f79effff02617d854b476a888071ecdabf961",
        from_local=_row,
    ),
    render=_render,
    grader="exact",
    sampling=Sampling(n=1, temperature=0.0, max_tokens=16384),
    metrics=("avg@n",),
    licence="Apache-2.0",
    paper="Zheng et al. 2023, arXiv 2306.05685",
    judging="mt_bench",
    follow_up=next_turn,
)
