"""Where a response stops thinking: every rule, their order, and the way from characters to tokens."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backends.records.record import ChainStep
from backends.records.spans import (
    Boundary,
    boundaries,
    never_closes,
    split_response,
    token_parts,
)
from harness.errors import DataError
from harness.reasoning import reply_tags, split_reasoning

CASES = [
    # (text, rule, chain, answer part)
    ("<think>\na b\n</think>\n4", "think", "\na b\n", "</think>\n4"),
    ("  <Thinking>a</THINKING>4", "think", "a", "</THINKING>4"),
    ("a b</think>4", "think", "a b", "</think>4"),
    ("<think></think>4", "think", "", "</think>4"),
    ("<think>a</think>b<think>c</think>d", "think", "a</think>b<think>c", "</think>d"),
    ("<think>the answer is 3</think>The answer is 4", "think", "the answer is 3", "</think>The answer is 4"),
    ('{"process": ["a", "b"], "answer": "4"}', "json", '["a", "b"]', '"answer": "4"}'),
    (' {\n"n": 1, "process" : "x}\\"{", "k": [{}], "answer":4 }\n', "json", '"x}\\"{"', '"answer":4 }\n'),
    ('{"process": {"answer": 1}, "answer": "4"}', "json", '{"answer": 1}', '"answer": "4"}'),
    ("So it is 4. Therefore, the answer is 4.", "phrase", "So it is 4. ", "Therefore, the answer is 4."),
    ("a\nThe final answer is 4", "phrase", "a\n", "The final answer is 4"),
    ("the answer is 3?\ntherefore the answer is 4", "phrase", "the answer is 3?\n", "therefore the answer is 4"),
    ("Soothe answer is 3. \\boxed{4}", "boxed", "", "Soothe answer is 3. \\boxed{4}"),
    ("My thought: add.\nMy answer: 4", "markers", " add.\n", "My answer: 4"),
    ("My thought: My answer: no\nMy answer: 4", "markers", " My answer: no\n", "My answer: 4"),
    ("My thought: add. The answer is 4?\nMy answer: 5", "markers", " add. The answer is 4?\n", "My answer: 5"),
    ("My thought: \\boxed{4}\nMy answer: the answer is 5", "markers", " \\boxed{4}\n", "My answer: the answer is 5"),
    ("add\n\\boxed{3}, no:\nit is \\boxed{4}.", "boxed", "add\n\\boxed{3}, no:\n", "it is \\boxed{4}."),
    # a rule that does not fit hands over to the next
    ('{"process": 1, "answer": "the answer is 4"} .', "phrase", '{"process": 1, "answer": "', 'the answer is 4"} .'),
    ("My thought: the answer is 4", "phrase", "My thought: ", "the answer is 4"),
    ("So my thought: the answer is 4\nMy answer: 4", "phrase", "So my thought: ", "the answer is 4\nMy answer: 4"),
    ('{"answer": "the answer is 4", "process": "a"}', "phrase", '{"answer": "', 'the answer is 4", "process": "a"}'),
]  # fmt: skip


@pytest.mark.parametrize(("text", "rule", "chain", "answer"), CASES)
def test_rules_in_their_order(text: str, rule: str, chain: str, answer: str) -> None:
    split = split_response(text)
    assert split is not None
    assert (split.rule, text[split.think_start : split.think_end], text[split.answer_start :]) == (rule, chain, answer)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "<think>cut: the answer is",
        "<think>a</think>b<think>the answer is 4",
        "My answer: 4. My thought: a",
        '{"process": "a"}',
        '{"process": "a", "answer": 4, "answer": 5}',
        '{"process": "a", "answer": 4,}',
        '{"process": "a" "answer": 4}',
        '["process", "answer"]',
        '{"process": "a", "answer": 4',
        "{" * 100_000 + "}" * 100_000,
        '{"process": ' + "[" * 100_000 + "]" * 100_000 + ', "answer": 4}',
        "\\boxed{4",
    ],
)
def test_no_split(text: str) -> None:
    assert split_response(text) is None


SCRAPS = ("a", "\n", " ", "<think>", "</think>", "My thought:", "My answer:", "{", "}", '"answer":', '"process":',
          '"x",', "the answer is", "\\boxed{4}", "é", "\U0001f600")  # fmt: skip


@given(st.lists(st.sampled_from(SCRAPS), max_size=12).map("".join))
def test_a_split_is_in_order_and_covers_the_text(text: str) -> None:
    split = split_response(text)
    if split is not None:
        places = (0, split.think_start, split.think_end, split.answer_start, split.answer_text, len(text))
        assert list(places) == sorted(places)
        assert split_response(text) == split
    if split is not None and split.rule == "think":
        assert text[split.answer_start :].startswith("</think>") and not never_closes(text)


@given(st.dictionaries(st.sampled_from(["a", "process", "answer", "é"]), st.text(max_size=9) | st.lists(st.integers())))
def test_json_is_split_by_the_parser_and_not_by_its_looks(value: dict[str, object]) -> None:
    text = json.dumps(value, indent=1)
    assume(not reply_tags(text))  # a think tag in a string decides first
    split = split_response(text)
    keys = list(value)
    if "process" in keys and "answer" in keys[keys.index("process") :]:
        assert split is not None and split.rule == "json"
        assert json.loads(text[split.think_start : split.think_end]) == value["process"]
        assert json.loads("{" + text[split.answer_start :])["answer"] == value["answer"]
    else:
        assert split is None or split.rule != "json"


def test_a_block_that_is_never_closed() -> None:
    assert never_closes("<think>a") and never_closes("a", opened=True) and never_closes("<think>a</think><think>")
    assert not never_closes("a") and not never_closes("a</think>b", opened=True) and not never_closes("<think></think>")


THOUGHTS = (
    "add.",
    "the answer is 3",
    "Therefore, the final answer is 3.",
    "so \\boxed{3}",
    'he said "my answer: 3"',
    "a\n\nb",
)


@given(st.lists(st.sampled_from(THOUGHTS), min_size=1).map(" ".join), st.sampled_from(["4", "The answer is 4.", "$4$"]))
def test_markers_decide_whatever_a_thought_holds(thought: str, answer: str) -> None:
    text = f"My thought: {thought}\nMy answer: {answer}"
    split = split_response(text)
    assert split is not None and split.rule == "markers"
    # what training calls thought and answer is what evaluation does
    assert split_reasoning(text) == (
        text[split.think_start : split.think_end].strip(),
        text[split.answer_text :].strip(),
    )


# --- structure ------------------------------------------------------------------------------------------------------


def pieces(text: str, parts: list[Boundary]) -> list[tuple[str, str]]:
    ends = [*(start for start, _ in parts[1:]), len(text)]
    return [(part, text[start:end]) for (start, part), end in zip(parts, ends, strict=True)]


def test_separators_go_to_the_piece_that_they_lead_up_to() -> None:
    text = "<think>\nWhat is a? a = 1. What is b? b = 2.\n</think>\n2"
    stages = [ChainStep("What is a?", "a = 1."), ChainStep("What is b?", "b = 2.")]
    assert pieces(text, boundaries(text, stages)) == [
        ("meta", "<think>\nWhat is a?"),
        ("solve", " a = 1."),
        ("meta", " What is b?"),
        ("solve", " b = 2.\n"),  # what follows the last piece has nothing to lead up to: it ends that piece
        ("answer", "</think>\n2"),
    ]


def test_a_response_that_is_its_structure_and_nothing_else_has_no_answer() -> None:
    assert boundaries("What is b?\n b = 2.\n", [ChainStep("What is b?", "b = 2.")]) == [(0, "meta"), (10, "solve")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<think>b = 2. What is b?</think>2", "'b = 2.'"),
        ("So: What is b? b = 2.", "no recognisable"),
        ("<think>x</think>What is b? b = 2.", "not in the chain"),
    ],
)
def test_a_structure_that_is_not_the_responses(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        boundaries(text, [ChainStep("What is b?", "b = 2.")])


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_a_token_belongs_to_the_part_of_its_first_character() -> None:
    parts = [(0, "think"), (5, "answer")]
    # "abc|d[ef]|gh": a token across the boundary stays with the chain; (0, 0) goes with what is before it
    assert token_parts([(0, 3), (3, 7), (7, 9), (0, 0)], parts) == ["think", "think", "answer", "answer"]
    assert token_parts([(5, 5), (5, 9)], parts) == ["answer", "answer"]
    assert token_parts([], parts) == []


@given(st.lists(st.integers(1, 4), min_size=1, max_size=20), st.lists(st.integers(0, 40), max_size=5))
def test_every_token_is_in_exactly_one_part(sizes: list[int], cuts: list[int]) -> None:
    offsets, at = [], 0
    for size in sizes:
        offsets.append((at, at + size))
        at += size
    starts = [0, *sorted(cuts)]
    parts = [(start, "think" if i % 2 == 0 else "answer") for i, start in enumerate(starts)]
    found = token_parts(offsets, parts)
    for (start, _), part in zip(offsets, found, strict=True):
        assert part == [name for begins, name in parts if begins <= start][-1]
