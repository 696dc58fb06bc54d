"""A teacher on servers, which a stub plays: where its word goes, what is refused, what is tried again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from backends.base import Training
from backends.config import TrainConfig
from backends.memory import parameters
from backends.plan import plan_training
from backends.records.collate import collate
from backends.records.segments import CODE, Encoded, Example
from backends.rollouts.settings import RolloutSettings
from backends.teachers.local import LocalTeacher
from backends.teachers.server import Served, ServerTeacher, _same, token_teacher
from backends.trainers.account import Account
from backends.trainers.batch import Batch, as_batch
from harness.errors import ConfigError, ModelError, TrainingStopped
from tests.tiny_model import write_model, write_tokenizer
from tests.vllm_stub import VllmStub, likely

P, A = CODE["prompt"], CODE["answer"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.fixture
def stubs(tokenizer: Any) -> Iterator[list[VllmStub]]:
    with ExitStack() as held:
        found = [held.enter_context(VllmStub()) for _ in range(2)]
        for stub in found:
            stub.tokens = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        yield found


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        return None

    monkeypatch.setattr("backends.teachers.server.asyncio.sleep", sleep)
    monkeypatch.setattr("backends.teachers.server.SECONDS", 0.5)


def training(tokenizer: Any, *stubs: VllmStub, location: str = "teacher", temperature: float = 1.0) -> Training:
    urls = ",".join(stub.url for stub in stubs)
    return Training(
        model=None, tokenizer=tokenizer, forward=lambda *_: None, batches=lambda: (), device="cpu",
        teacher="hf:teacher", load=lambda spec: pytest.fail("loaded"), examples=0,
        rollout=RolloutSettings(max_new=4, temperature=temperature),
        served=Served(urls, location, lambda: tokenizer, 1000),
    )  # fmt: skip


def batch(tokenizer: Any) -> Batch:
    """Two rows, of seven and of four tokens."""
    rows = [([10, 11, 12, 13, 14, 15, 256], [P, P, P, A, A, A, A]), ([20, 21, 22, 23], [P, A, A, A])]
    examples = [
        Example(str(number), (Encoded(np.array(ids, np.int32), np.array(segments, np.int8)),))
        for number, (ids, segments) in enumerate(rows)
    ]
    return as_batch(collate(examples, tokenizer.pad_token_id))


def test_its_word_stands_where_the_token_is_predicted(tokenizer: Any, stubs: list[VllmStub]) -> None:
    spent: list[dict[str, float]] = []
    policy = dataclasses.replace(training(tokenizer, *stubs), spend=lambda **told: spent.append(told))
    teacher, seen = token_teacher(policy, "opd"), batch(tokenizer)
    assert isinstance(teacher, ServerTeacher)
    found = teacher.logps(seen, 1.0)
    wanted = torch.zeros(2, 7)
    for row, (first, ids) in enumerate(((3, [10, 11, 12, 13, 14, 15, 256]), (1, [20, 21, 22, 23]))):
        for place in range(first, len(ids)):
            wanted[row, place - 1] = likely(place, ids[place])
    assert torch.equal(found, wanted)
    assert torch.equal(teacher.compared(seen), seen.mask_RT)
    assert spent == [{"teacher": 11, "of": 1000}]
    asked = [one for stub in stubs for one in stub.bodies]
    assert {tuple(one["prompt"][:1]) for one in asked} >= {(10,), (20,)}
    assert all(one["model"] == "served" and one["prompt_logprobs"] == 0 for one in asked)
    assert all(stub.asked == 2 for stub in stubs)  # one to see what it says, and one of the two texts


def test_what_a_teacher_elsewhere_reads_is_counted() -> None:
    account = Account(torch.nn.Linear(1, 1))
    account.add(teacher=11, of=1000)
    account.put(account.take().tolist())
    assert (account.total.teacher, account.total.flops) == (11, 2 * 1000 * 11)


BROKEN: dict[str, Any] = {
    "of other tokens": lambda taught: {"prompt_logprobs": [None, *[{"1": {"logprob": -1.0}}] * 6]},
    "too few": lambda taught: {"prompt_logprobs": taught["prompt_logprobs"][:-1]},
    "none": lambda taught: {"prompt_logprobs": None},
    "scores": lambda taught: {"prompt_logprobs": [None, *[{"11": {"logprob": 12.0}}] * 6]},
    "no number": lambda taught: {"prompt_logprobs": [None, *[{"11": {"logprob": "x"}}] * 6]},
}


@pytest.mark.parametrize("fault", ["reset", "500", "hang", *BROKEN])
def test_one_that_fails_is_asked_again_or_another_one_is(fault: str, tokenizer: Any, stubs: list[VllmStub]) -> None:
    teacher = ServerTeacher(made := training(tokenizer, *stubs), "opd", made.served)  # type: ignore[arg-type]
    whole = teacher.logps(batch(tokenizer), 1.0)
    for stub in stubs:
        stub.drop = dict.fromkeys(range(stub.asked, stub.asked + 1), fault)
        stub.change = {stub.asked: BROKEN[fault]} if fault in BROKEN else {}
    assert torch.equal(teacher.logps(batch(tokenizer), 1.0), whole)
    for stub in stubs:
        stub.drop = dict.fromkeys(range(stub.asked, stub.asked + 20), "500")
    with pytest.raises(TrainingStopped, match=r"no server reads for the teacher \(127.*HTTP 500.*same command again"):
        teacher.logps(batch(tokenizer), 1.0)


def test_another_model_is_refused(tokenizer: Any, stubs: list[VllmStub], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has teacher, x, and the teacher is org/big: start it with `vllm serve"):
        token_teacher(training(tokenizer, stubs[0], location="org/big"), "opd")
    token_teacher(training(tokenizer, stubs[0], location="org/teacher"), "opd")  # wherever the server sees it
    stubs[0].models = b"no JSON"
    with pytest.raises(ConfigError, match="no model that it tells of"):
        token_teacher(training(tokenizer, stubs[0]), "opd")


def test_other_tokens_are_refused(tokenizer: Any, stubs: list[VllmStub], tmp_path: Path) -> None:
    stubs[1].tokens = lambda text: [1, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with pytest.raises(ConfigError, match="makes other tokens of a text than the student"):
        token_teacher(training(tokenizer, *stubs), "opd")
    write_tokenizer(tmp_path)
    other = transformers.AutoTokenizer.from_pretrained(tmp_path, eos_token="<|start|>")
    made = training(tokenizer, stubs[0])
    assert made.served is not None
    made = dataclasses.replace(made, served=dataclasses.replace(made.served, tokenizer=lambda: other))
    with pytest.raises(ConfigError, match=r"or leave the end of sequence out \(end=mask\)"):
        token_teacher(made, "opd", end="same")
    teacher = token_teacher(made, "opd", end="mask")
    seen = batch(tokenizer)
    assert (seen.mask_RT & ~teacher.compared(seen)).sum() == 1  # the end of the first row


def test_a_server_that_cannot_teach_is_told_in_one_line(tokenizer: Any, stubs: list[VllmStub]) -> None:
    stubs[0].change = {0: BROKEN["none"]}
    with pytest.raises(ModelError, match=r"cannot teach: it returns no prompt_logprobs. That takes a vLLM server"):
        token_teacher(training(tokenizer, stubs[0]), "opd")
    made = training(tokenizer, stubs[1])
    stubs[1].shut_down()
    with pytest.raises(ConfigError, match="no model that it tells of"):
        token_teacher(made, "opd")


def test_a_server_has_one_temperature_and_no_distributions(tokenizer: Any, stubs: list[VllmStub]) -> None:
    with pytest.raises(ConfigError, match=r"at the temperature of the draw, 0.8.*set rollout.temperature=1"):
        token_teacher(training(tokenizer, stubs[0], temperature=0.8), "lightning_opd")
    with pytest.raises(ConfigError, match=r"gkd compares whole distributions.*leave out --teacher-server"):
        LocalTeacher(training(tokenizer, stubs[0]), "gkd")


def test_it_is_told_beside_a_teacher_and_is_not_in_the_id(folder: Path, tmp_path: Path) -> None:
    def planned(method: str = "opd", **more: Any) -> Any:
        told: dict[str, Any] = {"teacher": f"hf:{folder}", "settings": {"batch_size": 4, "scheduler": "constant"}}
        return plan_training(
            TrainConfig(method, f"hf:{folder}", "synth:levels=1,per_level=4", **told, **more), tmp_path
        )

    ids = {planned(rollout={"max_new": 4}, teacher_server=at).model_id for at in (None, "http://a:1", "http://b:2")}
    assert len(ids) == 1
    with pytest.raises(ConfigError, match="--teacher-server has no effect: sft"):
        planned("sft", teacher_server="http://a:1")
    with pytest.raises(ConfigError, match="--teacher-server: the address of a server must look like"):
        planned(rollout={"max_new": 4}, teacher_server="a:1")


def test_the_size_of_a_teacher_is_known_without_its_weights(folder: Path) -> None:
    config = transformers.AutoConfig.from_pretrained(folder)
    own = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert parameters(config) == sum(weight.numel() for weight in own.parameters())


@pytest.mark.parametrize(
    ("root", "location", "same"),
    [
        ("teacher", "teacher", True),
        ("/mnt/models/qwen-8b", "/data/qwen-8b", True),  # the server sees it elsewhere
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B", True),
        ("other/Qwen3-8B", "Qwen/Qwen3-8B", False),
        ("/mnt/Qwen3-8B", "Qwen/Qwen3-8B", True),
        ("/mnt/qwen-8b", "/mnt/qwen-4b", False),
        ("/a/results/models/tiny-sft-1a2b/model", "/b/models/tiny-sft-1a2b/model", True),
        ("/a/results/models/tiny-emo-3c4d/model", "/b/models/tiny-sft-1a2b/model", False),
        ("/runs/one/checkpoint-100", "/runs/two/checkpoint-100", False),
        ("/runs/one/checkpoint-100", "/elsewhere/one/checkpoint-100", True),
    ],
)
def test_a_served_model_is_the_teacher_by_a_name_that_says_something(root: str, location: str, same: bool) -> None:
    assert _same(root, location) == same
