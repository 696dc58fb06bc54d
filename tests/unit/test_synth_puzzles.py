"""Logic puzzles: one solution by trying all, chains that follow, graders that read many forms, splits kept apart."""

from __future__ import annotations

import hashlib
import re
from itertools import product

import pytest

from backends.makers.traces import suite_prompts
from backends.records.source import load_records
from backends.records.verify import grade_texts
from harness.errors import ConfigError, DataError, UnknownName
from harness.grading import Pending, get_grader, score_completion
from harness.grading.forms import PARTS, cases
from harness.suites import load_problems, load_suite
from harness.synth import LEVELS, SPLITS
from harness.synth.expressions import evaluate
from harness.synth.knights import ClaimKind, Statement, follows, reason, solutions
from harness.synth.puzzles import PUZZLE_KINDS, PuzzleKind, puzzles
from harness.types import Completion, Problem

CLAIMS = (
    (r"(\w+) is a knight", lambda a: a[0]),
    (r"(\w+) is a knave", lambda a: not a[0]),
    (r"(\w+) and (\w+) are of the same kind", lambda a: a[0] == a[1]),
    (r"(\w+) and (\w+) are of different kinds", lambda a: a[0] != a[1]),
    (r"At least one of (\w+) and (\w+) is a knave", lambda a: not all(a)),
    (r"(\w+) and (\w+) are both knaves", lambda a: not any(a)),
    (r"(\w+) and (\w+) are both knights", lambda a: all(a)),
)


def by_hand(question: str) -> list[str]:
    """All solutions of a question, read from its words alone."""
    said = re.findall(r'(\w+) says: "([^"]+)\."', question)
    people = [speaker for speaker, _ in said]
    found = []
    for world in product((True, False), repeat=len(people)):
        knight = dict(zip(people, world, strict=True))
        fits = True
        for speaker, claim in said:
            match, true = next((m, t) for p, t in CLAIMS if (m := re.fullmatch(p, claim)))
            about = [knight[speaker if name in ("I", "me") else name] for name in match.groups()]
            fits &= true(about) == knight[speaker]
        if fits:
            found.append(", ".join(f"{name} is a {'knight' if kind else 'knave'}" for name, kind in knight.items()))
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_knights_have_one_solution_by_trying_all(level: int) -> None:
    for puzzle in puzzles("knights", 3, level, 25):  # type: ignore[arg-type]
        assert by_hand(puzzle.question) == [puzzle.target]
        assert puzzle.wrong["plain"].answer != puzzle.target


@pytest.mark.parametrize("level", LEVELS)
def test_countdown_solutions_use_every_number_once_and_wrong_ones_do_not(level: int) -> None:
    for puzzle in puzzles("countdown", 3, level, 25):  # type: ignore[arg-type]
        *numbers, target = map(int, re.findall(r"\d+", puzzle.question))
        expression = puzzle.right["plain"].answer
        assert evaluate(expression) == target
        assert sorted(map(int, re.findall(r"\d+", expression))) == sorted(numbers)
        wrong = puzzle.wrong["plain"]
        used = sorted(map(int, re.findall(r"\d+", wrong.answer)))
        assert (evaluate(wrong.answer) == target and used != sorted(numbers)) == (wrong.error_kind == "number_twice")
        false = [step for step in wrong.steps if not holds(step)]
        assert false == ([wrong.steps[wrong.error_step or 0]] if wrong.error_kind == "false_equation" else [])
        assert all(holds(equation) for chain in puzzle.right.values() for equation in chain.steps[:-1])


def holds(step: str) -> bool:
    return all(evaluate(left) == int(right) for left, right in re.findall(r"(\d+ [-+*/] \d+) = (\d+)", step))


def test_every_step_follows_from_those_before_it() -> None:
    kinds: tuple[ClaimKind, ...] = ("same", "different", "one_knave", "both_knaves", "both_knights")
    settled = refuted = 0
    for first, second, third in product(kinds, repeat=3):
        told = [Statement(0, first, (0, 1)), Statement(1, second, (0, 2)), Statement(2, third, (0, 1))]
        steps = reason(told, 3) if len(solutions(told, 3)) == 1 else None
        if steps is None:
            continue
        settled += 1
        known: dict[int, bool] = {}
        for step in steps:
            if step.statement is None:
                known = dict(step.facts)
                continue
            worlds = [dict(enumerate(world)) for world in product((True, False), repeat=3)]
            left = [w for w in worlds if step.statement.holds(w) and all(w[p] == k for p, k in known.items())]
            assert bool(left) == bool(step.facts)
            refuted += not left
            assert all(w[person] == knight for w in left for person, knight in step.facts.items())
            known |= step.facts
        assert tuple(known[person] for person in range(3)) == solutions(told, 3)[0]
    assert settled > 20 and refuted > 5
    misread = Statement(0, "knave", (1,), misread=True)
    assert follows(misread, {0: True}) == {1: True} and follows(Statement(0, "knave", (1,)), {0: True}) == {1: False}


@pytest.mark.parametrize("kind", PUZZLE_KINDS)
def test_splits_share_no_puzzle_whatever_its_names(kind: PuzzleKind) -> None:
    keys = {split: {p.key for seed in (0, 1) for p in puzzles(kind, seed, 3, 25, split)} for split in SPLITS}
    assert not keys["train"] & keys["test"] and not keys["train"] & keys["dev"] and not keys["dev"] & keys["test"]
    asked = {problem.messages for problem in load_problems(load_suite(f"synth_{kind}"), None, 0, None)}
    trained = {r.prompt for r in load_records(f"synth:family={kind},levels=2+3,per_level=60")}
    offered = {record.prompt for record in suite_prompts(f"synth_{kind}", 20, 0, False, None)}
    assert len(asked) == 100 and not asked & trained and not asked & offered


PINS = {
    "knights": "9006f8ce990aebd1",
    "countdown": "070ce3782060d076",
}


@pytest.mark.parametrize("kind", PUZZLE_KINDS)
def test_puzzles_are_the_same_for_ever(kind: PuzzleKind) -> None:
    made = [puzzle for level in LEVELS for puzzle in puzzles(kind, 0, level, 8)]
    assert made[:8][:3] == puzzles(kind, 0, 1, 3)
    assert hashlib.sha256(repr(made).encode()).hexdigest()[:16] == PINS[kind]


@pytest.mark.parametrize("kind", PUZZLE_KINDS)
def test_right_and_wrong_forms_of_answers_are_told_apart(kind: PuzzleKind) -> None:
    problems = load_problems(load_suite(f"synth_{kind}"), None, 0, None)[::20]
    grader = get_grader(kind)
    assert {value(problem, grader.gold_text(problem)) for problem in problems} == {1.0}
    assert {value(problem, grader.wrong_text(problem)) for problem in problems} == {0.0}
    found = [case for problem in problems for case in cases(problem, 0, frozenset(PARTS))]
    assert len(found) > 400
    assert [case for case in found if value(case.problem, case.text) != float(case.right)] == []


def value(problem: Problem, text: str) -> float | None:
    score = score_completion(problem, Completion(text, "stop"))
    assert not isinstance(score, Pending)
    return score.value


@pytest.mark.parametrize(
    ("target", "reply", "right"),
    [
        ("Ada is a knight, Ben is a knave", "Ada lies? No.\n\nSo Ada is a knight.\nAnd Ben is a knave.", True),
        ("Ada is a knight, Ben is a knave", "The answer is: Ada is a knight. Ben is a knave. Ben lies.", True),
        ("Ada is a knight, Ben is a knight", "The answer is that both are knights.", True),
        ("Ada is a knave, Ben is a knave", "The answer is neither is a knight.", True),
        ("Ada is a knight, Ben is a knave", "The answer is that the only knave is Ben, and Ada is a knight.", True),
        ("Ada is a knight, Ben is a knave", "The answer is only Ada is a knight.", False),
        ("Ada is a knight, Ben is a knave", "The answer is Ada's claim: Ben is a knight.", False),
        ("(8 - 5) * 8 = 24", "8 * 8 = 64\n(8 - 5) * 8 = 24", True),
        ("(8 - 5) * 8 = 24", "The answer is 8 * 8 - 5 * 8.", False),
        ("(8 - 5) * 8 = 24", "One way is (8 - 5) * 8 = 24 ✓", True),
        ("(8 - 5) * 8 = 24", "The final expression is (8 - 5) * 8.", True),
        ("(8 - 5) * 8 = 24", "The answer is (8 - 5) * 8 (= 24).", True),
        ("(8 - 5) * 8 = 24", "It cannot be (8 - 5) * 8 = 24", False),
        ("(8 - 5) * 8 = 24", "Here are 8 - 5 = 3 and then 3 * 8 = 24", False),
        ("6 / 4 * 2 = 3", "The answer is 6 * 2 / 4.", True),
        ("6 / 4 * 2 = 3", "The answer is 6 / (4 - 4).", False),
        ("6 / 4 * 2 = 3", "The answer is 6 ** 2 / 4 / 3.", False),
    ],
)
def test_golden_replies(target: str, reply: str, right: bool) -> None:
    grader = "countdown" if "=" in target else "knights"
    assert value(Problem("p", (), target, grader), reply) == float(right)


@pytest.mark.parametrize("kind", PUZZLE_KINDS)
@pytest.mark.parametrize("form", ["think", "plain"])
def test_records_are_right_and_their_twins_wrong_where_meta_says(kind: PuzzleKind, form: str) -> None:
    records = load_records(f"synth:family={kind},levels=1+3+5,per_level=6,positives=2,form={form}")
    assert grade_texts([(record, record.response or "") for record in records]) == ["right"] * 18
    assert grade_texts([(record, record.rejected or "") for record in records]) == ["wrong"] * 18
    assert set(grade_texts([(record, text) for record in records for text in record.positives])) == {"right"}
    for record in records:
        span = record.meta["error_span"]
        assert isinstance(span, list) and (record.rejected or "")[span[0] : span[1]].endswith(".")


def test_what_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="family is one of"):
        load_records("synth:family=chess")
    with pytest.raises(DataError, match="no candidates"):
        load_records("synth:family=knights,per_level=1,candidates=2")
    with pytest.raises(DataError, match="ask for fewer"):
        puzzles("countdown", 0, 1, 100_000, "dev")
    with pytest.raises(UnknownName, match="puzzle"):
        puzzles("chess", 0, 1, 1)  # type: ignore[arg-type]
    for name, target in (("knights", "Ada lies"), ("countdown", "8 - 5 = 4")):
        with pytest.raises(DataError, match="no solution"):
            get_grader(name).grade(target, "8")
