"""What engines share about `Model.score`: what may be asked, and tables of prompt log-probabilities as scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.errors import DataError, ModelError
from harness.types import Message, TokenScores


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
