"""Recipe files: packaged ones load and fit their methods; broken ones are refused with a line that says why."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import cast

import pytest

from backends.base import TrainMethod, load_method
from backends.config import TrainConfig
from backends.methods import krsl
from backends.recipe import MAX_BYTES, SOURCES, apply, architecture, load_recipe, recipes
from harness.catalog import entries
from harness.errors import ConfigError, UnknownName
from harness.options import parse_options

ALL = sorted(recipes())


def write(folder: Path, text: str, name: str = "own.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_the_recipes_of_one_file_are_some_of_all() -> None:
    for file in {name.partition(":")[0] for name in ALL}:
        assert recipes(file) == {k: v for k, v in recipes().items() if k.partition(":")[0] == file}
    assert recipes("nosuch") == {} == recipes("*")


@pytest.mark.parametrize("name", ALL)
def test_a_packaged_recipe_fits_its_method(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.paper and recipe.data and len(recipe.revision) == 40
    assert architecture(recipe.architecture)["model_type"]
    config = apply(recipe, {"data": "records.jsonl"})
    assert set(recipe.sources.values()) <= set(SOURCES) - {"config"}, "every value says where it comes from"
    if config.method not in entries("method"):
        pytest.skip(f"the method {config.method} is not there yet")
    method = cast(TrainMethod, load_method(config.method))
    options = parse_options(method.options, config.options, config.method)
    stages = method.stages(options)
    names = tuple(stage.name for stage in stages)
    for stage in stages:
        settings = config.stage_settings(stage.name, names, stage.settings)
        assert settings.learning_rate > 0


def test_the_papers_are_there() -> None:
    students = {apply(load_recipe(name), {"data": "x"}).student for name in ALL if name.startswith("thinkanswer")}
    assert len(students) == 4
    assert {"edit", "redi", "cotd-po:llama-8b", "cotd-po:ministral-8b", "emo:qwen-7b-math", "mle:qwen-7b-math"} <= set(
        ALL
    )


def test_edit_has_the_settings_of_the_authors_scripts() -> None:
    config = apply(load_recipe("edit"), {"data": "x"})
    names = ("sft", "key_steps")
    first, second = (config.stage_settings(name, names, {}) for name in names)
    assert (first.learning_rate, first.epochs, first.weight_decay) == (2e-4, 15, 0.05)
    assert (second.learning_rate, second.epochs, second.weight_decay) == (5e-6, 10, 0.0)
    for stage in (first, second):
        assert (stage.lora_rank, stage.lora_alpha, stage.lora_targets) == (64, 32, "q_proj+v_proj")
        assert (stage.scheduler, stage.decay, stage.batch_size) == ("epoch_decay", 0.95, 64)
    assert parse_options(krsl.KrslOptions, config.options, "krsl").drop_above == 20


def test_gsrm_has_the_papers_schedule_and_the_authors_configuration() -> None:
    config = apply(load_recipe("gsrm"), {"data": "x"})
    settings = config.stage_settings("train", ("train",), {})
    assert (settings.learning_rate, settings.epochs, settings.weight_decay) == (5e-5, 3, 1e-4)
    assert (settings.scheduler, settings.warmup, config.max_length) == ("linear", 0.1, 25_000)
    assert config.options == {"schedule": "structured", "every": "100"}


@pytest.mark.parametrize("variant", ["zero", "r1-distill"])
def test_rlkd_and_its_controls_differ_in_what_they_control_for(variant: str) -> None:
    rlkd, grpo, shuffled, sft = (
        apply(load_recipe(f"{name}:{variant}"), {"data": "x"})
        for name in ("rlkd", "rlkd-grpo", "rlkd-shuffled", "rlkd-sft")
    )
    assert rlkd.student == grpo.student == shuffled.student == sft.student
    assert rlkd.options["weights"] == "accuracy=3+structure=3+format=2+tags=2"
    assert dict(rlkd.rollout) == {"group": 4, "temperature": 0.7, "max_new": 4096}
    assert (rlkd.settings["learning_rate"], rlkd.settings["max_grad_norm"]) == (5e-5, 0.2)
    assert grpo == dataclasses.replace(
        rlkd, method="grpo", options={**rlkd.options, "weights": "accuracy=3+structure=0+format=2+tags=2"}
    )
    assert shuffled == dataclasses.replace(
        rlkd, reward={**rlkd.reward, "structure.shuffle_teacher": shuffled.reward["structure.shuffle_teacher"]}
    )
    assert sft.method == "sft" and not sft.rollout and not sft.reward


@pytest.mark.parametrize("name", [name for name in ALL if name.startswith(("mle:", "emo:", "thinkanswer:"))])
def test_the_rows_of_one_paper_have_its_batch(name: str) -> None:
    config = apply(load_recipe(name), {"data": "x"})
    assert config.stage_settings("train", ("train",), {}).batch_size == 64
    assert "arithmetic" not in load_recipe(name).data, "the suite mathglm is word problems"


def test_emo_and_mle_differ_in_the_method_alone() -> None:
    emo, mle = (apply(load_recipe(f"{name}:llama-8b-text"), {"data": "x"}) for name in ("emo", "mle"))
    assert emo.method == "emo" and mle.method == "sft"
    assert emo.settings == mle.settings and emo.student == mle.student and emo.max_length == mle.max_length == 4096


def test_a_recipe_says_how_one_stage_draws_and_what_is_said_for_all_takes_its_place(tmp_path: Path) -> None:
    text = '[config]\nmethod = "sd_zero"\nstudent = "tiny"\n'
    text += "rollout.max_new = 64\nrollout.srt = {group = 4, max_new = 32}\n"
    recipe = load_recipe(write(tmp_path, text))
    assert apply(recipe, {"data": "x"}).rollout == {"max_new": 64, "srt.group": 4, "srt.max_new": 32}
    assert apply(recipe, {"data": "x", "rollout": {"max_new": 9}}).rollout == {"max_new": 9, "srt.group": 4}
    with pytest.raises(ConfigError, match="grup"):
        load_recipe(write(tmp_path, text.replace("group", "grup")))


def test_changes_win_and_are_converted(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        """
        [config]
        method = "krsl"
        student = "tiny"
        data = "a.jsonl"
        seed = 3
        gradient_checkpointing = true
        options.alpha = 1.0
        options.sft_stage = false
        settings.epochs = 3
        settings.sft.epochs = 15
        settings.sft.learning_rate = 2e-4
        """,
    )
    recipe = load_recipe(name)
    assert apply(recipe, {}) == TrainConfig(
        "krsl",
        "tiny",
        "a.jsonl",
        seed=3,
        gradient_checkpointing=True,
        options={"alpha": "1.0", "sft_stage": "false"},
        settings={"epochs": 3, "sft.epochs": 15, "sft.learning_rate": 2e-4},
    )
    changed = apply(
        recipe,
        {"data": "b.jsonl", "seed": "4", "limit": None, "options": {"beta": "0.1"}, "settings": {"epochs": 1}},
    )
    assert (changed.data, changed.seed, changed.limit) == ("b.jsonl", 4, None)
    assert changed.options == {"alpha": "1.0", "sft_stage": "false", "beta": "0.1"}
    assert changed.settings == {"epochs": 1, "sft.learning_rate": 2e-4}, "a change for all stages reaches all"
    own = apply(recipe, {"settings": {"sft.epochs": "none"}})
    assert own.settings["sft.epochs"] == "none" and own.settings["epochs"] == 3


def test_variants_and_extends(tmp_path: Path) -> None:
    name = write(
        tmp_path,
        """
        extends = "mle"
        [ours]
        settings.batch_size = 8
        [variants.mine]
        paper.student = "tiny"
        ours.max_length = 100
        """,
    )
    config = apply(load_recipe(f"{name}:mine"), {"data": "x"})
    assert (config.student, config.max_length, config.settings["batch_size"]) == ("tiny", 100, 8)
    assert config.method == "sft" and config.settings["learning_rate"] == 2e-5
    inherited = apply(load_recipe(f"{name}:qwen-7b-math"), {"data": "x"})
    assert inherited.student == "hf:deepseek-ai/DeepSeek-R1-Distill-Qwen-7B" and inherited.max_length == 2048
    with pytest.raises(ConfigError, match=r"has variants, name one: .*:mine"):
        load_recipe(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[paper]\nmax_lenght = 3", "no key 'max_lenght'. Did you mean 'max_length'"),
        ("[papers]\nseed = 3", "no key 'papers'. Did you mean 'paper'"),
        ("[paper]\nsettings.learning_rat = 3", "no key 'learning_rat'. Did you mean 'learning_rate'"),
        ("[paper]\nsettings.sft.epoch = 3", "no key 'epoch'. Did you mean 'epochs'"),
        ("[paper]\nsettings.epochs = -3", "epochs must be above 0"),
        ("[paper]\nsettings.epochs = [3]", "epochs must be a text, a number or true or false"),
        ("[paper]\nsettings.batch_size = 2.5", "must be a whole number"),
        ("[paper]\nsettings = 3", "settings must be a table"),
        ("[paper]\noptions.alpha = {a = 1}", "must be a text, a number"),
        ("[paper]\nseed = 1979-05-27", "must be a text, a number"),
        ("[paper]\nseed = 1\n[ours]\nseed = 2", r"seed is both in \[paper\] and in \[ours\]"),
        ("[about]\nsummery = 'x'", "no key 'summery'. Did you mean 'summary'"),
        ("[about]\nsummary = 3", "summary must be a text"),
        ("[about]\nnotes = 'x'", "notes must be a list"),
        ("[about]\nsequences = true", "sequences must be a whole number"),
        ("[about]\nsequences = 0", "sequences must be from 1 to 1024"),
        ("[variants]\na = 3", "variants.a must be a table"),
        ("[variants.a]\nextends = 'mle'", "no key 'extends'"),
        ("extends = 3", "extends must be a text"),
        ("paper = 3", "paper must be a table"),
        ("= 3", "not valid TOML"),
        ("a = " + "[" * 5000, "not valid TOML"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_recipe(write(tmp_path, text))


def test_values_that_only_the_run_can_judge(tmp_path: Path) -> None:
    base = "[config]\nmethod = 'sft'\nstudent = 'tiny'\n"
    for line, message in [
        ("seed = 'x'", "option 'seed' of recipe .* must be a whole number"),
        ("seed = true", "must be a whole number"),
        ("precision = 'fp8'", "must be one of auto, float32, bf16"),
        ("limit = 0", "limit must be above 0"),
    ]:
        recipe = load_recipe(write(tmp_path, f"{base}data = 'x'\n{line}\n"))
        with pytest.raises(ConfigError, match=message):
            apply(recipe, {})
    with pytest.raises(ConfigError, match="names no data: say --data FILE"):
        apply(load_recipe(write(tmp_path, base)), {})
    with pytest.raises(ConfigError, match=r"has no option 'sed'\. Did you mean 'seed'"):
        apply(load_recipe(write(tmp_path, base)), {"data": "x", "sed": 3})
    with pytest.raises(ConfigError, match=r"has no option 'setings\.epochs'"):
        apply(load_recipe(write(tmp_path, base)), {"data": "x", "setings.epochs": 3})


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown recipe 'thinkanser'\. Did you mean 'thinkanswer'"):
        load_recipe("thinkanser")
    with pytest.raises(UnknownName, match=r"unknown recipe '\.\./edit'"):
        load_recipe("../edit")
    with pytest.raises(UnknownName, match="unknown variant of recipe 'emo' 'qwen-9b-math'"):
        load_recipe("emo:qwen-9b-math")
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        load_recipe(str(tmp_path / "none.toml"))
    with pytest.raises(UnknownName, match="unknown architecture"):
        architecture("../mle")


def test_a_file_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="larger than 64 KiB"):
        load_recipe(write(tmp_path, "#" * (MAX_BYTES + 1)))
    path = tmp_path / "latin.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_recipe(str(path))
