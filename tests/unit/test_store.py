"""The run directory: what is appended survives, what is torn is made again, what is damaged is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import PrerequisiteError, StoreError
from harness.run import store
from harness.run.folder import RECORDS, SCORES, SPEC, RunFolder
from harness.run.rows import record_to_json
from harness.run.spec import RunSpec, request_seed
from harness.run.store import RunStore, write_graded
from harness.types import Completion, Graded, Record, Sampling, Score


def make_spec(**changes: object) -> RunSpec:
    fields = {
        "suite": "toy",
        "suite_version": "1",
        "data_sha256": "0" * 64,
        "model": "mock:gold",
        "model_identity": {"engine": "mock"},
        "sampling": Sampling(n=2, temperature=0.6),
        "limit": None,
    }
    return RunSpec(**{**fields, **changes})  # type: ignore[arg-type]


def make_record(problem: str = "p1", attempt: int = 0, text: str = "hello", **changes: object) -> Record:
    completion = Completion(**{"text": text, "finish": "stop", "tokens_out": 3, **changes})  # type: ignore[arg-type]
    return Record(problem, attempt, request_seed(0, problem, attempt), "abcd", completion)


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    records = [make_record("p1", 0), make_record("p1", 1, "ünï\ncode"), make_record("p2", 0, opened_think=True)]
    with RunStore(tmp_path / "run", make_spec()) as run:
        for record in records:
            run.append(record)
    assert list(RunFolder(tmp_path / "run").records) == records


def test_a_torn_last_line_is_dropped_and_made_again(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()) as run:
        run.append(make_record("p1"))
        run.append(make_record("p2"))
    path = tmp_path / RECORDS
    path.write_bytes(path.read_bytes()[:-7])
    with RunStore(tmp_path, make_spec()) as run:
        assert run.done(("p1", 0), "abcd")
        assert not run.done(("p2", 0), "abcd")
        run.append(make_record("p2"))
    assert [record.problem_id for record in RunFolder(tmp_path).records] == ["p1", "p2"]
    assert "torn last line" in (tmp_path / store.LOG).read_text()


def test_damage_before_the_last_line_is_refused_with_its_place(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()) as run:
        for problem in ("p1", "p2", "p3"):
            run.append(make_record(problem))
    path = tmp_path / RECORDS
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b'{"half": \n' + lines[2])
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"records\.jsonl, line 2"), RunStore(tmp_path, make_spec()):
        pass
    assert path.read_bytes() == before, "refusing must not change anything"


def test_compaction_keeps_every_record_and_the_latest_of_a_retry(tmp_path: Path) -> None:
    failed = make_record("p1", text="", finish="error", error="503")
    with RunStore(tmp_path, make_spec()) as run:
        run.append(failed)
        assert not run.done(("p1", 0), "abcd"), "a failed attempt is made again"
        run.append(make_record("p1", text="second try"))
        run.append(make_record("p2"))
        run.compact()
        run.append(make_record("p3"))
        assert [record.problem_id for record in run.current()] == ["p1", "p2", "p3"]
    with RunStore(tmp_path, make_spec()) as run:
        assert [record.completion.text for record in run.current()] == ["second try", "hello", "hello"]
        run.compact()
    assert not (tmp_path / RECORDS).exists()
    assert set(RunFolder(tmp_path).usable()) == {("p1", 0), ("p2", 0), ("p3", 0)}


def test_a_kill_between_compaction_and_removal_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()) as run:
        run.append(make_record("p1"))
        run.append(make_record("p2"))
        run.sync()
        lines = (tmp_path / RECORDS).read_bytes()
        run.compact()
    (tmp_path / RECORDS).write_bytes(lines)
    with RunStore(tmp_path, make_spec()) as run:
        assert [record.problem_id for record in run.current()] == ["p1", "p2"]


def test_a_record_of_another_prompt_does_not_count(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()) as run:
        run.append(make_record("p1"))
        assert run.done(("p1", 0), "abcd")
        assert not run.done(("p1", 0), "ffff")


def test_two_writers_are_refused(tmp_path: Path) -> None:
    with (
        RunStore(tmp_path, make_spec()),
        pytest.raises(StoreError, match="another process"),
        RunStore(tmp_path, make_spec()),
    ):
        pass


def test_a_directory_of_another_spec_is_refused(tmp_path: Path) -> None:
    with RunStore(tmp_path, make_spec()):
        pass
    with pytest.raises(StoreError, match="another run"), RunStore(tmp_path, make_spec(model="mock:wrong")):
        pass


def test_a_damaged_parquet_file_is_named(tmp_path: Path) -> None:
    (tmp_path / store.COMPACTED).write_bytes(b"PAR1 not really")
    with pytest.raises(StoreError, match=r"records\.parquet"):
        list(RunFolder(tmp_path).records)


def test_a_full_disk_says_so_and_what_was_written_stays(tmp_path: Path) -> None:
    run = RunStore(tmp_path, make_spec())
    with pytest.raises(PrerequisiteError, match="No space left"), run:
        run.append(make_record("p1"))
        run.sync()
        assert run._stream is not None
        run._stream.close()
        # Stands for the records file on a full disk.
        run._stream = open("/dev/full", "ab", buffering=0)  # noqa: SIM115
        run.append(make_record("p2"))
    assert [record.problem_id for record in RunFolder(tmp_path).records] == ["p1"]


def test_secrets_do_not_reach_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "very-secret-value-42")
    with RunStore(tmp_path, make_spec(model="openai:x", model_identity={"note": "very-secret-value-42"})) as run:
        run.append(make_record("p1", text="the header was very-secret-value-42"))
        run.log("401 for very-secret-value-42")
    write_graded(tmp_path, [Graded("p1", 0, Score(None, "error", why="very-secret-value-42"))])
    for path in tmp_path.iterdir():
        assert b"very-secret-value-42" not in path.read_bytes(), path
    with RunStore(tmp_path, make_spec(model="openai:x", model_identity={"note": "very-secret-value-42"})):
        pass  # the same spec still finds its own directory


def test_graded_round_trip_and_damage(tmp_path: Path) -> None:
    graded = [
        Graded("p2", 0, Score(None, "unscored", why="timed out"), cluster="c", tokens_in=1, tokens_out=2),
        Graded("p1", 1, Score(1.0, "scored", "4"), formats={"boxed": True}),
    ]
    write_graded(tmp_path, graded)
    assert RunFolder(tmp_path).graded == sorted(graded, key=lambda row: (row.problem_id, row.attempt))
    (tmp_path / SCORES).write_text('{"problem_id": "p1"}\n')
    with pytest.raises(StoreError, match="line 1"):
        _ = RunFolder(tmp_path).graded


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(), min_size=1, max_size=5), cut=st.integers(min_value=0, max_value=400))
def test_whatever_the_text_and_wherever_it_tears_the_prefix_survives(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], cut: int
) -> None:
    folder = tmp_path_factory.mktemp("run")
    with RunStore(folder, make_spec()) as run:
        for index, text in enumerate(texts):
            run.append(make_record(f"p{index}", text=text))
    path = folder / RECORDS
    data = path.read_bytes()
    kept = data[: max(0, len(data) - cut)]
    path.write_bytes(kept)
    with RunStore(folder, make_spec()) as run:
        found = [record.completion.text for record in run.current()]
    assert found == texts[: kept.count(b"\n")]


def test_the_store_reads_only_its_own_schema(tmp_path: Path) -> None:
    row = {**record_to_json(make_record()), "v": 99}
    (tmp_path / RECORDS).write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    with pytest.raises(StoreError, match="schema 99"):
        list(RunFolder(tmp_path).records)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{", "[" * 100_000, "9" * 6000, "\ufeff{"], ids=lambda text: text[:5]
)
def test_a_damaged_spec_or_score_file_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / SPEC).write_text(text)
    with pytest.raises(StoreError, match=r"spec\.json"):
        _ = RunFolder(tmp_path).spec_json
    if text:  # no line at all is a file without scores
        (tmp_path / SCORES).write_text(text)
        with pytest.raises(StoreError, match=r"scores\.jsonl, line 1"):
            _ = RunFolder(tmp_path).graded


@pytest.mark.parametrize("name", [SPEC, SCORES])
def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(StoreError, match=f"{name} cannot be read"):
        _ = RunFolder(tmp_path).spec if name == SPEC else RunFolder(tmp_path).graded


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("problem_id", []),
        ("problem_id", None),
        ("attempt", {}),
        ("attempt", "0"),
        ("tokens_out", "many"),
        ("cluster", 3),
        ("formats", []),
        ("score", {"value": "1", "status": "scored"}),
        ("score", {"value": 1.0, "status": "fine"}),
        ("score", {"value": float("nan"), "status": "scored"}),
        ("score", {"value": True, "status": "scored"}),
    ],
)
def test_a_score_line_of_another_shape_is_refused_with_its_place(tmp_path: Path, field: str, value: object) -> None:
    write_graded(tmp_path, [Graded("p1", 0, Score(1.0, "scored")), Graded("p2", 0, Score(0.0, "scored"))])
    first, second = (tmp_path / SCORES).read_text().splitlines()
    (tmp_path / SCORES).write_text(f"{first}\n{json.dumps({**json.loads(second), field: value})}\n")
    with pytest.raises(StoreError, match=r"scores\.jsonl, line 2"):
        _ = RunFolder(tmp_path).graded


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("problem_id", 3),
        ("attempt", 0.5),
        ("seed", "1"),
        ("text", None),
        ("finish", "done"),
        ("tokens_out", "3"),
        ("seconds", "1"),
        ("error", 5),
        ("reasoning", ["a"]),
        ("v", 2),
    ],
)
def test_a_record_of_another_shape_is_refused_with_its_place(tmp_path: Path, field: str, value: object) -> None:
    with RunStore(tmp_path, make_spec()) as run:
        run.append(make_record())
    path = tmp_path / RECORDS
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}) + "\n")
    with pytest.raises(StoreError, match=r"records\.jsonl, line 1"):
        list(RunFolder(tmp_path).records)


def test_text_without_a_utf8_form_costs_no_file(tmp_path: Path) -> None:
    write_graded(tmp_path, [Graded("p1", 0, Score(0.0, "scored", answer="4\ud800"))])
    assert RunFolder(tmp_path).graded[0].score.answer == "4?"
    with RunStore(tmp_path, make_spec()) as run:
        run.log("said \udcff")
    assert "said" in (tmp_path / store.LOG).read_text()
