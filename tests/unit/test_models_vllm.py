"""The vLLM engine against a stand-in with the names that vLLM's documentation gives; the real one is in tests/e2e."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from test_models_judging import SCHEMA, make_request

from harness.errors import DataError, ModelError
from harness.models.base import NotBegun
from harness.models.hf_prompt import PromptRenderer
from harness.models.hf_source import Source
from harness.models.vllm import VllmModel, VllmOptions
from harness.types import Completion, Message


class EngineDeadError(Exception):
    """As vLLM calls it."""


class Tokenizer:
    """A character is a token."""

    chat_template = None
    added_tokens_decoder: Mapping[int, Any] = MappingProxyType({})
    all_special_ids = all_special_tokens = ()
    eos_token_id = bos_token_id = pad_token_id = unk_token_id = None

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [*map(ord, text)]}


class Engine:
    """AsyncLLM's part that is used; `reply` makes the outputs of a call."""

    model_config = SimpleNamespace(max_model_len=64, get_vocab_size=lambda: 200)

    def __init__(self, reply: Callable[[dict[str, Any], Any], AsyncIterator[Any]]) -> None:
        self.reply = reply
        self.asked: list[Any] = []
        self.open = 0

    async def generate(self, prompt: Any, sampling: Any, name: str, lora_request: Any = None) -> AsyncIterator[Any]:
        self.asked.append(sampling)
        self.open += 1
        try:
            async for output in self.reply(prompt, sampling):
                yield output
        finally:
            self.open -= 1

    def shutdown(self) -> None:
        """Nothing runs."""


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("vllm", "vllm.sampling_params", "vllm.v1", "vllm.v1.engine", "vllm.v1.engine.exceptions")
    modules = {name: ModuleType(name) for name in names}
    modules["vllm"].SamplingParams = lambda **given: SimpleNamespace(**given)  # type: ignore[attr-defined]
    modules["vllm.sampling_params"].StructuredOutputsParams = lambda **given: ("held to", given)  # type: ignore[attr-defined]
    modules["vllm.sampling_params"].RequestOutputKind = SimpleNamespace(FINAL_ONLY="final")  # type: ignore[attr-defined]
    modules["vllm.v1.engine.exceptions"].EngineDeadError = EngineDeadError  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def make(engine: Engine, **options: Any) -> VllmModel:
    model = VllmModel("vllm:x", Source("x"), VllmOptions(**options))
    starts = []

    def load() -> None:
        starts.append(engine)
        model._engine = engine
        model._prompts = PromptRenderer(Tokenizer(), None, True, None)

    model._load = load  # type: ignore[method-assign]
    model.starts = starts  # type: ignore[attr-defined]
    return model


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


TABLE = {3: SimpleNamespace(logprob=-2.0, decoded_token="B"), 9: SimpleNamespace(logprob=-0.2, decoded_token="A")}
OUTPUT = SimpleNamespace(finish_reason="stop", text="A", token_ids=[9], cumulative_logprob=-0.2, logprobs=[TABLE])


async def one(_: Any, sampling: Any) -> AsyncIterator[Any]:
    yield SimpleNamespace(outputs=[OUTPUT])


def test_it_is_given_the_schema_and_its_table_is_read() -> None:
    async def ask() -> tuple[Completion, Completion]:
        model = make(engine)
        plain = await model.answer(make_request())
        return plain, await model.answer(make_request(schema=SCHEMA, top_logprobs=5))

    engine = Engine(one)
    plain, told = run(ask())
    assert (engine.asked[0].logprobs, engine.asked[0].structured_outputs) == (None, None)
    assert (engine.asked[1].logprobs, engine.asked[1].structured_outputs) == (5, ("held to", {"json": SCHEMA}))
    assert told.alternatives == {"A": -0.2, "B": -2.0} and plain.alternatives is None
    assert (told.text, told.finish, told.tokens_out, told.logprob) == ("A", "stop", 1, -0.2)


def asked(number: int, **changes: Any) -> Any:
    return make_request(id=str(number), **changes)


def test_an_engine_that_dies_is_one_error_for_every_caller() -> None:
    async def die(_: Any, sampling: Any) -> AsyncIterator[Any]:
        if sampling.seed < 4:
            yield SimpleNamespace(outputs=[OUTPUT])
            return
        await asyncio.sleep(0.01)
        raise EngineDeadError("out of memory")

    async def ask() -> list[Any]:
        model = make(Engine(die), concurrency=300)
        return await asyncio.gather(
            *(model.answer(asked(number, seed=number)) for number in range(256)), return_exceptions=True
        )

    replies = run(ask())
    assert [reply.text for reply in replies[:4]] == ["A"] * 4
    assert {(type(error), str(error)) for error in replies[4:]} == {
        (ModelError, "vLLM's engine died: out of memory; its own messages are above")
    }


def test_a_caller_who_leaves_frees_the_engine_and_the_slot() -> None:
    async def never(_: Any, sampling: Any) -> AsyncIterator[Any]:
        if sampling.seed == 0:
            await asyncio.sleep(3600)
        yield SimpleNamespace(outputs=[OUTPUT])

    async def ask() -> Completion:
        engine = Engine(never)
        model = make(engine, concurrency=1)
        first = asyncio.create_task(model.answer(asked(0, seed=0)))
        while not engine.open:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(model.answer(asked(1, seed=1)))
        with pytest.raises(ModelError, match="'0' is open already"):
            await model.answer(asked(0))
        await asyncio.sleep(0)
        waiting.cancel()
        first.cancel()
        with pytest.raises(NotBegun):
            await waiting
        with pytest.raises(asyncio.CancelledError):
            await first
        assert engine.open == 0
        return await model.answer(asked(0, seed=1))

    assert run(ask()).text == "A"


def test_an_engine_that_does_not_start_says_so_to_every_caller_and_is_started_once() -> None:
    starts = []

    async def ask() -> list[Any]:
        model = make(Engine(one))

        def load() -> None:
            starts.append(1)
            raise ModelError("vLLM does not start")

        model._load = load  # type: ignore[method-assign]
        return await asyncio.gather(*(model.answer(asked(number)) for number in range(9)), return_exceptions=True)

    replies = run(ask())
    assert len({id(reply) for reply in replies}) == 1 and isinstance(replies[0], ModelError) and len(starts) == 1


def test_it_is_started_again_in_another_event_loop() -> None:
    model = make(Engine(one))
    for count in (1, 2):
        assert run(model.answer(asked(count))).text == "A"
        assert len(model.starts) == count  # type: ignore[attr-defined]


class Counted(Engine):
    """One of several engines, which says when it is shut down."""

    up: ClassVar[list[Counted]] = []

    def shutdown(self) -> None:
        self.up.remove(self)


def counting(steps: Sequence[threading.Event]) -> tuple[VllmModel, list[Counted]]:
    """A model, and every engine that it made: the nth comes up once the nth event is set."""
    model, made = VllmModel("vllm:x", Source("x")), list[Counted]()
    Counted.up.clear()

    def load() -> None:
        made.append(Counted(one))
        assert steps[len(made) - 1].wait(60)
        Counted.up.append(made[-1])
        model._engine, model._prompts = made[-1], PromptRenderer(Tokenizer(), None, True, None)

    model._load = load  # type: ignore[method-assign]
    return model, made


def events(*are_set: bool) -> list[threading.Event]:
    found = [threading.Event() for _ in are_set]
    for event, is_set in zip(found, are_set, strict=True):
        if is_set:
            event.set()
    return found


def test_callers_of_another_event_loop_start_one_engine() -> None:
    model, made = counting(events(True, True, True))
    run(model.answer(asked(0)))

    async def ask() -> None:
        callers = []
        for number in range(1, 6):  # one comes at every step of the start
            callers.append(asyncio.create_task(model.answer(asked(number))))
            await asyncio.sleep(0)
        await asyncio.gather(*callers)
        assert len(made) == 2 and Counted.up == [made[1]]
        await model.close()

    run(ask())
    assert not Counted.up


def test_closing_while_it_starts_leaves_no_engine() -> None:
    async def ask() -> None:
        waiting = asyncio.create_task(model.answer(asked(0)))
        while not made:
            await asyncio.sleep(0)
        closing = asyncio.create_task(model.close())
        await asyncio.sleep(0)
        steps[0].set()
        await closing
        with pytest.raises(ModelError, match="vllm:x was closed while it started"):
            await waiting
        assert len(made) == 1 and not Counted.up

    steps = events(False)
    model, made = counting(steps)
    run(ask())


def test_asking_while_it_closes_during_the_start_has_one_engine_at_a_time() -> None:
    async def ask() -> None:
        first = asyncio.create_task(model.answer(asked(0)))
        while not made:
            await asyncio.sleep(0)
        closing = asyncio.create_task(model.close())
        await asyncio.sleep(0)
        again = asyncio.create_task(model.answer(asked(1)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(made) == 1
        steps[0].set()
        assert (await again).text == "A"
        await closing
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], ModelError)
        assert Counted.up == [made[1]]
        await model.close()
        assert not Counted.up

    steps = events(False, True)
    model, made = counting(steps)
    run(ask())


def test_scores_are_read_off_the_prompt_log_probabilities() -> None:
    def table(token: int) -> dict[int, Any]:
        return {token: SimpleNamespace(logprob=-1.0 * token), 5: SimpleNamespace(logprob=-0.5)}

    async def tell(prompt: Any, sampling: Any) -> AsyncIterator[Any]:
        if sampling.prompt_logprobs > 150:
            raise ValueError("Requested more log-probabilities\nthan there are")
        tables = [None, *(table(token) for token in prompt["prompt_token_ids"][1:])]
        yield SimpleNamespace(outputs=[], prompt_logprobs=tables)

    async def ask() -> None:
        model, prompt = make(engine), (Message("user", "why"),)
        by_ids, by_text = await model.score(prompt, [7, 8], top=1), await model.score(prompt, "ab")
        assert (by_ids.ids, by_ids.logprobs, by_ids.top) == ((7, 8), (-7.0, -8.0), ({5: -0.5}, {5: -0.5}))
        assert (by_text.ids, by_text.logprobs, by_text.top) == ((97, 98), (-97.0, -98.0), None)
        assert [sampling.prompt_logprobs for sampling in engine.asked] == [1, 0]
        with pytest.raises(DataError, match=r"^Requested more log-probabilities than there are$"):
            await model.score(prompt, [7], top=100_000)
        assert engine.asked[-1].prompt_logprobs == 200  # the vocabulary
        with pytest.raises(DataError, match="is empty"):
            await model.score(prompt, "")
        with pytest.raises(DataError, match="they have 3 and 61 tokens, there is room for 63"):
            await model.score(prompt, "x" * 61)

    engine = Engine(tell)
    run(ask())


def test_scores_are_within_the_concurrency() -> None:
    most = []

    async def tell(prompt: Any, sampling: Any) -> AsyncIterator[Any]:
        most.append(engine.open)
        await asyncio.sleep(0)
        tables = [None, *({token: SimpleNamespace(logprob=-1.0)} for token in prompt["prompt_token_ids"][1:])]
        yield SimpleNamespace(outputs=[], prompt_logprobs=tables)

    async def ask() -> None:
        model, prompt = make(engine, concurrency=3), (Message("user", "why"),)
        await asyncio.gather(*(model.score(prompt, [7]) for _ in range(12)))

    engine = Engine(tell)
    run(ask())
    assert (len(most), max(most)) == (12, 3)
