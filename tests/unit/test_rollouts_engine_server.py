"""Drawing with vLLM servers, played by one that misbehaves: weights, settings, failures, and who takes over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.base import Training
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.engine_server import Patience, ServerEngine
from backends.rollouts.server_talk import ServerSampling, ServerSettings
from backends.rollouts.settings import RolloutSettings
from backends.rollouts.student_weights import shared_folder
from backends.trainers.head import add_objective_head
from harness.errors import ConfigError, ModelError, TrainingStopped
from harness.models.hf_prompt import Prompt
from harness.models.openai_reply import Failure
from harness.models.openai_score import read_object
from harness.models.openai_servers import addresses_of
from tests.tiny_model import write_model
from tests.vllm_stub import TOLD, VllmStub

SHORT = Patience(ask=5.0, load=5.0, draw=0.5, pause=0.0)
WANTED = [Wanted(Prompt((1, 2, 3)), seed) for seed in range(8)]


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = write_model(tmp_path_factory.mktemp("tiny"))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    add_objective_head(model)
    return Training(
        model=model, tokenizer=transformers.AutoTokenizer.from_pretrained(folder), forward=lambda *_: None,
        batches=lambda: (), device=model.device, teacher=None, load=lambda spec: (None, None), examples=0,
    )  # fmt: skip


@pytest.fixture
def stubs() -> Iterator[list[VllmStub]]:
    with ExitStack() as held:
        yield [held.enter_context(VllmStub()) for _ in range(2)]


@pytest.fixture
def engines(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as held:

        def make(*stubs: VllmStub, share: tuple[int, int] = (0, 1), max_new: int = 3) -> ServerEngine:
            urls = ",".join(stub.url.removesuffix("/v1") for stub in stubs)
            told = RolloutSettings(max_new=max_new, engine=f"server:{urls}")
            engine = ServerEngine(told, 64, "float32", tmp_path / "weights", share, SHORT)
            held.callback(engine.close)
            return engine

        yield make


def drawn(engine: ServerEngine, wanted: list[Wanted] = WANTED) -> list[tuple[int, int]]:
    """(weights, seed) of each completion."""
    found: dict[int, Drawn] = {}

    def emit(number: int, one: Drawn) -> None:
        assert number not in found
        found[number] = one

    engine.draw(wanted, emit)
    assert [found[number].finish for number in sorted(found)] == ["stop", "length"] * (len(wanted) // 2)
    return [tuple(found[number].tokens_T[:2].tolist()) for number in sorted(found)]


def of(version: int) -> list[tuple[int, int]]:
    return [(version, 33 + seed) for seed in range(8)]


def test_weights_go_to_all_servers_and_each_draws_its_share(
    stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(*stubs)
    for version in range(2):
        engine.sync(training, version)
        assert drawn(engine) == of(version)
    for stub in stubs:
        assert stub.calls == ["harness_tell", *(["harness_take", "reset", "harness_tell", "harness_tell"] * 2)]
        assert stub.asked >= 2
    body = stubs[0].bodies[0]
    assert body["prompt"] == [1, 2, 3] and body["stop_token_ids"] == [256] and body["ignore_eos"] is True
    assert (body["temperature"], body["top_p"], body["top_k"], body["logprobs"]) == (1.0, 1.0, 0, 0)
    assert {one["seed"] for stub in stubs for one in stub.bodies} == set(range(8))


def test_weights_are_those_of_the_moment_and_the_older_ones_go(
    stubs: list[VllmStub], engines: Any, training: Training, tmp_path: Path
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    first = Path(str(stubs[0].folder))
    own = transformers.AutoModelForCausalLM.from_pretrained(first)
    assert torch.equal(own.lm_head.weight, training.model.lm_head.weight)
    engine.sync(training, 1)
    assert not first.exists() and Path(str(stubs[0].folder)).is_dir()
    engine.close()
    assert not Path(str(stubs[0].folder)).parent.parent.exists()


# --- servers that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["reset", "hang", "500", "restart"])
def test_one_failure_is_made_good_and_nothing_comes_twice(
    fault: str, stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    stubs[0].drop = {3: fault}
    assert drawn(engine) == of(0)  # with the weights of the moment, after a restart too
    assert stubs[0].calls.count("harness_take") == 2


TORN: dict[str, Any] = {
    "no log-probabilities": lambda choice: choice.pop("logprobs") and None,
    "a log-probability too few": lambda choice: choice["logprobs"]["token_logprobs"].pop() and None,
    "one that is no number": lambda choice: choice["logprobs"].update(token_logprobs=[-0.5, None, -0.5]),
    "a positive one": lambda choice: choice["logprobs"].update(token_logprobs=[-0.5, 0.5, -0.5]),
    "no ids": lambda choice: choice.pop("token_ids") and None,
    "ids as text": lambda choice: choice.update(token_ids=["a", "b", "c"]),
    "unknown tokens": lambda choice: choice.update(token_ids=[1, 259, 256]),
    "another prompt": lambda choice: choice.update(prompt_token_ids=[1, 2]),
    "cut short": lambda choice: choice.update(finish_reason="length", token_ids=[1], logprobs={"token_logprobs": [-1]}),
    "an abort": lambda choice: choice.update(finish_reason="abort"),
    "a stop without an end": lambda choice: choice.update(finish_reason="stop", token_ids=[1, 2, 3]),
    "too long": lambda choice: choice.update(
        finish_reason="stop", token_ids=[1, 2, 3, 256], logprobs={"token_logprobs": [-1] * 4}
    ),
    "no choice": lambda choice: {"choices": []},
    "a list": lambda choice: ["x"],
}


@pytest.mark.parametrize("change", TORN.values(), ids=TORN)
def test_a_reply_that_is_not_whole_is_not_trained_on(
    change: Any, stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    stubs[0].change = {2: change}
    assert drawn(engine) == of(0)
    assert stubs[0].asked == 9


def test_the_others_take_over_from_one_that_is_gone_and_it_comes_back_at_the_next_generation(
    stubs: list[VllmStub], engines: Any, training: Training, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = engines(*stubs)
    engine.sync(training, 0)
    stubs[1].drop = {0: "dies"}
    assert drawn(engine) == of(0)
    engine.sync(training, 1)
    assert "HTTP 500; the other servers draw" in capsys.readouterr().err
    assert drawn(engine) == of(1)
    stubs[1].extension, before = True, stubs[1].asked
    engine.sync(training, 2)
    assert drawn(engine) == of(2) and stubs[1].asked > before


def test_two_failures_of_the_only_server_end_the_draw_and_what_is_drawn_later_is_whole(
    stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    stubs[0].drop = dict.fromkeys(range(20), "500")
    with pytest.raises(TrainingStopped, match=r"no server draws any more \(127.0.0.1:\d+: HTTP 500.*same command"):
        drawn(engine)
    stubs[0].drop = {}
    assert drawn(engine) == of(0)
    stubs[0].shut_down()
    with pytest.raises(TrainingStopped, match=r"no server draws any more .*connection"):
        drawn(engine)
    with pytest.raises(TrainingStopped, match=r"no server draws any more .*connection"):
        engine.sync(training, 1)


def test_one_that_started_again_between_two_draws_gets_the_weights_again(
    stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    stubs[0].folder = None
    assert drawn(engine) == of(0)


def test_another_training_on_the_same_server_is_seen(stubs: list[VllmStub], engines: Any, training: Training) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)
    ours = stubs[0].folder
    stubs[0].folder = "/elsewhere/7"
    with pytest.raises(TrainingStopped, match=r"another training loads its weights into the server at 127\.0"):
        drawn(engine)

    def emit(number: int, one: Drawn) -> None:
        stubs[0].folder = "/elsewhere/7"  # while it draws

    stubs[0].folder = ours
    with pytest.raises(TrainingStopped, match="another training"):
        engine.draw(WANTED, emit)


def test_weights_that_are_not_taken_are_no_weights(stubs: list[VllmStub], engines: Any, training: Training) -> None:
    engine = engines(stubs[0])
    stubs[0].refuses = "there is no folder w"
    with pytest.raises(TrainingStopped, match="does not take the weights: there is no folder w"):
        engine.sync(training, 0)
    stubs[0].refuses, stubs[0].holds = None, 3
    engine.sync(training, 0)  # the cache is dropped in the end
    assert drawn(engine) == [(1, token) for _, token in of(1)]
    stubs[0].holds = 1000
    with pytest.raises(TrainingStopped, match="keeps keys and values of the weights before"):
        engine.sync(training, 1)


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_what_takes_the_sample_amiss_is_raised_and_the_next_draw_is_whole(
    error: type[BaseException], stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(stubs[0])
    engine.sync(training, 0)

    def emit(number: int, one: Drawn) -> None:
        raise error

    with pytest.raises(error):
        engine.draw(WANTED, emit)
    assert drawn(engine) == of(0)


# --- servers that are not as they should be ---------------------------------------------------------------------------

OTHERWISE: dict[str, tuple[dict[str, Any], str]] = {
    "vocabulary": ({"vocabulary": 300}, "the vocabulary of its model is 300, not 259"),
    "width": ({"width": 64}, "the width of its model is 64, not 32"),
    "precision": ({"dtype": "bfloat16"}, "--dtype is bfloat16, not float32"),
    "raw": ({"logprobs_mode": "raw_logprobs"}, "--logprobs-mode is raw_logprobs, not processed_logprobs"),
    "short": ({"context": 63}, "--max-model-len is 63, less than 64"),
    "generation": ({"generation_config": "auto"}, "--generation-config is auto, not vllm"),
    "in pieces": ({"in_pieces": True}, "which on a CPU ends it.* --no-enable-chunked-prefill"),
}


@pytest.mark.parametrize(("told", "why"), OTHERWISE.values(), ids=OTHERWISE)
def test_a_server_that_is_set_up_otherwise_is_refused_with_the_command(
    told: dict[str, Any], why: str, engines: Any, training: Training
) -> None:
    with VllmStub(**told) as stub, pytest.raises(ConfigError, match=why) as raised:
        engines(stub).sync(training, 0)
    server = "python -m vllm.entrypoints.openai.api_server --model"
    assert f"Start it with: VLLM_SERVER_DEV_MODE=1 {server}" in str(raised.value)  # the stub is one on a CPU


def test_a_server_without_the_extension_or_none_at_all_is_told_with_the_command(
    stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    stubs[0].extension = False
    command = "Start it with: VLLM_SERVER_DEV_MODE=1 vllm serve .* --worker-extension-cls backends.rollouts.vllm_worker"
    with pytest.raises(ModelError, match=f"HTTP 500.*{command}"):
        engines(stubs[0]).sync(training, 0)
    stubs[1].told.pop("vocabulary")
    with pytest.raises(ModelError, match=f"of another version of harness.*{command}"):
        engines(stubs[1]).sync(training, 0)
    stubs[1].shut_down()
    with pytest.raises(ModelError, match=f"connection failed.*{command}"):
        engines(stubs[1]).sync(training, 0)


def test_each_of_several_processes_has_servers_of_its_own(
    stubs: list[VllmStub], engines: Any, training: Training
) -> None:
    engine = engines(*stubs, share=(1, 2))
    engine.sync(training, 0)
    assert drawn(engine) == of(0) and stubs[0].asked == 0
    with pytest.raises(ConfigError, match=r"each of 3 training processes.*names 2: name 3 or more"):
        engines(*stubs, share=(0, 3))


# --- addresses and folders --------------------------------------------------------------------------------------------

WRONG = {
    "nothing": "",
    "no scheme": "host:8000",
    "another scheme": "ftp://host",
    "a password": "http://me:secret@host:8000",
    "a query": "http://host:8000?key=1",
    "twice": "http://host:8000,http://host:8000/v1",
    "an empty one": "http://host:8000,",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^rollout\.engine") as raised:
        addresses_of(text, "rollout.engine")
    assert "secret" not in str(raised.value)


def test_an_address_may_have_its_path_or_not() -> None:
    found = addresses_of("http://a:1,https://b/v1,http://c/x", "it")
    assert [one.url for one in found] == ["http://a:1/v1", "https://b/v1", "http://c/x/v1"]


def test_weights_lie_in_memory_only_where_all_servers_are_near(training: Training, tmp_path: Path) -> None:
    far = shared_folder(training.model, tmp_path / "far", near=False)
    assert far.parent == tmp_path / "far" and far.is_dir()
    again = shared_folder(training.model, tmp_path / "far", near=False)
    assert again != far and not far.exists()  # what a killed training left
    near = [shared_folder(training.model, tmp_path / "near", near=True) for _ in range(2)]
    assert near[0].parent == near[1].parent != tmp_path / "near" and not near[0].exists()
    shutil.rmtree(near[1].parent)


# --- whatever a server says -------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats() | st.sampled_from(["", "stop", "length", "7", "w"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["token_logprobs", "x"]), inner),
    max_leaves=4,
)


def damaged(data: st.DataObject, whole: Any) -> Any:
    """The value with something else in one place, or without it."""
    parts = list(whole) if isinstance(whole, dict) else list(range(len(whole))) if isinstance(whole, list) else []
    if not parts or data.draw(st.integers(0, 3)) == 0:
        return data.draw(ANYTHING)
    part = data.draw(st.sampled_from(parts))
    found = {**whole} if isinstance(whole, dict) else list(whole)
    if data.draw(st.booleans()):
        found[part] = damaged(data, whole[part])
    else:
        del found[part]
    return found


def reply_of(value: Any) -> Any:
    return read_object(json.dumps(value).encode())


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_reply_is_whole_or_a_failure(data: st.DataObject) -> None:
    sampling, wanted = ServerSampling(1.0, 3, (256,), 259), Wanted(Prompt((1, 2)), 5)
    choice = {
        "token_ids": [7, 8, 256], "prompt_token_ids": [1, 2], "finish_reason": "stop",
        "logprobs": {"token_logprobs": [-0.5, -1, -0.25]},
    }  # fmt: skip
    try:
        drawn = sampling.drawn(reply_of(damaged(data, {"choices": [choice], "id": "x"})), wanted, str)
    except Failure:
        return
    tokens = drawn.tokens_T.tolist()
    assert 0 < len(tokens) == len(drawn.logps_T) <= 3 and all(0 <= token < 259 for token in tokens)
    assert np.isfinite(drawn.logps_T).all() and (tokens[-1] == 256) == (drawn.finish == "stop")
    assert drawn.finish == "stop" or len(tokens) == 3


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_settings_are_read_or_a_failure(data: st.DataObject) -> None:
    asked = ServerSettings("student", "", 259, 32, "float32", 64)
    try:
        told = ServerSettings.of(reply_of(damaged(data, {"results": [{**TOLD, "folder": None}] * 2})))
    except Failure:
        return
    assert all(isinstance(line, str) for line in told.differences(asked))
    assert told.folder is None or isinstance(told.folder, str)
