"""What a recipe is, for a reader: its paper, each value with its source, and the memory that each stage needs.

Nothing is loaded: student and data may be out of reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from backends.base import Stage, TrainMethod, load_method
from backends.config import Settings, TrainConfig, micro_batches
from backends.memory import GIB, Work, model_config, table
from backends.recipe import TrainRecipe, architecture
from backends.rollouts.settings import rollout_settings
from harness.options import parse_options, to_text


def describe_recipe(recipe: TrainRecipe, config: TrainConfig) -> list[str]:
    """Lines of text; `config` is the recipe's run with whatever was changed.

    Raises what a run with this config would raise before it looks for the student.
    """
    named = [
        ("paper", recipe.paper),
        ("reports", recipe.table),
        ("hardware", recipe.hardware),
        ("data", recipe.data),
        ("revision", recipe.revision),
    ]
    lines = [f"recipe {recipe.name}: {recipe.summary}"]
    lines += [f"  {name:10}{text}" for name, text in named if text]
    lines += [f"  note      {note}" for note in recipe.notes]
    lines += ["", "values and where they come from:"]
    lines += [f"  {line}" for line in value_lines(recipe, config)]
    if _sizes(recipe, config) is None:
        lines += [
            "",
            f"memory: no estimate, {config.student} is neither the recipe's student nor a folder with a config",
        ]
    for stage, settings, work in works(recipe, config):
        lines += ["", f"memory of stage {stage.name}, GiB per device at the peak, for {work.rows} sequences of"]
        lines[-1] += f" {work.length} tokens at a time (micro_batch {_micro(settings)}):"
        lines += [f"  {line}" for line in table(work)]
        if stage.rolling is not None:
            lines.append(f"  {_drawn(config, stage, settings, work)}")
    return lines


def _drawn(config: TrainConfig, stage: Stage, settings: Settings, work: Work) -> str:
    """What drawing needs of a device; nothing of it is there during the pass."""
    from harness.models.hf_load import cached_numbers, default_rows

    assert stage.rolling is not None
    how = rollout_settings(stage.rolling.settings, config.rollout, stage.name)
    rows = min(settings.batch_size * how.updates, default_rows("cuda"))
    size = rows * work.length * cached_numbers(work.config.get_text_config()) * (2 if work.bf16 else 4)
    return (
        f"drawing before it: the weights, and {size / GIB:.1f} GiB of keys and values for {rows} completions at a time "
        f"of {work.length} tokens with their prompts; with less room fewer are decoded at a time"
    )


def value_lines(recipe: TrainRecipe, config: TrainConfig) -> list[str]:
    """Each value with its source; what `config` has in place of a recipe's value, or beside them, is "given"."""
    now: dict[str, object] = {key: getattr(config, key) for key in recipe.values if hasattr(config, key)}
    for part, values in _parts(config):
        now |= {f"{part}.{key}": value for key, value in values.items()}
    lines = []
    for key, source in recipe.sources.items():
        if key in now and str(now[key]) in (str(recipe.values[key]), to_text(recipe.values[key])):
            lines.append(f"{source:8}{key} = {recipe.values[key]}")
        else:
            value = f"{key} = {now[key]}" if key in now else f"{key}: as for all stages"
            lines.append(f"{'given':8}{value} ({source}: {recipe.values[key]})")
    return lines + [f"{'given':8}{key} = {value}" for key, value in now.items() if key not in recipe.values]


def _parts(config: TrainConfig) -> Iterator[tuple[str, Mapping[str, object]]]:
    for part in ("options", "settings", "rollout", "reward"):
        yield part, getattr(config, part)


def works(recipe: TrainRecipe, config: TrainConfig) -> Iterator[tuple[Stage, Settings, Work]]:
    """Each stage with its settings and what a device does at a time; nothing where the student's sizes are unknown."""
    sizes = _sizes(recipe, config)
    method = load_method(config.method)
    options: Any = parse_options(method.options, config.options, config.method)
    stages = method.stages(options) if isinstance(method, TrainMethod) else ()
    names = tuple(stage.name for stage in stages)
    for stage in stages:
        settings = config.stage_settings(stage.name, names, stage.settings)
        if sizes is None:
            continue
        # Stages of plain SFT that come before others read one response each.
        sequences = 1 if stage.name == "sft" else recipe.sequences
        yield (
            stage,
            settings,
            Work(
                sizes,
                rows=_micro(settings) * sequences,
                length=config.max_length,
                settings=settings,
                bf16=config.precision != "float32",
                checkpointing=config.gradient_checkpointing,
                accumulates=settings.batch_size > _micro(settings),
            ),
        )


def _sizes(recipe: TrainRecipe, config: TrainConfig) -> Any:
    """The transformers config of the student: its folder's if it is not the recipe's own."""
    if config.student == recipe.values.get("student"):
        return model_config(architecture(recipe.architecture)) if recipe.architecture else None
    folder = Path(config.student.removeprefix("hf:")).expanduser()
    if not (folder / "config.json").is_file():
        return None
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(str(folder))


def _micro(settings: Settings) -> int:
    return micro_batches(settings, 1)[0]
