"""What judging asks of engines: replies held to a JSON schema, and the alternatives of the first token."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterator
from typing import Any

import pytest
from stub_server import MODEL, Reply, StubServer

from harness.errors import ConfigError, ModelError
from harness.models import load_model
from harness.models.openai_reply import read_reply
from harness.types import Completion, Message, Model, Request
from tests import asking

NUMBERS = itertools.count()

SCHEMA = {"type": "object", "properties": {"level": {"type": "integer", "enum": [1, 2]}}, "required": ["level"]}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubServer]:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with StubServer(Reply(content='{"level": 1}')) as stub:
        yield stub


def make_request(text: str = "judge this", **fields: Any) -> Request:
    plain = Request(str(next(NUMBERS)), (Message("user", text),), 0.0, 1.0, 64, (), 7)
    return dataclasses.replace(plain, **fields)


def make_model(server: StubServer, **options: str) -> Model:
    return load_model(f"openai:{MODEL}", {"base_url": server.url, "backoff": "0.01", **options})


def ask(model: Model, *requests: Request) -> list[Completion]:
    return asking.ask(model, requests)


def top(*pairs: tuple[object, object], chosen: object = "A", logprob: object = -0.5) -> dict[str, Any]:
    entries = [{"token": token, "logprob": value} for token, value in pairs]
    return {"content": [{"token": chosen, "logprob": logprob, "top_logprobs": entries}]}


def body_with(logprobs: object) -> bytes:
    choice = {"message": {"content": "A"}, "finish_reason": "stop", "logprobs": logprobs}
    return json.dumps({"choices": [choice]}).encode()


# --- openai: what is sent ---


def test_schema_and_alternatives_are_sent_and_an_ordinary_request_is_as_it_was(server: StubServer) -> None:
    ask(make_model(server), make_request(), make_request(schema=SCHEMA, top_logprobs=5))
    bodies = sorted((seen.body for seen in server.seen), key=len)
    assert set(bodies[1]) - set(bodies[0]) == {"response_format", "logprobs", "top_logprobs"}
    assert bodies[1]["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "strict": True, "schema": SCHEMA},
    }
    assert (bodies[1]["logprobs"], bodies[1]["top_logprobs"]) == (True, 5)


def test_both_can_be_left_out_and_that_is_another_model(server: StubServer) -> None:
    model = make_model(server, omit="response_format,logprobs")
    ask(model, make_request(schema=SCHEMA, top_logprobs=5))
    assert not {"response_format", "logprobs", "top_logprobs"} & set(server.seen[0].body)
    assert model.describe() != make_model(server).describe()
    assert "response_format" not in model.environment() and "logprobs" not in model.environment()
    with pytest.raises(ConfigError, match=r"omit knows .*response_format, logprobs, not json"):
        make_model(server, omit="json")


# --- openai: what comes back ---


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        (top(("A", -0.5), ("B", -1.5)), {"A": -0.5, "B": -1.5}),
        (top(("B", -0.1), ("C", -3), chosen="A", logprob=-4), {"B": -0.1, "C": -3.0, "A": -4.0}),
        (top(("A", 0.0), ("B", -9999.0)), {"A": 0.0, "B": -9999.0}),
        (top(("A", 1e-9)), {"A": 0.0}),
        (top(("A", None), ("B", "x"), (None, -1), chosen=3), None),
        (top(("A", float("nan")), ("B", float("inf")), ("C", -1), chosen="C"), {"C": -1.0}),
        (top(("A", 2.0), chosen="Z", logprob=5), None),
        (top(), None),
        ({"content": []}, None),
        ({"content": [None]}, None),
        ({"content": [{"token": "A", "logprob": -1, "top_logprobs": {"A": -1}}]}, None),
        (None, None),
        ([], None),
    ],
)
def test_alternatives_are_read_or_absent_and_never_invented(
    logprobs: object, expected: dict[str, float] | None
) -> None:
    assert read_reply(body_with(logprobs))[0].alternatives == expected


def test_a_hostile_table_of_alternatives_is_bounded() -> None:
    found = read_reply(body_with(top(*((f"{i}" + "x" * 9999, -1.0) for i in range(5000)))))[0].alternatives
    assert found is not None and len(found) <= 101 and max(map(len, found)) <= 200


def test_alternatives_come_only_where_asked_for(server: StubServer) -> None:
    server.default = Reply(raw=body_with(top(("A", -0.5), ("B", -1.5))))
    plain, asked = ask(make_model(server), make_request(), make_request(top_logprobs=2))
    assert plain.alternatives is None and asked.alternatives == {"A": -0.5, "B": -1.5}


def test_a_server_that_silently_ignores_them_is_told_in_the_environment(server: StubServer) -> None:
    server.default = Reply(content="The first answer is better.")
    model = make_model(server)
    ask(model, make_request(schema=SCHEMA, top_logprobs=2))
    assert "gives none" in str(model.environment()["logprobs"])
    assert "does not hold replies to it" in str(model.environment()["response_format"])


REFUSALS = [
    ({"schema": SCHEMA}, "response_format is not supported by this model", "--model-arg omit=response_format"),
    ({"schema": SCHEMA}, "Invalid grammar request", "--model-arg omit=response_format"),
    ({"top_logprobs": 50}, "top_logprobs must be at most 20", "--model-arg omit=logprobs"),
]


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(("fields", "says", "hint"), REFUSALS)
def test_a_refusal_says_which_option_leaves_it_out(
    server: StubServer, status: int, fields: dict[str, Any], says: str, hint: str
) -> None:
    error = json.dumps({"error": {"message": says}}).encode()
    server.choose = lambda _, body: (
        Reply() if "2" in body["messages"][0]["content"] else Reply(status=status, raw=error)
    )
    good, bad = ask(make_model(server), make_request("2"), make_request("1", **fields))
    assert good.finish == "stop" and bad.finish == "error"
    assert hint in (bad.error or "") and says in (bad.error or "")
    with pytest.raises(ModelError, match=hint):
        ask(make_model(server), *(make_request("1", **fields) for _ in range(40)))


def test_another_refusal_has_no_such_hint(server: StubServer) -> None:
    server.script(Reply(status=400, raw=b'{"error": {"message": "context length exceeded"}}'))
    [bad] = ask(make_model(server), make_request(schema=SCHEMA, top_logprobs=2))
    assert "context length" in (bad.error or "")
    assert not any(f"omit={field}" in (bad.error or "") for field in ("logprobs", "response_format"))


# --- hf ---


def test_hf_gives_the_models_own_probabilities(tmp_path: Any) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra hf")
    transformers = pytest.importorskip("transformers", reason="needs the extra hf")
    from tiny_model import answer, request, tiny, write_model

    checkpoint = write_model(tmp_path)
    requests = [
        dataclasses.replace(request("abc", temperature=1.7, top_p=0.5), top_logprobs=6),
        dataclasses.replace(request("a longer prompt", temperature=0.0), top_logprobs=6),
        request("abc", 1),
    ]
    ours = answer(tiny(checkpoint), requests)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    for asked in requests[:2]:
        found = ours[asked.messages[0].content, 0].alternatives
        assert found is not None
        logits = model(torch.tensor([tokenizer(f"u:{asked.messages[0].content}\na:")["input_ids"]])).logits[0, -1]
        best = logits.log_softmax(-1).topk(6)
        expected: dict[str, float] = {}
        for token, value in zip(best.indices.tolist(), best.values.tolist(), strict=True):
            text = tokenizer.decode([token])
            expected[text] = math.log(math.exp(expected.get(text, -math.inf)) + math.exp(value))
        assert found == pytest.approx(expected, abs=1e-3)
    assert ours["abc", 1].alternatives is None
    everything = answer(tiny(checkpoint), [dataclasses.replace(request("abc"), top_logprobs=10_000)])["abc", 0]
    assert everything.alternatives is not None
    assert sum(math.exp(value) for value in everything.alternatives.values()) == pytest.approx(1.0, abs=1e-3)
