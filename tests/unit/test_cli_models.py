"""`harness models`: what people see of the registry, and every way of changing it that must not go wrong."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from click.testing import CliRunner, Result
from registry_cards import add_card
from safetensors.torch import load_file, save_file
from stored_runs import make_run

from harness.cli.leaderboard import command as leaderboard
from harness.cli.main import COMMANDS
from harness.cli.models import SUBCOMMANDS, command
from harness.errors import HarnessError
from harness.models import load_model
from harness.models.trained import fingerprint, lineage_facts
from harness.registry import MODEL, find_card, list_cards, models_dir, read_card


def test_the_list_of_commands_names_every_one_of_these() -> None:
    assert all(name in COMMANDS["models"][1] for name in SUBCOMMANDS)


def test_help_speaks_of_no_code() -> None:
    assert "options." not in (Path(__file__).parents[2] / "docs" / "cli.md").read_text()


def models(results: Path, *arguments: str, **more: Any) -> Result:
    done = CliRunner().invoke(command, [*arguments, "--results-dir", str(results)], standalone_mode=False, **more)
    if done.exception is not None and not isinstance(done.exception, HarnessError):
        raise done.exception
    return done


def refused(results: Path, *arguments: str, **more: Any) -> str:
    done = models(results, *arguments, **more)
    assert isinstance(done.exception, HarnessError), done.output
    return str(done.exception)


def add_run(results: Path, name: str, value: float, suite: str = "toy", **changes: Any) -> None:
    facts = lineage_facts(read_card(models_dir(results) / name))
    identity = {"engine": "hf", "trained": facts}
    make_run(results, f"trained:{name}", [value] * 4, suite=suite, model_identity=identity, **changes)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    add_card(tmp_path, "a-sft-1", created="2026-01-01T00:00:00Z")
    changed = {"epochs": 3, "lr": 1e-5, "lora": {"r": 8}, "beta": 0.1}
    add_card(tmp_path, "b-krsl-2", method="krsl", base="trained:a-sft-1", seed=3, config=changed)
    add_run(tmp_path, "a-sft-1", 0.25)
    return tmp_path


def test_list_shows_cards_and_scores(registry: Path) -> None:
    (models_dir(registry) / "half-done").mkdir()
    done = models(registry, "list")
    first, second = (line for line in done.stdout.splitlines() if "-1" in line or "-2" in line)
    assert all(word in first for word in ("a-sft-1", "sft", "tiny", "synth", "20.0k", "0.2", "finished", "toy 25.0"))
    assert all(word in second for word in ("b-krsl-2", "krsl", "trained:a-sft-1", " 3 "))
    assert "half-done" in done.stderr and "has not finished" in done.stderr
    rows = json.loads(models(registry, "list", "--json").stdout)["rows"]
    assert [row["id"] for row in rows] == ["a-sft-1", "b-krsl-2"]
    assert rows[0]["runs"][0]["value"] == 0.25 and rows[1]["runs"] == []


def test_an_empty_registry_is_no_error(tmp_path: Path) -> None:
    done = models(tmp_path / "none", "list")
    assert done.stdout == "" and "no models in" in done.stderr
    assert json.loads(models(tmp_path / "none", "list", "--json").stdout) == {"rows": []}


def test_foreign_text_is_made_safe(tmp_path: Path) -> None:
    add_card(tmp_path, "a", data="\x1b[2J=cmd|x", method="\u202eevil")
    shown = models(tmp_path, "list").stdout + models(tmp_path, "show", "a").stdout
    assert "\x1b" not in shown and "\u202e" not in shown


def test_show_tells_all(registry: Path) -> None:
    shown = models(registry, "show", "b-k").stdout
    assert (
        "\nlineage:\n  a-sft-1: sft of tiny, " in shown and "\nruns: none\n" in shown and "model/ is missing" in shown
    )
    assert re.search(r"\nruns:\n  toy: \S+ 25\.0 .*trained-a-sft-1", models(registry, "show", "a").stdout)
    facts = json.loads(models(registry, "show", "a", "--json").stdout)
    assert facts["card"]["config"]["lora"] == {"r": 4}
    assert [one["id"] for one in facts["trained from it"]] == ["b-krsl-2"]
    assert [run["suite"] for run in facts["runs"]] == ["toy"]
    facts = json.loads(models(registry, "show", "b", "--json").stdout)
    assert [one["id"] for one in facts["lineage"]] == ["a-sft-1", "b-krsl-2"]
    assert "Did you mean 'a-sft-1'" in refused(registry, "show", "a-stf-1")


def test_show_tells_whether_the_files_are_those_of_the_card(tmp_path: Path) -> None:
    checkpoint = tiny_model.write_model(tmp_path / "out")
    name = models(tmp_path, "add", str(checkpoint), "--base", "tiny").stdout.strip()
    assert "as the card says" in models(tmp_path, "show", name).stdout
    tiny_model.write_model(models_dir(tmp_path) / name / MODEL, seed=1)
    assert "CHANGED" in models(tmp_path, "show", name).stdout


def test_diff_shows_only_what_differs(registry: Path) -> None:
    rows = {row["field"]: row for row in json.loads(models(registry, "diff", "a", "b", "--json").stdout)["rows"]}
    assert set(rows) == {"method", "base", "seed", "config.epochs", "config.lora.r", "config.beta"}
    assert rows["config.beta"]["only_in"] == "b" and (rows["seed"]["a"], rows["seed"]["b"]) == (0, 3)
    told = models(registry, "diff", "a", "b").stdout
    assert re.search(r"config\.beta +- +\d", told), "the first card has no such field"
    assert '"id"' in models(registry, "diff", "a", "b", "--all", "--json").stdout
    assert "made alike" in models(registry, "diff", "a", "a").stderr


def test_stages_of_two_methods_stand_beside_each_other(tmp_path: Path) -> None:
    """Not forty lines of a value and a dash: settings that differ in a row, those that do not in a note."""
    sft = {"stages": {"train": {"learning_rate": 1e-3, "warmup": 0.1, "epochs": 3}}}
    redi = {"stages": {"sft": {"learning_rate": 2e-5, "warmup": 0.1, "epochs": 5}, "redi": {"learning_rate": 1e-6}}}
    add_card(tmp_path, "one-sft-1", config=sft)
    add_card(tmp_path, "two-redi-1", config=redi)
    rows = {row["field"]: row for row in json.loads(models(tmp_path, "diff", "one", "two", "--json").stdout)["rows"]}
    beside = "config.stages.train/sft"
    assert set(rows) == {f"{beside}.learning_rate", f"{beside}.epochs", "config.stages.redi.learning_rate"}
    assert rows["config.stages.redi.learning_rate"]["only_in"] == "b"
    assert "alike: warmup 0.1" in models(tmp_path, "diff", "one", "two").stdout


def test_rm_asks_and_leaves_runs(registry: Path) -> None:
    assert "were trained from 'a-sft-1': b-krsl-2" in refused(registry, "rm", "a-sft-1", "--yes")
    assert "nobody is there to ask" in refused(registry, "rm", "b-krsl-2")
    assert "nothing was removed" in models(registry, "rm", "b-krsl-2", input="n\n").stderr
    assert len(list_cards(registry).cards) == 2
    models(registry, "rm", "b-krsl-2", input="y\n")
    models(registry, "rm", "a-sft-1", "--yes")
    assert list_cards(registry).cards == []
    assert len(list((registry / "runs").iterdir())) == 1
    assert "holds none" in refused(registry, "rm", "a-sft-1", "--yes")


def test_rm_force_and_what_has_no_card(registry: Path) -> None:
    models(registry, "rm", "a-sft-1", "--yes", "--force")
    (models_dir(registry) / "half-done").mkdir()
    models(registry, "rm", "half-done", "--yes")
    assert [card.id for card in list_cards(registry).cards] == ["b-krsl-2"]
    assert not (models_dir(registry) / "half-done").exists()
    assert "is not to be found" in models(registry, "show", "b").stdout


@pytest.mark.parametrize("name", ["../runs", "..", ".lock", "a/../../runs", "/"])
def test_rm_never_leaves_the_registry(registry: Path, name: str) -> None:
    assert "is no model id" in refused(registry, "rm", name, "--yes", "--force")
    assert (registry / "runs").is_dir()


@pytest.mark.parametrize("base", ["trained:a", "trained:a-sft-1", "trained:/elsewhere/models/a-sft-1/"])
def test_rm_knows_a_parent_however_it_is_named(tmp_path: Path, base: str) -> None:
    add_card(tmp_path, "a-sft-1")
    add_card(tmp_path, "b", base=base)
    assert "were trained from" in refused(tmp_path, "rm", "a-sft-1", "--yes")


@pytest.mark.parametrize("link", [(), ("--link",)])
def test_add_registers_what_it_checked(tmp_path: Path, link: tuple[str, ...]) -> None:
    checkpoint = tiny_model.write_model(tmp_path / "out")
    (checkpoint / "optimizer.pt").write_bytes(b"junk")
    (checkpoint / "modeling_evil.py").write_text("raise SystemExit")
    (checkpoint / "checkpoint-10").mkdir()
    facts = ("--base", "hf:owner/student", "--method", "sft", "--data", "my traces", "--teacher", "openai:gpt-x")
    name = models(tmp_path, "add", str(checkpoint), *facts, *link).stdout.strip()
    assert name.startswith("student-sft-")
    folder, card = find_card(tmp_path, name)
    assert (card.kind, card.stopped, card.data, card.teacher) == ("full", "imported", "my traces", "openai:gpt-x")
    assert card.fingerprint == fingerprint(folder)
    assert (folder / MODEL).is_symlink() == bool(link)
    if not link:
        kept = {file.name for file in (folder / MODEL).iterdir()}
        assert {"config.json", "model.safetensors"} <= kept
        assert not kept & {"optimizer.pt", "modeling_evil.py", "checkpoint-10"}
    assert load_model(f"trained:{name}", {"device": "cpu"}, tmp_path).describe()["fingerprint"] == card.fingerprint
    assert "a model" in refused(tmp_path, "add", str(checkpoint), *facts, *link)  # it is there already
    models(tmp_path, "rm", name, "--yes")
    assert (checkpoint / "model.safetensors").is_file()


def test_add_takes_an_adapter_with_its_base(tmp_path: Path) -> None:
    import peft
    import transformers

    base = tiny_model.write_model(tmp_path / "base")
    model = transformers.AutoModelForCausalLM.from_pretrained(base)
    peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path / "lora")
    assert "cannot be the base" in refused(tmp_path, "add", str(tmp_path / "lora"), "--base", "mock:gold")
    models(tmp_path, "add", str(tmp_path / "lora"), "--base", f"hf:{base}", "--name", "mine")
    assert find_card(tmp_path, "mine")[1].kind == "adapter"


def break_nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"][3] = torch.nan
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def break_torn(folder: Path) -> None:
    os.truncate(folder / "model.safetensors", 5000)


def break_shards(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (break_nan, "'model.norm.weight' holds NaN or infinity"),
        (break_torn, "torn"),
        (break_shards, "lacks 1 of its shards"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "config of .* does not load"),
        (
            lambda folder: (folder / "config.json").write_text('{"model_type": "nonesuch"}'),
            "config of .* does not load",
        ),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "tokenizer of .* does not load"),
        (lambda folder: (folder / "card.json").write_text("{}"), "name the model folder in it"),
    ],
)
def test_add_refuses_what_is_not_whole(tmp_path: Path, change: Any, message: str) -> None:
    import re

    checkpoint = tiny_model.write_model(tmp_path / "out")
    change(checkpoint)
    assert re.search(message, refused(tmp_path, "add", str(checkpoint), "--base", "tiny"))
    assert list_cards(tmp_path) == ([], [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("absent", "--base", "tiny"), "there is no folder"),
        (("{out}", "--base", " "), "base is empty"),
        (("{out}", "--base", "tiny", "--data", "x" * 2000), "too long"),
        (("{out}", "--base", "tiny", "--data", "sk-abcdefghijklmnopqrstuvwxyz123456"), "looks like a secret"),
        (("{out}", "--base", "tiny", "--name", "../x"), "is no model id"),
    ],
)
def test_add_refuses_what_makes_no_sense(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    checkpoint = tiny_model.write_model(tmp_path / "out")
    assert message in refused(tmp_path, "add", *(part.replace("{out}", str(checkpoint)) for part in arguments))
    assert list_cards(tmp_path) == ([], [])


def test_the_leaderboard_shows_where_a_model_came_from(registry: Path, tmp_path: Path) -> None:
    add_run(registry, "b-krsl-2", 0.5)
    make_run(registry, "mock:gold", [1.0] * 4)

    def board(*arguments: str) -> str:
        page = ("--html", str(tmp_path / "board.html"))
        done = CliRunner().invoke(leaderboard, ["--results-dir", str(registry), *page, *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    lineage = "krsl ← trained:a-sft-1, seed 3, 20.0k tokens"
    assert lineage in board()
    assert lineage in board("--format", "md")
    assert lineage in (tmp_path / "board.html").read_text()
    rows = {row["model"]: row for row in json.loads(board("--json"))["rows"]}
    assert rows["trained:b-krsl-2"]["trained"]["data_hash"] == "d" * 64
    assert "trained" not in rows["mock:gold"]
    assert "trained.seed" in board("--format", "csv").splitlines()[0]


def test_a_leaderboard_without_trained_models_is_as_it_was(tmp_path: Path) -> None:
    make_run(tmp_path, "mock:gold", [1.0] * 4)
    make_run(tmp_path, "other", [1.0] * 4, model_identity={"trained": "nonsense"})
    done = CliRunner().invoke(leaderboard, ["--results-dir", str(tmp_path)])
    assert done.exit_code == 0 and "trained" not in done.stdout


def test_a_score_with_warnings_is_marked_and_they_are_shown(registry: Path) -> None:
    add_run(registry, "b-krsl-2", 0.5, suite="other", warnings=("something odd",))
    listed = models(registry, "list").stdout
    assert "other 50.0 !" in listed and "toy 25.0 !" not in listed and "! a score with warnings" in listed
    assert "warning: something odd" in models(registry, "show", "b-krsl-2").stdout
