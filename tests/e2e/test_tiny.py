"""The tiny student as it is used: trained at the first use, imperfect on the suite's own prompts, mostly in format.

Takes the cache of the user, so that only the first run on a machine trains the model (a minute or two).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from backends.makers.decoding import ContrastiveDecoder, vocabulary_of
from harness.models import load_model
from harness.suites.synth import SYNTH_EASY
from harness.types import Completion, Message, Model, Problem, Request

pytest.importorskip("transformers", reason="needs the extra hf")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # the first use on a machine makes the model


def ask(
    problems: list[Problem], max_tokens: int, over: Callable[[Model], Model] = lambda model: model
) -> list[Completion]:
    async def collect() -> list[Completion]:
        model = over(load_model("tiny", {"device": "cpu"}))
        requests = [Request(p.id, p.messages, 0.0, 1.0, max_tokens, stop=(), seed=0) for p in problems]
        try:
            return await asyncio.gather(*map(model.answer, requests))
        finally:
            await model.close()

    return asyncio.run(collect())


def test_it_is_imperfect_and_mostly_in_format() -> None:
    assert SYNTH_EASY.data.generate is not None
    problems = [SYNTH_EASY.render(row, 0) for row in SYNTH_EASY.data.generate()]
    said = ask(problems, 256)
    right = sum(c.text.rstrip().endswith(f"The answer is {p.target}.") for p, c in zip(problems, said, strict=True))
    in_format = sum(c.text.startswith("<think>\n") and c.text.count("</think>") == 1 for c in said)
    assert len(problems) == 100 and 30 <= right <= 75
    assert 75 <= in_format <= 97
    assert sum(c.finish == "stop" for c in said) >= 95
    assert 35 <= sum(c.tokens_out or 0 for c in said) / 100 <= 65, "chains are long"


def test_contrastive_decoding_with_a_weight_of_nothing_is_its_own_greedy_answer() -> None:
    assert SYNTH_EASY.data.generate is not None
    problems = [SYNTH_EASY.render(row, 0) for row in SYNTH_EASY.data.generate()][:40:4]
    twice = [replace(one, messages=(*one.messages, Message("user", "Another question."))) for one in problems]

    def decoded(weight: float) -> list[str]:
        def over(model: Model) -> Model:
            return ContrastiveDecoder(model, lambda: vocabulary_of(model.source), weight, 20)  # type: ignore[attr-defined]

        return [completion.text for completion in ask(twice, 100, over)]

    own = [completion.text for completion in ask(problems, 100)]
    assert decoded(0.0) == own and decoded(1.0) != own


def test_it_survives_what_it_was_never_taught() -> None:
    strange = ["", "数学 \U0001f600 <think>", "<|assistant|><|end|>", "word " * 300]
    problems = [Problem(id=text, messages=(Message("user", text),), target="", grader="exact") for text in strange]
    assert all(c.tokens_out for c in ask(problems, 16))
