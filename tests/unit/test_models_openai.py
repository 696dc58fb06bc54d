"""`openai:` models against a real local server that misbehaves on demand: nothing is lost, one failure is no raise."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from stub_server import MODEL, Reply, StubServer

from harness.models import load_model
from harness.models.base import Stopped, bounded
from harness.types import Completion, Message, Model, Request
from tests.asking import ask


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[StubServer]:
    with StubServer() as stub:
        yield stub


def make_requests(count: int, seed: int = 7, stop: tuple[str, ...] = ()) -> list[Request]:
    return [Request(f"p{i}", (Message("user", f"question {i}"),), 0.6, 0.95, 64, stop, seed) for i in range(count)]


def make_model(*servers: StubServer | str, **options: str) -> Model:
    urls = ",".join(server if isinstance(server, str) else server.url for server in servers)
    return load_model(f"openai:{MODEL}", {"base_url": urls, "backoff": "0.01", **options})


def test_a_plain_answer_and_what_is_sent(server: StubServer) -> None:
    model = make_model(server, extra_body='{"chat_template_kwargs": {"enable_thinking": false}}')
    [completion] = ask(model, make_requests(1, seed=12, stop=("\n\n",)))
    assert (completion.text, completion.finish) == ("The answer is 4.", "stop")
    assert (completion.tokens_in, completion.tokens_out) == (11, 5)
    assert completion.seconds is not None and completion.seconds > 0
    assert server.seen[0].body == {
        "model": MODEL,
        "messages": [{"role": "user", "content": "question 0"}],
        "temperature": 0.6,
        "top_p": 0.95,
        "max_tokens": 64,
        "stop": ["\n\n"],
        "seed": 12,
        "chat_template_kwargs": {"enable_thinking": False},
    }
    assert model.environment()["served_model"] == [MODEL]


def test_fields_can_be_renamed_or_left_out(server: StubServer) -> None:
    options = {
        "max_tokens_field": "max_completion_tokens",
        "seed": "off",
        "omit": "temperature,top_p",
        "logprobs": "on",
    }
    model = make_model(server, **options)
    ask(model, make_requests(1))
    assert sorted(server.seen[0].body) == ["logprobs", "max_completion_tokens", "messages", "model"]
    assert "gives none" in str(model.environment()["logprobs"])


TRANSIENT = [
    Reply(status=429, headers={"Retry-After": "0"}),
    Reply(status=408),
    Reply(status=409),
    Reply(status=500),
    Reply(status=503, raw=b"<html>busy</html>"),
    Reply(raw=b'{"choices": [{"mess'),
    Reply(raw=b"\xff\xfe"),
    Reply(raw=b"null"),
    Reply(fields={"choices": []}),
    Reply(content=None),
    Reply(fields={"error": {"message": "overloaded", "code": 502}}),
    Reply(finish_reason="abort"),
    Reply(cut=True),
    Reply(reset=True),
]


@pytest.mark.parametrize("bad", TRANSIENT, ids=lambda reply: f"{reply.status}-{reply.raw}-{reply.cut}-{reply.reset}")
def test_what_may_work_next_time_is_asked_again(server: StubServer, bad: Reply) -> None:
    server.script(bad, bad)
    [completion] = ask(make_model(server), make_requests(1))
    assert (completion.text, completion.finish) == ("The answer is 4.", "stop")
    assert server.count == 3


def test_a_hang_is_cut_and_asked_again(server: StubServer) -> None:
    server.script(Reply(hang=True))
    [completion] = ask(make_model(server, timeout="0.3"), make_requests(1))
    assert completion.finish == "stop"
    assert server.count == 2


def test_a_storm_of_everything_loses_nothing(server: StubServer) -> None:
    """Every third request fails in some way; every answer arrives all the same."""
    server.choose = lambda index, _: TRANSIENT[index // 3 % len(TRANSIENT)] if index % 3 == 0 else Reply()
    completions = ask(make_model(server, concurrency="32", retries="12"), make_requests(300))
    assert {completion.finish for completion in completions} == {"stop"}
    assert server.count > 400


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (Reply(status=500), "HTTP 500: stub says 500"),
        (Reply(content=None), "no content"),
        (Reply(raw=b"{"), "not JSON"),
        (Reply(cut=True), "connection failed"),
    ],
)
def test_after_the_last_retry_the_completion_says_why(server: StubServer, bad: Reply, error: str) -> None:
    server.default = bad
    completions = ask(make_model(server, retries="2"), make_requests(3))
    assert server.count == 9
    for completion in completions:
        assert (completion.text, completion.finish) == ("", "error")
        assert error in (completion.error or "")
        assert "\n" not in (completion.error or "")


def test_a_rejected_request_is_an_error_of_that_request_alone_and_is_not_retried(server: StubServer) -> None:
    server.choose = lambda _, body: Reply(status=400) if body["messages"][0]["content"] == "question 3" else Reply()
    completions = ask(make_model(server), make_requests(8))
    assert [completion.finish for completion in completions] == ["stop"] * 3 + ["error"] + ["stop"] * 4
    assert server.count == 8


def test_content_filter_is_an_error_at_once(server: StubServer) -> None:
    server.script(Reply(content="Sorry", finish_reason="content_filter"))
    [completion] = ask(make_model(server), make_requests(1))
    assert (completion.finish, completion.text, server.count) == ("error", "Sorry", 1)


def test_reasoning_in_its_own_field_is_kept_beside_the_text(server: StubServer) -> None:
    server.script(
        Reply(content="4", message={"reasoning_content": "two and two"}),
        Reply(content=None, message={"reasoning": "two and"}, finish_reason="length"),
    )
    whole, cut = ask(make_model(server, concurrency="1"), make_requests(2))
    assert (whole.text, whole.reasoning, whole.finish) == ("4", "two and two", "stop")
    assert (cut.text, cut.reasoning, cut.finish) == ("", "two and", "length")


NO_SYSTEM = [
    "System role not supported",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "Only user and assistant roles are supported!",
    "invalid role: system",
    "Unexpected role 'system'",
    "system messages are not supported by this model",
]


@pytest.mark.parametrize("said", NO_SYSTEM)
def test_a_server_without_a_system_role_gets_its_text_in_the_first_user_turn(server: StubServer, said: str) -> None:
    def choose(_: int, body: dict[str, Any]) -> Reply:
        refused = any(turn["role"] == "system" for turn in body["messages"])
        return Reply(status=400, raw=json.dumps({"error": {"message": said}}).encode()) if refused else Reply()

    server.choose = choose
    messages = (
        Message("system", "Be brief."),
        Message("user", "one"),
        Message("assistant", "1"),
        Message("user", "two"),
    )
    model = make_model(server, concurrency="1", retries="0")
    completions = ask(model, [Request(f"p{i}", messages, 0.6, 0.95, 64, (), 7) for i in range(3)])
    assert [completion.finish for completion in completions] == ["stop"] * 3
    assert server.count == 4  # told once, remembered
    assert server.seen[-1].body["messages"][0] == {"role": "user", "content": "Be brief.\n\none"}
    assert len(server.seen[-1].body["messages"]) == 3
    assert "first user turn" in str(model.environment()["system_role"])


@pytest.mark.parametrize("said", ["the file system is not mounted", "no such field", "temperature is not supported"])
def test_other_refusals_leave_the_system_turn_alone(server: StubServer, said: str) -> None:
    server.default = Reply(status=400, raw=json.dumps({"error": {"message": said}}).encode())
    messages = (Message("system", "Be brief."), Message("user", "one"))
    model = make_model(server)
    ask(model, [Request("p", messages, 0.6, 0.95, 64, (), 7)])
    assert server.count == 1 and "system_role" not in model.environment()


def test_retry_after_is_honoured(server: StubServer) -> None:
    server.script(Reply(status=429, headers={"Retry-After": "1"}))
    started = time.monotonic()
    ask(make_model(server), make_requests(1))
    assert time.monotonic() - started >= 1.0  # a lower bound: it cannot fail on a slow machine


def test_concurrency_is_what_was_asked_for(server: StubServer) -> None:
    server.default, server.hold_until = Reply(latency=0.02), 7
    ask(make_model(server, concurrency="7"), make_requests(40))
    assert server.max_active == 7


def test_requests_per_minute_space_the_requests(server: StubServer) -> None:
    started = time.monotonic()
    ask(make_model(server, requests_per_minute="600"), make_requests(8))
    assert time.monotonic() - started >= 0.69  # seven gaps of 0.1 s


def test_tokens_per_minute_use_what_the_replies_report(server: StubServer) -> None:
    server.default = Reply(fields={"usage": {"prompt_tokens": 50, "completion_tokens": 50}})
    started = time.monotonic()
    ask(make_model(server, tokens_per_minute="30000", concurrency="1"), make_requests(5))
    assert time.monotonic() - started >= 0.7  # four waits of 100 tokens at 500 a second


def test_several_endpoints_take_turns_and_a_dead_one_costs_nothing(server: StubServer) -> None:
    with StubServer() as other, StubServer() as dead:
        dead.shut_down()
        completions = ask(make_model(server, other, dead, concurrency="4"), make_requests(90))
        assert {completion.finish for completion in completions} == {"stop"}
        assert server.count + other.count == 90
        assert min(server.count, other.count) >= 30


def test_a_failing_endpoint_is_rested(server: StubServer) -> None:
    with StubServer(Reply(status=503)) as sick:
        completions = ask(make_model(server, sick, concurrency="2"), make_requests(60))
        assert {completion.finish for completion in completions} == {"stop"}
        assert sick.count < 10


def test_an_endpoint_without_the_model_is_left_out(server: StubServer) -> None:
    with StubServer(Reply(status=404)) as wrong:
        completions = ask(make_model(wrong, server, concurrency="2"), make_requests(30))
        assert {completion.finish for completion in completions} == {"stop"}
        assert wrong.count <= 2


def test_an_error_among_callers_cancels_what_is_in_flight(server: StubServer) -> None:
    server.choose = lambda index, _: Reply() if index < 3 else Reply(hang=True)
    seen: list[Completion] = []

    async def take_three() -> None:
        before = asyncio.all_tasks()
        model = make_model(server, concurrency="16")

        async def work(request: Request) -> None:
            seen.append(await model.answer(request))
            if len(seen) == 3:
                raise RuntimeError("enough")

        with pytest.raises(RuntimeError, match="enough"):
            await bounded(make_requests(200), work, 64)
        await model.close()
        assert asyncio.all_tasks() == before

    asyncio.run(asyncio.wait_for(take_three(), 30))
    assert len(seen) == 3 and server.count <= 40


def test_cancelling_the_run_ends_it_keeps_what_came_and_counts_what_was_in_flight(server: StubServer) -> None:
    server.choose = lambda index, _: Reply() if index < 5 else Reply(hang=True)
    seen: list[Completion] = []

    async def consume(model: Model) -> None:
        async def work(request: Request) -> None:
            seen.append(await model.answer(request))

        try:
            await bounded(make_requests(50), work, 32)
        finally:
            await model.close()

    async def interrupt() -> None:
        task = asyncio.create_task(consume(make_model(server, concurrency="8")))
        while len(seen) < 5 or server.active < 8:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(Stopped) as stop:
            await task
        assert stop.value.unfinished == 8  # not those that waited behind the door

    asyncio.run(asyncio.wait_for(interrupt(), 30))
    assert len(seen) == 5


def test_a_model_can_be_used_again_after_close_in_another_event_loop(server: StubServer) -> None:
    model = make_model(server)
    assert len(ask(model, make_requests(3)) + ask(model, make_requests(2))) == 5


def test_no_requests_need_no_server() -> None:
    assert ask(make_model("http://127.0.0.1:9/v1"), []) == []
