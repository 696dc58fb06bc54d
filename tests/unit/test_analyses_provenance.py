"""`harness analyze provenance`: sentences whose author is known, three tokenizers, kept scores, and what is refused."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from system_fakes import command

from harness.analyses import asking
from harness.errors import DataError
from harness.models.mock import MockModel, MockOptions
from harness.provenance import ORIGINS, origin, sentence_probabilities, sentence_starts
from harness.types import Completion, Json, Message, Request, TokenScores

GOLDEN = {
    "shared": (0.5, 0.52, 0.51),
    "teacher": (0.2, 0.6, 0.7),
    "student": (0.7, 0.6, 0.2),
    "boosted": (0.3, 0.6, 0.35),
}
"""Probability of such a sentence under base, trained student and teacher."""


def test_the_four_origins() -> None:
    assert {name: origin(*triple) for name, triple in GOLDEN.items()} == {name: name for name in ORIGINS}
    rng = random.Random(1)
    swapped = {"teacher": "student", "student": "teacher", "shared": "shared", "boosted": "boosted"}
    for _ in range(2000):
        before, now, teacher = (rng.random() for _ in range(3))
        assert origin(before, before, before) == "shared"
        assert origin(teacher, now, before) == swapped[origin(before, now, teacher)]


def test_a_sentence_is_the_geometric_mean_of_its_tokens() -> None:
    scores = TokenScores((1, 2, 3, 4), tuple(map(math.log, (0.5, 0.25, 0.8, 0.1))), starts=(0, 2, 5, 9))
    assert sentence_probabilities(scores, (0, 9)) == pytest.approx([0.464159, 0.1], abs=1e-6)
    assert np.isnan(sentence_probabilities(scores, (0, 6, 8, 9))).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match="where its tokens stand"):
        sentence_probabilities(TokenScores((1,), (-1.0,)), (0,))


@pytest.mark.parametrize("seed", range(20))
def test_sentences_are_found_again(seed: int) -> None:
    """Whole sentences of four words, formulas with stops and fragments: the starts are those that were written."""
    rng = random.Random(seed)
    text, starts = "", []
    for number in range(rng.randint(1, 12)):
        text += " " if number else ""
        starts.append(len(text))
        body = rng.choice(
            ("We add the two", "So $x. y$ is equal to it", "Approx. 4 apples are left", "It is 3.5 or 1.2")
        )
        text += body + rng.choice((".", "!", "?", ".\n")) + rng.choice(("", "", " Ok then."))
    found = sentence_starts(text)
    assert [len(text) - len(text[start:].lstrip()) for start in found] == starts
    assert sentence_starts(" ") == () and sentence_starts("yes") == (0,)


class Author:
    """A model that knows each sentence's author; `width` characters make a token."""

    continues = True

    def __init__(self, name: str, place: int, width: int) -> None:
        self.name, self.place, self.width, self.asked = name, place, width, 0

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "author", "name": self.name}

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        assert isinstance(continuation, str) and prompt
        self.asked += 1
        if self.name == "short" and "boosted" in continuation:
            raise DataError("it does not fit the context")
        logprobs, ends = [], [match.end() for match in re.finditer(r"\.\s?|$", continuation)]
        starts = range(0, len(continuation), self.width)
        for start in starts:
            end = next(end for end in ends if end > start)
            named = [name for name in ORIGINS if name in continuation[:end].split(".")[-2]]
            logprobs.append(math.log(GOLDEN[named[0] if named else "shared"][self.place]))
        return TokenScores((0,) * len(starts), tuple(logprobs), starts=None if self.name == "blind" else (*starts,))

    async def close(self) -> None:
        """Nothing to release."""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, list[Author]]:
    """A stored run whose chains are written by known authors: the teacher's at the start, boosted where wrong."""

    def planted(self: MockModel, asked: Request) -> Completion:
        assert asked.problem is not None
        right = asked.attempt % 2 == 0
        authors = ["teacher"] * 2 + ["shared"] * 2 + ["student"] * 2 + (["student"] if right else ["boosted"]) * 4
        said = " ".join(f"This is what the {name} says." for name in authors)
        return Completion(f"{said} The final answer is \\boxed{{{asked.problem.target if right else -1}}}.", "stop")

    monkeypatch.setattr(MockModel, "reply", planted)
    ran = command("run", "--suite", "synth_easy", "--model", "mock:gold", "--limit", 6, "--n", 2, "--temperature", 1,
                  "--results-dir", tmp_path, "--quiet")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    (run,) = (path.name for path in (tmp_path / "runs").iterdir())
    made: list[Author] = []

    def load(spec: str, options: Mapping[str, str], results_dir: Path) -> Any:
        if spec.startswith("mock"):
            return MockModel("gold", MockOptions())
        made.append(Author(spec, ("base", "student", "teacher").index(options["role"]), int(options["width"])))
        return made[-1]

    monkeypatch.setattr(asking, "load_model", load)
    return tmp_path, run, made


def asked(results: Path, run: str, *more: str, teacher: str = "t", base: str = "b") -> Any:
    parts = ("base.role=base", "student.role=student", "teacher.role=teacher")
    widths = ("base.width=1", "student.width=1", "teacher.width=1")
    told = [word for one in (*parts, *widths) for word in ("--model-arg", one)]
    models = ("--base", base, "--teacher", teacher, "--student", "s")
    return command("analyze", "provenance", run, *models, *told, *more, "--results-dir", results, "--json")


def test_planted_authors_are_found_and_scores_are_kept(world: tuple[Path, str, list[Author]]) -> None:
    results, run, made = world
    ran = asked(results, run, "--samples", "2")
    assert ran.exit_code == 0, ran.stderr
    found = json.loads(ran.stdout)
    rows = {row["origin"]: row for row in found["rows"]}
    # Of a right chain's 11 sentences: 2 the teacher's, 3 shared (the answer with them), 6 the student's.
    assert {name: row["right"]["value"] * 11 for name, row in rows.items()} == pytest.approx(
        {"teacher": 2, "shared": 3, "student": 6, "boosted": 0}
    )
    assert {name: row["wrong"]["value"] * 11 for name, row in rows.items()} == pytest.approx(
        {"teacher": 2, "shared": 3, "student": 2, "boosted": 4}
    )
    assert sum(row["sentences"] for row in rows.values()) == 12 * 11
    places = found["tables"][0]["rows"]
    assert [row["teacher"]["value"] for row in places] == pytest.approx([1, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    assert [row["boosted_wrong"]["value"] for row in places] == [0, 0, 0, 0, 0, 1, 1, 1, 1, 0]
    assert [one.asked for one in made] == [12, 12, 12]
    again = asked(results, run, "--samples", "2")
    assert json.loads(again.stdout) == found and [one.asked for one in made[3:]] == [0, 0, 0]


def test_what_cannot_be_scored_is_counted_or_refused(world: tuple[Path, str, list[Author]]) -> None:
    results, run, made = world
    ran = asked(results, run, "--samples", "2", teacher="short")
    notes = " ".join(json.loads(ran.stdout)["notes"])
    assert "66 sentences of 6 answers" in notes and "6 answers are left out: the teacher says it does not fit" in notes
    count = len(made)
    for told, said in (
        ({"teacher": "mock:gold"}, "the teacher mock:gold has no log-probabilities"),
        ({"base": "blind"}, "blind: the engine does not say where its tokens stand"),
    ):
        ran = asked(results, run, **told)
        assert ran.exit_code == 2 and said in ran.stderr and ran.stderr.count("\n") <= 3, ran.stderr
    assert all(one.asked <= 1 for one in made[count:])
    for more, said in (
        (("--model-arg", "judge.x=1"), "ROLE.KEY=VALUE, with a role of base, student, teacher"),
        ((run,), "give one run"),
    ):
        ran = asked(results, run, *more)
        assert ran.exit_code == 2 and said in ran.stderr, ran.stderr
