"""Every packaged recipe can be shown and its memory estimated without student, data or network."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from backends import memory
from backends.memory import estimate, fits
from backends.recipe import apply, load_recipe, recipes
from backends.recipe_view import describe_recipe, value_lines, works

REPRESENTATIVES = ["cotd-po:ministral-8b", "edit", "emo:qwen-7b-math", "redi", "thinkanswer:qwen-1.5b-math"]
TOTALS: dict[str, list[float]] = {}
"""Of works that were estimated: half of the recipes have the sizes of another."""


@pytest.mark.parametrize("name", sorted(recipes()))
def test_a_recipe_can_be_planned(name: str) -> None:
    recipe = load_recipe(name)
    found = list(works(recipe, apply(recipe, {"data": "x"})))
    assert found
    for _, settings, work in found:
        assert work.rows >= recipe.sequences or work.rows == settings.micro_batch
        # One of the layers and a few tokens are enough to see that the passes run.
        small = dataclasses.replace(work, config=shallow(work.config), length=16)
        key = f"{small.config.to_json_string()} {dataclasses.replace(small, config=None)}"
        if key not in TOTALS:
            TOTALS[key] = [sum(estimate(small, 1, "none").values()), sum(estimate(small, 8, "whole").values())]
        assert min(TOTALS[key]) > 0


def test_another_student_has_its_own_sizes(tmp_path: Path) -> None:
    import transformers

    recipe = load_recipe("edit")
    transformers.LlamaConfig(num_hidden_layers=2, hidden_size=64).save_pretrained(tmp_path)
    own = list(works(recipe, apply(recipe, {"data": "x", "student": f"hf:{tmp_path}"})))
    assert [work.config.hidden_size for _, _, work in own] == [64, 64]
    assert not list(works(recipe, apply(recipe, {"data": "x", "student": "hf:owner/name"}))), "sizes are not known"


def test_what_the_command_line_changed_is_told_from_the_papers_values() -> None:
    changes = {"data": "x", "student": "tiny", "settings": {"key_steps.epochs": 3, "micro_batch": 2}}
    lines = value_lines(load_recipe("edit"), apply(load_recipe("edit"), changes))
    assert "given   settings.key_steps.epochs = 3 (code: 10.0)" in lines
    assert "given   student = tiny (paper: hf:meta-llama/Llama-2-7b-hf)" in lines
    assert "given   settings.micro_batch = 2" in lines and "code    settings.sft.epochs = 15.0" in lines
    everywhere = value_lines(load_recipe("edit"), apply(load_recipe("edit"), {"data": "x", "settings": {"epochs": 2}}))
    assert "given   settings.sft.epochs: as for all stages (code: 15.0)" in everywhere


@pytest.mark.parametrize("name", sorted(recipes()))
def test_nothing_of_an_unchanged_recipe_is_called_given(name: str) -> None:
    lines = value_lines(load_recipe(name), apply(load_recipe(name), {"data": "x"}))
    assert lines and not [line for line in lines if line.startswith("given")]


def shallow(config: object) -> object:
    config.num_hidden_layers = 1  # type: ignore[attr-defined]
    if getattr(config, "layer_types", None):
        config.layer_types = config.layer_types[:1]  # type: ignore[attr-defined]
    return config


@pytest.fixture
def simulated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that is asked for twice is simulated once."""
    simulate, found = memory._simulate, {}

    def once(work: memory.Work, *mode: bool) -> object:
        key = f"{work.config.to_json_string()} {dataclasses.replace(work, config=None)} {mode}"
        if key not in found:
            found[key] = simulate(work, *mode)
        return found[key]

    monkeypatch.setattr(memory, "_simulate", once)


@pytest.mark.slow
@pytest.mark.usefixtures("simulated_once")
@pytest.mark.parametrize("name", REPRESENTATIVES)
def test_the_view_of_a_recipe(name: str) -> None:
    recipe = load_recipe(name)
    config = apply(recipe, {"data": "x"})
    text = "\n".join(describe_recipe(recipe, config))
    print(text)
    for key, source in recipe.sources.items():
        assert f"{source:8}{key} = {recipe.values[key]}" in text
    for _, _, work in works(recipe, config):
        assert fits(estimate(work, 8, "whole")), "every paper's setting fits eight GPUs of 80 GB"


def test_where_the_student_writes_its_keys_and_values_are_estimated(tmp_path: Path) -> None:
    sizes = {"model_type": "llama", "vocab_size": 259, "hidden_size": 32, "intermediate_size": 64}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(sizes), encoding="utf-8")
    recipe = load_recipe("rlkd:zero")
    lines = describe_recipe(recipe, apply(recipe, {"data": "x", "student": f"hf:{tmp_path}", "max_length": 2**20}))
    # 32 completions x 2**20 tokens x (keys, values) x 2 layers x 2 heads of 8 numbers x 2 bytes = 4 GiB.
    assert any("drawing before it: the weights, and 4.0 GiB" in line for line in lines)
