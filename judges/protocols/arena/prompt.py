"""The official judge prompt of Arena-Hard, read from a copy of its repository on the user's own disk.

The text is its authors' and is not part of this project. Two layouts are known: a configuration in YAML with
`system_prompt` and `prompt_template` (v0.1), and a configuration with the template alone, beside `utils/judge_utils.py`
which has one system prompt per category (v2). Python is only parsed, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path

from harness.errors import ConfigError, MissingExtra
from harness.hashing import short_hash
from harness.models.base import import_extra
from judges.prompts.official import OfficialPrompt, cut

_MAX_BYTES = 256 * 1024
_FIELDS = {"QUESTION": "question", "ANSWER_A": "first", "ANSWER_B": "second"} | {
    "question_1": "question",
    "answer_1": "first",
    "answer_2": "second",
}
_FIELD = re.compile(r"\{(" + "|".join(_FIELDS) + r")\}")
_SETTINGS = "JUDGE_SETTINGS"
_NEEDED = {"question", "first", "second"}


Prompts = Mapping[str, OfficialPrompt]
"""By category; "" is for every category that is not named. All have one id, that of their texts together."""


def find_prompt(folder: Path | None, names: tuple[str, ...]) -> Prompts | None:
    """The official prompt in a data folder, its `config` folder, or the `config` folder beside it; None without one.

    A data folder that is the `data` folder of a copy of the official repository is therefore enough. A file that holds
    only a part of the prompt, or that needs a YAML reader which is not installed, is passed over.
    """
    if folder is None:
        return None
    for place in (folder, folder / "config", folder.parent / "config"):
        for name in names:
            if (place / name).is_file():
                try:
                    return read_prompt(place / name)
                except (ConfigError, MissingExtra):
                    continue
    return None


def read_prompt(path: Path) -> Prompts:
    """The prompt of one configuration file. Raises `ConfigError` saying what it lacks, `MissingExtra` without YAML."""
    yaml = import_extra("yaml", "reading Arena-Hard's own configuration", "judge")
    try:
        config = yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML ({str(error).splitlines()[0]})") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path}: not a configuration of Arena-Hard")
    template = config.get("prompt_template")
    if isinstance(template, list) and len(template) == 1:
        template = template[0]
    found = set(_FIELD.findall(template)) if isinstance(template, str) else set()
    if not isinstance(template, str) or {_FIELDS[name] for name in found} != _NEEDED:
        raise ConfigError(f"{path}: 'prompt_template' must be one text with fields for the question and both answers")
    system = config.get("system_prompt")
    if isinstance(system, str) and system.strip():
        return _prompts(path.name, {"": system}, template)
    beside = path.parent.parent / "utils" / "judge_utils.py"
    if not beside.is_file():
        raise ConfigError(
            f"{path} has no 'system_prompt', and {beside} is not there: name a complete copy of the official repository"
        )
    return _prompts(path.name, _systems(beside), template)


def _prompts(source: str, systems: Mapping[str, str], template: str) -> Prompts:
    texts = "\n".join([template, *(f"{category}\n{text}" for category, text in sorted(systems.items()))])
    name = f"official:{source}#{short_hash(texts, 12)}"
    user = tuple((text, _FIELDS[field] if field is not None else None) for text, field in cut(template, _FIELD))
    return {
        category: OfficialPrompt(name, (("system", ((system, None),)), ("user", user)))
        for category, system in systems.items()
    }


def _systems(path: Path) -> dict[str, str]:
    """Category -> system prompt, from the settings of a Python file that is parsed and not run."""
    try:
        tree = ast.parse(_read(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid Python ({error})") from error
    texts: dict[str, str] = {}
    settings: ast.expr | None = None
    for node in tree.body:
        if not isinstance(node, ast.Assign) or not isinstance(node.targets[0], ast.Name):
            continue
        name, value = node.targets[0].id, node.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            texts[name] = value.value
        elif name == _SETTINGS:
            settings = value
    if not isinstance(settings, ast.Dict):
        raise ConfigError(f"{path}: no table {_SETTINGS}")
    found = {}
    for key, entry in zip(settings.keys, settings.values, strict=True):
        text = _entry(entry, "system_prompt", texts)
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and text is not None:
            found[key.value] = text
    if not found:
        raise ConfigError(f"{path}: {_SETTINGS} names no system prompt")
    return found


def _entry(node: ast.expr, wanted: str, texts: Mapping[str, str]) -> str | None:
    """The text under a key of a dict display, written out or by name."""
    if not isinstance(node, ast.Dict):
        return None
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == wanted:
            if isinstance(value, ast.Name):
                return texts.get(value.id)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    return None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise ConfigError(f"{path}: larger than {_MAX_BYTES // 1024} KiB: this is no prompt")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8") from error
