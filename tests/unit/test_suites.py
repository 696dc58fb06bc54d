"""Suite names, option order, limits and the oddities of single data sets; no data needed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.datasets import content_hash
from harness.errors import DataError, UnknownName, UsageError
from harness.suites import PREFIXES, load_problems, load_suite, parse_suite_arg
from harness.suites._render import option_order, positional
from harness.suites.agieval import split_options
from harness.suites.arc import ARC_EASY
from harness.suites.bbh import BBH, BROKEN, CHOICES, FORMS, NUMBERS
from harness.suites.competition import latex_answer
from harness.suites.gpqa import GPQA
from harness.suites.mathglm import gold_value
from harness.suites.word_problems import GSM8K, SVAMP
from harness.types import Suite


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("aime", [("aime", None)]),
        ("aime:64,gpqa", [("aime", 64), ("gpqa", None)]),
        (" aime:64 , math500:4 ", [("aime", 64), ("math500", 4)]),
        ("lighteval:math_500", [("lighteval:math_500", None)]),
        ("lighteval:math_500:4", [("lighteval:math_500", 4)]),
        ("lighteval:gpqa:diamond", [("lighteval:gpqa:diamond", None)]),
        ("lighteval:gpqa:diamond:8", [("lighteval:gpqa:diamond", 8)]),
        ("gym:chain_sum,aime24:2", [("gym:chain_sum", None), ("aime24", 2)]),
        ("gym:1", [("gym:1", None)]),
    ],
)
def test_suite_argument(argument: str, expected: list[tuple[str, int | None]]) -> None:
    assert parse_suite_arg(argument) == expected


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "empty name"),
        ("aime,,gpqa", "empty name"),
        ("gym:", "empty name"),
        ("aime:0", "at least 1"),
        ("aime:many", "'many' is not a number"),
        ("aime:-4", "'-4' is not a number"),
        ("aime:٤", "is not a number"),
        ("aime,gpqa,aime:4", "'aime' twice"),
    ],
)
def test_suite_argument_refusals(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_suite_arg(argument)


def test_unknown_suites_are_answered_with_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'math500'"):
        load_suite("math5000")
    with pytest.raises(UnknownName, match="Did you mean 'lighteval'"):
        load_suite("lightevl:aime")
    assert set(PREFIXES) == {"gym", "lighteval", "questions", "text_quality"}


def synthetic(count: int) -> Suite:
    rows = [
        {"id": f"p{number}", "question": f"{number}?", "solution": "#### 1", "answer": "1"} for number in range(count)
    ]
    data = replace(GSM8K.data, rows=count, sha256=content_hash(rows), generate=lambda: rows)
    return replace(GSM8K, data=data)


def test_limit_is_a_nested_sample_that_does_not_depend_on_the_seed() -> None:
    suite = synthetic(500)
    ids = {limit: [problem.id for problem in load_problems(suite, None, 0, limit)] for limit in (1, 10, 50, 499, 500)}
    assert [len(found) for found in ids.values()] == [1, 10, 50, 499, 500]
    assert set(ids[1]) < set(ids[10]) < set(ids[50]) < set(ids[499]) < set(ids[500])
    assert ids[50] == [problem.id for problem in load_problems(suite, None, 7, 50)]
    assert ids[500] == [f"p{number}" for number in range(500)]
    places = [int(found[1:]) for found in ids[50]]
    assert places == sorted(places)
    assert 150 < sum(places) / 50 < 350  # not the head of the data
    assert load_problems(suite, None, 0, 10**6) == load_problems(suite, None, 0, None)


def test_limit_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        load_problems(synthetic(3), None, 0, 0)


def test_a_row_that_does_not_render_is_named() -> None:
    rows = [{"id": "p0", "question": 3, "answer": "1"}]
    data = replace(GSM8K.data, rows=1, sha256=content_hash(rows), generate=lambda: rows)
    with pytest.raises(DataError, match="suite gsm8k: row 'p0' cannot be rendered"):
        load_problems(replace(GSM8K, data=data), None, 0, None)


options = st.lists(st.text(alphabet="xyzuvw ", min_size=2, max_size=6), min_size=2, max_size=8)


@given(st.text(max_size=20), options, st.integers(0, 100))
def test_option_order_is_a_stable_permutation(question: str, texts: list[str], seed: int) -> None:
    order = option_order(question, texts, seed)
    assert sorted(order) == list(range(len(texts)))
    assert option_order(question, list(texts), seed) == order


def test_option_order_is_pinned() -> None:
    # A change of these would reorder every suite between two versions of this code.
    texts = ["copper", "iron", "wood", "glass"]
    assert [option_order("Which conducts best?", texts, seed) for seed in (0, 1, 2)] == PINNED_ORDERS


PINNED_ORDERS = [[3, 2, 1, 0], [3, 2, 1, 0], [3, 1, 0, 2]]


def test_option_order_is_close_to_uniform() -> None:
    texts = ["copper", "iron", "wood", "glass"]
    first = Counter(option_order(f"question {number}", texts, 0)[0] for number in range(4000))
    assert all(abs(count - 1000) < 150 for count in first.values())  # 5.5 standard deviations


@pytest.mark.parametrize(
    "texts",
    [
        ["1", "2", "All of the above"],
        ["1", "2", "none of these"],
        ["iron", "copper", "both A and B"],
        ["iron", "copper", "A and B"],
        ["iron", "copper", "Neither A nor B"],
        ["x", "y", "Only C"],
        ["x", "y", "(A) or (B)"],
    ],
)
def test_options_that_refer_to_places_keep_them(texts: list[str]) -> None:
    assert positional(texts)
    assert all(option_order("q", texts, seed) == list(range(len(texts))) for seed in range(20))


@pytest.mark.parametrize(
    "option", ["Earth's core and crust", "spinal cord", "a or b", "vitamin C", "blood type A", "Banda Aceh"]
)
def test_ordinary_options_are_not_positional(option: str) -> None:
    assert not positional([option, "something else"])


def test_options_that_are_letters_stand_beside_their_own() -> None:
    texts = ["A.", "B.", "C.", "Ding."]
    assert option_order("who?", ["Ding.", "C.", "A.", "B."], 3) == [2, 3, 1, 0]
    assert option_order("who?", texts, 5) == [0, 1, 2, 3]
    assert option_order("who?", ["b", "d", "a", "c"], 0) == [2, 0, 3, 1]
    assert sorted(option_order("who?", ["A", "A", "B", "x"], 0)) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("raw", "letters", "bare"),
    [
        (["(A)one", "(B) two", "(C)three"], "ABC", ["one", "two", "three"]),
        (["(A)one", "(C)three", "(B)two"], "ACB", ["one", "three", "two"]),
        (["A one", "B two"], "AB", ["one", "two"]),
        (["A? one", "(B)two"], "AB", ["one", "two"]),
        (["When B.", "(B)two"], "AB", ["When B.", "two"]),
        (["(A)one", "(A)two"], "AB", ["one", "(A)two"]),
        (["Apple", "Banana"], "AB", ["Apple", "Banana"]),
    ],
)
def test_agieval_options(raw: list[str], letters: str, bare: list[str]) -> None:
    assert split_options(raw) == (letters, bare)


def test_agieval_label_means_the_printed_letter() -> None:
    from harness.suites.agieval import AGIEVAL

    raw = {"id": "logiqa-en-0", "subset": "logiqa-en", "passage": "p", "question": "q", "label": "B"}
    row = AGIEVAL.data.from_local({**raw, "options": ["(A)one", "(C)three", "(B)two", "(D)four"]})
    for seed in range(5):
        problem = AGIEVAL.render(row, seed)
        assert problem.choices["ABCD".index(problem.target)] == "two"
        assert problem.cluster.startswith("passage-")


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("x=2.75-1(5/6)=2", "2"),
        ("(5/5)*100=100", "100"),
        ("x=60%/(1-60%)=150%", "150%"),
        ("x=(1/10)=(1/10)", "1/10"),
        ("x=y=4(5/11)", "49/11"),
        ("x=42/31=4.2/3.1", "4.2/3.1"),
        ("x=1=(45+39)/(45-39)", "(45+39)/(45-39)"),
    ],
)
def test_mathglm_value(answer: str, expected: str) -> None:
    assert gold_value(answer) == expected


@given(st.integers(1, 99), st.integers(1, 99), st.integers(0, 99))
def test_mathglm_mixed_numbers_keep_their_value(numerator: int, denominator: int, whole: int) -> None:
    written = f"x=1={whole if whole else ''}({numerator}/{denominator})"
    assert Fraction(gold_value(written)) == whole + Fraction(numerator, denominator)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("4.5e33", r"4.5 \times 10^{33}"),
        ("1e-5", r"1 \times 10^{-5}"),
        ("-1./3", "-1/3"),
        ("np.arcsin(10/13)", r"\arcsin(10/13)"),
        (r"\frac{e^{t}}{3}", r"\frac{e^{t}}{3}"),
        ("x / 2-1 / 4+c e^{-2 x}", "x / 2-1 / 4+c e^{-2 x}"),
    ],
)
def test_minerva_answers_are_latex(answer: str, expected: str) -> None:
    assert latex_answer(answer) == expected


def test_bbh_has_27_tasks_of_three_kinds() -> None:
    assert len({*CHOICES, *NUMBERS, *FORMS}) == len(CHOICES) + len(NUMBERS) + len(FORMS) == 27
    assert {hub.config for hub in BBH.data.hub} == {*CHOICES, *NUMBERS, *FORMS}


def test_bbh_renders_each_kind() -> None:
    listing = "Which?\nOptions:\n(A) one\n(B) two\n(C) three"
    row = {"id": "snarks-1", "subset": "snarks", "input": listing, "target": "(B)"}
    problem = BBH.render(row, 1)
    assert (problem.grader, problem.choices["ABC".index(problem.target)]) == ("choice", "two")
    broken = BBH.render({**row, "id": BROKEN[0], "subset": "movie_recommendation", "target": "one, two"}, 1)
    assert (broken.grader, broken.target, broken.choices) == ("exact", "one, two", ())
    assert listing in broken.messages[0].content
    number = BBH.render({"id": "o", "subset": "object_counting", "input": "How many?", "target": "3"}, 0)
    assert (number.grader, number.target) == ("number", "3")
    with pytest.raises(ValueError, match="one to a line"):
        BBH.render({**row, "input": "Which?\nOptions:\n(A) one\n(C) three"}, 0)


def test_gpqa_row_does_not_depend_on_the_order_of_its_source() -> None:
    stems = {"id": "gpqa_diamond_train_7", "question": " q\r\n"}
    one = GPQA.data.from_local({**stems, "choices": ["w", "x", "right", "y"], "answer": "C"})
    two = GPQA.data.from_local({**stems, "choices": ["right", "y", "w", "x"], "answer": "A"})
    assert one == two == {"id": "gpqa-diamond-7", "question": "q", "right": "right", "wrong": ["w", "x", "y"]}
    problem = GPQA.render(one, 4)
    assert problem.choices["ABCD".index(problem.target)] == "right"


def test_arc_accepts_digit_labels_and_refuses_an_answer_that_is_no_option() -> None:
    assert ARC_EASY.data.from_hub is not None
    raw = {"question": "q", "choices": {"text": ["a1", "b1", "c1"], "label": ["1", "2", "3"]}, "answerKey": "2"}
    assert ARC_EASY.data.from_hub(raw)["correct"] == 1
    with pytest.raises(ValueError, match="not in list"):
        ARC_EASY.data.from_hub({**raw, "answerKey": "4"})
    with pytest.raises(ValueError, match="option 4 of 3"):
        ARC_EASY.data.from_local({"question": "q", "choices": ["a", "b", "c"], "answer": "D"})


def test_svamp_statement_is_one_text() -> None:
    raw = {"id": "chal-1", "question": "How many?", "answer": "145.0"}
    assert SVAMP.data.from_local({**raw, "body": "He has 3 apples"})["problem"] == "He has 3 apples. How many?"
    row = SVAMP.data.from_local({**raw, "body": "He has 3 apples. "})
    assert (row["problem"], row["answer"]) == ("He has 3 apples. How many?", "145")


def test_prompts_have_no_system_turn_and_no_few_shot_examples() -> None:
    problem = load_problems(synthetic(1), None, 0, None)[0]
    assert [message.role for message in problem.messages] == ["user"]
    assert re.fullmatch(r"0\?\n\n.*\\boxed\{\}\.", problem.messages[0].content)
