"""Recipes: files that hold everything a training run is told, each value with where it comes from.

    recipe = load_recipe("thinkanswer:qwen-7b-math")     # a packaged one, or "my.toml", "my.toml:variant"
    config = apply(recipe, {"data": "train.jsonl", "settings": {"epochs": 1}})

A file has a table `[about]` and any of four tables of values, named after their source: `[paper]`, `[code]` (the
authors' published code), `[ours]`, and `[config]` where it does not matter. Their keys are the fields of `TrainConfig`;
`settings.learning_rate`, `settings.<stage>.learning_rate`, `options.<option>`, `rollout.<setting>`,
`rollout.<stage>.<setting>` and `reward.<reward>.<option>` go deeper.
`[variants.<name>]` holds such tables again, which win; `extends` names a packaged recipe to start from. Files are
untrusted: their size is bounded, and an unknown key, a wrong type or a value that is given twice is an error.
"""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeAlias, cast, get_type_hints

from backends.config import Settings, TrainConfig, settings_from
from backends.rollouts.settings import rollout_settings
from harness.errors import ConfigError, UnknownName, did_you_mean
from harness.options import parse_options, to_text
from harness.types import Json

FOLDER = Path(__file__).parent / "recipes"
MAX_BYTES = 64 * 1024
"""Of a recipe file."""
MAX_EXTENDS = 4
SOURCES = ("paper", "code", "ours", "config")
_NESTED = ("options", "settings", "rollout", "reward")


@dataclass(frozen=True)
class TrainRecipe:
    """A recipe as it was read; what it says of itself ([about]) decides nothing."""

    name: str
    values: Mapping[str, Json]
    """"method", "max_length", "settings.learning_rate", "settings.krsl.epochs", "options.alpha", … -> value."""
    sources: Mapping[str, str]
    """The same keys -> one of `SOURCES`."""
    summary: str = ""
    paper: str = ""
    """Authors, title, year, arXiv id."""
    table: str = ""
    """What the paper reports for this setting, and where."""
    hardware: str = ""
    """What the paper trained on."""
    data: str = ""
    """Which records the recipe wants and how they are made; the value of `data` itself is the user's."""
    revision: str = ""
    """Commit of the student on the hub that the recipe was written for."""
    architecture: str = ""
    """Name of the student's sizes (`architecture`), for a memory estimate without its weights."""
    sequences: int = 1
    """Sequences per example: 2 with pairs, K with candidates. For the memory estimate."""
    notes: tuple[str, ...] = ()


ABOUT = tuple(item.name for item in dataclasses.fields(TrainRecipe) if item.name not in ("name", "values", "sources"))
"""Keys of [about]."""


def recipes(file: str | None = None) -> dict[str, str]:
    """The packaged recipes, or those of the file of that name, each variant by itself: name -> summary."""
    return {recipe.name: recipe.summary for recipe in _packaged(file)}


def load_recipe(name: str) -> TrainRecipe:
    """A packaged recipe "name" or "name:variant", or a file "path.toml" or "path.toml:variant".

    Raises `UnknownName` for a name or a variant that does not exist, `ConfigError` for a file that cannot be read or
    does not fit, and for a recipe with variants of which none is named.
    """
    stem, suffix, rest = name.partition(".toml")
    if suffix and rest[:1] in ("", ":"):
        path, variant = Path(stem + suffix), rest[1:]
    else:
        known, _, variant = name.partition(":")
        path = _packaged_path(known)
    layers, variants = _layers(path, variant)
    if variants and not variant:
        raise ConfigError(f"recipe {name!r} has variants, name one: {', '.join(f'{name}:{v}' for v in variants)}")
    return _merge(name, layers)


def apply(recipe: TrainRecipe, changes: Mapping[str, object]) -> TrainConfig:
    """The recipe's run with changes: fields of `TrainConfig`; `options` and `settings` are added to, not replaced.

    Strings are converted to a field's type; None is "not given". A setting for all stages takes the place of the
    recipe's settings of that name for single stages. Raises `ConfigError` for an unknown field, a bad value or no data.
    """
    values = dict(recipe.values)
    for key, value in changes.items():
        if value is None:
            continue
        if key in _NESTED:
            for name, item in mapping(value, f"recipe {recipe.name!r}: {key}").items():
                if key in ("settings", "rollout") and "." not in name:
                    values = {k: v for k, v in values.items() if not _is_stage_setting(k, key, name)}
                values[f"{key}.{name}"] = cast(Json, item)
        else:
            values[key] = cast(Json, value)
    if not values.get("data"):
        hint = f" Its records: {recipe.data}" if recipe.data else ""
        raise ConfigError(f"recipe {recipe.name!r} names no data: say --data FILE.{hint}")
    nested = {part: _part(values, part) for part in _NESTED}
    plain = {key: value for key, value in values.items() if key.partition(".")[0] not in _NESTED}
    run: Any = parse_options(_flat_config(), plain, f"recipe {recipe.name!r}")
    options, reward = ({key: to_text(value) for key, value in nested[part].items()} for part in ("options", "reward"))
    return TrainConfig(
        **vars(run), options=options, reward=reward, settings=nested["settings"], rollout=nested["rollout"]
    )


def architecture(name: str) -> dict[str, Any]:
    """The sizes of a published model, as keyword arguments of a transformers config with "model_type".

    Raises `UnknownName`.
    """
    import json

    path = FOLDER / "architectures" / f"{name}.json"
    known = [file.stem for file in path.parent.glob("*.json")]
    if name not in known:
        raise UnknownName("architecture", name, known)
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
    return found


# --- reading ----------------------------------------------------------------------------------------------------------


_Layer: TypeAlias = tuple[Mapping[str, Any], Mapping[str, tuple[Json, str]]]
"""One file's general tables, or one variant's: what is in [about], and key -> (value, source)."""


def _packaged(file: str | None) -> Iterator[TrainRecipe]:
    for path in sorted(path for path in FOLDER.glob("*.toml") if file in (None, path.stem)):
        layers, variants = _layers(path, "")
        if not variants:
            yield _merge(path.stem, layers)
        for variant in variants:
            yield _merge(f"{path.stem}:{variant}", _layers(path, variant)[0])


def packaged_files(folder: Path, what: str, name: str) -> Path:
    """The packaged file of that name. Raises `UnknownName`."""
    known = {path.stem: path for path in folder.glob("*.toml")}
    if name not in known:
        raise UnknownName(what, name, known)
    return known[name]


def _packaged_path(name: str) -> Path:
    return packaged_files(FOLDER, "recipe", name)


def _layers(path: Path, variant: str, depth: int = 0) -> tuple[list[_Layer], list[str]]:
    """The layers of a file, the weakest first, and the names of its variants."""
    if depth > MAX_EXTENDS:
        raise ConfigError(f"{path}: more than {MAX_EXTENDS} recipes extend one another")
    tables = read_toml(path)
    check_keys(tables, ("extends", "variants", "about", *SOURCES), str(path))
    below: list[_Layer] = []
    names: list[str] = []
    if "extends" in tables:
        parent = typed(tables["extends"], str, f"{path}: extends")
        if variant and variant not in _layers(_packaged_path(parent), "", depth + 1)[1]:
            below, names = _layers(_packaged_path(parent), "", depth + 1)
        else:
            below, names = _layers(_packaged_path(parent), variant, depth + 1)
    own = mapping(tables.get("variants", {}), f"{path}: variants")
    variants = [*names, *(name for name in own if name not in names)]
    if variant and variant not in variants:
        raise UnknownName(f"variant of recipe {path.stem!r}", variant, variants)
    layers = [*below, _layer({k: v for k, v in tables.items() if k not in ("extends", "variants")}, str(path))]
    for name, table in own.items():
        where = f"{path}: variants.{name}"
        found = _layer(mapping(table, where), where)  # all are checked, whichever is wanted
        if name == variant:
            layers.append(found)
    return layers, variants


def _merge(name: str, layers: list[_Layer]) -> TrainRecipe:
    about: dict[str, Any] = {}
    values: dict[str, tuple[Json, str]] = {}
    for told, found in layers:
        about |= told
        values |= found
    return TrainRecipe(
        name,
        {key: value for key, (value, _) in values.items()},
        {key: source for key, (_, source) in values.items()},
        **about,
    )


def read_toml(path: Path) -> dict[str, Any]:
    """A small TOML file. Raises `ConfigError` for one that cannot be read, is large, or is no TOML."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{path} is no recipe: it is larger than {MAX_BYTES // 1024} KiB")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # wrong syntax, no UTF-8, a number of 5,000 digits, deep nesting
        raise ConfigError(f"{path} is not valid TOML: {error}") from None


def _layer(tables: Mapping[str, Any], where: str) -> _Layer:
    check_keys(tables, ("about", *SOURCES), where)
    values: dict[str, tuple[Json, str]] = {}
    for source in SOURCES:
        table = mapping(tables.get(source, {}), f"{where}: {source}")
        for key, value in _flat(table, f"{where}: {source}"):
            if key in values:
                raise ConfigError(f"{where}: {key} is both in [{values[key][1]}] and in [{source}]")
            values[key] = value, source
    return _about(mapping(tables.get("about", {}), f"{where}: about"), where), values


def _about(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    check_keys(table, ABOUT, f"{where}: about")
    found: dict[str, Any] = {}
    for key, value in table.items():
        place = f"{where}: about.{key}"
        if key == "notes":
            found[key] = tuple(typed(note, str, place) for note in typed(value, list, place))
        elif key == "sequences":
            if not 1 <= typed(value, int, place) <= 1024:
                raise ConfigError(f"{place} must be from 1 to 1024, not {value}")
            found[key] = value
        else:
            found[key] = typed(value, str, place)
    return found


def _flat(table: Mapping[str, Any], where: str) -> Iterator[tuple[str, Json]]:
    """The values of one source, with dotted keys; checks keys and that every value is plain."""
    check_keys(table, tuple(item.name for item in dataclasses.fields(TrainConfig)), where)
    for key, value in table.items():
        if key == "options":
            for name, item in mapping(value, f"{where}.options").items():
                yield f"options.{name}", _plain(item, f"{where}.options.{name}")
        elif key == "rollout":
            for name, item in mapping(value, where).items():
                own = item if isinstance(item, Mapping) else {name: item}
                prefix = f"rollout.{name}." if isinstance(item, Mapping) else "rollout."
                table = {key: _plain(one, f"{where}.{prefix}{key}") for key, one in own.items()}
                _checked(partial(rollout_settings, {}, table), f"{where}.rollout")
                yield from ((f"{prefix}{key}", one) for key, one in table.items())
        elif key == "reward":
            for name, options in mapping(value, f"{where}.reward").items():
                for option, item in mapping(options, f"{where}.reward.{name}").items():
                    yield f"reward.{name}.{option}", _plain(item, f"{where}.reward.{name}.{option}")
        elif key == "settings":
            for name, item in mapping(value, f"{where}.settings").items():
                if isinstance(item, Mapping):
                    yield from _settings(item, f"settings.{name}.", f"{where}.settings.{name}")
                else:
                    yield from _settings({name: item}, "settings.", f"{where}.settings")
        else:
            yield key, _plain(value, f"{where}.{key}")


def _settings(table: Mapping[str, Any], prefix: str, where: str) -> Iterator[tuple[str, Json]]:
    check_keys(table, tuple(item.name for item in dataclasses.fields(Settings)), where)
    for name, value in table.items():
        plain = _plain(value, f"{where}.{name}")
        _checked(partial(settings_from, {name: plain}), where)
        yield f"{prefix}{name}", plain


def _checked(make: Callable[[], object], where: str) -> None:
    try:
        make()
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


# --- small checks -----------------------------------------------------------------------------------------------------


def check_keys(table: Mapping[str, Any], known: tuple[str, ...], where: str) -> None:
    """Raises `ConfigError` for a key that is not known, with the nearest one."""
    for key in table:
        if key not in known:
            raise ConfigError(f"{where} has no key {key!r}.{did_you_mean(key, known)} Keys: {', '.join(known)}")


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """The value, which must be a table; raises `ConfigError`."""
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where} must be a table, not {value!r}")
    return value


def typed(value: Any, kind: type, where: str) -> Any:
    """The value, which must be of a type (true is no number); raises `ConfigError`."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        words = {str: "a text", int: "a whole number", list: "a list"}
        raise ConfigError(f"{where} must be {words[kind]}, not {value!r}")
    return value


def _plain(value: object, where: str) -> Json:
    if not isinstance(value, str | int | float | bool):
        raise ConfigError(f"{where} must be a text, a number or true or false, not {value!r}")
    return value


@cache
def _flat_config() -> type:
    """`TrainConfig` without its mappings, which `parse_options` takes."""
    hints = get_type_hints(TrainConfig, localns={"Json": object})  # the recursive alias cannot be evaluated
    flat = [item for item in dataclasses.fields(TrainConfig) if item.name not in _NESTED]
    parts = [(item.name, hints[item.name], field(default=item.default)) for item in flat]
    return dataclasses.make_dataclass("FlatConfig", parts)


def _part(values: Mapping[str, Json], part: str) -> dict[str, Json]:
    return {key.removeprefix(f"{part}."): value for key, value in values.items() if key.startswith(f"{part}.")}


def _is_stage_setting(key: str, part: str, name: str) -> bool:
    return key.startswith(f"{part}.") and key.count(".") == 2 and key.rpartition(".")[2] == name
