"""Many callers at the door of the transformers engine: batches, priority, those that leave, an engine that dies."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="needs the extra hf")
pytest.importorskip("transformers", reason="needs the extra hf")

from test_models_hf import checkpoint
from tiny_model import request, tiny, write_scripted

from harness.errors import ModelError
from harness.models.base import NotBegun
from harness.models.hf import HfModel
from harness.types import Completion, Message, Request

__all__ = ["checkpoint"]  # a fixture
DEADLINE_S = 60.0


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """The result, or an error that names the test in place of a test run that hangs."""
    return asyncio.run(asyncio.wait_for(work, DEADLINE_S))


def groups(model: HfModel, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The `max_tokens` of each group of rows as it is admitted."""
    decoder, seen = model.load(), list[list[int]]()
    real = decoder._admit

    def admit(rows: list[Any], batch: Any) -> Any:
        seen.append([row.max_new for row in rows])
        return real(rows, batch)

    monkeypatch.setattr(decoder, "_admit", admit)
    return seen


def test_callers_who_ask_at_once_are_one_batch(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> list[list[int]]:
        model = tiny(checkpoint)
        seen = groups(model, monkeypatch)
        await asyncio.gather(*(model.answer(request("q" * n, max_tokens=2)) for n in range(1, 9)))
        await model.close()
        return seen

    assert run(ask()) == [[2] * 8]


def test_a_second_turn_goes_first_then_the_longest_of_those_that_wait(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> list[list[int]]:
        model = tiny(checkpoint, batch_size="1")
        seen = groups(model, monkeypatch)
        asked = [request("q", n, max_tokens=n) for n in (2, 9, 5, 7)]
        again = (*asked[2].messages, Message("assistant", "so"), Message("user", "and?"))
        asked[2] = dataclasses.replace(asked[2], messages=again)
        await asyncio.gather(*map(model.answer, asked))
        await model.close()
        return seen

    assert run(ask()) == [[5], [9], [7], [2]]


def endless(folder: Path) -> Path:
    """A model that never ends of itself: after "a" comes "b", after "b" comes "a"."""
    write_scripted(folder, ["a", "b"])
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    a, b = tokenizer.convert_tokens_to_ids(["a", "b"])
    with torch.no_grad():
        model.lm_head.weight[:, b] = 0.0
        model.lm_head.weight[a, b] = 10.0
    model.save_pretrained(folder)
    return folder


def greedy(name: str, max_tokens: int) -> Request:
    return request(name, temperature=0.0, max_tokens=max_tokens)


def test_a_caller_who_leaves_frees_the_row(tmp_path: Path) -> None:
    async def ask() -> Completion:
        model = tiny(endless(tmp_path), batch_size="1")
        decoder = model.load()
        first = asyncio.create_task(model.answer(greedy("long", 200)))
        while not (decoder._running and decoder._running[0].tokens):
            await asyncio.sleep(0.001)
        waiting = asyncio.create_task(model.answer(greedy("waits", 150)))
        await asyncio.sleep(0)
        for caller in (first, waiting):
            caller.cancel()
        with pytest.raises(asyncio.CancelledError) as under_way:
            await first
        assert not isinstance(under_way.value, NotBegun)
        with pytest.raises(NotBegun):
            await waiting
        short: Completion = await model.answer(greedy("short", 3))
        assert not decoder._running and not decoder._waiting
        again = await model.answer(greedy("long", 3))  # the id is free again
        await model.close()
        assert again.text == short.text
        return short

    done = run(ask())
    assert (done.text, done.finish) == ("aba", "length")


def test_an_id_that_is_open_is_refused_in_one_line(checkpoint: Path) -> None:
    async def ask() -> None:
        model = tiny(checkpoint)
        first = asyncio.create_task(model.answer(request("q")))
        await asyncio.sleep(0)
        with pytest.raises(ModelError, match="'q/0' is open already") as refused:
            await model.answer(request("q"))
        assert "\n" not in str(refused.value)
        assert (await first).error is None and (await model.answer(request("q"))).error is None
        await model.close()

    run(ask())


def test_a_dead_decoder_gives_every_caller_the_same_error_and_nothing_hangs(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four of 256 have their reply by then; the others get one error; the next caller finds an engine that works."""
    dead = RuntimeError("the device is gone")

    async def ask() -> list[Completion | BaseException]:
        model = tiny(checkpoint, batch_size="4")
        decoder = model.load()
        real, settled = decoder._step, list[object]()
        settle = decoder._settle
        monkeypatch.setattr(decoder, "_settle", lambda row, done: settled.append(row) or settle(row, done))

        def step(batch: Any) -> None:
            if len(settled) >= 4:
                raise dead
            real(batch)

        monkeypatch.setattr(decoder, "_step", step)
        asked = [request("q", n, max_tokens=5, temperature=0.0) for n in range(256)]
        replies = await asyncio.gather(*map(model.answer, asked), return_exceptions=True)
        monkeypatch.setattr(decoder, "_step", real)
        assert (await model.answer(asked[0])).tokens_out
        await model.close()
        return replies

    replies = run(ask())
    answered = [reply for reply in replies if isinstance(reply, Completion)]
    assert 4 <= len(answered) < 16 and all(reply.tokens_out for reply in answered)
    assert all(reply is dead for reply in replies if not isinstance(reply, Completion))


def test_closing_ends_what_is_open_within_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> tuple[int, int]:
        model = tiny(endless(tmp_path))
        decoder, steps = model.load(), list[object]()
        real = decoder._step
        monkeypatch.setattr(decoder, "_step", lambda batch: steps.append(batch) or real(batch))
        callers = [asyncio.create_task(model.answer(greedy(name, 240))) for name in ("one", "two")]
        while not steps:
            await asyncio.sleep(0.001)
        before = len(steps)
        await model.close()
        ended = await asyncio.gather(*callers, return_exceptions=True)
        assert all(isinstance(error, asyncio.CancelledError) for error in ended)
        return before, len(steps)

    before, after = run(ask())
    assert before < 100 and after <= before + 2  # the one that ran, and one that may have begun by then


def test_weights_that_do_not_load_are_one_error_and_read_once(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads: list[ModelError] = []

    async def ask() -> list[Completion | BaseException]:
        model = tiny(checkpoint)

        def load() -> None:
            loads.append(ModelError("they are torn"))
            raise loads[-1]

        monkeypatch.setattr(model, "load", load)
        asked = [model.answer(request("q", n)) for n in range(64)]
        replies = await asyncio.gather(*asked, model.score((Message("user", "q"),), "x"), return_exceptions=True)
        await model.close()
        return replies

    replies = run(ask())
    assert len(loads) == 1 and len(replies) == 65 and all(reply is loads[0] for reply in replies)


def test_a_model_that_was_closed_answers_again(checkpoint: Path) -> None:
    async def ask() -> list[Completion]:
        model, said = tiny(checkpoint), []
        for _ in range(2):
            said.append(await model.answer(request("hi", max_tokens=2)))
            await model.close()
        return said

    once, again = run(ask())
    assert once.text == again.text and again.finish != "error"
