"""What a model finds of given texts, asked for as any reply is: through the kept replies, within the budget.

    with Asker(ScoringModel(model, "student"), self.cache(), budget=self.budget) as ask:
        found = scores_of(ask([scoring(self.name, record, text) for …]))

A text is the last turn of what is asked. So nothing is scored twice, a killed maker goes on, and a dry run counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from backends.makers.asking import Query
from backends.records.inputs import problem_of
from backends.records.record import TrainRecord
from harness.errors import DataError, ModelError
from harness.models.scoring import CannotScore, require_scores, scores_from_json, scores_to_json
from harness.types import Completion, Json, Message, Model, Request, Sampling, TokenScores

_FORM = 1
_NOTHING = Sampling(max_tokens=1)
"""A score draws nothing; a budget counts what is read."""


class ScoringModel(CannotScore):
    """A model that writes nothing: its reply is what the model's `score` says of the last turn of a request."""

    def __init__(self, model: Model, role: str) -> None:
        """`role` is for errors: teacher, student. Raises `UsageError` for a model that cannot score a text."""
        require_scores(model, role)
        self.name, self.continues = model.name, model.continues
        self._model = model
        self.environment, self.close = model.environment, model.close

    def describe(self) -> Mapping[str, Json]:
        """The model's identity, and the form of what is kept."""
        return {**self._model.describe(), "scores": _FORM}

    async def answer(self, request: Request) -> Completion:
        """The scores as text; one that was "cut" is of a text that does not fit the context, or of none.

        Raises `ModelError` from an engine that cannot score: no request would fare better.
        """
        *prompt, last = request.messages
        try:
            scores = await self._model.score(prompt, last.content)
        except DataError:
            return Completion("", "length", tokens_in=0, tokens_out=0)
        if scores.starts is None:
            raise ModelError(f"{self.name} does not say where its tokens stand in a text, which is needed here")
        return Completion(scores_to_json(scores), "stop", tokens_in=scores.read, tokens_out=0)


def scoring(maker: str, record: TrainRecord, text: str) -> Query:
    """A text as the response to a record's prompt, to be scored."""
    return Query(maker, "", problem_of(record, (*record.prompt, Message("assistant", text))), 0, _NOTHING)


def scores_of(completions: Iterable[Completion]) -> list[TokenScores | None]:
    """The scores in order; None where there are none: the request failed, or the text does not fit."""
    return [scores_from_json(one.text, "the file of replies") if one.finish == "stop" else None for one in completions]
