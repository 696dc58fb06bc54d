"""The transformers engine on a tiny random model: batching never changes a sample, limits and errors are honest."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import asyncio
import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
transformers = pytest.importorskip("transformers", reason="needs the extra hf")

from tiny_model import answer, request, tiny, write_model, write_tokenizer

from harness.errors import ConfigError, ModelError, PrerequisiteError
from harness.models.base import Stopped, bounded
from harness.models.hf import HfModel, build
from harness.types import Completion, Request


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny"))


def mixed() -> list[Request]:
    """Prompts of very different length, three samples each, some in a nucleus, some greedy."""
    kinds = ({}, {"top_p": 0.8}, {"temperature": 0.0}, {"temperature": 0.6, "max_tokens": 60})
    return [
        request("q" * length, attempt, **kinds[(length + attempt) % 4])
        for length in (1, 2, 9, 30, 31, 90)
        for attempt in range(3)
    ]


def test_a_sample_does_not_depend_on_its_batch(checkpoint: Path) -> None:
    alone = answer(tiny(checkpoint, batch_size="1"), mixed())
    for size in ("2", "8", "64"):
        assert {
            k: (c.text, c.finish, c.tokens_out) for k, c in answer(tiny(checkpoint, batch_size=size), mixed()).items()
        } == {k: (c.text, c.finish, c.tokens_out) for k, c in alone.items()}
    assert len({c.text for c in alone.values()}) > 12  # and they do differ from each other
    backwards = answer(tiny(checkpoint, batch_size="3"), mixed()[::-1])
    assert {k: c.text for k, c in backwards.items()} == {k: c.text for k, c in alone.items()}


def test_greedy_is_what_the_library_generates(checkpoint: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    texts = ["a", "hello there", "x" * 70, "one two three", "?"]
    ours = answer(tiny(checkpoint, batch_size="2"), [request(t, temperature=0.0, max_tokens=40) for t in texts])
    for text in texts:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        out = model.generate(**ids, do_sample=False, max_new_tokens=40, pad_token_id=257)[
            0, ids["input_ids"].shape[1] :
        ]
        completion = ours[text, 0]
        assert completion.text == tokenizer.decode(out, skip_special_tokens=True)
        assert completion.tokens_out == len(out)
        assert completion.tokens_in == ids["input_ids"].shape[1]
        assert completion.finish == ("stop" if out[-1] == 256 else "length")


def test_the_log_probability_is_that_of_the_chosen_tokens(checkpoint: Path) -> None:
    requests = [request("abc", temperature=0.5, top_p=0.9), request("a longer prompt", temperature=1.3)]
    ours = answer(tiny(checkpoint), requests)
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    for asked in requests:
        completion = ours[asked.messages[0].content, 0]
        assert completion.finish == "length" and "\ufffd" not in tokenizer.decode([0])
        prompt = tokenizer(f"u:{asked.messages[0].content}\na:")["input_ids"]
        told = tokenizer(completion.text)["input_ids"]
        if len(told) != completion.tokens_out:
            continue  # not valid UTF-8: the text does not give the tokens back
        logits = model(torch.tensor([prompt + told])).logits[0, len(prompt) - 1 : -1]
        expected = logits.log_softmax(-1).gather(-1, torch.tensor(told)[:, None]).sum().item()
        assert completion.logprob == pytest.approx(expected, abs=1e-3)


def test_stop_sequences_cut_the_text_before_them(checkpoint: Path) -> None:
    requests = [request("q" * n, max_tokens=80) for n in range(1, 9)]
    free = answer(tiny(checkpoint), requests)
    stop = next(c.text[10:12] for c in free.values() if len(c.text) > 20 and c.text[10:12].isascii())
    stopped = answer(tiny(checkpoint), [dataclasses.replace(r, stop=(stop, "never this")) for r in requests])
    seen = 0
    for key, completion in stopped.items():
        expected, found, _ = free[key].text.partition(stop)
        assert completion.text == expected
        if found:
            seen += 1
            assert completion.finish == "stop"
            assert completion.tokens_out is not None and completion.tokens_out <= (free[key].tokens_out or 0)
    assert seen


def test_a_prompt_beyond_the_context_is_an_error_and_a_reply_is_cut_at_it(checkpoint: Path) -> None:
    found = answer(
        tiny(checkpoint),
        [request("x" * 300), request("y" * 240, max_tokens=500, temperature=0.0), request("z", max_tokens=3)],
    )
    too_long = found["x" * 300, 0]
    assert too_long.finish == "error" and too_long.text == "" and "305 tokens" in (too_long.error or "")
    cut = found["y" * 240, 0]
    assert cut.finish == "stop" or (cut.tokens_in or 0) + (cut.tokens_out or 0) == 256
    assert found["z", 0].finish in ("stop", "length")


def test_chat_template_off_file_and_opened_think(checkpoint: Path, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0].content }}<think>\n")
    thinking = tiny(checkpoint, chat_template=str(template))
    plain = tiny(checkpoint, chat_template="off")
    assert thinking.describe() != plain.describe()
    assert answer(thinking, [request("hi")])["hi", 0].opened_think is True
    found = answer(plain, [request("hi")])["hi", 0]
    assert (found.opened_think, found.tokens_in) == (False, 2)


def test_a_long_row_does_not_hold_back_the_others(checkpoint: Path) -> None:
    async def order() -> list[int]:
        model = tiny(checkpoint, batch_size="2")
        asked = [request("long", max_tokens=150, temperature=0.0)] + [
            request("s" * n, max_tokens=4) for n in range(1, 7)
        ]
        seen: list[int] = []
        await bounded(asked, lambda one: note(model, one, lambda: seen.append(one.max_tokens)), len(asked))
        await model.close()
        return seen

    seen = asyncio.run(order())
    assert seen.count(4) == 6
    assert seen[0] == 4


async def note(model: HfModel, one: Request, done: Callable[[], None]) -> None:
    await model.answer(one)
    done()


def test_callers_that_leave_stop_the_loop(checkpoint: Path) -> None:
    async def first() -> Completion:
        model = tiny(checkpoint, batch_size="1")
        callers = [asyncio.create_task(model.answer(request("q" * n, max_tokens=100))) for n in range(1, 200)]
        await asyncio.wait(callers, return_when=asyncio.FIRST_COMPLETED)
        for caller in callers:
            caller.cancel()
        again = await model.answer(request("hi"))
        assert sum(not caller.cancelled() for caller in callers) < 10
        await model.close()
        return again

    assert asyncio.run(first()).tokens_out


def test_cancelling_keeps_the_rows_that_finished_and_counts_the_others(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop blocks while the decoder works, so that rows finish unseen; then comes Ctrl-C."""
    decoded: list[int] = []

    async def consume(seen: list[Request], counts: list[int]) -> None:
        model = tiny(checkpoint, batch_size="4")
        decoder = model.load()
        real = decoder._settle
        monkeypatch.setattr(decoder, "_settle", lambda row, done: real(row, done) or decoded.append(row.max_new))
        asked = [request("q" * n, max_tokens=3) for n in range(1, 4)] + [
            request("long", max_tokens=200, temperature=0.0)
        ]

        def finished(one: Request) -> None:
            seen.append(one)
            while decoded.count(3) < 3:
                time.sleep(0.01)

        try:
            await bounded(asked, lambda one: note(model, one, lambda: finished(one)), len(asked))
        except Stopped as stop:
            counts.append(stop.unfinished)
            raise
        finally:
            await model.close()

    async def interrupt() -> tuple[list[Request], list[int]]:
        seen: list[Request] = []
        counts: list[int] = []
        task = asyncio.create_task(consume(seen, counts))
        while not seen:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return seen, counts

    seen, counts = asyncio.run(interrupt())
    assert {one.max_tokens for one in seen} >= {3} and len([one for one in seen if one.max_tokens == 3]) == 3
    assert counts == [4 - len(seen)]


def test_out_of_memory_halves_the_batch_and_gives_the_same_samples(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = answer(tiny(checkpoint, batch_size="1"), mixed())
    model = tiny(checkpoint, batch_size="8")
    decoder = model.load()
    real = decoder.model.forward

    def forward(*args: object, **kwargs: object) -> object:
        if kwargs["input_ids"].shape[0] > 2:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("simulated")
        return real(*args, **kwargs)

    monkeypatch.setattr(decoder.model, "forward", forward)
    found = answer(model, mixed())
    assert {k: c.text for k, c in found.items()} == {k: c.text for k, c in expected.items()}
    assert decoder.max_rows == 2


def test_out_of_memory_even_alone_is_an_error_of_that_request(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(checkpoint, batch_size="4")
    decoder = model.load()
    real = decoder.model.forward

    def forward(*args: object, **kwargs: object) -> object:
        if kwargs["attention_mask"].shape[1] > 50:  # type: ignore[attr-defined]
            raise torch.OutOfMemoryError("simulated")
        return real(*args, **kwargs)

    monkeypatch.setattr(decoder.model, "forward", forward)
    found = answer(model, [request("x" * 60, max_tokens=4), request("ok", max_tokens=4)])
    assert "out of memory" in (found["x" * 60, 0].error or "")
    assert found["ok", 0].error is None


def test_models_with_sliding_windows_take_the_library_cache(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=259, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.4, eos_token_id=256, pad_token_id=257,
        bos_token_id=258, sliding_window=16,
    )  # fmt: skip
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    alone = answer(tiny(tmp_path, batch_size="1"), mixed())
    together = answer(tiny(tmp_path, batch_size="5"), mixed())
    assert {k: c.text for k, c in together.items()} == {k: c.text for k, c in alone.items()}


def test_a_retrained_checkpoint_is_another_model(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", seed=0)
    before = tiny(folder).describe()
    assert tiny(folder).describe() == before
    (folder / "trainer_state.json").write_text("{}")
    assert tiny(folder).describe() == before
    shutil.rmtree(folder)
    write_model(folder, seed=1)
    assert tiny(folder).describe() != before
    assert json.dumps(before)


def test_a_lora_adapter_changes_the_answers_and_the_identity(checkpoint: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    base = transformers.AutoModelForCausalLM.from_pretrained(checkpoint)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    peft.get_peft_model(base, config).save_pretrained(tmp_path)
    asked = [request("hello", temperature=0.0)]
    plain, tuned, named = tiny(checkpoint), tiny(checkpoint, adapter=str(tmp_path)), tiny(tmp_path)
    assert plain.describe() != tuned.describe()
    without, with_adapter = answer(plain, asked), answer(tuned, asked)
    assert without["hello", 0].text != with_adapter["hello", 0].text
    assert answer(named, asked)["hello", 0].text == with_adapter["hello", 0].text


@pytest.mark.parametrize(
    ("rest", "words"),
    [("./nowhere", "no folder"), ("/a/b/c", "no folder"), ("EMPTY", "no config.json"), ("CONFIG", "no weights")],
)
def test_wrong_places_are_named(rest: str, words: str, tmp_path: Path) -> None:
    if rest == "CONFIG":
        (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PrerequisiteError, match=words):
        build(str(tmp_path) if rest.isupper() else rest, {})


def test_the_hub_out_of_reach_is_one_clear_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.delattr("huggingface_hub.errors")  # as it is before transformers has been imported
    with pytest.raises(ModelError, match="cannot be reached"):
        build("someone/some-model", {})


def test_weights_that_are_missing_are_refused_not_made_up(checkpoint: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(checkpoint, tmp_path / "m")
    weights = load_file(tmp_path / "m" / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="missing"):
        answer(tiny(tmp_path / "m"), [request("hi")])


def test_a_torn_file_is_one_clear_error(checkpoint: Path, tmp_path: Path) -> None:
    shutil.copytree(checkpoint, tmp_path / "m")
    file = tmp_path / "m" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ModelError, match="does not load"):
        answer(tiny(tmp_path / "m"), [request("hi")])


@pytest.mark.parametrize(
    "options", [{"dtype": "int8"}, {"batch_size": "0"}, {"device": "quantum"}, {"chat_template": "no.jinja"}]
)
def test_bad_options_are_named(options: dict[str, str], checkpoint: Path) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(str(checkpoint), options)
