"""What a gate reads: stored runs, metric by metric, and the small baseline files that it writes itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gate_sides import make_side
from stored_runs import make_run

from harness.config import RunConfig
from harness.errors import DataError, HarnessError, StoreError, UsageError
from harness.gate.baseline import read_baseline, write_baseline
from harness.gate.decide import decide_all
from harness.gate.pairs import Rule
from harness.gate.resolve import Named, find_sides, is_model
from harness.gate.values import read_side
from harness.run.folder import RunFolder
from harness.run.store import write_graded
from harness.types import Graded, Score


def graded_run(tmp_path: Path, rows: list[Graded], values: list[float | None], **changes: Any) -> Path:
    directory = make_run(tmp_path, "m", values, **changes)
    write_graded(directory, rows)
    return directory


def attempt(problem: str, number: int, value: float | None, answer: str | None = None, tokens: int = 10) -> Graded:
    status = "scored" if value is not None else "error"
    return Graded(problem, number, Score(value, status, answer), cluster="c", tokens_out=tokens)


def test_a_side_has_means_missing_scores_bounds_and_answers(tmp_path: Path) -> None:
    rows = [
        attempt("p000", 0, 1.0, "42"),
        attempt("p000", 1, 0.0, "41"),
        attempt("p000", 2, None),
        attempt("p001", 0, None),
        attempt("p002", 0, 0.0, None),
    ]
    side = read_side(RunFolder(graded_run(tmp_path, rows, [0.5, None, 0.0])))
    first, second, third = side.values.values()
    assert (first.mean, first.n, first.missing, first.cluster) == (0.5, 2, 1, "c")
    assert (first.low, first.high) == (pytest.approx(1 / 3), pytest.approx(2 / 3))
    assert (first.best, first.worst) == ("42", "41")
    assert (second.mean, second.missing, second.low, second.high) == (None, 1, 0.0, 1.0)
    assert (third.best, third.worst) == ("(scored)", "(scored)")
    assert side.share and not side.lower_is_better


def test_any_metric_that_is_a_mean_over_problems_can_decide(tmp_path: Path) -> None:
    rows = [attempt(f"p00{i}", a, float(a == i), tokens=10 * (a + 1)) for i in range(3) for a in range(2)]
    directory = graded_run(tmp_path, rows, [0.5, 0.5, 0.0], n=2, estimates=make_estimates(1 / 3, 15.0))
    assert [v.mean for v in read_side(RunFolder(directory), "pass@2").values.values()] == [1.0, 1.0, 0.0]
    tokens = read_side(RunFolder(directory), "tokens_out")
    assert [v.mean for v in tokens.values.values()] == [15.0] * 3 and tokens.lower_is_better and not tokens.share
    with pytest.raises(UsageError, match="fewer"):
        read_side(RunFolder(directory), "pass@4")
    with pytest.raises(UsageError, match="unknown metric"):
        read_side(RunFolder(directory), "accuracy!")
    with pytest.raises(DataError):
        read_side(RunFolder(directory), "em:coherence")


def test_a_metric_that_is_no_mean_over_problems_is_refused(tmp_path: Path) -> None:
    rows = [attempt(f"p00{i}", 0, 1.0) for i in range(3)]
    directory = graded_run(tmp_path, rows, [1.0] * 3, estimates=make_estimates(0.9, 100.0))
    with pytest.raises(UsageError, match="no mean over problems"):
        read_side(RunFolder(directory))


def make_estimates(value: float, tokens: float) -> dict[str, Any]:
    from harness.types import STATUSES, Estimate

    counts = dict.fromkeys(STATUSES, 0)
    return {
        "avg@n": Estimate(value, 0.0, 1.0, 0.1, 3, 6, counts),
        "tokens_out": Estimate(tokens, 0.0, 30.0, 1.0, 3, 6, counts),
    }


def test_a_judged_run_has_its_headline_only(tmp_path: Path) -> None:
    directory = make_run(tmp_path, "m", [0.25, None, 1.0], judge="rubric by x")
    side = read_side(RunFolder(directory))
    assert [(v.mean, v.missing) for v in side.values.values()] == [(0.25, 0), (None, 1), (1.0, 0)]
    with pytest.raises(UsageError, match="no other metric"):
        read_side(RunFolder(directory), "tokens_out")


def test_an_unfinished_run_says_how_to_finish_it(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(StoreError, match="harness run"):
        read_side(RunFolder(tmp_path / "run"))


def test_a_baseline_file_gives_the_same_verdict_as_its_run(tmp_path: Path) -> None:
    values = [1.0, 0.5, None, *[0.75] * 300]
    directory = make_run(tmp_path, "m", values, n=4)
    run = read_side(RunFolder(directory))
    path = tmp_path / "deep" / "baseline.json"
    write_baseline(path, run)
    first = path.read_bytes()
    write_baseline(path, read_side(RunFolder(directory)))
    assert path.read_bytes() == first
    stored = read_baseline(path, "avg@n")
    assert stored.model == "m" and stored.values.keys() == run.values.keys()
    other = make_side([0.5] * 303, "new", n=4, sampling=run.sampling)
    renamed = {f"p{i:03d}": value for i, value in enumerate(other.values.values())}
    candidate = replace(other, values=renamed)
    one, two = (decide_all([(side, candidate)], Rule("1pp"))[0] for side in (run, stored))
    assert (one.low, one.high, one.p_pass, one.excluded) == (two.low, two.high, two.p_pass, two.excluded)


GOOD: dict[str, Any] = {"p": [1.0, 1, 0, 1.0, 1.0, ""]}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"schema": 2}, "schema 2"),
        ({"kind": "result"}, "kind"),
        ({"suite": 3}, "suite is not a text"),
        ({"n": "4"}, "n is not a whole number"),
        ({"limit": 1.5}, "limit"),
        ({"judge": 5}, "judge"),
        ({"sampling": []}, "sampling"),
        ({"values": {}}, "no problem"),
        ({"values": {"p": [None, 0, 1, None, None, ""]}}, "no problem"),
        ({"values": {"p": [1.0, 1, 0, 1.0, 1.0]}}, "problem 'p'"),
        ({"values": {"p": ["x", 1, 0, 1.0, 1.0, ""]}}, "problem 'p'"),
        ({"values": {"p": [True, 1, 0, 1.0, 1.0, ""]}}, "problem 'p'"),
        ({"values": {"p": [float("nan"), 1, 0, 1.0, 1.0, ""]}}, "problem 'p'"),
        ({"values": {"p": [1.0, -1, 0, 1.0, 1.0, ""]}}, "problem 'p'"),
    ],
)
def test_a_damaged_baseline_file_is_named(tmp_path: Path, change: dict[str, Any], word: str) -> None:
    path = tmp_path / "b.json"
    write_baseline(path, make_side([1.0]))
    raw = json.loads(path.read_text()) | change
    path.write_text(json.dumps(raw))
    with pytest.raises(StoreError, match=word) as error:
        read_baseline(path)
    assert str(path) in str(error.value) and "--save-baseline" in str(error.value)


@pytest.mark.parametrize("text", ["", "[" * 100_000, "[]", "\ud800".encode("utf-8", "surrogatepass"), "{"])
def test_what_is_no_json_object_is_no_baseline(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "b.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(StoreError, match="not a baseline file"):
        read_baseline(path)
    with pytest.raises(HarnessError):
        read_baseline(tmp_path / "absent.json")


def test_a_baseline_of_another_metric_is_refused(tmp_path: Path) -> None:
    write_baseline(tmp_path / "b.json", make_side([1.0]))
    with pytest.raises(UsageError, match="holds avg@n"):
        read_baseline(tmp_path / "b.json", "tokens_out")


@pytest.mark.parametrize(
    ("changes", "word"), [({"judge": "rubric by x"}, "judged"), ({"imported_from": "lm-eval"}, "lm-eval")]
)
def test_a_model_is_not_evaluated_against_what_it_cannot_match(
    tmp_path: Path, changes: dict[str, Any], word: str
) -> None:
    path = tmp_path / "b.json"
    write_baseline(path, make_side([1.0], suite="synth_easy", **changes))
    names = Named("baseline", (str(path),)), Named("candidate", ("mock:gold",))
    config = RunConfig(results_dir=str(tmp_path))
    with pytest.raises(UsageError, match=word):
        find_sides(*names, config, None, lambda model: pytest.fail("a model was asked"))


@pytest.mark.parametrize("name", ["mock:gold", "hf:./x", "smollm2"])
def test_models_are_told_from_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_model(name) and not is_model("synth_easy-mock-gold") and not is_model("./smollm2")
    (tmp_path / "smollm2").mkdir()
    assert is_model(name) is (":" in name)
