"""The real vLLM on a CPU with the embedded model: in process, as a command, as a server. Runs in `.venv-full`."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.models import load_model
from harness.models.vllm import find_version
from harness.types import Completion, Message, Model, Request, TokenScores

pytestmark = [
    pytest.mark.full,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("ignore"),  # the library's own, by the dozen
]

if find_version() is None:
    pytest.skip("needs the environment .venv-full", allow_module_level=True)

SMALL = {"enforce_eager": "true", "max_model_len": "1024", "dtype": "float32"}


@pytest.fixture(autouse=True)
def cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def request(text: str, attempt: int = 0, **changes: object) -> Request:
    values: dict[str, object] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 32, "stop": (), "seed": 100 + attempt}
    name = f"{text[:40]}/{attempt}"
    return Request(name, (Message("user", text),), attempt=attempt, **{**values, **changes})  # type: ignore[arg-type]


def requests() -> list[Request]:
    sampled = {"temperature": 0.9, "top_p": 0.95}
    return [
        request("What is the capital of France?"),
        request("Count from one to ten.", max_tokens=5),
        request("Name three colours, separated by commas.", stop=(",",)),
        *(request("Tell me about the sea.", attempt, **sampled) for attempt in range(3)),
        request("Tell me about the sea.", 3, seed=101, **sampled),
        request("word " * 5000),
    ]


def check(found: dict[tuple[str, int], Completion]) -> None:
    paris = found["What is the capital of France?", 0]
    assert "Paris" in paris.text and paris.finish == "stop" and paris.tokens_in and paris.tokens_out
    short = found["Count from one to ten.", 0]
    assert (short.finish, short.tokens_out) == ("length", 5)
    stopped = found["Name three colours, separated by commas.", 0]
    assert stopped.text and "," not in stopped.text
    sea = [found["Tell me about the sea.", attempt].text for attempt in range(4)]
    assert len(set(sea[:3])) == 3
    assert sea[3] == sea[1]  # the same seed
    too_long = found[("word " * 5000)[:40], 0]
    assert too_long.finish == "error" and too_long.text == "" and too_long.error


async def collect(model: Model, asked: list[Request]) -> dict[tuple[str, int], Completion]:
    found = {}
    for asking, completion in zip(asked, await asyncio.gather(*map(model.answer, asked)), strict=True):
        found[asking.id.rpartition("/")[0], asking.attempt] = completion
    assert len(found) == len(asked)
    return found


def test_in_process() -> None:
    async def run() -> None:
        model = load_model("vllm:smollm2", {**SMALL, "logprobs": "true"})
        identity = model.describe()
        try:
            first = await collect(model, requests())
            check(first)
            assert first["What is the capital of France?", 0].logprob is not None
            again = await collect(model, requests()[4:5])  # alone, and the engine is still the same
            assert again["Tell me about the sea.", 1].text == first["Tell me about the sea.", 1].text
            assert model.describe() == identity and json.dumps(identity)
        finally:
            await model.close()

    asyncio.run(run())


def test_seeded_samples_of_more_prompts_than_one_prefill_holds() -> None:
    """On a CPU a seeded request dies with the whole engine if its prompt is prefilled in pieces."""
    asked = [
        request(f"{number}: " + "the sea is wide and " * (20 + 7 * number), attempt, temperature=0.7, max_tokens=4)
        for number in range(16)
        for attempt in range(2)
    ]

    async def run() -> dict[tuple[str, int], Completion]:
        model = load_model("vllm:smollm2", SMALL)
        try:
            return await collect(model, asked)
        finally:
            await model.close()

    found = asyncio.run(run())
    assert {completion.finish for completion in found.values()} <= {"stop", "length"}
    assert sum(completion.tokens_in or 0 for completion in found.values()) > 10_000


ASKED = (Message("system", "Be brief."), Message("user", "What is the capital of France?"))
SAID = "The capital of France is Paris, which lies on the Seine."


async def scored(spec: str, options: dict[str, str]) -> tuple[TokenScores, TokenScores]:
    """By text with the five likeliest, and by other ids; what cannot be scored is refused."""
    model = load_model(spec, options)
    try:
        by_text, by_ids = await asyncio.gather(model.score(ASKED, SAID, 5), model.score(ASKED, [400, 3, 9, 1200, 2]))
        for nothing in ("", "word " * 5000):
            with pytest.raises(DataError, match=r"is empty|do not fit the context"):
                await model.score(ASKED, nothing)
        return by_text, by_ids
    finally:
        await model.close()


def agree(ours: TokenScores, theirs: TokenScores) -> None:
    assert ours.ids == theirs.ids and (ours.top is None) == (theirs.top is None)
    assert theirs.logprobs == pytest.approx(ours.logprobs, abs=1e-3)
    for mine, its in zip(ours.top or (), theirs.top or (), strict=True):
        assert list(its.values()) == pytest.approx(list(mine.values()), abs=1e-3)


def test_scores_are_those_of_the_transformers_engine() -> None:
    """By text and by ids, within 1e-3 nats in float32."""

    async def wide() -> TokenScores:
        model = load_model("vllm:smollm2", SMALL)
        try:
            return await model.score(ASKED, [400, 3], 50)
        finally:
            await model.close()

    ours = asyncio.run(scored("smollm2", {"dtype": "float32", "max_length": "1024"}))
    theirs = asyncio.run(scored("vllm:smollm2", SMALL))
    for mine, its in zip(ours, theirs, strict=True):
        agree(mine, its)
    top = asyncio.run(wide()).top  # more than vLLM gives unless told
    assert top is not None and [len(row) for row in top] == [50, 50]


def test_tags_that_are_special_tokens_stay(tmp_path: Path) -> None:
    from tiny_model import write_scripted

    folder = write_scripted(
        tmp_path, ["<think>", "h", "m", "<|tool|>", "</think>", "4"], ["<think>", "</think>", "<|tool|>"]
    )

    async def run() -> dict[tuple[str, int], Completion]:
        model = load_model(f"vllm:{folder}", {**SMALL, "max_model_len": "256"})
        try:
            asked = [request("q"), request("q", 1, max_tokens=2), request("q", 2, stop=("</think>",))]
            return await collect(model, asked)
        finally:
            await model.close()

    found = asyncio.run(run())
    assert [(found["q", n].text, found["q", n].finish) for n in range(3)] == [
        ("<think>hm</think>4", "stop"),
        ("<think>h", "length"),
        ("<think>hm", "stop"),
    ]


def test_as_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "harness",
                "run",
                "--suite",
                "synth_easy",
                "--limit",
                "6",
                "--model",
                "vllm:smollm2",
            ),
            *(part for key, value in SMALL.items() for part in ("--model-arg", f"{key}={value}")),
            *("--max-tokens", "48", "--results-dir", str(tmp_path), "--json"),
        ],
        capture_output=True,
        text=True,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(done.stdout)["rows"]  # stdout is data and nothing else, whatever vLLM logs
    assert {row["n_samples"] for row in rows if row["metric"].startswith("avg")} == {6}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real vLLM server; yields its base URL."""
    from harness.models.smollm2 import converted, find_gguf

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as stream:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(converted(find_gguf()))),
                *("--served-model-name", "smollm2", "--host", "127.0.0.1", "--port", str(port)),
                *("--enforce-eager", "--max-model-len", "4096", "--dtype", "float32"),
            ],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "HF_HUB_OFFLINE": "1"},
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    pytest.fail(f"the vLLM server did not start:\n{log.read_text()[-3000:]}")


def test_a_real_server_over_http(server: str) -> None:
    async def run() -> None:
        model = load_model("openai:smollm2", {"base_url": server, "concurrency": "8", "retries": "2"})
        try:
            first = await collect(model, requests())
            check(first)
            again = await collect(model, requests()[3:6])
            for key, completion in again.items():
                assert completion.text == first[key].text
        finally:
            await model.close()

    asyncio.run(run())


def test_a_real_server_scores_as_the_transformers_engine_does(server: str) -> None:
    ours = asyncio.run(scored("smollm2", {"dtype": "float32", "max_length": "4096"}))
    theirs = asyncio.run(scored("openai:smollm2", {"base_url": server}))
    for mine, its in zip(ours, theirs, strict=True):
        agree(mine, its)


RUBRICS = {
    "rating_10": ("--rubric", "rating_10"),
    "pairwise_2": ("--rubric", "pairwise_2", "--against", "mock-wrong"),
}


@pytest.mark.parametrize("rubric", RUBRICS)
def test_a_real_small_model_judges_through_the_server(server: str, rubric: str, tmp_path: Path) -> None:
    def harness(*arguments: str) -> str:
        command = (sys.executable, "-m", "harness", *arguments, "--results-dir", str(tmp_path))
        done = subprocess.run(command, capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def judge() -> dict[str, int]:
        place = ("--judge", "openai:smollm2", "--judge-arg", f"base_url={server}")
        # Without the penalty a model this small repeats itself until the limit cuts its reply.
        place += ("--judge-arg", 'extra_body={"repetition_penalty": 1.15}')
        found = harness("judge", "mock-gold", *RUBRICS[rubric], *place, "--max-failures", "1", "--json")
        counts: dict[str, int] = json.loads(found)["judging"][0]["judgments"]
        return counts

    models = ("--model", "mock:gold", "--model", "mock:wrong")
    harness("run", "--suite", "synth_easy", "--limit", "2", *models)
    counts = judge()
    # The server holds the reply to the schema, so that even this model's verdicts can be read.
    assert counts["asked"] == (4 if "pairwise" in rubric else 2)
    assert counts["unscored"] < counts["asked"]
    again = judge()
    assert again["cached"] == again["asked"] and again["unscored"] == counts["unscored"]


def test_a_model_that_the_server_does_not_have(server: str) -> None:
    from harness.errors import ModelError

    async def run() -> dict[tuple[str, int], Completion]:
        model = load_model("openai:no-such-model", {"base_url": server, "retries": "1"})
        try:
            return await collect(model, requests()[:1])
        finally:
            await model.close()

    with pytest.raises(ModelError, match="no-such-model"):
        asyncio.run(run())
