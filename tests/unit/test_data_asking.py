"""Asking for training data: nothing twice, nothing lost, failures again, budgets, keys; and the prompt templates."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.makers import base
from backends.makers.asking import Asker, Query
from backends.makers.base import load_maker
from backends.makers.traces import Traces
from backends.templates import Template, asked, load_template
from harness.catalog import entries
from harness.errors import BudgetReached, ConfigError, DataError, ModelError
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.types import Completion, Message, Problem, Request, Sampling
from tests.scripted_model import ScriptedModel

PROMPTS = Path(base.__file__).with_name("prompts")


def queries(count: int, **more: object) -> list[Query]:
    draw = Sampling(temperature=0.5, top_p=0.9, max_tokens=100, seed=3)
    return [
        replace(
            Query("traces", "", Problem(f"p{i}", (Message("user", f"question {i}"),), "4", "integer"), 0, draw), **more
        )
        for i in range(count)
    ]


def test_replies_come_in_order_and_are_never_asked_for_again(tmp_path: Path) -> None:
    def reply(request: Request) -> str:
        return f"reply to {request.messages[-1].content} with {request.seed}"

    path = tmp_path / "cache.sqlite"
    wanted = queries(5)
    with Cache(path) as cache, Asker(model := ScriptedModel(reply), cache) as ask:
        first = ask([*wanted, wanted[2]])
        again = ask(wanted[:3])
    assert [completion.text.split(" with ")[0] for completion in first] == [
        f"reply to question {i}" for i in (0, 1, 2, 3, 4, 2)
    ]
    assert len(model.asked) == 5 and again == first[:3]
    assert (ask.done.requests, ask.done.cached, ask.done.failed) == (5, 3, 0)
    assert (ask.done.tokens_in, ask.done.tokens_out) == (500, 100)
    request = model.asked[0]
    assert (request.temperature, request.top_p, request.max_tokens) == (0.5, 0.9, 100)
    with Cache(path) as cache, Asker(model := ScriptedModel(reply), cache) as ask:
        assert [one.text for one in ask(queries(6))][:5] == [one.text for one in first[:5]]
        assert ask.count_missing(queries(8)) == 2
    assert [request.problem.id for request in model.asked] == ["p5"]


def test_everything_that_changes_a_reply_changes_the_key() -> None:
    one = queries(1)[0]
    others = [
        replace(one, maker="dual"),
        replace(one, template="t@1#2"),
        replace(one, attempt=1),
        replace(one, draw=replace(one.draw, temperature=0.6)),
        replace(one, draw=replace(one.draw, top_p=0.8)),
        replace(one, draw=replace(one.draw, max_tokens=99)),
        replace(one, draw=replace(one.draw, seed=4)),
        replace(one, problem=replace(one.problem, id="p9")),
        replace(one, problem=replace(one.problem, messages=(Message("user", "question 00"),))),
        replace(one, problem=replace(one.problem, messages=(Message("assistant", "question 0"),))),
    ]
    keys = {query.request("{}").id for query in (one, *others)} | {one.request("{1}").id}
    assert len(keys) == len(others) + 2
    assert one.request("{}").id == queries(1)[0].request("{}").id
    stored = "7b383e9a3affaf9e1450463a3257748c1e0e34f64a007fd999316a8554993f8d"  # as files of replies have it
    assert (one.request("{}").id, one.request("{}").seed) == (stored, 128786507)
    assert len({query.request("{}").seed for query in (one, others[0], others[2], others[6], others[7])}) == 5


def test_failed_requests_are_counted_not_stored_and_asked_again(tmp_path: Path) -> None:
    broken = {"p1", "p3"}

    def reply(request: Request) -> str | Completion:
        if request.problem.id in broken:
            return Completion("", "error", error=f"timeout of {request.problem.id}")
        return "fine"

    with Cache(tmp_path / "c") as cache, Asker(ScriptedModel(reply), cache) as ask:
        assert [completion.finish for completion in ask(queries(4))] == ["stop", "error", "stop", "error"]
        assert (ask.done.failed, ask.done.why) == (2, "timeout of p1")
        broken.clear()
        assert [completion.finish for completion in ask(queries(4))] == ["stop"] * 4
        assert ask.done.requests == 6


def test_a_model_that_dies_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    def reply(request: Request) -> str:
        if request.problem.id == "p7":
            raise ModelError("gone")
        return "fine"

    with Cache(tmp_path / "c") as cache:
        with pytest.raises(ModelError), Asker(ScriptedModel(reply), cache) as ask:
            ask(queries(10))
        assert cache.count() == 7


@given(st.integers(0, 12), st.lists(st.integers(0, 11), min_size=1, max_size=30))
def test_wherever_it_stops_the_rest_is_asked_once(stop: int, wanted: list[int]) -> None:
    made: list[str] = []

    def reply(request: Request) -> str:
        if len(made) == stop and not resumed:
            raise ModelError("gone")
        made.append(request.problem.id)
        return request.problem.id

    all_queries = queries(12)
    asked_for = [all_queries[i] for i in wanted]
    resumed = False
    with Cache(None) as cache:
        with suppress(ModelError), Asker(ScriptedModel(reply), cache) as ask:
            ask(asked_for)
        resumed = True
        with Asker(ScriptedModel(reply), cache) as ask:
            assert [completion.text for completion in ask(asked_for)] == [query.problem.id for query in asked_for]
    assert sorted(made) == sorted({query.problem.id for query in asked_for})


def test_the_budget_stops_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    with Cache(tmp_path / "c") as cache:
        model = ScriptedModel(lambda request: "fine")
        with (
            pytest.raises(BudgetReached, match="raise --budget") as caught,
            Asker(model, cache, budget=Budget.parse("500tok")) as ask,
        ):
            ask(queries(20))
        assert 1 <= cache.count() < 20 and f"{cache.count()} of 20" in str(caught.value)
        with Asker(model, cache, budget=Budget.parse("50ktok")) as ask:
            assert len(ask(queries(20))) == 20
    assert len(model.asked) == 20


def test_draws_that_draw_nothing() -> None:
    assert Traces([], "t", draw=Sampling(temperature=10.0, max_tokens=1)).draw.max_tokens == 1
    for wrong in ({"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_tokens": 0}, {"temperature": 11.0}):
        with pytest.raises(DataError, match="draw nothing"):
            Traces([], "t", draw=Sampling(**wrong))  # type: ignore[arg-type]


# --- templates ------------------------------------------------------------------------------------------------------


FIELDS = {name: fields for maker in entries("maker") for name, fields in load_maker(maker).template_fields.items()}


def packaged(name: str) -> Template:
    return load_template(name, FIELDS[name], PROMPTS / f"{name}.toml")


def test_every_packaged_prompt_is_some_maker_s() -> None:
    folder = PROMPTS
    assert {path.stem for path in folder.iterdir()} == set(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_every_template_shows_all_that_its_maker_knows(name: str) -> None:
    template = packaged(name)
    values = {field: f"<<{field}>>" for field in FIELDS[name]}
    text = template.fill(values)
    assert all(value in text for value in values.values())
    assert template.id.startswith(f"{name}@") and len(template.content_hash) == 12


def test_what_a_question_says_is_never_read_as_a_field() -> None:
    template = packaged("edit_rectify")
    text = template.fill({"question": "what is {gold} in {braces}?", "gold": "7"})
    assert "Q: what is {gold} in {braces}?\nH: The correct answer is 7." in text


@given(st.text())
def test_any_question_comes_through_whole(question: str) -> None:
    messages = asked((Message("system", "s"), Message("user", question)), packaged("cotd_student"), {})
    assert messages[0].content == "s" and messages[1].content.startswith(question)


def test_a_changed_character_is_another_template(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    text = 'version = "1"\nsummary = "s"\nsource = "mine"\ntext = "Rate it: {question}%s"\n'
    own.write_text(text % "")
    first = load_template("dap_judge", ("question",), own)
    own.write_text(text % "!")
    second = load_template("dap_judge", ("question",), own)
    assert first.content_hash != second.content_hash and second.text == "Rate it: {question}!"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('text = "no field"', "does not show the {question}"),
        ('text = "{question} {gold}"', "unknown field {gold}"),
        ('text = "{question} {"', "stray"),
        ('text = "{question}"\nprompt = "x"', "unknown key 'prompt'"),
        ("text = 3", "must be a string"),
        ("text = ", "mine.toml"),
    ],
)
def test_templates_that_make_no_sense(tmp_path: Path, content: str, message: str) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(f'version = "1"\nsummary = "s"\nsource = "mine"\n{content}\n')
    with pytest.raises(ConfigError, match=message):
        load_template("dap_judge", ("question",), own)


def test_templates_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_template("dap_judge", ("question",), tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'text = "\xe9"')
    with pytest.raises(ConfigError, match="UTF-8"):
        load_template("dap_judge", ("question",), tmp_path / "latin.toml")
    with pytest.raises(DataError, match="turn of the user"):
        asked((Message("system", "x"),), packaged("dap_judge"), {})
