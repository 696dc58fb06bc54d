"""R2Vul's core from end to end: flipped pairs of a served teacher, ORPO, a threshold, and evaluation that applies it.

The task has a known truth: is the number in the question above 50? The labels of training are balanced, those that
will be met are not, so that the threshold has something to do.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from stub_server import Reply, StubServer

from harness.cli.main import cli
from harness.registry import find_card
from harness.run.folder import RunFolder

pytestmark = pytest.mark.slow
ASKED = "A crate holds {n} apples. Are there more than 50 apples? End with YES or NO."


def write(path: Path, numbers: range) -> Path:
    rows = [
        {"id": f"{path.stem}-{n}", "question": ASKED.format(n=n), "gold": "YES" if n > 50 else "NO"} for n in numbers
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def argues(_: int, body: dict[str, object]) -> Reply:
    """The teacher: it argues for the label that it is told."""
    asked = json.dumps(body["messages"])
    count = re.search(r"holds (\d+) apples", asked)
    told = re.search(r"Argue for this answer: (YES|NO)", asked)
    assert count and told
    compared = "more" if told[1] == "YES" else "not more"
    return Reply(
        content=f"There are {count[1]} apples, which is {compared} than 50. Therefore, the answer is {told[1]}."
    )


def harness(*words: object) -> str:
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.output


def test_from_labels_to_a_threshold_that_evaluation_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = ("--results-dir", tmp_path / "results", "--quiet")
    labelled = write(tmp_path / "labelled.jsonl", range(1, 100, 3))
    with StubServer() as teacher:
        teacher.choose = argues
        options = ("--teacher", "openai:stub-model", "--teacher-arg", f"base_url={teacher.url}", "--grader", "exact")
        harness("data", "flip", labelled, *options, "-o", "pairs.jsonl", "--quiet")
    pairs = [json.loads(line) for line in Path("pairs.jsonl").read_text().splitlines()]
    assert len(pairs) == 33
    for pair in pairs:  # the truth is known: the response argues for it, the rejected text against it
        number = int(re.findall(r"\d+", pair["response"])[0])
        assert pair["response"].endswith("YES.") == (number > 50) != pair["rejected"].endswith("YES.")

    trained = harness(
        "train",
        "--method",
        "orpo",
        "--student",
        "tiny",
        "--data",
        "pairs.jsonl",
        "--set",
        "lora_rank=none",
        "--set",
        "learning_rate=5e-4",
        "--budget",
        "20ktok",
        *results,
        "--json",
    )
    name = json.loads(trained)["id"]
    met = write(tmp_path / "met.jsonl", range(2, 62, 2))
    suite = ("--suite", "questions:exact:met.jsonl", "--model", f"trained:{name}", "--max-tokens", "60")
    harness("run", *suite, *results)
    harness("models", "calibrate", name, "--data", met, "--max-tokens", "60", "--ratio", "0.1", *results[:2])
    harness("run", *suite, *results)
    kept = find_card(tmp_path / "results", name)[1].calibration
    assert kept is not None and kept.f1 > kept.f1_before and kept.threshold > 0.5
    runs = [RunFolder(path) for path in (tmp_path / "results" / "runs").iterdir()]
    before, after = sorted(runs, key=lambda run: "calibration" in run.result.model_identity)
    assert before.result.run_id != after.result.run_id and set(before.result.items) == set(after.result.items)
    said = [{record.problem_id: record.completion.text for record in run.records} for run in (before, after)]
    changed = [name for name, text in said[0].items() if said[1][name] != text]
    assert changed  # and where it is, a YES that was not sure enough became a NO, and nothing else
    assert all(said[1][name] == "NO".join(said[0][name].rsplit("YES", 1)) for name in changed)
    assert after.result.estimates["avg@n"].value >= before.result.estimates["avg@n"].value
