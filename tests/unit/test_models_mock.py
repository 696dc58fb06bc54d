"""Mock models are deterministic, right as often as they are told, and options are parsed with clear errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import correlation, mean
from typing import Literal

import pytest

from harness.errors import ConfigError, UnknownName
from harness.grading import get_grader, score_completion
from harness.models import load_model
from harness.models.mock import KINDS, MockModel, MockOptions
from harness.options import parse_options
from harness.reasoning import with_answer
from harness.types import Completion, Message, Model, Problem, Request, Score
from tests import asking

TARGETS = {"integer": "42", "number": "2.5", "math": "\\frac{1}{2}", "choice": "B", "exact": "valid", "json": ""}


def make_problem(index: int = 0, grader: str = "integer") -> Problem:
    choices = ("one", "two", "three", "four") if grader == "choice" else ()
    return Problem(f"p{index}", (Message("user", "How many?"),), TARGETS[grader], grader, choices=choices)


def make_request(problem: Problem, attempt: int = 0, seed: int = 7, max_tokens: int = 500) -> Request:
    name = f"{problem.id}/{attempt}"
    return Request(name, problem.messages, 0.6, 0.95, max_tokens, (), seed, attempt=attempt, problem=problem)


def ask(model: Model, requests: Sequence[Request]) -> list[tuple[Request, Completion]]:
    return list(zip(requests, asking.ask(model, requests), strict=True))


def is_right(request: Request, completion: Completion) -> bool:
    score = score_completion(request.problem, completion)
    if not isinstance(score, Score):
        score = get_grader(request.problem.grader).grade(score.target, score.answer)
    return score.value == 1.0


@pytest.mark.parametrize("grader", [name for name in TARGETS if name != "json"])
def test_gold_scores_one_and_wrong_scores_zero_with_every_grader(grader: str) -> None:
    requests = [make_request(make_problem(0, grader))]
    for options in ({}, {"think": "true"}):
        assert all(is_right(*pair) for pair in ask(load_model("mock:gold", options), requests))
        assert not any(is_right(*pair) for pair in ask(load_model("mock:wrong", options), requests))


@pytest.mark.parametrize("kind", KINDS)
def test_replies_depend_on_problem_attempt_and_seed_alone(kind: str) -> None:
    options = {"accuracy": "0.5", "latency": "0"}
    requests = [make_request(make_problem(i), attempt) for i in range(20) for attempt in range(2)]
    one, other = (asking.ask(load_model(f"mock:{kind}", options), asked) for asked in (requests, requests[::-1]))
    assert one == other[::-1]


def test_known_replies_do_not_change_between_versions() -> None:
    """Gates and demos store scores of these models: a changed random stream is a changed model."""
    requests = [make_request(make_problem(i), i % 2, seed=i) for i in range(24)]
    right = "".join(
        "1" if is_right(*pair) else "0" for pair in ask(load_model("mock:gold", {"accuracy": "0.5"}), requests)
    )
    assert right == "110010011011010111001000"


def test_garbled_and_silent_have_no_right_answer_and_silent_stops() -> None:
    requests = [make_request(make_problem(i)) for i in range(200)]
    garbled = ask(load_model("mock:garbled", {}), requests)
    assert not any(is_right(*pair) for pair in garbled)
    assert len({completion.text for _, completion in garbled}) > 190
    assert any(completion.text.count("{") != completion.text.count("}") for _, completion in garbled)
    assert any(not completion.text.isascii() for _, completion in garbled)
    for _, completion in ask(load_model("mock:silent", {"think": "true"}), requests[:3]):
        assert (completion.text, completion.finish, completion.tokens_out) == ("", "stop", 0)


def test_every_request_comes_back_once_whatever_the_latency() -> None:
    requests = [make_request(make_problem(i)) for i in range(150)]
    for spec, options in [("mock:gold", {}), ("mock:slow", {"latency": "0.001", "concurrency": "16"})]:
        replies = ask(load_model(spec, options), requests)
        assert all(is_right(*pair) for pair in replies)
        assert load_model(spec, options).name == spec


def test_accuracy_is_the_expected_share_and_difficulty_is_shared() -> None:
    a, b = (MockModel("gold", MockOptions(accuracy=0.7, variant=variant)) for variant in ("a", "b"))
    problems = [make_problem(i) for i in range(4000)]
    pa, pb = ([model.p_right(problem) for problem in problems] for model in (a, b))
    assert mean(pa) == pytest.approx(0.7, abs=0.02)  # standard error of this mean is 0.005
    assert 0.5 < correlation(pa, pb) < 0.99
    right = [is_right(make_request(p, seed=3), a.reply(make_request(p, seed=3))) for p in problems]
    assert mean(right) == pytest.approx(0.7, abs=0.03)


def test_think_block_is_split_off_and_cut_by_the_token_limit() -> None:
    model = load_model("mock:gold", {"think": "yes"})
    [(_, whole)] = ask(model, [make_request(make_problem())])
    assert with_answer(whole).reasoning is not None
    assert whole.tokens_out == len(whole.text.split())
    [(_, cut)] = ask(model, [make_request(make_problem(), max_tokens=4)])
    assert (cut.finish, cut.tokens_out, with_answer(cut).answer_text) == ("length", 4, None)
    assert whole.text.startswith(cut.text)


def test_error_rate_fails_that_share() -> None:
    requests = [make_request(make_problem(i)) for i in range(400)]
    failed = [c for _, c in ask(load_model("mock:gold", {"error_rate": "0.25"}), requests) if c.finish == "error"]
    assert 60 < len(failed) < 140
    assert all(completion.error for completion in failed)


def test_models_that_answer_differently_describe_themselves_differently() -> None:
    def describe(**options: str) -> Mapping[str, object]:
        return load_model("mock:gold", options).describe()

    assert describe() != describe(accuracy="0.5") != describe(accuracy="0.5", variant="b")
    assert describe() == describe(latency="0.5", concurrency="2")


@pytest.mark.parametrize("spec", ["mock:golden", "mock", "mockk:gold", "openia:x"])
def test_unknown_models_are_named_with_a_suggestion(spec: str) -> None:
    with pytest.raises(UnknownName, match="Known: "):
        load_model(spec, {})
    if spec != "mock":
        with pytest.raises(UnknownName, match="Did you mean"):
            load_model(spec, {})


@dataclass(frozen=True)
class Options:
    must: int
    text: str = "x"
    share: float = 0.5
    flag: bool = False
    many: tuple[str, ...] = ()
    maybe: int | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        if self.must < 0:
            raise ValueError(f"must cannot be negative, not {self.must}")


def test_options_become_typed_values() -> None:
    texts = {"must": "3", "share": "1e-2", "flag": "On", "many": "a, b,,c", "maybe": "none", "dtype": "bfloat16"}
    assert parse_options(Options, texts) == Options(3, "x", 0.01, True, ("a", "b", "c"), None, "bfloat16")
    assert parse_options(Options, {"must": "1", "maybe": "4", "text": ""}) == Options(1, "", maybe=4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"must": "1", "sharr": "1"},
            "no option 'sharr'. Did you mean 'share'\\? Options: dtype, flag, many, maybe, must",
        ),
        ({"must": "1", "zzz": "1"}, "no option 'zzz'. Options"),
        ({"must": "1.5"}, "'must' of toy must be a whole number, not '1.5'"),
        ({"must": "1", "share": "nan"}, "'share' of toy must be a finite number"),
        ({"must": "1", "flag": "maybe"}, "true or false, not 'maybe'"),
        ({"must": "1", "dtype": "int8"}, "one of float32, bfloat16, not 'int8'"),
        ({}, "toy needs the option 'must'"),
        ({"must": "-1"}, "bad option of toy: must cannot be negative"),
    ],
)
def test_bad_options_say_what_is_expected(options: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_options(Options, options, "toy")


@pytest.mark.parametrize("options", [{"accuracy": "1.2"}, {"spread": "-1"}, {"concurrency": "0"}, {"acuracy": "1"}])
def test_bad_mock_options_are_refused(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="mock:gold"):
        load_model("mock:gold", options)
