"""A small world for checks of direction: sums with two right orders, students made from scratch, what they answer.

`tiny` gets too few level-3 sums right to show what a method does to the way they are worked out, and reads no prompt
that it was not taught. So these checks make their students: of `tiny`'s kind, smaller, taught such sums alone, in a
minute or two of one thread. Everything is the train split's but what `world(…, "dev")` gives.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np

from backends.records.record import TrainRecord
from backends.rewards.scorers import open_scorers
from backends.rewards.total import Totals
from backends.rollouts.types import Rollout, RolloutGroup
from harness.models import load_model
from harness.models.base import bounded
from harness.models.tiny_pretrain import Recipe, Row, pretrain
from harness.models.tiny_tokenizer import tiny_tokenizer
from harness.stats.seeds import Cells, Seeded, seeded_difference, seeded_mean
from harness.synth import SynthProblem, build, render, stream
from harness.synth.chains import random_order
from harness.synth.rng import Rng
from harness.types import Completion, Message, Request

LARGEST = 50
"""Result of a step: what a small model can learn to work out."""
RECIPE = Recipe(hidden=128, layers=4, heads=4, mlp=352, context=256)
"""A million parameters."""
Measures = dict[str, np.ndarray]
"""Measure -> problems x samples."""


@cache
def world(split: str, count: int, seed: int = 0) -> tuple[SynthProblem, ...]:
    """The first so many level-3 sums with two right orders and small results; fewer where 40,000 sums have no more."""
    drawn = islice(stream(seed, 3, split, "arithmetic"), 40_000)  # type: ignore[arg-type]
    fit = (one for one in drawn if all(0 <= sub.answer <= LARGEST for sub in one.subproblems) and sides(one))
    return tuple(islice(fit, count))


def sides(problem: SynthProblem) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Both orders, the one that begins with the left side of the last operation first; None where there is one alone.

    By sides, not by the order in which the problem lists its parts: a difference's sides are swapped where it would be
    negative, so that the question does not tell that one.
    """
    last = problem.subproblems[-1]
    left, right = last.left, last.right
    if not (isinstance(left, str) and isinstance(right, str)):
        return None
    return (left, right, last.id), (right, left, last.id)


def record(problem: SynthProblem, order: tuple[str, ...] | None = None) -> TrainRecord:
    """The problem with its chain in that order as response."""
    chain = build(problem, "short", order)
    return TrainRecord(
        id=problem.id,
        prompt=(Message("user", problem.question),),
        task="math",
        think=render(chain, "steps"),
        gold=str(problem.answer),
        response=render(chain, "think", boxed=False),
        meta={"grader": "integer", "dataset": "synth"},
    )


def told(problem: SynthProblem, rng: Rng) -> TrainRecord:
    """A record whose chain has some order, with the chain as the solution that a teacher may see."""
    one = record(problem, random_order(problem, rng))
    return replace(one, privileged=f"{one.think} The answer is {one.gold}.")


def chains(rows: int) -> list[TrainRecord]:
    """So many records, every problem in turn, a random order each time; more of them begin with the same ones."""
    rng, problems = Rng("small world", 0), world("train", 5_000, 3)
    found: list[TrainRecord] = []
    while len(found) < rows:
        found += [told(problem, rng) for problem in rng.shuffled(problems)]
    return found[:rows]


def plain_student(work: Path, rows: int) -> str:
    """A student that was taught so many chains and takes either side first."""
    return made(work / f"plain-{rows}", lambda: [(one.prompt, str(one.response)) for one in chains(rows)])


def made(folder: Path, taught: Callable[[], Sequence[tuple[Sequence[Message], str]]], recipe: Recipe = RECIPE) -> str:
    """The spec of a model that was taught these replies to these turns, in this order; made once."""
    if not (folder / "config.json").exists():
        tokenizer = tiny_tokenizer()
        rows: list[Row] = []
        for turns, reply in taught():
            said = [{"role": turn.role, "content": turn.content} for turn in turns]
            prompt = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=True)
            ids = tokenizer([prompt, reply], add_special_tokens=False)["input_ids"]
            rows.append(([*ids[0], *ids[1], tokenizer.eos_token_id], len(ids[0])))
        model = pretrain(recipe, tokenizer, rows)
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return f"hf:{folder.resolve()}"


def measured(
    work: Path,
    spec: str,
    asked: Sequence[TrainRecord],
    weights: str = "accuracy=1",
    options: Mapping[str, str] | None = None,
    *,
    name: str = "dev",
    samples: int = 4,
    temperature: float = 1.0,
    longest: int = 40,
) -> tuple[Measures, list[list[str]]]:
    """What rewards say of so many completions of each prompt, and their texts; kept in a file and read again."""
    path = work / f"{name}-{spec.rpartition('/')[2].replace(':', '-')}.json"
    if not path.exists():
        drawn = asyncio.run(_answers(spec, work, asked, samples, temperature, longest))
        totals = Totals(weights, options or {})
        found: dict[str, list[list[float]]] = {}
        with open_scorers(None, work / "results") as scorers:
            for one, completions in zip(asked, drawn, strict=True):
                rollouts = tuple(_rollout(one, completion) for completion in completions)
                marks = totals.mark(RolloutGroup(one, rollouts), scorers)
                for part in marks[0].parts:
                    values = [mark.parts[part] for mark in marks]
                    assert None not in values, f"{one.id}: nobody could tell {part}"
                    found.setdefault(part, []).append([float(value or 0.0) for value in values])
        path.write_text(json.dumps({"found": found, "texts": [[c.text for c in row] for row in drawn]}))
    known = json.loads(path.read_text())
    return {part: np.array(rows) for part, rows in known["found"].items()}, known["texts"]


async def _answers(
    spec: str, work: Path, asked: Sequence[TrainRecord], samples: int, temperature: float, longest: int
) -> list[list[Completion]]:
    options = {} if spec.startswith("trained:") else {"dtype": "float32"}
    model = load_model(spec, options, work / "results")
    found: dict[tuple[int, int], Completion] = {}

    async def one(place: tuple[int, int]) -> None:
        number, sample = place
        seed = 1_000_003 * number + sample
        request = Request(f"{number}/{sample}", asked[number].prompt, temperature, 1.0, longest, (), seed)
        found[place] = await model.answer(request)

    try:
        await bounded([(number, sample) for number in range(len(asked)) for sample in range(samples)], one)
    finally:
        await model.close()
    return [[found[number, sample] for sample in range(samples)] for number in range(len(asked))]


def _rollout(of: TrainRecord, completion: Completion) -> Rollout:
    """A completion as rewards see it."""
    nothing = np.zeros(0, np.int32)
    return Rollout(
        of.id, 0, 0, 0, nothing, nothing, np.zeros(0, np.float32), completion.text, completion.finish, 0,
        completion.opened_think,
    )  # fmt: skip


def cells(runs: Sequence[np.ndarray], *, fixed: bool = False) -> Cells:
    """Means over samples, by problem and training seed."""
    return Cells(np.stack([run.mean(1) for run in runs], axis=1), fixed=fixed)


def said(found: Seeded, sign: str = "") -> str:
    """Value and 95 % interval over problems and training seeds."""
    return f"{found.value:{sign}.3f} [{found.low:{sign}.3f}, {found.high:{sign}.3f}]"


def mean(runs: Sequence[np.ndarray]) -> str:
    """The mean of trainings."""
    return said(seeded_mean(cells(runs)))


def less(runs: Sequence[np.ndarray], others: Sequence[np.ndarray]) -> str:
    """Trainings less others with the same seeds, or less one model that was not trained."""
    fixed = len(others) == 1 and len(runs) > 1
    return said(seeded_difference(cells(runs), cells(others, fixed=fixed)), "+")
