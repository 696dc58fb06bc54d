"""What a model says of texts that are stored: scored one model after the other, each score kept.

Scores lie in `analysis-scores.sqlite` of the results folder, keyed by all that can change them: the same question again
is answered from there, and what is stopped goes on from there. A text that a model cannot score (it does not fit the
context) is counted and left out.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from harness.analyses.base import AnalysisContext
from harness.config import RunConfig
from harness.errors import DataError, UsageError
from harness.hashing import canonical_json
from harness.models import load_model
from harness.models.base import bounded
from harness.models.reply_cache import Cache
from harness.models.scoring import require_scores, scores_from_json, scores_to_json
from harness.run.folder import Key, RunFolder
from harness.run.replan import stored_job
from harness.run.turns import walk
from harness.types import Completion, Message, Model, Problem, TokenScores

T = TypeVar("T")
FILE = "analysis-scores.sqlite"


@dataclass(frozen=True)
class StoredText:
    """An answer of a run, as generated, behind what was asked."""

    key: Key
    prompt: tuple[Message, ...]
    text: str


def stored_answers(
    run: RunFolder, context: AnalysisContext, attempts: int | None = None, limit: int | None = None
) -> Iterator[tuple[Problem, int, Completion]]:
    """(problem, attempt, completion) of a run's answers, but for failed ones; the first `attempts` of each problem.

    Raises `StoreError` for a run whose questions cannot be had again.
    """
    data_dir = None if context.data_dir is None else str(context.data_dir)
    job = stored_job(run, RunConfig(results_dir=str(context.results_dir), data_dir=data_dir), limit)
    stored = run.latest
    numbers = sorted({attempt for _, attempt in stored})[:attempts]
    for first in job.problems:
        for attempt in numbers:
            for problem, record in walk(job.suite, first, attempt, stored):
                if record is not None and record.completion.finish != "error":
                    yield problem, attempt, record.completion


def stored_texts(run: RunFolder, context: AnalysisContext, attempts: int, limit: int | None = None) -> list[StoredText]:
    """The run's answers that hold any text, of the first `attempts` at each of at most `limit` problems.

    Raises `StoreError` for a run whose questions cannot be had again, `DataError` for one without a text.
    """
    found = [
        StoredText((problem.id, attempt), problem.messages, completion.text)
        for problem, attempt, completion in stored_answers(run, context, attempts, limit)
        if completion.text.strip()
    ]
    if not found:
        raise DataError(f"{run.name}: no answer is stored that could be scored")
    return found


def model_options(given: Sequence[str], roles: Sequence[str]) -> dict[str, dict[str, str]]:
    """Of each role its model's options, from ROLE.KEY=VALUE. Raises `UsageError`."""
    found: dict[str, dict[str, str]] = {role: {} for role in roles}
    for one in given:
        name, equals, value = one.partition("=")
        role, dot, key = name.partition(".")
        if not (equals and dot and key) or role not in found:
            raise UsageError(f"--model-arg {one!r} must be ROLE.KEY=VALUE, with a role of {', '.join(roles)}")
        found[role][key] = value
    return found


def open_models(specs: Mapping[str, str], given: Sequence[str], context: AnalysisContext) -> dict[str, Model]:
    """The models of each role. Raises `UsageError` for one that cannot score a text, before any of them is asked."""
    told = model_options(given, tuple(specs))
    models = {role: load_model(spec, told[role], context.results_dir) for role, spec in specs.items()}
    for role, model in models.items():
        require_scores(model, role)
    return models


@dataclass
class Scored(Generic[T]):
    """What was made of the scores of each text; None where there is none."""

    values: dict[Key, T] = field(default_factory=dict)
    missing: int = 0
    why: str = ""
    """Of the first that is missing."""


def score_texts(
    model: Model,
    texts: Sequence[StoredText],
    make: Callable[[StoredText, TokenScores], T],
    context: AnalysisContext,
    *,
    top: int = 0,
) -> Scored[T]:
    """Score all texts with a model, which is closed then, and make something of each, so that no table stays.

    `make` says by `ValueError` that the scores lack what it needs: of the first text, that is the engine's and
    `UsageError` is raised; a later one is missing. Raises `StoreError` and what `Model.score` raises of an engine.
    """
    scored = Scored[T]()
    # Not what the coroutine returns: asyncio writes that out in full as it ends (cpython gh-112559), for a minute.
    asyncio.run(_score_texts(model, texts, make, context, top, scored))
    if not scored.values:
        raise DataError(f"{model.name} could score none of {len(texts)} answers: {scored.why}")
    scored.values = {one.key: scored.values[one.key] for one in texts if one.key in scored.values}
    return scored


async def _score_texts(
    model: Model,
    texts: Sequence[StoredText],
    make: Callable[[StoredText, TokenScores], T],
    context: AnalysisContext,
    top: int,
    scored: Scored[T],
) -> None:
    identity = canonical_json(model.describe())
    equal: dict[str, list[StoredText]] = {}
    for one in texts:
        equal.setdefault(_key(identity, one, top), []).append(one)

    def take(key: str, kept: Completion) -> None:
        scores = scores_from_json(kept.text, FILE)
        for one in equal[key]:
            try:
                scored.values[one.key] = make(one, scores)
            except ValueError as error:
                if not scored.values:
                    raise UsageError(f"{model.name}: {error}") from error
                scored.missing, scored.why = scored.missing + 1, scored.why or str(error)

    async def ask(key: str) -> None:
        one, *same = equal[key]
        try:
            scores = await model.score(one.prompt, one.text, top)
        except DataError as error:
            scored.missing, scored.why = scored.missing + 1 + len(same), scored.why or str(error)
            context.progress.advance(Completion(text="", finish="error", error=str(error)))
            return
        take(key, cache.put_clean(key, model.name, Completion(text=scores_to_json(scores), finish="stop")))
        context.progress.advance(Completion(text="", finish="stop", tokens_out=len(scores.ids)))

    path = context.results_dir / FILE
    try:
        with Cache(path, what="file of scores") as cache:
            found = cache.get_many(equal)
            left = [key for key in equal if key not in found]
            context.progress.start(model.name, len(left), len(found))
            for key in equal:
                if key in found:
                    take(key, found.pop(key))
            if left:  # alone: what no text can change is known before the others are asked
                await ask(left[0])
                await bounded(left[1:], ask)
            context.progress.finish()
    finally:
        await model.close()


def _key(identity: str, one: StoredText, top: int) -> str:
    asked = [[message.role, message.content] for message in one.prompt]
    content = canonical_json({"messages": asked, "text": one.text, "top": top, "form": 2})
    return hashlib.sha256(f"score\n{identity}\n{content}".encode("utf-8", "surrogatepass")).hexdigest()
