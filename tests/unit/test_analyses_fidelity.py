"""`harness analyze fidelity`: a model follows itself wholly, hand values of next tokens, and what is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr
from system_fakes import command

from harness.analyses import asking
from harness.analyses.base import AnalysisContext
from harness.analyses.next_tokens import TopTokens, alike, shared, stressed, top_tokens
from harness.models.mock import MockModel, MockOptions
from harness.stats.ranks import rank_correlations
from harness.types import Completion, Json, Message, Request, TokenScores

sacrebleu = pytest.importorskip("sacrebleu", reason="needs the extra judge")
SHARES = (0.4, 0.3, 0.2, 0.1)


def test_rank_correlations_are_scipys_with_ties_and_gaps() -> None:
    rng = np.random.default_rng(2)
    x, y = (rng.integers(0, 6, size=(60, 9)).astype(float) for _ in range(2))
    known = rng.random((60, 9)) < 0.8
    rho, tau = rank_correlations(x, y, known)
    for row in range(60):
        a, b = x[row, known[row]], y[row, known[row]]
        assert rho[row] == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
        assert tau[row] == pytest.approx(kendalltau(a, b).statistic, abs=1e-12)
    assert np.isnan(rank_correlations(np.ones((1, 3)), np.arange(3.0)[None])[0][0])


def lists(ids: Sequence[int], shares: Sequence[float]) -> TopTokens:
    return TopTokens((0,), np.array([ids]), np.log(np.array([shares], dtype=np.float64)))


def test_next_tokens_by_hand() -> None:
    teacher = lists((0, 1, 2, 3), SHARES)
    assert alike(teacher, teacher) == {"top_token": 1, "overlap": 1, "spearman": 1, "kendall": 1, "kl": 0}
    found = alike(lists((3, 2, 1, 0), SHARES), teacher)
    kl = math.fsum(p * math.log(p / q) for p, q in zip(SHARES, reversed(SHARES), strict=True))
    assert found == pytest.approx({"top_token": 0, "overlap": 1, "spearman": -1, "kendall": -1, "kl": kl}, abs=1e-9)
    # Lists (0, 1) and (0, 2): of the three tokens 0 is above the two others on both sides, which are the wrong way.
    found = alike(lists((0, 1), (0.5, 0.3)), lists((0, 2), (0.5, 0.3)))
    assert found == pytest.approx({"top_token": 1, "overlap": 0.5, "spearman": 0.5, "kendall": 1 / 3, "kl": 0})


def test_shared_tokens_by_hand() -> None:
    teacher, student = lists((0, 1, 2, 3), SHARES), lists((1, 0, 4, 2), (0.5, 0.2, 0.1, 0.05))
    found = [shared(student, teacher, k) for k in (1, 2, 3, 4)]
    assert [one["overlap"] for one in found] == pytest.approx([0, 1, 2 / 3, 3 / 4])
    assert [one["mass"] for one in found] == pytest.approx([0, 0.7, 0.7, 0.75])
    assert math.isnan(shared(student, teacher, 5)["mass"])


def test_the_divergence_is_never_more_than_the_whole_one() -> None:
    rng = np.random.default_rng(4)
    for _ in range(200):
        p, q = rng.dirichlet(np.full(30, 0.3), size=2)
        tops = []
        for one in (q, p):
            order = np.argsort(-one)[:5]
            tops.append(lists(order.tolist(), (one[order] + 1e-300).tolist()))
        whole = float((p * np.log((p + 1e-300) / (q + 1e-300))).sum())
        assert -1e-12 <= alike(*tops)["kl"] <= whole + 1e-9


def test_stress_by_hand() -> None:
    teacher, rng = lists((0, 1, 2, 3), SHARES), np.random.default_rng(0)
    assert stressed(teacher, teacher, [("temperature", 1.0)], rng)[0] == pytest.approx(
        {"kept": 1, "top_token": 1, "spearman": 1, "moved": 0}
    )
    hot = [math.sqrt(p) for p in SHARES]
    moved = math.fsum(p * math.log(p * sum(hot) / h) for p, h in zip(SHARES, hot, strict=True))
    found = stressed(teacher, teacher, [("temperature", 2.0)], rng)[0]
    assert found == pytest.approx({"kept": 1, "top_token": 1, "spearman": 1, "moved": moved})
    many = TopTokens((0,) * 4000, np.tile(teacher.ids, (4000, 1)), np.tile(teacher.logprobs, (4000, 1)))
    noisy = stressed(many, many, [("noise", 1000.0)], rng)[0]
    assert noisy["kept"] == pytest.approx(0.25, abs=0.03) and abs(noisy["spearman"]) < 0.03
    with pytest.raises(ValueError, match="likeliest"):
        top_tokens(TokenScores((1,), (-1.0,)), 5)


class Student:
    """A model whose next tokens are always the same four."""

    continues = True

    def __init__(self, name: str) -> None:
        self.name, self.asked = name, 0

    def describe(self) -> Mapping[str, Json]:
        return {"engine": "fixed", "name": self.name}

    async def score(self, prompt: Sequence[Message], continuation: str | Sequence[int], top: int = 0) -> TokenScores:
        self.asked += 1
        count = len(continuation) + (self.name == "other")
        order = (3, 2, 1, 0) if self.name == "reverse" else (0, 1, 2, 3)
        table = dict(zip(order, map(math.log, SHARES), strict=True))
        return TokenScores((7,) * count, (-1.0,) * count, (table,) * count)

    async def close(self) -> None:
        """Nothing to release."""


def test_equal_answers_are_asked_once_and_none_is_lost(tmp_path: Path) -> None:
    """Not even where all of them come out of the file: the second of two equal ones once got nothing there."""
    prompt = (Message("user", "2 + 2?"),)
    texts = [asking.StoredText(("p", attempt), prompt, "4" if attempt < 2 else "four") for attempt in range(3)]
    for asked in (2, 0):
        student = Student("same")
        found = asking.score_texts(student, texts, lambda one, scores: len(scores.ids), AnalysisContext(tmp_path))
        assert (found.values, found.missing, student.asked) == ({("p", 0): 1, ("p", 1): 1, ("p", 2): 4}, 0, asked)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, str], list[Student]]:
    """Runs of a teacher and three students: its copy, half a copy, and one that says its words the other way round."""

    def planted(self: MockModel, asked: Request) -> Completion:
        assert asked.problem is not None
        number = int(asked.problem.id.rpartition("-")[2], 16) if "-" in asked.problem.id else len(asked.problem.id)
        variant = self.options.variant
        same = variant in ("teacher", "copy") or (variant == "half" and number % 2 == 0)
        answer = asked.problem.target if same else "-1"
        said = "I think of the two numbers first" if variant != "reverse" else "first numbers two the of think I"
        if variant == "mute":
            return Completion("", "stop")
        return Completion(f"{said}. The final answer is \\boxed{{{answer}}}.", "stop")

    monkeypatch.setattr(MockModel, "reply", planted)
    runs = {}
    for variant in ("teacher", "copy", "half", "reverse"):
        ran = command("run", "--suite", "synth_easy", "--model", "mock:gold", "--model-arg", f"variant={variant}",
                      "--limit", 12, "--results-dir", tmp_path, "--quiet")  # fmt: skip
        assert ran.exit_code == 0, ran.stderr
        (runs[variant],) = {path.name for path in (tmp_path / "runs").iterdir()} - {*runs.values()}
    made: list[Student] = []

    def load(spec: str, options: Mapping[str, str], results_dir: Path) -> Any:
        if options.get("name") == "mute":
            return MockModel("gold", MockOptions())
        made.append(Student(options["name"]))
        return made[-1]

    monkeypatch.setattr(asking, "load_model", load)
    return tmp_path, runs, made


def test_a_copy_follows_wholly_and_others_less(world: tuple[Path, dict[str, str], list[Student]]) -> None:
    results, runs, made = world
    told = [runs[name] for name in ("copy", "half", "reverse")]
    ran = command("analyze", "fidelity", *told, "--teacher", runs["teacher"], "--results-dir", results, "--json")
    assert ran.exit_code == 0, ran.stderr
    found = json.loads(ran.stdout)
    copy, half, reverse = found["rows"]
    assert [copy[name]["value"] for name in ("accuracy", "agreement", "fidelity")] == [1, 1, pytest.approx(1)]
    assert copy["corpus_bleu"] == pytest.approx(1)
    assert 0 < half["agreement"]["value"] == half["accuracy"]["value"] < 1 and reverse["agreement"]["value"] == 0
    texts = [[*asking.RunFolder.of(results, runs[name]).latest.values()] for name in ("half", "teacher")]
    whole = sacrebleu.corpus_bleu(
        [one.completion.text for one in texts[0]], [[one.completion.text for one in texts[1]]]
    )
    assert half["corpus_bleu"] == pytest.approx(whole.score / 100)
    assert 1 > half["fidelity"]["value"] > reverse["fidelity"]["value"]
    assert [row["spearman"] for row in found["tables"][-1]["rows"]] == pytest.approx([1, 1]) and not made


def test_next_tokens_of_runs(world: tuple[Path, dict[str, str], list[Student]]) -> None:
    results, runs, made = world

    def asked(student: str, teacher: str = "same") -> Any:
        told = ("--model-arg", f"student.name={student}", "--model-arg", f"teacher.name={teacher}", "--tokens")
        return command("analyze", "fidelity", runs["copy"], "--teacher", runs["teacher"], *told, "--results-dir",
                       results, "--json")  # fmt: skip

    plain, both, stress = (table["rows"] for table in json.loads(asked("same").stdout)["tables"])
    assert [(row["k"], row["overlap"]["value"], row["mass"]["value"]) for row in both] == [
        (1, 1, pytest.approx(0.4)), (3, 1, pytest.approx(0.9)), (10, None, None)
    ]  # fmt: skip
    assert {key: plain[0][key]["value"] for key in ("top_token", "overlap", "spearman", "kendall", "kl")} == (
        pytest.approx({"top_token": 1, "overlap": 1, "spearman": 1, "kendall": 1, "kl": 0})
    )
    assert [row["stress"] for row in stress] == ["none", "noise", "noise", "noise", "temperature", "temperature"]
    kept = [row["kept"]["value"] for row in stress]
    assert kept[0] == 1 > kept[1] > kept[2] > kept[3] and kept[4:] == [1, 1]
    (reverse,) = json.loads(asked("reverse").stdout)["tables"][0]["rows"]
    assert reverse["spearman"]["value"] == pytest.approx(-1) and reverse["top_token"]["value"] == 0
    count = len(made)
    for student, teacher, said in (("same", "other", "two tokenizers"), ("mute", "same", "no log-probabilities")):
        ran = asked(student, teacher)
        assert ran.exit_code == 2 and said in ran.stderr, ran.stderr
    assert sum(one.asked for one in made[count:]) == 1  # kept of the student, and the teacher's first


def test_a_student_without_a_text_has_no_fidelity(world: tuple[Path, dict[str, str], list[Student]]) -> None:
    results, runs, _ = world
    ran = command("run", "--suite", "synth_easy", "--model", "mock:gold", "--model-arg", "variant=mute",
                  "--limit", 12, "--results-dir", results, "--quiet")  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    (mute,) = {path.name for path in (results / "runs").iterdir()} - {*runs.values()}
    told = (mute, runs["copy"], runs["half"])
    ran = command("analyze", "fidelity", *told, "--teacher", runs["teacher"], "--results-dir", results, "--json")
    found = json.loads(ran.stdout)
    row = found["rows"][0]
    assert row["texts"] == 0 and row["fidelity"]["value"] is None and row["corpus_bleu"] is None
    agreement, fidelity = found["tables"][-1]["rows"]
    assert (agreement["runs"], fidelity["runs"], fidelity["spearman"]) == (3, 2, None)
