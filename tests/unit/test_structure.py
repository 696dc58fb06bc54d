"""Steps of a path of reasoning: what is read of a written list, Algorithm 1, equations as steps."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from backends.records.record import TrainRecord
from backends.records.spans import boundaries
from backends.records.synth import synth_records
from backends.structure.cutting import RULE, StepTexts
from backends.structure.equations import equation_steps
from backends.structure.matching import Verdicts, algorithm_one, matched_steps, to_ask
from backends.structure.steps import ASPECTS, Aspect, PathStep, read_steps, write_steps
from harness.types import Completion, Request

LIST = """[Meta-reasoning 1]: the total needs the price of a crate.
[Sub-problem 1]: What does a crate cost?
[Answer 1]: 12
[Meta-reasoning 2]: five of them are bought.
[Sub-problem 2]: What do five cost?
[Answer 2]: 60"""
STEPS = (
    PathStep("the total needs the price of a crate.", "What does a crate cost?", "12"),
    PathStep("five of them are bought.", "What do five cost?", "60"),
)


def test_a_list_is_read_and_written_again() -> None:
    assert read_steps(LIST) == STEPS
    text, pieces = write_steps(STEPS)
    assert text == LIST
    assert "\n".join(f"{piece.meta}\n{piece.solve}" for piece in pieces) == text
    assert pieces[0].meta == "[Meta-reasoning 1]: the total needs the price of a crate."
    assert pieces[1].solve == "[Sub-problem 2]: What do five cost?\n[Answer 2]: 60"


def test_all_five_names_in_any_case() -> None:
    text = LIST.replace("Meta-reasoning", "SUB-THINK").replace("Sub-problem", "query").replace("Answer", "aNsWeR")
    assert read_steps(text) == STEPS


def test_pieces_are_put_together_by_number_not_by_place() -> None:
    lines = LIST.splitlines()
    assert read_steps("\n".join(reversed(lines))) == STEPS
    without = "\n".join(line for line in lines if not line.startswith("[Sub-problem 1]"))
    assert read_steps(without) == ()  # by place, the second query would have gone with the first step


@pytest.mark.parametrize("missing", ["Meta-reasoning 2", "Sub-problem 2", "Answer 2"])
def test_an_incomplete_step_ends_the_list(missing: str) -> None:
    text = "\n".join(line for line in LIST.splitlines() if missing not in line)
    assert read_steps(text + "\n[Meta-reasoning 3]: a\n[Sub-problem 3]: b\n[Answer 3]: c") == STEPS[:1]


def test_a_mention_within_a_line_opens_nothing() -> None:
    text = LIST.replace("five of them are bought.", "with [Answer 1] known, five of them are bought.")
    assert read_steps(text)[1].step == "with [Answer 1] known, five of them are bought."


@pytest.mark.parametrize("text", ["", "no list at all", "[Answer 99999]: 3", "[Meta-reasoning]: no number", "[" * 9999])
def test_what_is_no_list_has_no_steps(text: str) -> None:
    assert read_steps(text) == ()


# --- mangled lists --------------------------------------------------------------------------------------------------

_NAMES = {"step": ("Meta-reasoning", "sub-think", "Sub-Think", "META REASONING", "meta-Reasoning")}
_NAMES |= {"question": ("Sub-problem", "Query", "QUERY", "sub problem", "SubProblem")}
_NAMES |= {"result": ("Answer", "answer", "ANSWER")}
_WORDS = ("crate", "price", "12", "x + 3", "\\boxed{4}", "what?", "so", "5 * 3 = 15", "每箱", "<b>", "[7]", "**so**")


def mangled(seed: int) -> tuple[str, tuple[PathStep, ...]]:
    """A list as a careless model may write it, and the steps that can be read of it."""
    draw = random.Random(seed)

    def words() -> str:
        return " ".join(draw.choice(_WORDS) for _ in range(draw.randint(1, 6)))

    steps = [PathStep(words(), words(), words()) for _ in range(draw.randint(0, 5))]
    first = draw.choice((1, 1, 1, 0)) if steps else 1
    pieces: list[tuple[int, Aspect, str]] = []
    gap = len(steps)
    for place, step in enumerate(steps):
        for aspect in ASPECTS:
            if draw.random() < 0.04:  # left out, or empty
                gap = min(gap, place)
                if draw.random() < 0.5:
                    pieces.append((first + place, aspect, ""))
                continue
            pieces.append((first + place, aspect, getattr(step, aspect)))
            if draw.random() < 0.05:  # said twice, with another text
                pieces.append((first + place, aspect, "said twice"))
    if gap == 0 and first == 0 and not any(number == 0 for number, _, _ in pieces):
        return "nothing of it", ()
    if draw.random() < 0.2:  # the order of kinds, not of steps
        pieces.sort(key=lambda piece: ASPECTS.index(piece[1]))
    mend: Callable[[str], str] = draw.choice((str, str, lambda tag: f"**{tag}**", lambda tag: f"### {tag}"))
    lines = ["Here is the list.", "As [Answer 1] says, and so on."] if draw.random() < 0.4 else []
    for number, aspect, text in pieces:
        tag = mend(f"[{draw.choice(_NAMES[aspect])}{draw.choice((' ', ' ', '  ', ''))}{number}]")
        lines.append(tag + draw.choice((":", ": ", " :", "\uff1a", "", " ", "\n")) + draw.choice(("", " ")) + text)
    joined = draw.choice(("\n", "\n\n", "\r\n", "\n   ")).join(lines)
    return joined + draw.choice(("", "\n", "  \n\n")), tuple(steps[:gap])


@pytest.mark.parametrize("seed", range(200))
def test_mangled_lists(seed: int) -> None:
    text, steps = mangled(seed)
    assert read_steps(text) == steps, text


def test_a_hostile_list_takes_no_time_to_speak_of() -> None:
    steps = (f"[query {n}]: a\n[sub-think {n}]: b\n[answer {n}]: c" for n in range(9999))
    assert len(read_steps("\n".join(steps))) == 4096
    assert read_steps("[meta-reasoning 1" * 50_000) == ()
    assert read_steps("> " * 100_000 + "[answer 1]") == ()


# --- Algorithm 1 ----------------------------------------------------------------------------------------------------


def verdicts(*rows: str) -> Verdicts:
    """One row a step, as "110": the step and the question match, the result does not; "?" nobody could tell."""
    said = {"1": True, "0": False, "?": None}
    return {
        (number, aspect): said[mark]
        for number, row in enumerate(rows)
        for aspect, mark in zip(ASPECTS, row, strict=False)
    }


@pytest.mark.parametrize(
    ("rows", "value"),
    [(("111",) * 3, 3.0), (("111", "100", "0"), 1.25), (("0", "111", "111"), 0.0), (("110", "101"), 1.0)],
)
def test_golden_values(rows: tuple[str, ...], value: float) -> None:
    assert algorithm_one(len(rows), len(rows), verdicts(*rows)) == value


def test_a_verdict_that_nobody_could_give_leaves_no_value_but_only_where_it_counts() -> None:
    assert algorithm_one(2, 2, verdicts("111", "?")) is None
    assert algorithm_one(2, 2, verdicts("1?1", "111")) is None
    assert algorithm_one(2, 2, verdicts("0", "?")) == 0.0


@pytest.mark.parametrize("seed", range(50))
def test_the_value_depends_on_the_prefix_alone_and_never_falls_with_more_steps(seed: int) -> None:
    draw = random.Random(seed)
    n, m = draw.randint(0, 6), draw.randint(0, 8)
    known = {(i, aspect): draw.random() < 0.8 for i in range(8) for aspect in ASPECTS}
    values = [algorithm_one(n, k, known) for k in range(m + 1)]
    assert values == sorted(value for value in values if value is not None)
    assert all(value is not None and value <= min(n, k) for k, value in enumerate(values))
    matched = matched_steps(n, m, known)
    changed = {place: yes if place[0] <= matched else not yes for place, yes in known.items()}
    assert algorithm_one(n, m, changed) == algorithm_one(n, m, known)
    assert algorithm_one(n, n + 5, {**known, **{(i, a): True for i in range(n, n + 5) for a in ASPECTS}}) == (
        algorithm_one(n, n, known)
    )


@pytest.mark.parametrize("seed", range(20))
def test_what_is_asked_in_waves_is_what_the_value_needs(seed: int) -> None:
    draw = random.Random(seed)
    n, m = draw.randint(0, 5), draw.randint(0, 5)
    truth = {(i, aspect): draw.random() < 0.7 for i in range(8) for aspect in ASPECTS}
    known: dict[tuple[int, Aspect], bool | None] = {}
    waves = 0
    while wave := to_ask(n, m, known):
        waves += 1
        known |= {place: truth[place] for place in wave}
    matched = matched_steps(n, m, truth)
    assert algorithm_one(n, m, known) == algorithm_one(n, m, truth)
    assert waves <= matched + 1
    assert len(known) == 3 * matched + (matched < min(n, m))


def test_an_unknown_verdict_ends_the_asking() -> None:
    assert to_ask(3, 3, verdicts("?")) == []


# --- equations ------------------------------------------------------------------------------------------------------


def test_equations_are_steps() -> None:
    steps = equation_steps("The product is 15 * 5 = 75. Then 75 - 37 = 38, and 38+6 = 44. That is 7.")
    assert [(step.step, step.result) for step in steps] == [("5 * 15", "75"), ("75 - 37", "38"), ("6 + 38", "44")]
    assert all(step.step == step.question for step in steps)


@pytest.mark.parametrize("text", ["", "1.5 + 2 = 3.5", "x + 2 = 5", "2 + 3 = 5.5", "1 + 2 + 3 = 6", "9" * 10_000])
def test_what_is_no_equation_of_two_whole_numbers_is_no_step(text: str) -> None:
    assert equation_steps(text) == ()


def test_the_equations_of_the_embedded_world_are_its_steps() -> None:
    for record in synth_records(0, 20, (1, 3, 5)):
        assert record.think is not None
        written = [equation for equation in record.think.split(". ") if "=" in equation]
        assert len(equation_steps(record.think)) == len(written)


def test_steps_as_texts_for_measures() -> None:
    asked: list[Request] = []

    def ask(spec: str, requests: Sequence[Request]) -> list[Completion]:
        asked.extend(requests)
        return [Completion(LIST if "five" in one.messages[0].content else "no", "stop") for one in requests]

    assert StepTexts(RULE, {}, ask)(["1 + 1 = 2. 2 + 2 = 4.", "none"]) == [["1 + 1\n2", "2 + 2\n4"], []]
    cut = StepTexts("trained:gsrm", {"all five": "How much?"}, ask)
    assert cut(["all five", "other"]) == [["\n".join((s.step, s.question, s.result)) for s in STEPS], []]
    assert cut.identity() == {"steps": "trained:gsrm"}
    assert "How much?" in asked[0].messages[0].content and len(asked) == 3


# --- a response that is a list --------------------------------------------------------------------------------------


def test_a_response_that_is_its_structure_has_no_answer() -> None:
    text, pieces = write_steps((STEPS[0], PathStep("last.", "So?", "The answer is \\boxed{60}")))
    parts = boundaries(text, pieces)
    assert [part for _, part in parts] == ["meta", "solve", "meta", "solve"]
    assert parts[0][0] == 0
    assert text[parts[1][0] :].startswith("\n[Sub-problem 1]")
    assert TrainRecord("a", (), response=text, structure=pieces).structure == pieces
