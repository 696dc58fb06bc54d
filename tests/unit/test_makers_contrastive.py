"""`contrastive`: the greedy text at weight 0, a planted contrast that is recovered, what is dropped and refused."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_fakes import nonzero, record
from tiny_model import write_model

from backends.makers import contrastive
from backends.makers.asking import Asker
from backends.makers.contrastive import Contrastive
from backends.makers.decoding import ContrastiveDecoder, Vocabulary, contrasted, vocabulary_of
from backends.makers.opposites import wrong_answers
from backends.records.record import TrainRecord, write_records
from backends.records.source import read_records
from harness.cli import data_make
from harness.cli.main import cli
from harness.errors import DataError, HarnessError, ModelError, UsageError
from harness.models.hf import build
from harness.models.mock import MockModel, MockOptions
from harness.models.reply_cache import Cache
from harness.types import Json, Message, Request, TokenScores

LETTERS = Vocabulary(lambda ids: "".join(map(chr, ids)), frozenset({0}))


def asked(*messages: str, max_tokens: int = 12) -> Request:
    turns = tuple(Message("user", one) for one in messages)
    return Request("-".join(messages), turns, 0.0, 1.0, max_tokens, (), 0, 0)


def test_a_weight_of_nothing_is_the_model_s_own_greedy_answer(tmp_path: Path) -> None:
    model = build(str(write_model(tmp_path, seed=3)), {"dtype": "float32"})
    decoder = ContrastiveDecoder(model, lambda: vocabulary_of(model.source), 0.0, 5)
    other = ContrastiveDecoder(model, lambda: vocabulary_of(model.source), 1.0, 259)

    async def all_of() -> list[tuple[Any, Any, Any]]:
        found = []
        for text in ("Why?", "2 + 3", "The answer is: 20"):
            own = await model.answer(asked(text))
            found.append((own, await decoder.answer(asked(text, "No.")), await other.answer(asked(text, "No."))))
        await model.close()
        return found

    found = asyncio.run(all_of())
    assert [(one.text, one.finish) for one, _, _ in found] == [(one.text, one.finish) for _, one, _ in found]
    assert any(own.text != contrast.text for own, _, contrast in found)
    assert vocabulary_of(model.source).ends == {256}


def test_the_token_is_the_one_that_the_definition_says() -> None:
    """Against the formula over whole tables; a token that the other does not tell is as likely as its least."""
    draw = random.Random(3)
    for _ in range(300):
        table = {token: math.log(draw.random()) for token in draw.sample(range(30), draw.randint(1, 9))}
        against = {token: math.log(draw.random()) for token in draw.sample(range(30), draw.randint(1, 9))}
        weight, least = draw.choice([0.0, 0.5, 1.0, 3.0]), min(against.values())
        worth = {token: value - weight * against.get(token, least) for token, value in table.items()}
        assert worth[contrasted(table, against, weight)] == max(worth.values())
        assert contrasted(table, {}, 0.0) == max(table, key=lambda token: table[token])
    with pytest.raises(ModelError, match="no likeliest tokens"):
        contrasted({}, {}, 0.5)


class Teller:
    """A teacher that would rather say "any way", what fits any answer, than what fits the one that it is told."""

    continues, source = True, object()
    generic = 0.6

    def __init__(self, name: str = "hf:t") -> None:
        self.name, self.calls = name, 0

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "teller", "name": self.name}

    def environment(self) -> Mapping[str, Json]:
        return {}

    def says(self, told: str) -> str:
        """What only the answer that it is told brings it to."""
        return f"sum of {told}"

    async def score(self, prompt: Sequence[Message], ids: Sequence[int], top: int = 0) -> TokenScores:
        self.calls += 1
        question, told, *_ = prompt[-1].content.split("\n\n")
        if "long" in question:
            raise DataError("it does not fit")
        own, so_far = self.says(told.removeprefix("The answer is: ")), "".join(map(chr, ids[:-1]))
        if so_far:
            script = own if so_far[0] == own[0] else "any way."
            table = {ord(script[len(so_far)]) if len(so_far) < len(script) else 0: -0.01}
        else:
            table = {
                ord("a"): math.log(self.generic),
                ord("s"): math.log(0.4 if told.startswith("The answer is: 2") else 0.02),
            }
        return TokenScores(tuple(ids), (0.0,) * len(ids), ({},) * (len(ids) - 1) + (table,), read=len(ids) + 9)

    async def close(self) -> None:
        """Nothing to release."""


@pytest.fixture(autouse=True)
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contrastive, "vocabulary_of", lambda source: LETTERS)


def make(given: Sequence[TrainRecord], model: Any = None, **more: Any) -> Any:
    maker = Contrastive(given, "t", **more)
    with Asker(maker.over(model or Teller()), Cache(None)) as ask:
        return maker.run(ask)


def test_a_planted_contrast_is_recovered() -> None:
    """Of 20 the teacher knows a reason of its own; of 34 it does not, nor under a weight of 0 of any."""
    given = [record("a", rejected="The answer is 34."), record("b", gold="34")]
    made = make(given)
    assert [(one.id, one.response, one.rejected) for one in made.records] == [
        ("a", "sum of 20 Therefore, the answer is 20.", "any way. Therefore, the answer is 34."),
        ("b", "any way. Therefore, the answer is 34.", "sum of 20 Therefore, the answer is 20."),
    ]
    assert {made.records[0].meta[name] for name in ("contrast_weight", "counterfactual_answer")} == {0.5, "34"}
    assert nonzero(made.counts) == {"given": 2, "kept": 2}
    plain = make(given, weight=0.0)
    assert [one.response for one in plain.records] == [f"any way. Therefore, the answer is {n}." for n in (20, 34)]
    assert make(given, against="empty").records[0].response == "sum of 20 Therefore, the answer is 20."


def test_what_cannot_be_kept_is_counted() -> None:
    class Chatty(Teller):
        generic = 0.001

        def says(self, told: str) -> str:
            return {"20": "spoken of the given answer.", "21": "so the answer is 20.", "22": "s" * 99}.get(
                told, "s" + told
            )

    long = replace(record("long"), prompt=(Message("user", "A long one."),))
    golds = [record("hint"), record("other", gold="21"), record("cut", gold="22"), long, record("fine", gold="23")]
    made = make(golds, Chatty(), longest=40)
    assert made.counts["given"] == 5 and made.counts["kept"] == len(made.records)
    lost = {name: made.counts[f"factual_{name}"] for name in ("only_hints", "other_answer", "cut")}
    assert lost == {"only_hints": 1, "other_answer": 1, "cut": 2}  # what does not fit is cut as well
    alone = make([record("alone")])
    assert nonzero(alone.counts) == {"given": 1, "no_wrong_answer": 1} and not alone.records


def test_the_wrong_answer_is_a_choice_or_the_rejected_one_or_another_record_s() -> None:
    letter = {"grader": "choice", "choices": ["five", "six", "seven"]}
    golds = [record(f"n{n}", gold=str(n)) for n in range(8)]
    given = [
        *golds,
        record("twin", gold="3", rejected="<think>\nWell.\n</think>\nThe answer is 77."),
        record("right", gold="3", rejected="The answer is 3."),
        record("letter", gold="B", meta=letter),
        record("text", gold="six", meta={**letter, "grader": "exact"}),
    ]
    wrong = wrong_answers(given)
    assert wrong["twin"] == "77" and wrong["letter"] in ("A", "C") and wrong["text"] in ("five", "seven")
    for one in (*golds, given[9]):
        assert wrong[one.id] in set("01234567") - {one.gold}


def test_a_call_goes_on_and_refuses_teachers_without_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    teller = Teller()
    served = Teller("openai:t")
    served.source = None  # type: ignore[assignment]
    models = {"hf:t": teller, "openai:t": served, "mock:gold": MockModel("gold", MockOptions())}
    monkeypatch.setattr(data_make, "load_model", lambda spec, *_: models[spec])
    write_records(Path("q.jsonl"), [record("a"), record("b", gold="34")])

    def run(teacher: str, *more: str) -> None:
        words = ("contrastive", "q.jsonl", "--teacher", teacher, "-o", "out.jsonl", "--quiet", *more)
        cli.main(["data", *words], standalone_mode=False)

    for teacher, more, said in (
        ("mock:gold", (), "the teacher gold has no log-probabilities|the teacher mock:gold has no log-prob"),
        ("openai:t", (), "--tokenizer"),
        ("hf:t", ("--temperature", "0.7"), "decodes greedily"),
        ("hf:t", ("--weight", "-1"), "--weight|-1"),
    ):
        with pytest.raises(Exception, match=said) as refused:
            run(teacher, *more)
        assert "\n" not in str(refused.value) and getattr(refused.value, "exit_code", 0) == 2
        assert isinstance(refused.value, UsageError) or not isinstance(refused.value, HarnessError)
    assert teller.calls == served.calls == 0
    run("hf:t")
    first, calls = Path("out.jsonl").read_bytes(), teller.calls
    run("hf:t")
    assert Path("out.jsonl").read_bytes() == first and teller.calls == calls
    assert [one.id for one in read_records(Path("out.jsonl"))] == ["a", "b"]
    run("hf:t", "--weight", "0.4")
    assert teller.calls > calls
