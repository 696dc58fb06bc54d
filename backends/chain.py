"""Chains: recipes of several steps, each one a command with inputs and outputs that have names.

    [about]
    summary = "dual chains of a teacher, then KRSL"
    [inputs]                       # what the user gives: name = default, "" for one that must be given
    student = "tiny"
    teacher = ""
    limit = "-"                    # left out unless given: an option that is nothing but {limit} is not passed
    [[steps]]
    name = "traces"
    data = "traces"                # `harness data traces`; its file is {traces}, a further set {traces.unsolved}
    options = { teacher = "{teacher}", suite = "synth_easy", n = 4, limit = "{limit}" }
    [[steps]]
    name = "dual"
    data = "dual"
    inputs = ["{traces}", "{traces.unsolved}"]
    options = { teacher = "{teacher}" }
    [[steps]]
    name = "pupil"
    train = "krsl"                 # a method; `recipe = "edit"` in its place; `merge = "merge"` makes a model of models
    options = { student = "{student}", data = "{dual}" }
    settings = { epochs = 3 }      # --set
    [[steps]]
    name = "score"
    evaluate = ["synth_easy"]
    models = ["{student}", "{pupil}"]

`[rounds]` repeats steps that stand together: `count = 5`, `steps = ["sample", "train"]`, `carry = { pupil = "train" }`:
what they call {pupil} is the input of that name in the first round, and the last round's output of "train" in the next.
Behind the block the plain names are the last round's outputs, {sample@2} is the second's, and {pupil} the input again.
Files are untrusted, as recipes are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from backends.recipe import FOLDER, check_keys, mapping, packaged_files, read_toml, typed
from harness import catalog
from harness.errors import ConfigError, UnknownName

StepKind: TypeAlias = Literal["data", "train", "recipe", "merge", "evaluate"]
KINDS: tuple[StepKind, ...] = ("data", "train", "recipe", "merge", "evaluate")
CHAINS = FOLDER / "chains"
MAX_STEPS = 200
"""After rounds are written out."""
_KEYS = ("name", *KINDS, "inputs", "options", "settings", "models")
OWN_OPTIONS = ("help", "out", "results_dir", "dry_run", "json", "format", "quiet", "force", "probe")
"""Options of its commands that are the chain's own affair."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
LEFT_OUT = "-"
"""Value of an input that nobody gave."""
REFERENCE = re.compile(r"\{([a-z][a-z0-9_@]{0,60})(?:\.([a-z0-9_]{1,40}))?\}")
"""{step}, or {step.set} of a step that makes data; with rounds written out {step@2}."""
_Value: TypeAlias = "str | int | float | bool | tuple[str, ...]"


@dataclass(frozen=True)
class RecipeStep:
    """One command."""

    name: str
    kind: StepKind
    what: str
    """Maker, method or recipe; of an evaluation its suites, with commas."""
    inputs: tuple[str, ...] = ()
    """Of data: files. Of an evaluation: models."""
    options: Mapping[str, _Value] | None = None
    settings: Mapping[str, _Value] | None = None
    """What `--set` says."""

    def texts(self) -> Iterator[str]:
        """Every text that may refer to something."""
        yield from (self.what, *self.inputs)
        for table in (self.options, self.settings):
            for value in (table or {}).values():
                yield from (value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ())

    def needs(self) -> list[tuple[str, str]]:
        """(name, set) of what it refers to, each once, in order; the set is empty for a step's own output."""
        return list(dict.fromkeys((one, part or "") for text in self.texts() for one, part in REFERENCE.findall(text)))


@dataclass(frozen=True)
class ChainRecipe:
    """A chain as it was read, its rounds written out."""

    name: str
    steps: tuple[RecipeStep, ...]
    inputs: Mapping[str, str]
    """Name -> default; "" must be given."""
    about: Mapping[str, str]


def chains() -> dict[str, str]:
    """The packaged chains: name -> summary."""
    return {path.stem: load_chain(path.stem).about.get("summary", "") for path in sorted(CHAINS.glob("*.toml"))}


def load_chain(name: str) -> ChainRecipe:
    """A packaged chain, or a file "path.toml".

    Raises `UnknownName`, and `ConfigError` for a file that is none: an unknown key or kind, a name given twice, a
    reference to what no earlier step makes.
    """
    path = Path(name) if name.endswith(".toml") else packaged_files(CHAINS, "chain", name)
    tables = read_toml(path)
    check_keys(tables, ("about", "inputs", "steps", "rounds"), str(path))
    about = mapping(tables.get("about", {}), f"{path}: about")
    check_keys(about, ("summary", "paper", "notes"), f"{path}: about")
    inputs = mapping(tables.get("inputs", {}), f"{path}: inputs")
    given = {_name(key, f"{path}: inputs"): typed(value, str, f"{path}: inputs.{key}") for key, value in inputs.items()}
    listed = typed(tables.get("steps", []), list, f"{path}: steps")
    if not listed:
        raise ConfigError(f"{path} is no chain: it has no [[steps]]")
    steps = [_step(mapping(one, f"{path}: step {n}"), f"{path}: step {n}") for n, one in enumerate(listed, 1)]
    _refuse_twice([*given, *(step.name for step in steps)], str(path))
    rounds = tables.get("rounds")
    if rounds is not None:
        steps = _written_out(steps, mapping(rounds, f"{path}: rounds"), given, f"{path}: rounds")
    if len(steps) > MAX_STEPS:
        raise ConfigError(f"{path}: {len(steps)} steps are too many, at most {MAX_STEPS}")
    _check_references(steps, given, str(path))
    return ChainRecipe(
        path.stem, tuple(steps), given, {key: typed(text, str, f"{path}: about") for key, text in about.items()}
    )


def filled(chain: ChainRecipe, given: Mapping[str, str]) -> ChainRecipe:
    """The chain with the user's inputs. Raises `ConfigError` for one that it does not have, or that is missing."""
    for name in given:
        if name not in chain.inputs:
            raise UnknownName(f"input of chain {chain.name!r}", name, chain.inputs)
    inputs = {**chain.inputs, **given}
    needed = {name for step in chain.steps for name, _ in step.needs()}
    if missing := [name for name, value in inputs.items() if not value and name in needed]:
        raise ConfigError(f"chain {chain.name} needs {', '.join(f'--set {name}=…' for name in missing)}")
    return replace(chain, inputs=inputs)


def _name(text: str, where: str) -> str:
    if not _NAME.fullmatch(text):
        raise ConfigError(f"{where}: {text!r} is no name: small letters, digits and underscores, a letter first")
    return text


def _refuse_twice(names: Sequence[str], where: str) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(f"{where}: the name {twice[0]!r} is given twice")


def _step(table: Mapping[str, Any], where: str) -> RecipeStep:
    check_keys(table, _KEYS, where)
    kinds = [kind for kind in KINDS if kind in table]
    if len(kinds) != 1:
        raise ConfigError(f"{where} must say one of {', '.join(KINDS)}, it says {' and '.join(kinds) or 'none'}")
    (kind,) = kinds
    name = _name(typed(table.get("name", ""), str, f"{where}: name"), where)
    idle = {"data": ("models", "settings"), "evaluate": ("inputs", "settings")}.get(kind, ("models", "inputs"))
    if strange := [key for key in idle if key in table]:
        raise ConfigError(f"{where} ({name}) is a step of {kind}, which has no {strange[0]!r}")
    if kind == "evaluate":
        what = ",".join(_texts(table[kind], f"{where}: evaluate"))
        inputs = _texts(table.get("models", []), f"{where}: models")
        if not what or not inputs:
            raise ConfigError(f"{where} ({name}) evaluates nothing: it needs suites and models")
    else:
        what, inputs = typed(table[kind], str, f"{where}: {kind}"), _texts(table.get("inputs", []), f"{where}: inputs")
    for word in inputs:
        if word.startswith("-"):
            raise ConfigError(f"{where} ({name}): the input {word!r} is no file and no model: options have a table")
    options, settings = (_table(table.get(key, {}), f"{where}: {key}") for key in ("options", "settings"))
    if own := [key for key in options if key.replace("-", "_") in OWN_OPTIONS]:
        raise ConfigError(f"{where} ({name}) cannot have the option {own[0]!r}: that is said of the whole chain")
    return RecipeStep(name, kind, what, inputs, options, settings)


def _texts(value: object, where: str) -> tuple[str, ...]:
    return tuple(typed(one, str, where) for one in typed(value, list, where))


def _table(value: object, where: str) -> dict[str, _Value]:
    found: dict[str, _Value] = {}
    for key, one in mapping(value, where).items():
        if isinstance(one, list):
            found[key] = _texts(one, f"{where}.{key}")
        elif isinstance(one, str | int | float | bool):
            found[key] = one
        else:
            raise ConfigError(f"{where}.{key} must be a text, a number, true or false, or a list of texts, not {one!r}")
    return found


def _written_out(
    steps: Sequence[RecipeStep], rounds: Mapping[str, Any], inputs: Collection[str], where: str
) -> list[RecipeStep]:
    """The steps with those of the block once a round."""
    check_keys(rounds, ("count", "steps", "carry"), where)
    count, block = (
        typed(rounds.get("count", 0), int, f"{where}.count"),
        _texts(rounds.get("steps", []), f"{where}.steps"),
    )
    carry = {key: typed(one, str, f"{where}.carry") for key, one in mapping(rounds.get("carry", {}), where).items()}
    names = [step.name for step in steps]
    if count < 1 or count > MAX_STEPS or not block:
        raise ConfigError(f"{where} needs a count from 1 to {MAX_STEPS} and the names of its steps")
    places = [names.index(one) for one in block if one in names]
    if len(places) < len(block) or places != list(range(places[0], places[0] + len(places))):
        raise ConfigError(f"{where}.steps must be steps that stand together, in their order: {', '.join(names)}")
    for name, source in carry.items():
        if name not in inputs or source not in block:
            raise ConfigError(f"{where}.carry: {name} = {source!r} must be an input of the chain = a step of the block")
    first, last = places[0], places[-1] + 1
    done = list(steps[:first])
    for number in range(1, count + 1):
        renamed = {name: f"{name}@{number}" for name in block}
        before = {name: f"{source}@{number - 1}" for name, source in carry.items()} if number > 1 else {}
        done += [_renamed(replace(step, name=renamed[step.name]), {**renamed, **before}) for step in steps[first:last]]
    final = {name: f"{name}@{count}" for name in block}
    return [*done, *(_renamed(step, final) for step in steps[last:])]


def _renamed(step: RecipeStep, names: Mapping[str, str]) -> RecipeStep:
    """The step with its references under other names."""

    def of(text: str) -> str:
        return REFERENCE.sub(
            lambda found: f"{{{names.get(found[1], found[1])}{'.' + found[2] if found[2] else ''}}}", text
        )

    return map_texts(step, of)


def map_texts(step: RecipeStep, change: Any) -> RecipeStep:
    """The step with every text changed."""

    def table(values: Mapping[str, _Value] | None) -> dict[str, _Value]:
        return {
            key: tuple(map(change, value))
            if isinstance(value, tuple)
            else change(value)
            if isinstance(value, str)
            else value
            for key, value in (values or {}).items()
        }

    inputs = tuple(map(change, step.inputs))
    return replace(
        step, what=change(step.what), inputs=inputs, options=table(step.options), settings=table(step.settings)
    )


def _check_references(steps: Sequence[RecipeStep], inputs: Collection[str], where: str) -> None:
    """Every reference is to an input, or to an earlier step."""
    made: dict[str, RecipeStep] = {}
    later = {step.name for step in steps}
    for step in steps:
        for name, part in step.needs():
            if name in inputs and not part:
                continue
            if name not in made:
                why = "which comes later or is the step itself" if name in later else "which nothing makes"
                raise ConfigError(f"{where}: step {step.name} refers to {{{name}{'.' + part if part else ''}}}, {why}")
            if part and part not in data_sets(made[name]):
                sets = ", ".join(data_sets(made[name])) or "none"
                raise ConfigError(f"{where}: step {step.name}: {name} has no set {part!r}; its sets: {sets}")
        made[step.name] = step


def data_sets(step: RecipeStep) -> tuple[str, ...]:
    """Further sets of records that a step makes. Raises `UnknownName` for a maker that does not exist."""
    if step.kind != "data":
        return ()
    kind: Any = catalog.load("maker", step.what)
    return tuple(kind.sets)


def chain_lines(chain: ChainRecipe) -> list[str]:
    """The chain drawn: inputs, then each step with what it reads."""
    lines = [f"chain {chain.name}: {chain.about.get('summary', '')}"]
    lines += [f"  {key:10}{chain.about[key]}" for key in ("paper", "notes") if chain.about.get(key)]
    lines += ["", "inputs (--set NAME=VALUE):"]
    lines += [f"  {name} = {value or '(must be given)'}" for name, value in chain.inputs.items()]
    lines += ["", "steps:"]
    width = max(len(step.name) for step in chain.steps)
    for step in chain.steps:
        sources = [f"{name}{'.' + part if part else ''}" for name, part in step.needs()]
        lines.append(f"  {step.name:{width}}  <- {', '.join(sources) or 'nothing'}")
        lines.append(f"  {'|':>{width}}     {step.kind} {step.what}{_said(step)}")
    return lines


def _said(step: RecipeStep) -> str:
    told = {**(step.options or {}), **{f"set {key}": value for key, value in (step.settings or {}).items()}}
    plain = {key: value for key, value in told.items() if not (isinstance(value, str) and REFERENCE.fullmatch(value))}
    shown = [f"{key}={','.join(value) if isinstance(value, tuple) else value}" for key, value in plain.items()]
    return f"  ({', '.join(shown)})" if shown else ""
