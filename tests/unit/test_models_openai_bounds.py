"""What a server may cost: bodies of any size and packing, redirects; where a request goes and what names that place."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest
from click.testing import CliRunner
from stub_server import MODEL, Reply, StubServer
from test_models_openai import ask, make_model, make_requests, no_settings_from_outside, server

from harness.cli.main import cli
from harness.errors import ConfigError, ModelError, TooManyFailures
from harness.grading import score_completion
from harness.models import load_model
from harness.models.openai_body import ERROR_BYTES, BoundedStream
from harness.models.openai_reply import Failure, status_failure, with_hint
from harness.types import Problem, Score

__all__ = ["no_settings_from_outside", "server"]  # fixtures

MEMBER = gzip.compress(b" " * (1 << 24))
BOMB = MEMBER * 192
"""3 GiB of blanks in 3 MB."""


def packed(data: bytes, how: str) -> bytes:
    ways: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.compress,
        "x-gzip": gzip.compress,
        "deflate": zlib.compress,
        "deflate, bare": lambda raw: zlib.compress(raw)[2:-4],
        "identity": bytes,
    }
    return ways[how](data)


@pytest.mark.parametrize("how", ["gzip", "x-gzip", "deflate", "deflate, bare", "identity"])
def test_packed_replies_and_errors_are_read(server: StubServer, how: str) -> None:
    headers = {"Content-Encoding": how.partition(",")[0]}
    body, refusal = Reply().body({}), json.dumps({"error": {"message": "no such field"}}).encode()
    server.script(
        Reply(raw=packed(body, how), headers=headers), Reply(raw=packed(refusal, how), headers=headers, status=400)
    )
    good, bad = ask(make_model(server, concurrency="1"), make_requests(2))
    assert good.text == "The answer is 4."
    assert bad.error == "HTTP 400: no such field"
    assert server.seen[0].headers["Accept-Encoding"] == "gzip, deflate"


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_a_reply_beyond_the_limit_is_a_failure_of_its_request_after_one_try(server: StubServer, coding: str) -> None:
    raw = BOMB if coding == "gzip" else b" " * 1_100_000
    server.script(Reply(raw=raw, headers={"Content-Encoding": coding}))
    large, fine = ask(make_model(server, concurrency="1", max_reply_mb="1"), make_requests(2))
    assert (large.finish, fine.finish, server.count) == ("error", "stop", 2)
    assert "larger than 1 MB" in (large.error or "") and "max_reply_mb" in (large.error or "")


def test_of_an_error_no_more_is_read_than_its_message_needs(server: StubServer) -> None:
    server.script(Reply(raw=BOMB, headers={"Content-Encoding": "gzip"}, status=400))
    [bad] = ask(make_model(server), make_requests(1))
    assert (bad.error or "").startswith("HTTP 400") and server.count == 1


class Endless(httpx2.AsyncByteStream):
    """A body without an end."""

    def __init__(self, chunk: bytes) -> None:
        self.chunk, self.sent = chunk, 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.sent += 1
            yield self.chunk


@pytest.mark.parametrize("coding", ["gzip", "identity"])
def test_what_is_read_is_bounded_by_unpacked_bytes(coding: str) -> None:
    async def read(limit: int, cut: bool) -> tuple[int, int]:
        inner = Endless(MEMBER if coding == "gzip" else b" " * (1 << 24))
        size = 0
        try:
            async for piece in BoundedStream(inner, coding, limit, cut=cut):
                size += len(piece)
        except Failure as failure:
            assert not cut and failure.kind == "rejected"
        return size, inner.sent

    for limit in (1, ERROR_BYTES, 40_000_000):
        for cut in (True, False):
            assert asyncio.run(read(limit, cut)) == (limit, limit // (1 << 24) + 1)


def test_a_time_out_is_heard_while_unpacking() -> None:
    async def read() -> None:
        async with asyncio.timeout(0.2):
            async for _ in BoundedStream(Endless(MEMBER), "gzip", 10**15, cut=False):
                pass

    with pytest.raises(TimeoutError):
        asyncio.run(read())


@pytest.mark.parametrize(
    ("headers", "raw", "why"),
    [
        ({"Content-Encoding": "zstd"}, b"{}", "not asked for"),
        ({"Content-Encoding": "gzip, gzip"}, b"{}", "not asked for"),
        ({"Content-Encoding": "gzip"}, b"{}", "packing is broken"),
        ({"Content-Encoding": "deflate"}, b"\x78\x9c\xff\xff\xff", "packing is broken"),
    ],
)
def test_what_cannot_be_unpacked_is_asked_again_and_a_failure_in_the_end(
    server: StubServer, headers: dict[str, str], raw: bytes, why: str
) -> None:
    server.default = Reply(raw=raw, headers=headers)
    [bad] = ask(make_model(server, retries="1"), make_requests(1))
    assert why in (bad.error or "") and server.count == 2
    server.default = Reply(raw=raw, headers=headers, status=400)  # whatever is in it, the status says enough
    [bad] = ask(make_model(server, retries="1"), make_requests(1))
    assert (bad.error or "").startswith("HTTP 400") and server.count == 3


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(server: StubServer, status: int) -> None:
    with StubServer() as other:
        place = other.url.replace("http://", "http://user:sesame-1234@")
        server.default = Reply(status=status, headers={"Location": f"{place}/chat/completions?key=sesame-1234"})
        with pytest.raises(ModelError, match=f"HTTP {status}.*not followed.*base_url") as caught:
            ask(make_model(server), make_requests(4))
        assert other.count == 0
        assert other.url in str(caught.value) and "sesame" not in str(caught.value)


def test_reasoning_without_content_is_no_answer_after_one_request(server: StubServer) -> None:
    for message in ({"reasoning": "two and two"}, {"reasoning_content": "two and two"}):
        server.script(Reply(content=None, message=message))
    for completion in ask(make_model(server, concurrency="1"), make_requests(2)):
        assert (completion.text, completion.finish, completion.reasoning) == ("", "stop", "two and two")
        score = score_completion(Problem("p", (), "4", "integer"), completion)
        assert isinstance(score, Score) and (score.value, score.status) == (0.0, "no_answer")
    assert server.count == 2


CONTEXT = [
    "This model's maximum context length is 4096 tokens. However, you requested 5096 tokens (1000 in the messages, "
    "4096 in the completion). Please reduce the length of the messages or completion.",
    "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 4096 tokens "
    "and your request has 1000 input tokens (4096 > 4096 - 1000).",
    "Requested token count exceeds the model's maximum context length of 4,096 tokens. You requested a total of 5,096 "
    "tokens: 1,000 tokens from the input messages and 4,096 tokens for the completion.",
    "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 1000 `inputs` tokens and 4096 `max_new_tokens`",
    "the request exceeds the available context size. try increasing it: n_prompt_tokens: 1000, n_ctx: 4096",
    "input length and `max_tokens` exceed context limit: 1000 + 4096 > 4096, decrease input length or `max_tokens`",
]


@pytest.mark.parametrize("said", CONTEXT)
def test_a_prompt_and_a_reply_that_do_not_fit_name_the_option_and_the_room(said: str) -> None:
    failure = status_failure(400, {}, json.dumps({"error": {"message": said}}).encode())
    told = with_hint(failure, {"max_tokens": 4096}).message
    assert "there is room for 3096, say --max-tokens 3096" in told and "again" not in told


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ("maximum context length is 512 tokens. However, your request has 600 input tokens.", "no --max-tokens makes"),
        ("max_tokens is too large: 300000. This model supports at most 16384 completion tokens", "--max-tokens 16384"),
        ("the context window is full", "4096 tokens were asked for, say fewer with --max-tokens"),
        ("temperature must be below 2", None),
        ("the schema is too long", None),
    ],
)
def test_other_words_about_length(said: str, hint: str | None) -> None:
    told = with_hint(status_failure(400, {}, said.encode()), {"max_tokens": 4096}).message
    assert (hint in told) if hint is not None else told == f"HTTP 400: {said}"


def test_a_run_whose_context_is_too_short_is_not_told_to_run_again(server: StubServer, tmp_path: Path) -> None:
    said = Reply(status=400, raw=json.dumps({"error": {"message": CONTEXT[0]}}).encode())
    server.choose = lambda index, _: said if index < 2 else Reply(content="\\boxed{1}")
    command = ["run", "--suite", "synth_easy", "--limit", "4", "--model", f"openai:{MODEL}"]
    options = ["--model-arg", f"base_url={server.url}", "--model-arg", "concurrency=1", "--results-dir", str(tmp_path)]
    done = CliRunner().invoke(cli, [*command, *options])
    assert isinstance(done.exception, TooManyFailures)
    assert "2 of 4 samples have no score" in str(done.exception) and "again" not in str(done.exception)
    assert "--max-tokens" in str(done.exception)
    (result,) = (tmp_path / "runs").glob("*/result.json")
    assert "there is room for 3096, say --max-tokens 3096" in str(json.loads(result.read_text())["warnings"])
    server.default, server.choose = said, None
    with pytest.raises(ModelError, match="room for 3096, say --max-tokens") as caught:
        ask(make_model(server), make_requests(40))
    assert "again" not in str(caught.value) and "max_tokens_field" not in str(caught.value)


def identity(url: str, **options: str) -> object:
    return load_model(f"openai:{MODEL}", {"base_url": url, **options}).describe()["served"]


def test_the_path_and_the_query_tell_two_checkpoints_behind_one_gateway_apart() -> None:
    urls = [f"http://127.0.0.1:9/{path}" for path in ("v1", "a/v1", "b/v1", "a/v1?version=2", "a", "a/v1/x")]
    places = [str(identity(url)) for url in urls]
    assert len(set(places)) == len(urls)
    assert places[0] == "['127.0.0.1:9']"  # as runs before this named it: they are gone on with
    assert identity("http://127.0.0.1:9/v1/") == identity("http://127.0.0.1:9") == identity(urls[0])
    assert identity(urls[1], checkpoint="mine") == identity(urls[2], checkpoint="mine") == "mine"


def test_no_secret_of_an_address_is_in_what_names_it() -> None:
    names = ("api_key", "code", "Ocp-Apim-Subscription-Key", "api%5Fkey", "x-functions-key", "jwt", "v=1;token", "sig")
    urls = [f"http://127.0.0.1:9/a?{name}=sesame-12345&v=1" for name in names]
    for url in ("http://u:sesame-12345@127.0.0.1:9/a/v1", "http://127.0.0.1:9/a;key=sesame-12345", *urls):
        model = load_model(f"openai:{MODEL}", {"base_url": url})
        assert "sesame" not in json.dumps([model.describe(), model.environment()])
        assert "/a" in json.dumps(model.describe())


def test_a_query_stays_behind_the_path_and_a_header_of_its_own_carries_the_key(
    server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame-12345")
    url = server.url.replace("/v1", "/openai/deployments/mine") + "?api-version=2026-10-01&x="
    ask(make_model(url, api_key_header="api-key"), make_requests(1))
    ask(make_model(server), make_requests(1))
    own, usual = server.seen
    assert (own.path, own.query) == ("/openai/deployments/mine/chat/completions", "api-version=2026-10-01&x=")
    assert own.headers["api-key"] == "sesame-12345" and "Authorization" not in own.headers
    assert usual.headers["Authorization"] == "Bearer sesame-12345" and "api-key" not in usual.headers


@pytest.mark.parametrize("header", ["Authorization", "authorization", "host", "a b", "a:b", "Content-Type", "x\ny"])
def test_headers_that_cannot_carry_a_key_are_refused(header: str) -> None:
    with pytest.raises(ConfigError, match="api_key_header"):
        load_model(f"openai:{MODEL}", {"base_url": "http://127.0.0.1:9/v1", "api_key_header": header})
