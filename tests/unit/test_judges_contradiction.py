"""A verdict that contradicts its own reason is counted: generated forms, a third of them held back from the rule."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.types import Completion
from judges.prompts.rubric import load_rubric
from judges.replies.contradiction import NOTE, named_level, preferred
from judges.replies.parse import parse_reply
from tests.rationale_forms import held_back, level_forms, pairwise_forms


@pytest.mark.parametrize("held", [False, True])
def test_who_is_preferred_is_read_from_every_form(held: bool) -> None:
    forms = [form for form in pairwise_forms() if held_back(form[0]) == held]
    wrong = [text for _, text, side in forms if preferred(text) != (None if side is None else "AB".index(side))]
    assert not wrong and len(forms) >= 20


@pytest.mark.parametrize("held", [False, True])
def test_which_level_is_given_is_read_from_every_form(held: bool) -> None:
    forms = [form for form in level_forms() if held_back(form[0]) == held]
    wrong = [text for _, text, level in forms if named_level(text, 5) != level]
    assert not wrong and len(forms) >= 50


def notes(rubric: str, reply: object) -> tuple[str, ...]:
    text = reply if isinstance(reply, str) else json.dumps(reply)
    return parse_reply(load_rubric(rubric), Completion(text, "stop", answer_text=text), judged_text="").notes


@pytest.mark.parametrize(
    ("verdict", "counted"), [("A>>B", False), ("A>B", False), ("A=B", False), ("B>A", True), ("B>>A", True)]
)
def test_only_the_other_side_is_a_contradiction(verdict: str, counted: bool) -> None:
    found = notes("pairwise_5", {"reason": "B is neat, but A is better.", "verdict": verdict})
    assert (NOTE in found) == counted


def test_ratings_and_verdict_lines_are_held_against_their_reasons_too() -> None:
    assert NOTE in notes("rating_10", {"reason": "A clear slip. So a rating of 4.", "rating": 9})
    assert NOTE not in notes("rating_10", {"reason": "A clear slip. So a rating of 4.", "rating": 4})
    assert NOTE in notes("pairwise_verdict", "Response 2 is better because it is right.\nVERDICT: 1")
    assert NOTE not in notes("pairwise_verdict", "Response 1 is better because it is right.\nVERDICT: 1")


def test_a_long_reason_takes_no_long_time() -> None:
    for text in ("A is " * 50_000, "level 3 " * 50_000, "better " * 50_000, "(" * 100_000, "A is clearly " * 20_000):
        preferred(text)
        named_level(text, 5)


def test_gpt4s_own_reasons_are_not_called_contradictions(shared_data: Path) -> None:
    said, against = 0, 0
    for line in (shared_data / "arena_hard_v01_raw_judgments_sample.jsonl").read_text(encoding="utf-8").splitlines():
        reason, mark, rest = str(json.loads(line)["judgment"]).partition("[[")
        side = preferred(reason) if mark else None
        verdict = rest[:1] if ">" in rest[:2] else ""
        said += side is not None and verdict in ("A", "B")
        against += side is not None and verdict in ("A", "B") and side != "AB".index(verdict)
    assert said >= 80 and against == 0
