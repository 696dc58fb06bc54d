"""Layers of settings: the later wins, the unknown is refused with a suggestion."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import JudgeConfig, RunConfig, resolve, validate, validate_settings
from harness.errors import ConfigError


def test_layers_in_order(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'suite = ["aime", "gpqa:8"]\nn = 4\ntop_p = 0.9\n[model_options]\ndtype = "float32"\nbatch_size = 8\n'
    )
    config = resolve(file, ["n=8", "model_options.dtype=bfloat16"], {"n": 16, "model": ("mock:gold",), "limit": None})
    assert config == RunConfig(
        suite=("aime", "gpqa:8"),
        model=("mock:gold",),
        n=16,
        top_p=0.9,
        model_options={"dtype": "bfloat16", "batch_size": "8"},
    )


def test_the_environment_is_the_weakest_source(tmp_path: Path) -> None:
    variables = {"results_dir": "from-environment"}
    assert resolve(None, [], {}, variables).results_dir == "from-environment"
    assert resolve(None, ["results_dir=from-set"], {}, variables).results_dir == "from-set"
    file = tmp_path / "run.toml"
    file.write_text('results_dir = "from-file"\n')
    assert resolve(file, [], {}, variables).results_dir == "from-file"


def test_a_zero_is_a_value() -> None:
    config = resolve(None, [], {"temperature": 0.0, "seed": 0, "max_failures": 0.0})
    assert config.temperature == 0.0
    assert config.max_failures == 0.0


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("temprature=1", "Did you mean 'temperature'"),
        ("n", "not of the form"),
        ("n=many", "is not an int"),
        ("n=1.5", "is not an int"),
        ("top_p=high", "is not a float"),
        ("model_options=1", "is a table"),
        ("sampling.n=1", "unknown setting 'sampling'"),
    ],
)
def test_bad_assignments(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(None, [assignment], {})


def test_bad_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        resolve(tmp_path / "absent.toml", [], {})
    broken = tmp_path / "broken.toml"
    for text in ("n = = 1", f"seed = {'9' * 5000}", f"suite = {'[' * 5000}"):
        broken.write_text(text)
        with pytest.raises(ConfigError, match="not valid TOML"):
            resolve(broken, [], {})
    typed = tmp_path / "typed.toml"
    typed.write_text("n = true\n")
    with pytest.raises(ConfigError, match="is not an int"):
        resolve(typed, [], {})


@pytest.mark.parametrize(
    "changes",
    [
        {"n": 0},
        {"limit": 0},
        {"temperature": -0.1},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"max_failures": 2.0},
        {"seed": -1},
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="out of range"):
        validate(RunConfig(suite=("synth",), model=("mock:gold",), **changes))  # type: ignore[arg-type]


def test_a_run_needs_a_suite_and_a_model() -> None:
    with pytest.raises(ConfigError, match="no suite"):
        validate(RunConfig(model=("mock:gold",)))
    with pytest.raises(ConfigError, match="no model"):
        validate(RunConfig(suite=("synth",)))


def test_an_empty_folder_or_a_model_named_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="results_dir is empty"):
        validate(RunConfig(suite=("synth",), model=("mock:gold",), results_dir=" "))
    with pytest.raises(ConfigError, match="'mock:gold' is named twice"):
        validate(RunConfig(suite=("synth",), model=("mock:gold", "mock:wrong", "mock:gold")))


def test_a_key_in_place_of_a_model_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "abcdef-marker-123456")
    with pytest.raises(ConfigError, match="looks like a secret") as caught:
        validate(RunConfig(suite=("synth",), model=("openai:abcdef-marker-123456",)))
    assert "marker" not in str(caught.value)


def test_the_keys_of_judging_stand_beside_those_of_the_run(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text(
        'judge = ["openai:a", "openai:b"]\nrubric = "cot_math"\njudging = "arena_hard"\njudge_temperature = 1\n'
        'samples = 2\nallow_self = true\n[judge_options]\nretries = 3\n"openai:a:base_url" = "http://a/v1"\n'
    )
    config = resolve(file, ["judge_options.seed=1", "orders=random", "repeats=2"], {"aggregate": "median"})
    assert config == RunConfig(
        judge=JudgeConfig(
            names=("openai:a", "openai:b"),
            options={"retries": "3", "openai:a:base_url": "http://a/v1", "seed": "1"},
            rubric="cot_math",
            protocol="arena_hard",
            temperature=1.0,
            samples=2,
            allow_self=True,
            orders="random",
            repeats=2,
            aggregate="median",
        )
    )
    with pytest.raises(ConfigError, match=r"judge_temperature = 11.0 is out of range: 0 to 10"):
        validate_settings(resolve(None, ["judge_temperature=11"], {}))


@pytest.mark.parametrize(
    ("key", "choices"),
    [("prompt", "auto, own, official"), ("orders", "both, random"), ("aggregate", "mean, median, majority")],
)
def test_a_choice_that_does_not_exist_is_answered_with_those_that_do(key: str, choices: str) -> None:
    with pytest.raises(ConfigError, match=f"{key} = 'else': choose from {choices}"):
        resolve(None, [f"{key}=else"], {})


def test_each_of_several_models_may_have_its_own_options() -> None:
    options = {"dtype": "float32", "hf:a:dtype": "bfloat16", "hf:a:b:batch_size": "2"}
    config = RunConfig(suite=("synth",), model=("hf:a", "hf:a:b"), model_options=options)
    validate(config)
    assert config.options_of("hf:a") == {"dtype": "bfloat16"}
    assert config.options_of("hf:a:b") == {"dtype": "float32", "batch_size": "2"}
    with pytest.raises(ConfigError, match=r"--model-arg hf:c:dtype=…: no model is named 'hf:c'"):
        validate(RunConfig(suite=("synth",), model=("hf:a",), model_options={"hf:c:dtype": "float32"}))
