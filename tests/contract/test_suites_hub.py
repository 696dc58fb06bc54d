"""The same suites from a folder and from a (stand-in) hub: identical rows, and the same refusals.

The hub's tables are built here from the local files, in the columns that the real ones have, and loaded by a new
process, because `datasets` reads HF_ENDPOINT only when it is imported. GPQA is left out: the cache of `datasets` would
put its questions on disk in plain text; its mapping is tested in memory.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Repositories, serve

from harness.datasets import content_hash, load_rows
from harness.suites import load_suite

Rows = list[dict[str, Any]]
SUITES = (
    "aime",
    "aime24",
    "aime25",
    "math500",
    "gsm8k",
    "amc23",
    "minerva_math",
    "svamp",
    "bbh",
    "arc_easy",
    "alpaca_eval",
)
_FORKS = """
import contextlib, importlib, json, os, sys, traceback

import harness.datasets, harness.suites, judges.protocols.alpaca.data

for needed in ("aiohttp", "dill", "fsspec.implementations.http", "httpx2", "pandas", "scipy.io", "yaml"):
    with contextlib.suppress(ImportError):
        importlib.import_module(needed)
assert not {"datasets", "huggingface_hub"} & set(sys.modules)
for line in sys.stdin:
    order = json.loads(line)
    if (child := os.fork()) == 0:
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        code = 1
        with open(order["output"], "w") as sys.stdout:
            try:
                exec(order["script"], {"names": order["names"]})
                code = 0
            except BaseException:
                traceback.print_exc(file=sys.stdout)
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
"""Each script in a process of its own, a fork of one that has imported what `datasets` needs and nothing that reads
HF_ENDPOINT or HF_HOME: what a new interpreter would do, in a third of its time."""
_SCRIPT = """
import json
from harness.datasets import content_hash, load_rows
from harness.errors import HarnessError
from harness.suites import load_suite
for name in names:
    try:
        rows = load_rows(load_suite(name).data)
        print(json.dumps([name, content_hash(rows), [row["id"] for row in rows]]))
    except HarnessError as error:
        print(json.dumps([name, type(error).__name__, str(error)]))
"""


def read(folder: Path, name: str) -> Rows:
    return [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]


def lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet(rows: Rows) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), stream)
    return stream.getvalue()


def card(configs: dict[str, dict[str, str]]) -> bytes:
    """A data set card that maps configurations to splits to files."""
    entries = [
        {"config_name": config, "data_files": [{"split": split, "path": path} for split, path in files.items()]}
        for config, files in configs.items()
    ]
    return f"---\nconfigs: {json.dumps(entries)}\n---\n".encode()


def math500(folder: Path) -> dict[str, bytes]:
    keys = ("problem", "solution", "answer", "subject", "level")
    return {
        "test.jsonl": lines(
            [{**{key: row[key] for key in keys}, "unique_id": row["id"]} for row in read(folder, "math500.jsonl")]
        )
    }


def gsm8k(folder: Path) -> dict[str, bytes]:
    rows = [{"question": row["question"], "answer": row["solution"]} for row in read(folder, "gsm8k_test.jsonl")]
    return {"main/test.parquet": parquet(rows), "README.md": card({"main": {"test": "main/test.parquet"}})}


def aime24(folder: Path) -> dict[str, bytes]:
    rows = [
        {"id": 60 + place, "problem": row["problem"], "answer": row["answer_raw"], "url": row["url"]}
        for place, row in enumerate(reversed(read(folder, "aime24.jsonl")))
    ]
    return {"data/train-00000-of-00001.parquet": parquet(rows)}


def aime25(folder: Path) -> dict[str, bytes]:
    rows = read(folder, "aime25.jsonl")
    return {
        "test.jsonl": lines(
            [{"problem": r["problem"], "answer": str(r["answer"]), "id": str(i)} for i, r in enumerate(rows)]
        )
    }


def amc23(folder: Path) -> dict[str, bytes]:
    rows = read(folder, "amc23.jsonl")
    return {
        "test-00000-of-00001.parquet": parquet(
            [
                {"id": int(r["id"][6:]), "question": r["problem"], "answer": float(r["answer"]), "url": r["url"]}
                for r in rows
            ]
        )
    }


def minerva(folder: Path) -> dict[str, bytes]:
    rows = read(folder, "minerva_math.jsonl")
    return {"test.jsonl": lines([{"question": row["problem"], "answer": row["answer"]} for row in rows])}


def svamp(folder: Path) -> dict[str, bytes]:
    rows = [
        {"ID": row["id"], "Body": row["body"], "Question": row["question"], "Answer": str(row["answer"])}
        for row in read(folder, "svamp.jsonl")
    ]
    return {"data/train.parquet": parquet(rows[300:]), "data/test.parquet": parquet(rows[:300])}


def bbh(folder: Path) -> dict[str, bytes]:
    subsets: dict[str, Rows] = {}
    for row in read(folder, "bbh.jsonl"):
        subsets.setdefault(row["subset"], []).append({"input": row["input"], "target": row["target"]})
    files = {f"{name}/test-00000-of-00001.parquet": parquet(rows) for name, rows in subsets.items()}
    return {**files, "README.md": card({name: {"test": f"{name}/test-*"} for name in subsets})}


def arc(folder: Path) -> dict[str, bytes]:
    rows = []
    for place, row in enumerate(read(folder, "arc_easy_test.jsonl")):
        labels = list("12345" if place % 7 == 0 else "ABCDE")[: len(row["choices"])]  # the real set has both
        answer = labels["ABCDE".index(row["answer"])]
        rows.append(
            {
                "id": f"Mercury_{place}",
                "question": row["question"],
                "choices": {"text": row["choices"], "label": labels},
                "answerKey": answer,
            }
        )
    rows.reverse()
    files = {"ARC-Easy/test.parquet": parquet(rows)}
    return {**files, "README.md": card({"ARC-Easy": {"test": "ARC-Easy/test.parquet"}})}


def alpaca_eval(folder: Path) -> dict[str, bytes]:
    keys = ("dataset", "instruction", "output", "generator")
    rows = [{key: row[key] for key in keys} for row in read(folder, "alpaca_eval_reference.jsonl")]
    return {"alpaca_eval_gpt4_baseline.json": json.dumps(rows, indent=1).encode()}


BUILDERS: dict[str, Callable[[Path], dict[str, bytes]]] = {
    "HuggingFaceH4/MATH-500": math500,
    "openai/gsm8k": gsm8k,
    "HuggingFaceH4/aime_2024": aime24,
    "math-ai/aime25": aime25,
    "math-ai/amc23": amc23,
    "math-ai/minervamath": minerva,
    "ChilleD/SVAMP": svamp,
    "lukaemon/bbh": bbh,
    "allenai/ai2_arc": arc,
    "tatsu-lab/alpaca_eval": alpaca_eval,
}


def revisions() -> dict[str, str]:
    return {hub.repo: hub.revision for name in SUITES for hub in load_suite(name).data.hub}


class Forks:
    """The process that runs each script in a fork of itself."""

    def __init__(self) -> None:
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HARNESS_"))}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, "-c", _FORKS], env=environment, stdin=pipe, stdout=pipe, text=True
        )

    def run(self, script: str, endpoint: str, home: Path, *names: str) -> str:
        """What the script prints, run in `home`, which is the hub's cache too."""
        assert self._process.stdin is not None and self._process.stdout is not None
        own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "*"}
        output = home / "printed"
        order = {"script": script, "environment": own, "folder": str(home), "output": str(output), "names": names}
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        code = self._process.stdout.readline().strip()
        assert code == "0", (code, output.read_text()[-3000:])
        return output.read_text()

    def close(self) -> None:
        self._process.communicate(timeout=60)


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    pytest.importorskip("datasets", reason="needs the extra hub")
    forks = Forks()
    yield forks
    forks.close()


def ask(forks: Forks, repositories: Repositories, home: Path, *suites: str) -> dict[str, tuple[str, Any]]:
    """suite -> (content hash, ids), or (error class, message), as a fresh process sees this hub."""
    with serve(repositories) as endpoint:
        return ask_at(forks, endpoint, home, *suites)


def ask_at(forks: Forks, endpoint: str, home: Path, *suites: str) -> dict[str, tuple[str, Any]]:
    found = [json.loads(line) for line in forks.run(_SCRIPT, endpoint, home, *suites).splitlines()]
    return {name: (first, second) for name, first, second in found}


def test_hub_and_folder_give_the_same_rows(forks: Forks, shared_data: Path, tmp_path: Path) -> None:
    repositories = {repo: (revisions()[repo], build(shared_data)) for repo, build in BUILDERS.items()}
    found = ask(forks, repositories, tmp_path, *SUITES)
    for name in SUITES:
        local = load_rows(load_suite(name).data, shared_data)
        assert found[name] == (content_hash(local), [row["id"] for row in local]), name


def test_what_is_not_pinned_is_refused(forks: Forks, shared_data: Path, tmp_path: Path) -> None:
    commit = revisions()["HuggingFaceH4/MATH-500"]
    files = math500(shared_data)
    other = {"test.jsonl": files["test.jsonl"].replace(b"Convert the point", b"Convert one point", 1)}
    assert other != files
    fewer = {"test.jsonl": b"".join(files["test.jsonl"].splitlines(keepends=True)[:-1])}
    cases: dict[str, tuple[Repositories, str, str]] = {
        "changed row": ({"HuggingFaceH4/MATH-500": (commit, other)}, "DataError", "content hash"),
        "missing row": ({"HuggingFaceH4/MATH-500": (commit, fewer)}, "DataError", "499 rows"),
        "other revision": ({"HuggingFaceH4/MATH-500": ("f" * 40, files)}, "PrerequisiteError", commit),
        "no such set": ({}, "PrerequisiteError", "--data-dir"),
        "other columns": (
            {"HuggingFaceH4/MATH-500": (commit, {"test.jsonl": b'{"a": 1}\n'})},
            "DataError",
            "unique_id",
        ),
        "no rows": ({"HuggingFaceH4/MATH-500": (commit, {"test.jsonl": b""})}, "", ""),
    }
    for place, (case, (repositories, error, words)) in enumerate(cases.items()):
        home = tmp_path / str(place)
        home.mkdir()
        kind, message = ask(forks, repositories, home, "math500")["math500"]
        assert kind in ((error,) if error else ("DataError", "PrerequisiteError")), (case, kind, message)
        assert words in message, (case, message)


def test_no_hub_at_all_says_so_at_once(forks: Forks, tmp_path: Path) -> None:
    kind, message = ask_at(forks, "http://127.0.0.1:9", tmp_path, "math500")["math500"]
    assert kind == "PrerequisiteError"
    assert "cannot be reached" in message
    assert "--data-dir" in message


def test_cached_data_loads_without_a_hub(forks: Forks, shared_data: Path, tmp_path: Path) -> None:
    repositories = {"HuggingFaceH4/MATH-500": (revisions()["HuggingFaceH4/MATH-500"], math500(shared_data))}
    first = ask(forks, repositories, tmp_path, "math500")
    assert ask_at(forks, "http://127.0.0.1:9", tmp_path, "math500") == first


def test_a_folder_of_that_name_is_not_taken_for_the_hub(forks: Forks, shared_data: Path, tmp_path: Path) -> None:
    imposter = tmp_path / "HuggingFaceH4" / "MATH-500"
    imposter.mkdir(parents=True)
    (imposter / "test.jsonl").write_text('{"unique_id": "imposter"}\n')
    repositories = {"HuggingFaceH4/MATH-500": (revisions()["HuggingFaceH4/MATH-500"], math500(shared_data))}
    assert ask(forks, repositories, tmp_path, "math500")["math500"][0] == load_suite("math500").data.sha256


def test_gpqa_rows_of_the_hub_equal_those_of_the_zip(shared_data: Path) -> None:
    ref = load_suite("gpqa").data
    local = load_rows(ref, shared_data)
    assert ref.from_hub is not None
    rebuilt = []
    for row in local:
        wrong = [f"{option} \n" for option in row["wrong"]]  # type: ignore[union-attr]  # a list of texts
        index = int(str(row["id"]).rpartition("-")[2])
        raw = {"_index": index, "Question": f"{row['question']}\r\n", "Correct Answer": row["right"]}
        raw |= {f"Incorrect Answer {number}": text for number, text in zip((3, 1, 2), wrong, strict=True)}
        rebuilt.append(ref.from_hub(raw))
    assert content_hash(rebuilt) == ref.sha256


def test_one_file_of_a_hub_set_gives_the_length_control_its_data(
    forks: Forks, shared_data: Path, tmp_path: Path
) -> None:
    gamed = read(shared_data, "alpaca_eval_df_gamed_reconstructed.jsonl")
    keys = ("model", "index", "std_delta_len", "instruction_difficulty", "not_gamed_baseline")
    table = [",".join([*keys, "preference"])]
    table += [",".join(str(row[key]) for key in (*keys, "preference_pseudo")) for row in gamed]
    script = (
        "from judges.protocols.alpaca.data import load_glm_data\n"
        "data = load_glm_data(None)\n"
        "print(data and (data.provenance, float(data.difficulty.sum()), float(data.gamed.preference.sum())))"
    )

    def found(files: dict[str, bytes], home: str) -> str:
        (tmp_path / home).mkdir()
        with serve({"tatsu-lab/alpaca_eval": (revisions()["tatsu-lab/alpaca_eval"], files)}) as endpoint:
            return forks.run(script, endpoint, tmp_path / home).strip()

    difficulty = sum(row["instruction_difficulty"] for row in gamed) / 2
    preference = sum(row["preference_pseudo"] for row in gamed)
    source, *sums = json.loads(
        found({"df_gamed.csv": "\n".join(table).encode()}, "full").replace("(", "[").replace(")", "]").replace("'", '"')
    )
    assert source.startswith("df_gamed.csv of the hub data set")
    assert sums == [pytest.approx(difficulty), pytest.approx(preference)]
    assert found({}, "empty") == "None"
