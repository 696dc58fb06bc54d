"""`Model.score` of the engine for endpoints: a stand-in for vLLM's server, and servers that cannot."""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
from stub_server import MODEL, Reply, StubServer

from harness.errors import DataError, ModelError
from harness.models import load_model
from harness.models.scoring import token_starts
from harness.types import Message, TokenScores

ASKED = (Message("user", "why"),)
CONTEXT = 64


def told(index: int, body: dict[str, Any]) -> Reply:
    """What vLLM's server says; a character is a token, its log-probability -1/100 of its id."""
    if "messages" in body:
        tokens = [1, *map(ord, body["messages"][-1]["content"])]
        answer: dict[str, Any] = {"tokens": tokens, "count": len(tokens), "max_model_len": CONTEXT}
    elif isinstance(body["prompt"], str):
        answer = {"tokens": [*map(ord, body["prompt"])], "max_model_len": CONTEXT}
    else:
        likeliest = {"3": {"logprob": -0.01, "rank": 1}} if body["prompt_logprobs"] else {}
        rows = [{str(token): {"logprob": -token / 100, "rank": 9}, **likeliest} for token in body["prompt"][1:]]
        answer = {"choices": [{"index": 0, "text": "", "prompt_logprobs": [None, *rows]}]}
    return Reply(raw=json.dumps(answer).encode())


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer(scores=True)
    stub.choose = told
    with stub:
        yield stub


def score(server: StubServer, continuation: Any, top: int = 0, asked: Any = ASKED, **options: str) -> TokenScores:
    async def ask() -> TokenScores:
        given = {"base_url": server.url, "backoff": "0.01", "retries": "1", **options}
        model = load_model(f"openai:{MODEL}", given)
        try:
            return await model.score(asked, continuation, top)
        finally:
            await model.close()

    return asyncio.run(ask())


def test_text_and_ids_are_scored_by_the_server(server: StubServer) -> None:
    by_text = score(server, "ab", extra_body='{"chat_template_kwargs": {"enable_thinking": false}}')
    assert by_text == TokenScores((97, 98), (-0.97, -0.98))
    chat, text, prompt = [seen.body for seen in server.seen]
    assert chat["messages"] == [{"role": "user", "content": "why"}] and chat["add_generation_prompt"] is True
    assert chat["chat_template_kwargs"] == {"enable_thinking": False} and chat["model"] == MODEL
    assert (text["prompt"], text["add_special_tokens"]) == ("ab", False)
    assert prompt["prompt"] == [1, *map(ord, "why"), 97, 98] and prompt["prompt_logprobs"] == 0
    assert [seen.path for seen in server.seen] == ["/tokenize", "/tokenize", "/v1/completions"]
    by_ids = score(server, [97], top=1, asked=(*ASKED, Message("assistant", "so")))
    assert by_ids == TokenScores((97,), (-0.97,), ({3: -0.01},))
    assert server.seen[3].body["continue_final_message"] is True and server.count == 5


def test_the_places_of_tokens_are_had_from_their_texts(server: StubServer) -> None:
    """As vLLM tells them: each token's own text, of which a part of a character cannot be read."""

    def placed(index: int, body: dict[str, Any]) -> Reply:
        answer = json.loads(told(index, body).raw or b"")
        for row in (answer["choices"][0]["prompt_logprobs"] if "choices" in answer else [])[1:]:
            for token, entry in row.items():
                entry["decoded_token"] = chr(int(token))
        return Reply(raw=json.dumps(answer).encode())

    assert score(server, "a cd").starts is None
    server.choose = placed
    assert score(server, "a cd").starts == (0, 1, 2, 3) and score(server, [97]).starts is None


def test_tokens_of_any_cut_stand_where_they_are() -> None:
    """Random cuts of texts' bytes, each decoded alone: most are placed, and whole pieces then stand where they are."""
    rng, placed = random.Random(6), 0
    parts = ("so ", "the ", "sum is ", "12", ". ", "é", "答案", "🙂", "\n\n", "a", "x^2 ", "  ")
    for _ in range(500):
        text = "".join(rng.choice(parts) for _ in range(rng.randint(1, 40)))
        coded = text.encode()
        cuts = sorted({0, len(coded), *(rng.randrange(len(coded)) for _ in range(rng.randint(0, 60)))})
        pieces = [coded[a:b].decode("utf-8", "replace") for a, b in itertools.pairwise(cuts)]
        found = token_starts(text, pieces)
        if found is not None:
            whole = [(at, piece) for at, piece in zip(found, pieces, strict=True) if "\ufffd" not in piece]
            assert all(text.startswith(piece, at) for at, piece in whole) and list(found) == sorted(found)
            placed += 1
    assert placed > 400


def test_tokens_that_lost_a_space_are_placed_and_others_are_not() -> None:
    assert token_starts("so it is", (" so", "it", " is")) == (0, 3, 5)
    assert token_starts("so it is", ("so", " was")) is None and token_starts("so it", ("so",)) is None


def test_a_broken_connection_is_tried_again(server: StubServer) -> None:
    server.script(Reply(reset=True))
    assert score(server, [97]).logprobs == (-0.97,)


@pytest.mark.parametrize(
    ("continuation", "message"),
    [("", "is empty"), ([], "is empty"), ("x" * 60, "they have 4 and 60 tokens, there is room for 63")],
)
def test_what_cannot_be_scored_is_refused_before_it_is_sent(
    server: StubServer, continuation: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        score(server, continuation)
    assert all(seen.path == "/tokenize" for seen in server.seen)


def body(**fields: Any) -> Reply:
    return Reply(raw=json.dumps(fields).encode())


PROMPT = body(tokens=[1, 2])


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        ([Reply(status=500)] * 2, "HTTP 500"),
        ([Reply(status=404)], "/tokenize: HTTP 404"),
        ([Reply(raw=b"[" * 100_000)], "no JSON object"),
        ([Reply(raw=b"[]")], "no JSON object"),
        ([body(tokens="abc")], "no list of ids"),
        ([body(tokens=[1, 2.5])], "no list of ids"),
        ([PROMPT, Reply(status=400)], "HTTP 400"),
        ([PROMPT, body(choices=[{"text": ""}])], "returns no prompt_logprobs"),
        ([PROMPT, body(choices=[])], "returns no prompt_logprobs"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"x": {"logprob": 1}}]}])], "of no form"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"9": {"logprob": "1"}}]}])], "of no form"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"9": [1]}]}])], "of no form"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"9": {"logprob": math.nan}}]}])], "of no form"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"9": {"logprob": 10**400}}]}])], "of no form"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None, {"8": {"logprob": -1.0}}]}])], "not of the tokens"),
        ([PROMPT, body(choices=[{"prompt_logprobs": [None, None]}])], "not of the tokens"),
    ],
)
def test_a_server_that_cannot_is_told_in_one_line(server: StubServer, replies: list[Reply], message: str) -> None:
    server.script(*replies)
    with pytest.raises(ModelError, match=message) as refused:
        score(server, [9])
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 700


def test_a_server_without_such_paths_still_answers() -> None:
    async def both(url: str) -> str:
        model = load_model(f"openai:{MODEL}", {"base_url": url, "backoff": "0.01", "retries": "1"})
        with pytest.raises(ModelError, match=f"openai:{MODEL} cannot score a given text: /tokenize: HTTP 404"):
            await model.score(ASKED, "x")
        from test_models_judging import make_request

        done = await model.answer(make_request())
        await model.close()
        return done.text

    with StubServer() as server:
        assert asyncio.run(both(server.url)) == "The answer is 4."


def kept(calls: list[dict[str, Any]], model: Any) -> Any:
    """The engine, whose calls are noted: how many are open, what they expect to use, how long they would wait."""
    open_now = 0

    async def persist(call: Any, rng: Any, expected: int) -> bytes:
        nonlocal open_now
        open_now += 1
        calls.append({"open": open_now, "expected": expected, "jitter": rng.random()})
        await asyncio.sleep(0)
        open_now -= 1
        endpoint = model._caller._endpoints.all[0]
        return await call(endpoint)

    model._caller.persist = persist
    return model


def test_scores_keep_to_the_concurrency_and_the_tokens_per_minute_and_wait_apart(server: StubServer) -> None:
    calls: list[dict[str, Any]] = []

    async def ask() -> list[TokenScores]:
        model = kept(calls, load_model(f"openai:{MODEL}", {"base_url": server.url, "concurrency": "2"}))
        try:
            return await asyncio.gather(*(model.score(ASKED, [97] * (1 + number)) for number in range(6)))
        finally:
            await model.close()

    assert [len(scores.ids) for scores in asyncio.run(ask())] == [1, 2, 3, 4, 5, 6]
    assert max(call["open"] for call in calls) == 2
    assert sorted(call["expected"] for call in calls) == [0] * 6 + [6, 7, 8, 9, 10, 11]  # 4 of the prompt, 1 made
    assert len({call["jitter"] for call in calls}) == 12


def test_a_server_out_of_reach_is_told_as_for_answers() -> None:
    async def ask() -> None:
        given = {"base_url": "http://127.0.0.1:9/v1", "backoff": "0.001", "retries": "9"}
        model = load_model(f"openai:{MODEL}", given)
        with pytest.raises(ModelError, match="Check base_url, and that the server is running"):
            await model.score(ASKED, [97])
        await model.close()

    asyncio.run(ask())
