"""`Model.score`: teacher-forced log-probabilities against a plain forward pass, and what is refused."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")
transformers = pytest.importorskip("transformers", reason="needs the extra hf")

from test_models_hf import checkpoint, mixed
from tiny_model import answer, request, tiny, write_tokenizer

from harness.errors import DataError, ModelError
from harness.models import hf_score, load_model
from harness.models.scoring import from_tables
from harness.types import Message, Model, TokenScores

__all__ = ["checkpoint"]  # a fixture
ASKED = (Message("user", "why?"),)


def score(model: Model, continuation: str | Sequence[int], top: int = 0) -> TokenScores:
    async def ask() -> TokenScores:
        try:
            return await model.score(ASKED, continuation, top)
        finally:
            await model.close()

    return asyncio.run(ask())


def plain(folder: Path, ids: Sequence[int]) -> torch.Tensor:
    """Log-probabilities [T, V] at the continuation's positions, as anyone would write it."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    prompt = transformers.AutoTokenizer.from_pretrained(folder)("u:why?\na:")["input_ids"]
    with torch.no_grad():
        logits = model(torch.tensor([[*prompt, *ids]])).logits[0]
    found: torch.Tensor = logits.log_softmax(-1)[len(prompt) - 1 : -1]
    return found


@pytest.mark.parametrize("part", [512, 3])
def test_text_and_ids_get_the_log_probabilities_of_a_plain_forward(
    checkpoint: Path, part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hf_score, "_PART", part)
    text = "because it is so."
    ids = transformers.AutoTokenizer.from_pretrained(checkpoint)(text)["input_ids"]
    by_text, by_ids = score(tiny(checkpoint), text), score(tiny(checkpoint), ids, top=5)
    expected = plain(checkpoint, ids)
    assert by_text.ids == by_ids.ids == tuple(ids) and by_text.top is None and by_ids.top is not None
    pieces = [text[a:b] for a, b in itertools.pairwise((*(by_text.starts or ()), len(text)))]
    assert "".join(pieces) == text and len(pieces) == len(ids) and by_ids.starts is None
    for scores in (by_text, by_ids):
        assert scores.logprobs == pytest.approx(
            expected.gather(-1, torch.tensor(ids)[:, None])[:, 0].tolist(), abs=1e-4
        )
    for row, likeliest in zip(expected, by_ids.top, strict=True):
        best = row.topk(5)
        assert list(likeliest) == best.indices.tolist()
        assert list(likeliest.values()) == pytest.approx(best.values.tolist(), abs=1e-4)


def test_an_answer_is_scored_as_it_was_drawn(checkpoint: Path) -> None:
    """The sum is the log-probability that decoding reports; scoring in between changes no sample."""

    async def both() -> tuple[float, float]:
        model = tiny(checkpoint)
        asked = [request("why?", number, temperature=0.8, max_tokens=3) for number in range(40)]
        answering = asyncio.gather(*map(model.answer, asked))
        await asyncio.sleep(0)
        await model.score(ASKED, "hm", 3)
        done = (await answering)[0]
        text = next(one for one in await answering if len(one.text.encode()) == one.tokens_out)
        alone = await model.answer(asked[0])
        assert (alone.text, alone.logprob) == (done.text, pytest.approx(done.logprob, abs=1e-3))
        scores = await model.score(ASKED, text.text)
        await model.close()
        return sum(scores.logprobs), text.logprob or 0.0

    scored, drawn = asyncio.run(both())
    assert scored == pytest.approx(drawn, abs=1e-3)


@pytest.mark.parametrize("rows", [4, 1])
def test_a_score_without_room_beside_a_batch_halves_the_batch(
    rows: int, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring takes memory as the decoding of `rows` rows does: together they are too much."""
    expected = answer(tiny(checkpoint), mixed())
    alone = score(tiny(checkpoint), "hm")
    model = tiny(checkpoint, batch_size=str(rows))
    decoder = model.load()
    real, refused = decoder.model.forward, []

    def forward(*args: object, **kwargs: object) -> object:
        if not kwargs["use_cache"] and decoder._running:
            refused.append(len(decoder._running))
            raise torch.OutOfMemoryError("simulated")
        return real(*args, **kwargs)

    monkeypatch.setattr(decoder.model, "forward", forward)

    async def both() -> tuple[TokenScores, dict[tuple[str, int], str]]:
        answers = [asyncio.create_task(model.answer(one)) for one in mixed()]
        while not decoder._running:
            await asyncio.sleep(0)
        scores = await model.score(ASKED, "hm")
        done = await asyncio.gather(*answers)
        await model.close()
        return scores, {
            (one.messages[0].content, one.attempt): done.text for one, done in zip(mixed(), done, strict=True)
        }

    scores, texts = asyncio.run(both())
    assert refused and decoder.max_rows == max(1, refused[-1] // 2)
    assert scores.logprobs == pytest.approx(alone.logprobs, abs=1e-5)
    assert texts == {key: done.text for key, done in expected.items()}


def test_a_sliding_window_and_a_model_without_a_choice_of_logits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    config = transformers.MistralConfig(
        vocab_size=259, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, initializer_range=0.4, eos_token_id=256, pad_token_id=257,
        bos_token_id=258, sliding_window=8,
    )  # fmt: skip
    transformers.MistralForCausalLM(config).save_pretrained(tmp_path)
    write_tokenizer(tmp_path)
    ids = list(range(40))
    model = tiny(tmp_path)
    monkeypatch.setattr(model.load(), "last", lambda positions: {})
    expected = plain(tmp_path, ids).gather(-1, torch.tensor(ids)[:, None])[:, 0].tolist()
    assert score(model, ids).logprobs == pytest.approx(expected, abs=1e-4)


def test_the_whole_vocabulary_is_the_most_that_is_told(checkpoint: Path) -> None:
    scores = score(tiny(checkpoint), [5, 6], top=100_000)
    assert scores.top is not None and [len(row) for row in scores.top] == [259, 259]
    assert [row[token] for row, token in zip(scores.top, scores.ids, strict=True)] == list(scores.logprobs)
    assert all(
        sum(map(pow, [2.718281828459045] * 259, row.values())) == pytest.approx(1, abs=1e-4) for row in scores.top
    )


@pytest.mark.parametrize(
    ("continuation", "message"),
    [
        ("", "the continuation is empty"),
        ([], "the continuation is empty"),
        ("x" * 300, "do not fit the context: they have 9 and 300 tokens, there is room for 256"),
        ([259], "ids from 259 to 259; the model has 259 tokens"),
        ([4, -1], "ids from -1 to 4; the model has 259 tokens"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_line(
    checkpoint: Path, continuation: str | list[int], message: str
) -> None:
    with pytest.raises(DataError, match=message) as refused:
        score(tiny(checkpoint), continuation)
    assert "\n" not in str(refused.value)


def test_the_whole_context_can_be_scored(checkpoint: Path) -> None:
    assert len(score(tiny(checkpoint), "x" * (256 - 9)).ids) == 256 - 9


def test_out_of_memory_is_one_line_of_that_caller(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        model = tiny(checkpoint)
        decoder = model.load()
        real = decoder.model.forward

        def forward(*args: object, **kwargs: object) -> object:
            if kwargs.get("past_key_values") is None:
                raise torch.OutOfMemoryError("simulated")
            return real(*args, **kwargs)

        monkeypatch.setattr(decoder.model, "forward", forward)
        answering = asyncio.create_task(model.answer(request("q")))
        with pytest.raises(ModelError, match="out of memory over 9 tokens of prompt and 2 to score"):
            await model.score(ASKED, "hm")
        assert (await answering).error is None
        await model.close()

    asyncio.run(ask())


@pytest.mark.parametrize("spec", ["mock:gold", "mock:judge"])
def test_a_stand_in_names_the_engines_that_can(spec: str) -> None:
    with pytest.raises(ModelError, match=f"{spec} cannot score .*hf, vllm, trained, smollm2 and tiny can") as refused:
        score(load_model(spec, {}), "x")
    assert "\n" not in str(refused.value)


def test_tables_of_prompt_log_probabilities_as_scores() -> None:
    tables = [{7: -0.5, 3: -0.1, 9: -4.0}, {3: -0.2, 8: -0.3}]
    scores = from_tables([9, 8], tables, top=2)
    assert scores == TokenScores((9, 8), (-4.0, -0.3), ({3: -0.1, 7: -0.5}, {3: -0.2, 8: -0.3}))
    assert from_tables([9, 8], tables, top=0).top is None
    for ids in ([9], [9, 1]):
        with pytest.raises(ModelError, match="not of the tokens that were asked for"):
            from_tables(ids, tables, 0)
