"""`Model.score` through a server: vLLM's `/tokenize`, and its prompt log-probabilities on `/v1/completions`.

The server renders the messages as it does for an answer, and says which ids these are; ids go back as the prompt, so
that nothing is tokenised twice.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.models.openai_reply import Failure
from harness.models.scoring import check_continuation, from_tables, token_starts
from harness.types import Json, Message, TokenScores

if TYPE_CHECKING:
    from harness.models.openai_client import Endpoint

TOKENIZE, COMPLETIONS = "ROOT/tokenize", "/completions"
"""ROOT: beside the API and not in it."""


async def post(endpoint: Endpoint, path: str, body: Mapping[str, Json], timeout: float) -> bytes:
    """The body of a reply. Raises `Failure`; a server without such a path is no server to leave."""
    try:
        return await endpoint.post(path.replace("ROOT", endpoint.root), body, timeout)
    except Failure as failure:
        if "HTTP 404" in failure.message:
            raise _unusable(f"{path.removeprefix('ROOT')}: {failure.message}") from None
        raise


async def score(
    ask: Callable[[str, Mapping[str, Json], int], Awaitable[bytes]],
    messages: Sequence[Message],
    continuation: str | Sequence[int],
    top: int,
) -> TokenScores:
    """The scores; `ask`: (path, body, tokens that it uses) -> the body of the reply.

    Raises `DataError` (see `check_continuation`), `Failure` where the server does not say what is needed.
    """
    continued = bool(messages) and messages[-1].role == "assistant"
    turns: list[Json] = [{"role": message.role, "content": message.content} for message in messages]
    ends: Mapping[str, Json] = {"add_generation_prompt": not continued, "continue_final_message": continued}
    told = read_object(await ask(TOKENIZE, {"messages": turns, **ends}, 0))
    prompt = _ids(told)
    if isinstance(continuation, str):
        ids = _ids(read_object(await ask(TOKENIZE, {"prompt": continuation, "add_special_tokens": False}, 0)))
    else:
        ids = [*continuation]
    context = told.get("max_model_len")
    # It has to have room for a token behind the continuation, though nobody wants it.
    check_continuation(ids, len(prompt), context - 1 if isinstance(context, int) else None, None)
    asked: Mapping[str, Json] = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": max(top, 0)}
    whole: list[Json] = [*prompt, *ids]
    reply = read_object(await ask(COMPLETIONS, {"prompt": whole, **asked}, len(whole) + 1))
    scores = from_tables(ids, tables_of(reply)[len(prompt) :], top, len(whole))
    return scores if not isinstance(continuation, str) else replace(scores, starts=_starts(reply, ids, continuation))


def _starts(reply: Mapping[str, Json], ids: Sequence[int], continuation: str) -> tuple[int, ...] | None:
    """Where the tokens stand, by the text that the server gives for each; None where it gives none."""
    pieces = []
    for token, row in zip(ids, _rows(reply)[-len(ids) :], strict=True):
        entry = row.get(str(token)) if isinstance(row, dict) else None
        piece = entry.get("decoded_token") if isinstance(entry, dict) else None
        if not isinstance(piece, str):
            return None
        pieces.append(piece)
    return token_starts(continuation, pieces)


def _unusable(message: str) -> Failure:
    return Failure("rejected", message, blames_endpoint=False)


def read_object(body: bytes) -> Mapping[str, Json]:
    """A reply that is a JSON object. Raises `Failure`."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise _unusable("the reply is no JSON object")
    return value


def _ids(told: Mapping[str, Json]) -> list[int]:
    tokens = told.get("tokens")
    if not isinstance(tokens, list) or not all(type(token) is int for token in tokens):
        raise _unusable("/tokenize gives no list of ids")
    return [token for token in tokens if isinstance(token, int)]


def tables_of(reply: Mapping[str, Json]) -> list[dict[int, float]]:
    """One table for each token of the prompt, id -> log-probability; the first has none. Raises `Failure`."""
    return [_table(row) if isinstance(row, dict) else {} for row in _rows(reply)]


def _rows(reply: Mapping[str, Json]) -> list[Json]:
    choices = reply.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    rows = choice.get("prompt_logprobs") if isinstance(choice, dict) else None
    if not isinstance(rows, list):
        raise _unusable("it returns no prompt_logprobs")
    return rows


def _table(row: Mapping[str, Json]) -> dict[int, float]:
    table: dict[int, float] = {}
    for token, entry in row.items():
        value = entry.get("logprob") if isinstance(entry, dict) else None
        known = token.isascii() and token.isdigit() and len(token) < 10
        if not known or not isinstance(value, int | float) or not -1e5 < value < 1e-3:  # no NaN either
            raise _unusable("its prompt_logprobs are of no form that is known")
        table[int(token)] = float(value)
    return table
