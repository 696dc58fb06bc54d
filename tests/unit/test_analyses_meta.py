"""`harness analyze meta_evaluation`: correlations are scipy's, a judge that is known to follow people is found to."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, pearsonr, spearmanr
from system_fakes import command

from harness.analyses import judging
from harness.analyses.human_ratings import read_ratings
from harness.errors import DataError
from harness.stats.correlations import calibrated_accuracy, kendall, pearson, spearman
from harness.types import Completion, Json, Request


@pytest.mark.parametrize(
    ("ours", "theirs"), [(pearson, pearsonr), (spearman, spearmanr), (kendall, kendalltau)], ids=["r", "rho", "tau"]
)
def test_correlations_are_scipys_of_pairs_repeated(ours: Callable[..., float], theirs: Callable[..., Any]) -> None:
    rng = np.random.default_rng(5)
    for levels in (3, 6, 1000):
        x, y = (rng.integers(0, levels, 60).astype(float) for _ in range(2))
        weights = rng.integers(0, 4, 60)
        wanted = theirs(np.repeat(x, weights), np.repeat(y, weights)).statistic
        assert ours(x, y, weights.astype(float)) == pytest.approx(wanted, abs=1e-12)
    assert math.isnan(ours(np.ones(4), np.arange(4.0), np.ones(4)))


def test_calibrated_accuracy_is_the_best_margin_by_search() -> None:
    rng = np.random.default_rng(6)
    for _ in range(30):
        x, y = rng.integers(-4, 5, 25) / 4, rng.integers(-2, 3, 25).astype(float)
        found = [np.where(np.abs(x) <= eps, 0, np.sign(x)) == np.sign(y) for eps in (-1, *np.abs(x))]
        best = max(
            float(((np.abs(x) > eps) | (y == 0))[one].sum()) / 25
            for eps, one in zip((-1, *np.abs(x)), found, strict=True)
        )
        assert calibrated_accuracy(x, y) >= best - 1e-12
    assert calibrated_accuracy(np.array([0.5, -0.5, 0.1]), np.array([1.0, -1.0, 0.0])) == 1
    assert calibrated_accuracy(np.array([0.1, -0.5]), np.array([1.0, 0.0])) == 0.5
    assert math.isnan(calibrated_accuracy(np.zeros(0), np.zeros(0)))


class Judge:
    """Gives what is written in the output: its number, or words that cannot be read."""

    name = "planted-judge"

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "planted"}

    async def answer(self, asked: Request) -> Completion:
        shown = asked.messages[1].content
        if "unreadable" in shown:
            return Completion("well", "stop", tokens_out=1)
        rating = int(shown.split("RATING")[1][0])
        if "translation" not in asked.messages[0].content:
            rating = 6 - rating
        return Completion(json.dumps({"reason": "r", "rating": rating}), "stop", tokens_out=1)

    async def close(self) -> None:
        """Nothing to release."""


def rows() -> list[dict[str, Json]]:
    """Five sources, three systems, the third is the best; people's adequacy is twice what the judge reads."""
    found: list[dict[str, Json]] = []
    for source, (place, system) in itertools.product(range(5), enumerate("ABC")):
        rating = 1 + place + (source % 2) * (place + 1) // 2
        text = f"RATING{rating}" if (source, system) != (4, "C") else "unreadable"
        found.append({"source": f"text {source}", "system": system, "output": text, "adequacy": [2 * rating] * 2,
                      "fluency": rating})  # fmt: skip
    return found


@pytest.fixture
def ratings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(judging, "load_model", lambda spec, options, results: Judge())
    path = tmp_path / "ratings.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows()))
    return path


def asked(path: Path, *words: str, code: int = 0) -> Any:
    ran = command("analyze", "meta_evaluation", "--ratings", path, "--judge", "planted", *words, "--results-dir",
                  path.parent, "--json")  # fmt: skip
    assert ran.exit_code == code, ran.stderr
    return json.loads(ran.stdout) if not code else ran.stderr


def test_a_judge_that_follows_people_and_one_that_turns_them_round(ratings: Path) -> None:
    found = asked(ratings, "--aspect", "adequacy", "--aspect", "fluency")
    adequacy, fluency = found["rows"]
    systems = found["tables"][0]["rows"]
    names = ("pearson", "spearman", "kendall", "within_spearman", "within_kendall")
    for row, sign in ((adequacy, 1), (fluency, -1)):
        assert (row["texts"], row["unread"], row["coverage"]) == (15, 1, pytest.approx(14 / 15))
        assert [row[name]["value"] for name in names] == pytest.approx([sign] * 5)
    assert adequacy["in_order"] == 1 and fluency["in_order"] == pytest.approx(1 / 13, abs=0.2)
    # The best text is the one that could not be read: as the lowest it costs.
    assert adequacy["lowest"]["value"] < 0.8
    assert [systems[0][name] for name in ("systems", "pearson", "spearman", "kendall", "in_order")] == [
        3, pytest.approx(1), 1, 1, 1
    ]  # fmt: skip
    assert (systems[1]["spearman"], systems[1]["in_order"]) == (-1, 0)
    (one,) = asked(ratings, "--aspect", "fluency=adequacy", "--limit", "2")["rows"]
    assert one["texts"] == 6 and one["spearman"]["value"] == pytest.approx(1)


def test_what_is_refused_before_anything_is_asked(ratings: Path, tmp_path: Path) -> None:
    assert "--aspect" in asked(ratings, code=2)
    assert "no column 'coherence'" in asked(ratings, "--aspect", "coherence", code=2)
    assert "unknown rubric" in asked(ratings, "--aspect", "style", code=2)
    assert "gives no points" in asked(ratings, "--aspect", "fluency=leak", code=2)
    assert "there is no file" in asked(tmp_path / "none.jsonl", "--aspect", "fluency", code=2)
    bad = {
        "system 'A' has an output": [rows()[0], rows()[0]],
        "'adequacy' must be a number": [{**rows()[0], "adequacy": "good"}],
        "'adequacy' must be a number or": [{**rows()[0], "adequacy": [1, None]}],
        "'source' must be a text": [{**rows()[0], "source": 3}],
        "fewer than 3": [{**row, "adequacy": None} for row in rows()],
        "holds no rows": [],
    }
    for said, lines in bad.items():
        path = tmp_path / "bad.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert said in asked(path, "--aspect", "adequacy", code=2)
    assert not (tmp_path / "judgments.sqlite").exists()


def test_a_judge_that_is_not_there_is_no_judge_that_cannot_rate(ratings: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(self: Judge, asked: Request) -> Completion:
        return Completion("", "error", error="connection refused")

    monkeypatch.setattr(Judge, "answer", down)
    said = asked(ratings, "--aspect", "adequacy", code=2)
    assert "answered none of 15 requests" in said and "connection refused" in said


def test_tables_of_other_forms_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    path.write_text("source,system,output,fluency,segment,reference\na,A,x,4.5,s1,r\na,B,y,,s1,\n")
    first, second = read_ratings(path, ["fluency"])
    assert (first.segment, first.ratings, first.reference) == ("s1", {"fluency": 4.5}, "r")
    assert (second.ratings, second.reference) == ({}, None)
    with pytest.raises(DataError, match="no column 'adequacy'"):
        read_ratings(path, ["adequacy"])
