"""What dooms every request is one clear `ModelError`; bad settings fail before anything is sent; no secret gets out."""

from __future__ import annotations

import asyncio
import json

import pytest
from stub_server import MODEL, Reply, StubServer
from test_models_openai import ask, make_model, make_requests, no_settings_from_outside, server

from harness.errors import ConfigError, MissingExtra, MissingKey, ModelError
from harness.models import load_model
from harness.models import openai as engine
from harness.models.base import bounded
from harness.redact import MASK, redact
from harness.types import Request

__all__ = ["no_settings_from_outside", "server"]  # fixtures

KEY = "sk-live-Q7x81kZ0aBcD4eFg"


def test_a_model_that_is_not_there_lists_those_that_are(server: StubServer) -> None:
    server.default = Reply(status=404)
    with pytest.raises(
        ModelError, match=r"HTTP 404.*Did you mean 'other-model'.*Models there: other-model, stub-model"
    ):
        ask(load_model("openai:othermodel", {"base_url": server.url}), make_requests(100))
    assert server.count <= 64


def test_a_refusal_is_raised_even_without_retries(server: StubServer) -> None:
    server.default = Reply(status=404)
    with pytest.raises(ModelError, match="HTTP 404"):
        ask(make_model(server, retries="0"), make_requests(3))


def test_without_a_list_the_usual_mistakes_are_named(server: StubServer) -> None:
    server.default, server.models = Reply(status=404), None
    with pytest.raises(ModelError, match="base_url ends in /v1"):
        ask(make_model(server), make_requests(5))


@pytest.mark.parametrize(
    "raw", [b"[" * 200_000, b"9" * 5000, b"[]", b'{"data": 7}', b'{"data": {}}', b'{"data": [null]}']
)
def test_a_list_of_models_that_is_none_is_no_list(server: StubServer, raw: bytes) -> None:
    server.default, server.models = Reply(status=404), raw
    with pytest.raises(ModelError, match="base_url ends in /v1"):
        ask(make_model(server), make_requests(5))


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_its_variable(server: StubServer, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    server.default = Reply(status=status, echo_headers=True)
    monkeypatch.setenv("MY_ACCESS", KEY)
    with pytest.raises(ModelError, match=f"HTTP {status}.*Check the key in MY_ACCESS") as caught:
        ask(make_model(server, api_key_env="MY_ACCESS"), make_requests(5))
    assert KEY not in str(caught.value)


def test_a_spent_quota_is_not_waited_for(server: StubServer) -> None:
    server.default = Reply(status=429, raw=b'{"error": {"code": "insufficient_quota", "message": "no money"}}')
    with pytest.raises(ModelError, match="no money"):
        ask(make_model(server, concurrency="1"), make_requests(5))
    assert server.count == 1


def test_a_server_that_is_not_there(server: StubServer) -> None:
    server.shut_down()
    with pytest.raises(ModelError, match="Check base_url, and that the server is running"):
        ask(make_model(server, retries="1"), make_requests(5))


def test_a_server_that_dies_stops_the_run_with_everything_so_far(server: StubServer) -> None:
    server.choose = lambda index, _: Reply() if index < 40 else Reply(reset=True)
    model, seen = make_model(server, retries="1", concurrency="4"), []

    async def consume() -> None:
        async def work(request: Request) -> None:
            seen.append((await model.answer(request)).finish)

        try:
            await bounded(make_requests(1000), work, 256)
        finally:
            await model.close()

    with pytest.raises(ModelError, match="run the same command again"):
        asyncio.run(consume())
    assert seen.count("stop") == 40
    assert server.count < 200


def test_one_refusal_after_success_is_about_that_request(server: StubServer) -> None:
    server.choose = lambda index, _: Reply(status=403) if index == 4 else Reply()
    completions = ask(make_model(server, concurrency="1"), make_requests(8))
    assert [completion.finish for completion in completions].count("error") == 1


def test_a_key_that_stops_working_ends_the_run(server: StubServer) -> None:
    server.choose = lambda index, _: Reply() if index < 4 else Reply(status=401)
    with pytest.raises(ModelError, match="HTTP 401"):
        ask(make_model(server, concurrency="1"), make_requests(100))
    assert server.count < 20


def test_settings_that_every_request_is_rejected_for(server: StubServer) -> None:
    server.default = Reply(status=400, raw=b'{"error": {"message": "use max_completion_tokens"}}')
    with pytest.raises(ModelError, match=r"use max_completion_tokens.*max_tokens_field"):
        ask(make_model(server), make_requests(100))


def test_a_missing_key_is_named_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingKey, match=r"OPENAI_API_KEY.*set it") as caught:
        load_model("openai:gpt-x", {})
    assert caught.value.exit_code == 3
    with pytest.raises(MissingKey, match="OTHER_KEY"):
        load_model("openai:gpt-x", {"base_url": "https://api.example.org/v1", "api_key_env": "OTHER_KEY"})
    monkeypatch.setenv("OPENAI_API_KEY", "  ")
    with pytest.raises(MissingKey):
        load_model("openai:gpt-x", {})
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert load_model("openai:gpt-x", {}).environment()["endpoints"] == ["api.openai.com"]


@pytest.mark.parametrize(
    "url",
    ["http://localhost:8000/v1", "http://127.0.0.1/v1", "http://[::1]:1/v1", "http://10.1.2.3/v1", "http://gpu7:1/v1"],
)
def test_local_servers_need_no_key(url: str) -> None:
    assert load_model("openai:x", {"base_url": url}).name == "openai:x"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base_url": "localhost:8000"}, "base_url must look like"),
        ({"base_url": "http://h:99999/v1"}, r"base_url 'http://h:99999/v1' is no address: Port out of range"),
        ({"base_url": "http://[::1/v1"}, "base_url .* is no address"),
        ({"base_url": ""}, "base_url of openai is empty"),
        ({"price_in": "-3"}, "must not be negative"),
        ({"base_url": "ftp://u:pa55word@h/v1"}, "not 'ftp://.redacted.@h/v1'"),
        ({"base_url": "http://h:port/v1"}, "base_url|[Pp]ort"),
        ({"concurency": "3"}, "Did you mean 'concurrency'"),
        ({"concurrency": "0"}, "at least 1"),
        ({"timeout": "0"}, "timeout must be positive"),
        ({"extra_body": "{"}, "extra_body of openai is not JSON"),
        ({"extra_body": "[" * 50_000}, "extra_body of openai is not JSON"),
        ({"extra_body": '{"top_k": ' + "9" * 400 + "}"}, "extra_body of openai is not JSON"),
        ({"extra_body": "[1]"}, "must be a JSON object"),
        ({"extra_body": '{"n": 4}'}, "cannot set n"),
        ({"extra_body": '{"auth": {"api_key": "whatever"}}'}, "holds 'auth', which looks like a secret"),
        ({"extra_body": '{"user": "sk-proj-0123456789abcdefg"}'}, "holds 'user'.*api_key_env=NAME"),
        ({"omit": "messages"}, "omit knows temperature"),
        ({"max_tokens_field": "tokens"}, "one of max_tokens, max_completion_tokens"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model("openai:x", {"base_url": "http://localhost/v1", **options})


def test_a_model_name_is_needed() -> None:
    with pytest.raises(ConfigError, match="openai:<model>"):
        load_model("openai:", {})


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="openai"):
        load_model("openai:x", {"base_url": "http://localhost/v1"})


def test_keys_are_sent_to_the_server_and_nowhere_else(server: StubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.script(Reply(echo_headers=True), Reply(status=400, echo_headers=True))
    model = make_model(server, concurrency="1")
    echoed, rejected = ask(model, make_requests(2))
    assert server.seen[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY in echoed.text  # exactly as received; masked when stored:
    assert KEY not in redact(echoed.text)
    assert KEY not in (rejected.error or "") and MASK in (rejected.error or "")
    assert KEY not in json.dumps([model.describe(), model.environment()])


def test_user_information_in_the_url_is_sent_and_never_shown(server: StubServer) -> None:
    secret = server.url.replace("http://", "http://someone:pass%40word7@")
    server.script(Reply(echo_headers=True), Reply(status=400, echo_headers=True))
    model = make_model(secret, concurrency="1")
    echoed, rejected = ask(model, make_requests(2))
    assert server.seen[0].headers["Authorization"] == "Basic c29tZW9uZTpwYXNzQHdvcmQ3"
    shown = redact(echoed.text) + str(rejected.error) + json.dumps([model.describe(), model.environment()])
    for leak in ("pass@word7", "pass%40word7", "c29tZW9uZTpwYXNzQHdvcmQ3", "someone"):
        assert leak not in shown
    server.shut_down()
    with pytest.raises(ModelError) as caught:
        ask(make_model(secret, retries="0"), make_requests(1))
    assert "word7" not in str(caught.value) and "someone" not in str(caught.value)


def test_the_identity_is_the_model_and_its_address_or_checkpoint(server: StubServer) -> None:
    with StubServer() as other:
        assert make_model(server).describe() != make_model(other).describe(), "one name, perhaps two checkpoints"
        same = {"checkpoint": "step-300"}
        assert make_model(server, **same).describe() == make_model(other, **same).describe()
        assert make_model(server, **same).describe() != make_model(server, checkpoint="step-400").describe()
    assert make_model(server).describe() == make_model(server, concurrency="3", timeout="9").describe()
    assert make_model(server).describe() != make_model(server, extra_body='{"top_k": 5}').describe()
    assert make_model(server).describe()["model"] == MODEL


@pytest.mark.parametrize("key", ["schlüssel-12345", "sk-live\x01-12345", "two\nlines-12345"])
def test_a_key_that_no_header_can_carry_is_told_at_once(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY holds characters") as caught:
        load_model("openai:m", {})
    assert key not in str(caught.value)
