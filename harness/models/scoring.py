"""What engines share about `Model.score`: what may be asked, and tables of prompt log-probabilities as scores."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice

from harness.errors import DataError, ModelError, StoreError, UsageError
from harness.types import Message, Model, TokenScores

_PARTS = 1_000_000


def check_continuation(ids: Sequence[int], prompt: int, context: int | None, vocabulary: int | None) -> None:
    """Raises `DataError` for no tokens, more than the `context` holds behind `prompt` tokens, and unknown ones."""
    if not ids:
        raise DataError("the continuation is empty: there is nothing to score")
    if context is not None and prompt + len(ids) > context:
        raise DataError(
            f"prompt and continuation do not fit the context: they have {prompt} and {len(ids)} tokens, there is room "
            f"for {context}"
        )
    if min(ids) < 0 or (vocabulary is not None and max(ids) >= vocabulary):
        raise DataError(f"the continuation holds ids from {min(ids)} to {max(ids)}; the model has {vocabulary} tokens")


def from_tables(
    ids: Sequence[int], tables: Sequence[Mapping[int, float]], top: int, read: int | None = None
) -> TokenScores:
    """Scores from one table for each token, id -> log-probability: of the token itself and the `top` likeliest.

    `read`: tokens that were read for them.

    Raises `ModelError` where a table lacks its token.
    """
    if len(tables) != len(ids) or any(token not in table for token, table in zip(ids, tables, strict=True)):
        raise ModelError("the log-probabilities that came back are not of the tokens that were asked for")
    logprobs = tuple(table[token] for token, table in zip(ids, tables, strict=True))
    if top <= 0:
        return TokenScores(tuple(ids), logprobs, read=read)
    ranked = (sorted(table.items(), key=lambda entry: (-entry[1], entry[0])) for table in tables)
    return TokenScores(tuple(ids), logprobs, tuple(dict(rank[:top]) for rank in ranked), read)


_UNREAD = "\ufffd"
_WIDEST = 16
"""Characters that a token is taken to have at most where its text cannot be read."""


def token_starts(text: str, pieces: Sequence[str]) -> tuple[int, ...] | None:
    """The first character of each token of a text, from the tokens' own texts; None where these are not the text's.

    A piece that is part of a character (or lost its first space) is fitted between its neighbours.
    """
    starts: list[int] = []
    place = unread = 0
    for piece in pieces:
        if not piece or _UNREAD in piece:
            starts.append(place)
            unread += 1
            continue
        blank = len(text[place : place + _WIDEST]) - len(text[place : place + _WIDEST].lstrip())
        last = place + (unread * _WIDEST or blank) + len(piece)
        found = text.find(piece, place, last)
        if found < 0 and place == 0:  # the space that some tokenizers put before a text
            piece = piece.lstrip()
            found = 0 if text.startswith(piece) else -1
        if found < 0:
            return None
        starts.append(found)
        place, unread = found + len(piece), 0
    return tuple(starts) if unread or not text[place:].strip() else None


class CannotScore:
    """`Model.score` of an engine that has no log-probabilities of a given text: refused, with those that can."""

    name: str
    gives_logprob: bool = False
    """An engine that cannot tell it of a given text does not tell it of its own either."""

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        """Raises `ModelError`."""
        raise ModelError(
            f"{self.name} cannot score a given text: hf, vllm, trained, smollm2 and tiny can, and openai with a vLLM "
            "server"
        )


def require_scores(model: Model, role: str) -> None:
    """Raises `UsageError` for a model that cannot score a given text, before it is asked; `role`: teacher, student."""
    if isinstance(model, CannotScore):
        raise UsageError(
            f"the {role} {model.name} has no log-probabilities of a given text: hf, vllm, trained, smollm2 and "
            "tiny have, and openai with a vLLM server"
        )


def scores_to_json(scores: TokenScores) -> str:
    """Whole numbers, log-probabilities in millionths: a table of a long answer is read in milliseconds."""
    top = scores.top
    lists = None
    if top is not None:
        values = [value for table in top for value in table.values()]
        lists = [[len(table) for table in top], [token for table in top for token in table], _whole(values)]
    return json.dumps([scores.ids, _whole(scores.logprobs), lists, scores.starts, scores.read], separators=(",", ":"))


def _whole(logprobs: Sequence[float]) -> list[int]:
    return [round(value * _PARTS) for value in logprobs]


def scores_from_json(text: str, file: str) -> TokenScores:
    """Scores that were kept in `file`. Raises `StoreError` where they are damaged."""
    try:
        ids, logprobs, lists, starts, read = json.loads(text)
        top = None
        if lists is not None:
            tokens, values = iter(lists[1]), iter([value / _PARTS for value in lists[2]])
            top = tuple(dict(zip(islice(tokens, count), islice(values, count), strict=True)) for count in lists[0])
        told = tuple([value / _PARTS for value in logprobs])
        return TokenScores(tuple(ids), told, top, read, None if starts is None else tuple(starts))
    except (ValueError, TypeError, RecursionError) as error:
        raise StoreError(f"a stored score is damaged ({error}): move {file} away, and it is asked again") from error
