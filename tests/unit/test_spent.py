"""What a training spends: counted pass by pass, kept on the card, compared by the bench."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bench_fakes import stored_arm
from registry_cards import make_card

from backends.config import Runtime, TrainConfig
from backends.plan import plan_training
from backends.train import train
from backends.trainers.account import Account, parameters
from harness.bench.compare import compare_suites
from harness.bench.costs import costed, frontier_table
from harness.bench.page import write_report
from harness.bench.report import all_tables, bench_json
from harness.bench.runner import unequal_budgets
from harness.bench.spec import Arm, BenchSpec
from harness.cli import bench_run
from harness.config import RunConfig
from harness.errors import ConfigError, StoreError, UsageError
from harness.registry import read_card, write_card
from harness.report.table import render
from harness.spent import KINDS, Spent, read_spent
from tests.tiny_model import write_model

FULL = Spent(read=1, generated=2, prefilled=4, teacher=8, judge_in=16, judge_out=32, flops=64.0)


# --- the record -------------------------------------------------------------------------------------------------------


def test_a_budget_counts_what_the_student_reads_and_writes_or_everything() -> None:
    assert FULL.counted("student") == 3 and FULL.counted("all") == 3 + 8 + 16 + 32
    assert Spent(2, 4, 8, 16, 32, 64, 128.0) == FULL + FULL
    assert read_spent(json.loads(json.dumps(asdict(FULL)))) == FULL


@pytest.mark.parametrize(
    "bad", [3, [], {}, {"read": 1}, {**asdict(FULL), "read": -1}, {**asdict(FULL), "read": 1.5},
            {**asdict(FULL), "flops": float("inf")}, {**asdict(FULL), "judge_in": True}, {**asdict(FULL), "more": 1}],
)  # fmt: skip
def test_what_is_no_account_is_refused(bad: Any) -> None:
    with pytest.raises(ValueError, match="spent"):
        read_spent(bad)


def test_a_card_keeps_it_and_older_cards_have_none(tmp_path: Path) -> None:
    folder = tmp_path / "tiny-sft-00000000"
    write_card(folder, make_card(spent=FULL))
    assert read_card(folder).spent == FULL
    raw = json.loads((folder / "card.json").read_text())
    del raw["spent"]
    (folder / "card.json").write_text(json.dumps(raw))
    assert read_card(folder).spent is None
    (folder / "card.json").write_text(json.dumps(raw | {"spent": {"read": "x"}}))
    with pytest.raises(StoreError, match="no model card \\(spent has not the fields"):
        read_card(folder)


# --- counting ---------------------------------------------------------------------------------------------------------


def test_every_kind_has_its_flops() -> None:
    student, teacher = torch.nn.Linear(3, 3), torch.nn.Linear(9, 10)
    account = Account(student)
    account.read(torch.tensor(100))
    account.passed(student, torch.tensor(10))
    account.passed(teacher, torch.tensor(7))
    account.add(generated=5, prefilled=3, judge_in=11, judge_out=2)
    account.put(account.take().tolist())
    account.put(account.take().tolist())  # nothing new
    flops = 6 * 12 * 100 + 2 * 12 * (10 + 5 + 3) + 2 * 100 * 7
    assert account.total == Spent(100, 5, 13, 7, 11, 2, flops)
    account.read(torch.tensor(1))
    account.forget()
    assert account.take().tolist() == [0.0] * len(KINDS)


def test_packed_and_sharded_weights_count_whole() -> None:
    class Params4bit(torch.nn.Parameter):
        pass

    model = torch.nn.Module()
    model.packed = Params4bit(torch.zeros(4))
    model.sharded = torch.nn.Parameter(torch.zeros(0))
    model.sharded.ds_numel = 9  # type: ignore[attr-defined]
    assert parameters(model) == 17


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("spent")
    write_model(folder / "teacher", seed=1, context=1024)
    return write_model(folder / "student", context=1024)


def config(student: Path, **more: Any) -> TrainConfig:
    settings = {"batch_size": 4, "micro_batch": 2, "max_steps": 3, "lora_rank": None} | more.pop("settings", {})
    told: dict[str, Any] = {"method": "kd", "teacher": f"hf:{student.with_name('teacher')}", **more}
    return TrainConfig(
        student=f"hf:{student}", data="synth:levels=1,per_level=8", settings=settings, max_length=1024, **told
    )


def test_a_teacher_that_reads_along_is_counted(student: Path, tmp_path: Path) -> None:
    """kd's teacher reads what the student reads; metrics, card and the newest checkpoint say the same."""
    card = train(config(student), tmp_path, Runtime(logging_steps=1, save_steps=2))
    assert card.spent is not None
    assert card.spent.teacher == card.spent.read == card.tokens
    size = parameters(torch.nn.ParameterList(_weights(student)))
    assert card.spent.flops == 8 * size * card.spent.read  # two models of one size
    lines = (tmp_path / "models" / card.id / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["spent"] == asdict(card.spent)
    assert read_card(tmp_path / "models" / card.id).spent == card.spent


def _weights(folder: Path) -> list[torch.Tensor]:
    from safetensors.torch import load_file

    return list(load_file(folder / "model.safetensors").values())


def test_a_training_that_an_earlier_version_began_goes_on(student: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Its checkpoint and its progress tell of tokens read alone."""
    told = config(student, method="sft", teacher=None)
    runtime = Runtime(logging_steps=1, save_steps=2)

    def die(now: Any) -> None:
        if now.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(told, tmp_path, runtime, watch=die)
    (state,) = tmp_path.glob("models/*/checkpoints/train/checkpoint-2/objective.pt")
    kept = torch.load(state, weights_only=True)
    read = kept.pop("spent")["read"]
    torch.save({**kept, "tokens_seen": read}, state)
    complete = state.with_name("COMPLETE")
    sizes = json.loads(complete.read_text())
    complete.write_text(json.dumps(sizes | {"objective.pt": state.stat().st_size}))
    card = train(told, tmp_path, runtime)
    assert card.spent is not None and card.spent.read == card.tokens and card.tokens > read


def test_what_a_budget_counts_is_part_of_the_id_unless_it_is_as_ever(student: Path, tmp_path: Path) -> None:
    plain = config(student, budget_tokens=4000, settings={"max_steps": None})
    both = replace(plain, count="all")
    assert "count" not in plain.identity() and both.identity()["count"] == "all"
    steps = [plan_training(one, tmp_path).stages[0].steps for one in (plain, both)]
    assert steps[1] == pytest.approx(steps[0] / 2, abs=1)  # the teacher reads as much as the student
    card = train(both, tmp_path)
    assert card.spent is not None
    assert card.spent.counted("all") == 2 * card.spent.read
    per_step = card.spent.counted("all") / (card.steps or 1)
    assert 4000 <= card.spent.counted("all") < 4000 + 2 * per_step
    with pytest.raises(ConfigError, match="--budget"):
        replace(both, budget_tokens=None)


# --- the bench --------------------------------------------------------------------------------------------------------


def arm(results: Path, name: str, share: float, spent: Spent | None) -> Arm:
    column = [1.0 if place < 20 * share else 0.0 for place in range(20)]
    made = stored_arm(results, name, "method", [column, column])
    members = [replace(one, card=replace(one.card, spent=spent)) for one in made.members if one.card is not None]
    return replace(made, members=tuple(members))


def arms(results: Path) -> tuple[Arm, ...]:
    untrained = stored_arm(results, "untrained tiny", "student", [[1.0] * 2 + [0.0] * 18])
    cheap, dear = Spent(read=100, flops=1e9), Spent(read=50, generated=80, prefilled=9, flops=3e9)
    taught = Spent(read=100, teacher=100, judge_in=5, flops=9e9)
    return (
        arm(results, "sft", 0.5, cheap),
        arm(results, "grpo", 0.75, dear),
        arm(results, "kd", 0.5, taught),
        untrained,
    )


def test_the_frontier_is_of_each_kind_of_cost(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    (found,) = compare_suites(rows, {"toy": 1}, tmp_path)
    best = {row.name: set(row.best) for row in costed(found)}
    assert best["grpo"] == {"flops", "read", "generated", "teacher", "judge"}  # the best score is on every one
    assert best["sft"] == {"flops", "generated"}  # grpo reads less, kd has no generated tokens either: a tie
    assert best["kd"] == {"generated"}
    assert best["untrained tiny"] == {"flops", "read"}  # for no generated tokens there is something better
    table = frontier_table(found)
    assert table is not None
    text = render([table], "table")
    assert "generated tokens" in text and "1e+09" in text and "nothing better for less" in text


def test_page_and_json_have_it(tmp_path: Path) -> None:
    rows = arms(tmp_path)
    found = compare_suites(rows, {"toy": 1}, tmp_path)
    spec = BenchSpec(("sft", "grpo", "kd"), 2, "tiny", RunConfig(), budget="2Mtok", count="all")
    write_report(tmp_path / "r.html", spec, rows, found, tmp_path)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert page.count("of a training</text>") == 5 and "judges&#x27; tokens counted" in page
    told = json.loads(render(all_tables(rows, found)[:1], "json", extra=bench_json(spec, rows, found)))
    sft, grpo = told["rows"][:2]
    assert sft["spent"]["read"] == 100 and set(grpo["frontier"]) >= {"flops", "generated"}
    assert told["bench"]["count"] == "all" and told["trainings"][0]["spent"]["flops"] == 1e9
    text = render(all_tables(rows, found), "table")
    assert "generated" in text and "flops" in text and "judge wrote" not in text  # nobody's judge wrote


def test_cards_that_tell_nothing_leave_the_frontier_out(tmp_path: Path) -> None:
    rows = (arm(tmp_path, "sft", 0.5, None), stored_arm(tmp_path, "untrained tiny", "student", [[1.0, 0.0] * 10]))
    (found,) = compare_suites(rows, {"toy": 1}, tmp_path)
    assert costed(found) == [] and frontier_table(found) is None
    assert len(all_tables(rows, [found])) == 3


def test_unequal_budgets_are_of_what_is_counted(tmp_path: Path) -> None:
    rows = [arm(tmp_path, "sft", 0.5, Spent(read=100)), arm(tmp_path, "kd", 0.5, Spent(read=100, teacher=100))]
    assert unequal_budgets(rows, "100tok") == []
    assert "kd was trained with 200 tokens" in unequal_budgets(rows, "100tok", "all")[0]


def counted(methods: tuple[str, ...], monkeypatch: Any, **given: Any) -> tuple[str, list[str]]:
    said: list[str] = []
    monkeypatch.setattr(bench_run, "_lets_student_write", lambda name: name == "grpo")
    return bench_run._count({"budget": None, "count": None, **given}, methods, said.append), said


def test_the_bench_counts_all_where_a_student_writes_and_says_so(monkeypatch: Any) -> None:
    assert counted(("sft", "kd"), monkeypatch, budget="2Mtok") == ("student", [])
    what, said = counted(("sft", "grpo"), monkeypatch, budget="2Mtok")
    assert what == "all" and "grpo lets the student write" in said[0]
    assert counted(("sft", "grpo"), monkeypatch, budget="2Mtok", count="student") == ("student", [])
    assert counted(("sft", "grpo"), monkeypatch, budget="2h") == ("student", [])
    with pytest.raises(UsageError, match="--budget"):
        counted(("sft",), monkeypatch, count="all")


def test_which_methods_let_the_student_write() -> None:
    assert bench_run._lets_student_write("grpo") and bench_run._lets_student_write("opd")
    assert not any(map(bench_run._lets_student_write, ("sft", "kd", "dpo", "no such method", "weighted-average")))
