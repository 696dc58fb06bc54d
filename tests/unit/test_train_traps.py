"""What makes two trainings differ in more than they should: references, budgets, adapters, templates, orders."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
import transformers
from accelerate.data_loader import SeedableRandomSampler
from click.testing import CliRunner

from backends.base import TrainMethod, load_method
from backends.config import Runtime, TrainConfig
from backends.plan import left_out, plan_training
from backends.train import train
from backends.trainers import sharding
from harness.cli.train import command
from harness.errors import ConfigError, PrerequisiteError, UnknownName
from harness.models.hf_prompt import PromptRenderer
from harness.options import parse_options
from harness.types import Message
from tests.tiny_model import write_model

EACH = Runtime(logging_steps=1)


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("student"), context=1024)


def config(student: Path, method: str = "sft", **more: Any) -> TrainConfig:
    told: dict[str, Any] = {
        "data": "synth:levels=1,per_level=8",
        "max_length": 1024,
        "settings": {"batch_size": 4},
    } | more
    return TrainConfig(method=method, student=f"hf:{student}", **told)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [None, 2])
def test_the_reference_is_computed_in_the_students_precision(student: Path, tmp_path: Path, lora: int | None) -> None:
    settings = {"max_steps": 1, "batch_size": 8, "micro_batch": 8, "lora_rank": lora}
    card = train(config(student, "dpo", precision="bf16", settings=settings), tmp_path, EACH)
    assert card.final["margin"] == pytest.approx(0, abs=1e-5)
    assert card.final["loss"] == pytest.approx(math.log(2), abs=1e-5)


_SECOND = """
import os, sys
from pathlib import Path
import torch
from backends.load import find_weights
from harness.models.hf_load import load_for_training
from backends.trainers.sharding import whole_weights
torch.distributed.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=0, world_size=1)
for whole in (False, True):
    with whole_weights(whole):
        model, _ = load_for_training(find_weights("hf:" + sys.argv[1], Path()), torch.float32)
    print(any(bool(weight.any()) for weight in model.parameters()))
print(os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"])
"""


@pytest.mark.slow
def test_teachers_and_references_are_whole_on_every_process_of_fsdp(student: Path, tmp_path: Path) -> None:
    told = {"LOCAL_RANK": "1", "ACCELERATE_USE_FSDP": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "true"}
    found = subprocess.run(
        [sys.executable, "-c", _SECOND, str(student), str(tmp_path / "meet")],
        env={**os.environ, **told},
        capture_output=True,
        text=True,
        check=True,
    )
    # Without it the library gives zeros, which is why it is there; what the launcher said stays said.
    assert found.stdout.split() == ["False", "True", "true"]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "what"), [("kd", "a teacher"), ("dpo", "a pass before training")])
def test_zero_3_is_refused_where_a_whole_model_is_read(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, what: str
) -> None:
    monkeypatch.setattr(sharding, "is_deepspeed_zero3_enabled", lambda: True)
    with pytest.raises(ConfigError, match=f"{what} needs a whole model.*launch with FSDP"):
        train(config(student, method, teacher=f"hf:{student}"), tmp_path, EACH)


def test_a_token_budget_counts_short_last_steps(student: Path, tmp_path: Path) -> None:
    told = config(student, settings={"batch_size": 6}, budget_tokens=100_000)
    (stage,) = plan_training(told, tmp_path).stages
    assert len(stage.data.examples) == 8 and stage.steps_per_epoch == 2
    # Two steps read an epoch's tokens, the second of them two examples only.
    assert stage.steps == math.ceil(100_000 / (stage.tokens / 2))


@pytest.mark.slow
def test_a_token_budget_is_spent_whatever_the_batch(student: Path, tmp_path: Path) -> None:
    for size in (8, 7, 5):
        card = train(config(student, settings={"batch_size": size}, budget_tokens=20_000), tmp_path / str(size), EACH)
        assert (card.tokens or 0) > 20_000 - 8 * 250


@pytest.mark.parametrize(
    ("method", "key", "value"),
    [("redi", "redi.lora_rank", 4), ("krsl", "key_steps.lora_rank", None), ("krsl", "sft.lora_dropout", 0.1)],
)
def test_stages_that_train_other_weights_are_refused(
    student: Path, tmp_path: Path, method: str, key: str, value: Any
) -> None:
    # An adapter over a first stage's full weights would be registered over the untrained student.
    with pytest.raises(ConfigError, match=f"{key.partition('.')[2]} differs: sft .*Set it for all at once"):
        plan_training(config(student, method, settings={key: value}), tmp_path)
    name = key.partition(".")[2]
    assert len(plan_training(config(student, method, settings={name: value}), tmp_path).stages) == 2


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
def test_evaluation_asks_with_the_template_of_training(student: Path, tmp_path: Path, own: bool) -> None:
    (tmp_path / "t.jinja").write_text("{% for m in messages %}[{{ m.content }}]{% endfor %}", encoding="utf-8")
    told = config(student, template=str(tmp_path / "t.jinja") if own else "off", settings={"max_steps": 1})
    card = train(told, tmp_path, EACH)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "models" / card.id / "model")
    asked = PromptRenderer(tokenizer, None, False, None).render((Message("user", "How?"),))
    assert tokenizer.decode(asked.tokens) == ("[How?]" if own else "How?")


def test_the_id_depends_on_what_named_files_hold(student: Path, tmp_path: Path) -> None:
    template = tmp_path / "t.jinja"
    template.write_text("{{ messages[0].content }}", encoding="utf-8")
    told = config(student, template=str(template))
    first = plan_training(told, tmp_path).model_id
    template.write_text("Q: {{ messages[0].content }}", encoding="utf-8")
    assert plan_training(told, tmp_path).model_id != first
    teacher = write_model(tmp_path / "teacher", seed=1)
    taught = config(student, "kd", teacher=f"hf:{teacher}")
    second = plan_training(taught, tmp_path).model_id
    write_model(teacher, seed=2)
    assert plan_training(taught, tmp_path).model_id != second
    with pytest.raises(UnknownName, match="gpt-4o"):  # its weights are read, so the plan looks for them
        plan_training(replace(taught, teacher="gpt-4o"), tmp_path)
    named = replace(taught, method="sft", teacher="gpt-4o")
    assert plan_training(named, tmp_path).model_id not in (first, second)


def test_the_plan_tells_on_what_a_stage_is_trained(student: Path, tmp_path: Path) -> None:
    plan = plan_training(config(student, max_length=170), tmp_path)
    (stage,) = plan.stages
    kept = plan.resolved()["stages"]["train"]  # type: ignore[index,call-overload]
    assert kept["examples"] == len(stage.data.examples) < 8  # type: ignore[index,call-overload]
    assert kept["left_out"] == {"too_long": 8 - len(stage.data.examples)}  # type: ignore[index,call-overload]
    json.dumps(kept)
    (line,) = left_out(plan)
    assert line.startswith(f"train: left out {8 - len(stage.data.examples)} records longer than max_length")


@pytest.mark.slow
def test_training_says_what_it_leaves_out(student: Path, tmp_path: Path) -> None:
    told = f"--method sft --student hf:{student} --data synth:levels=1,per_level=8 --set max_steps=1 --set batch_size=1"
    found = CliRunner().invoke(command, [*told.split(), "--max-length", "170", "--results-dir", str(tmp_path)])
    assert found.exit_code == 0 and "longer than max_length" in found.stderr


@pytest.mark.parametrize(
    ("method", "options", "unused", "used"),
    [
        ("thinkanswer", {"alpha": "0.3"}, "alpha", {"alpha_schedule": "constant"}),
        ("thinkanswer", {"alpha_end": "0.3"}, "alpha_end", {"alpha_schedule": "linear"}),
        ("thinkanswer", {"ema": "0.3", "alpha_schedule": "linear"}, "ema", {"alpha_schedule": "balanced"}),
        ("kd", {"beta": "0.3"}, "beta", {"divergence": "jsd"}),
        ("kd", {"mass": "tail"}, "mass", {"top_k": "4"}),
        ("cotd_po", {"gamma": "0.3"}, "gamma", {"arm": "pairwise"}),
        ("cotd_po", {"lam": "0.3", "arm": "pairwise"}, "lam", {"arm": "apa"}),
        ("specialized_kd", {"exemplars": "2", "formats": "zero_shot_cot"}, "exemplars", {"formats": "in_context_cot"}),
        ("merge", {"alpha": "0.3"}, "alpha", {"mode": "bai"}),
        ("redi", {"sft_share": "0.3", "sft_stage": "false"}, "sft_share", {"sft_stage": "true"}),
    ],
)
def test_options_without_effect_are_refused(
    method: str, options: dict[str, str], unused: str, used: dict[str, str]
) -> None:
    own = cast(TrainMethod, load_method(method)).options
    with pytest.raises(ConfigError, match=f"{unused} has no effect here: it belongs to "):
        parse_options(own, options, method)
    parse_options(own, {**options, **used}, method)


def test_no_epoch_of_a_seed_is_one_of_the_next(student: Path, tmp_path: Path) -> None:
    from backends.trainers.setup import _arguments

    def epochs(seed: int) -> set[tuple[int, ...]]:
        plan = plan_training(config(student, seed=seed), tmp_path)
        data_seed = _arguments(plan, plan.stages[0], EACH, tmp_path).data_seed
        sampler = SeedableRandomSampler(range(8), generator=torch.Generator(), data_seed=data_seed)
        return {tuple(sampler) for _ in range(3)}

    assert len(epochs(0) | epochs(1) | epochs(2)) == 9


def test_several_gpus_in_one_process_are_refused(
    student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transformers.TrainingArguments, "n_gpu", 2)
    with pytest.raises(PrerequisiteError, match="one process sees 2 GPUs: `accelerate launch"):
        train(config(student), tmp_path, EACH)
