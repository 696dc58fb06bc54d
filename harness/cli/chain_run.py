"""Carrying out a chain: each step is one of our own commands, called as from the shell.

`results/chains/<chain>/` has the files of steps that make data, `<step>-<key>.jsonl`, and `<step>-<key>.json` for every
step that is done: its output, and for a file its sha256. The key is a hash over what the step is told, where an output
of another step stands for its content; so a step is done again only if its words, or what it reads, have changed.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from backends.chain import LEFT_OUT, REFERENCE, ChainRecipe, RecipeStep, data_sets, map_texts
from harness.errors import HarnessError, StoreError, UsageError
from harness.files import open_lock, read_json, write_atomically
from harness.hashing import canonical_json, short_hash
from harness.plain import clean
from harness.registry import SCHEME, find_card
from harness.report.table import Column, Table, column
from harness.run.folder import RUNS

CHAINS = "chains"
"""Folder of the results folder."""
_LOCK = ".lock"


class ChainStopped(HarnessError):
    """A step failed; the exit code is that of its error."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True)
class StepDone:
    """A step and what came of it."""

    step: RecipeStep
    what: str
    """Its kind and what it makes or asks, with the user's inputs."""
    command: str
    """As a shell would have it."""
    state: str
    output: str = ""
    scores: tuple[str, ...] = ()
    seconds: float | None = None


class ChainRun:
    """One chain in one results folder."""

    def __init__(self, chain: ChainRecipe, results_dir: Path, *, quiet: bool = False) -> None:
        self.chain, self.results_dir, self.quiet = chain, results_dir, quiet
        self.folder = results_dir / CHAINS / chain.name
        self._values: dict[str, str | None] = dict(chain.inputs)
        """Reference -> what stands for it; None: a further set that its step did not write."""
        self._contents: dict[str, str] = {name: _content(value) for name, value in chain.inputs.items()}

    def check(self) -> None:
        """Parse every step's command, with stand-ins for what earlier ones make. Raises what those would raise."""
        values = dict(self._values)
        for number, step in enumerate(self.chain.steps, 1):
            with self._named(step, number):
                _parse(step, self._arguments(step, values, self.folder / f"{step.name}.jsonl"))
            values |= self._stand_ins(step)

    def preview(self) -> list[StepDone]:
        """What is done, and the commands of what is not."""
        found: list[StepDone] = []
        known = True
        for step in self.chain.steps:
            key = self._key(step) if known else ""
            done = self._stored(step, key) if key else None
            if done is not None:
                self._keep(step, done)
            else:
                known = False  # what follows reads what is not there yet
                self._values |= self._stand_ins(step)
            out = self._file(step, key) if key else self.folder / f"{step.name}.jsonl"
            with self._named(step, len(found) + 1):
                words = shlex.join(["harness", *self._arguments(step, self._values, out)])
            found.append(self._told(step, words, "to do" if done is None else "done", done))
        return found

    def carry_out(self) -> list[StepDone]:
        """Every step that is not done. Raises `ChainStopped`, `StoreError` for a folder that another process uses."""
        with self._alone():
            return [self._carry(step, number) for number, step in enumerate(self.chain.steps, 1)]

    def _carry(self, step: RecipeStep, number: int) -> StepDone:
        key = self._key(step)
        with self._named(step, number):
            arguments = self._arguments(step, self._values, self._file(step, key))
        words, title = shlex.join(["harness", *arguments]), f"step {number} of {len(self.chain.steps)}, {step.name}"
        if (done := self._stored(step, key)) is not None:
            self._say(f"{title}: done before")
            self._keep(step, done)
            return self._told(step, words, "done before", done)
        self._say(f"{title}: {words}")
        started = time.monotonic()
        with self._named(step, number):
            done = self._output_of(step, _call(arguments), self._file(step, key))
        write_atomically(self._mark(step, key), json.dumps(done, indent=1) + "\n")
        self._keep(step, done)
        return replace(self._told(step, words, "done", done), seconds=time.monotonic() - started)

    def _told(self, step: RecipeStep, words: str, state: str, done: Mapping[str, Any] | None) -> StepDone:
        return StepDone(step, self._what(step), words, state, _output(done), tuple((done or {}).get("scores", ())))

    @contextmanager
    def _named(self, step: RecipeStep, number: int) -> Iterator[None]:
        """Say of an error which step it is of, and that nothing is lost."""
        try:
            yield
        except (HarnessError, click.ClickException) as error:
            said = error.format_message() if isinstance(error, click.ClickException) else str(error)
            raise ChainStopped(
                f"chain {self.chain.name}, step {number} of {len(self.chain.steps)} ({step.name}, "
                f"{self._what(step)}): {said}; steps that are done are kept, the same command goes on here",
                error.exit_code,
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = open_lock(self.folder / _LOCK)
        except BlockingIOError:
            raise StoreError(f"another process carries out {self.folder.name}: wait for it or stop it") from None
        except OSError as error:
            raise StoreError(f"cannot write to {self.folder} ({error.strerror}): name another --results-dir") from error
        with lock:
            yield

    def _say(self, line: str) -> None:
        if not self.quiet:
            click.echo(clean(line, 2000), err=True)

    def _what(self, step: RecipeStep) -> str:
        known = {name: value for name, value in self._values.items() if value}
        return f"{step.kind} {REFERENCE.sub(lambda found: known.get(found[1], found[0]), step.what)}"

    # --- what a step is told, and what it makes ---

    def _arguments(self, step: RecipeStep, values: Mapping[str, str | None], out: Path) -> list[str]:
        """The step's command line, without the program's name."""
        told = _filled(step, values)
        flags = [word for key, value in (told.options or {}).items() for word in _flag(key, value)]
        settings = [w for key, value in (told.settings or {}).items() for w in ("--set", f"{key}={_text(value)}")]
        if step.kind == "data":
            command = ["data", told.what, *told.inputs, *flags, "-o", str(out)]
        elif step.kind == "evaluate":
            models = [word for model in told.inputs for word in ("--model", model)]
            command = ["run", "--suite", told.what, *models, *flags, "--json"]
        else:
            how = "--recipe" if step.kind == "recipe" else "--method"
            command = ["train", how, told.what, *flags, *settings, "--json"]
        where = _command(command[:2] if step.kind == "data" else command[:1])[1]
        has = {flag for parameter in where.params for flag in parameter.opts}
        place = ["--results-dir", str(self.results_dir)] if "--results-dir" in has else []
        return [*command, *place, *(["--quiet"] if self.quiet and "--quiet" in has else [])]

    def _key(self, step: RecipeStep) -> str:
        """A hash over what the step is told, by content."""

        def content(text: str) -> str:
            return REFERENCE.sub(lambda found: self._contents[f"{found[1]}{'.' + found[2] if found[2] else ''}"], text)

        told = map_texts(step, content)
        what = [step.kind, told.what, list(told.inputs), dict(told.options or {}), dict(told.settings or {})]
        return short_hash(canonical_json(what), 10)

    def _file(self, step: RecipeStep, key: str) -> Path:
        return self.folder / f"{step.name}-{key}.jsonl"

    def _mark(self, step: RecipeStep, key: str) -> Path:
        return self.folder / f"{step.name}-{key}.json"

    def _output_of(self, step: RecipeStep, printed: str, out: Path) -> dict[str, Any]:
        """What a finished step made, as its mark keeps it."""
        if step.kind == "data":
            sets = {name: _set_file(out, name) for name in data_sets(step)}
            files = {"": out, **{name: file for name, file in sets.items() if file.is_file()}}
            return {"file": out.name, "sha256": {name: _sha256(file) for name, file in files.items()}}
        told = json.loads(printed)
        if step.kind == "evaluate":
            rows = told["rows"]
            runs = list(dict.fromkeys(str(row["run_id"]) for row in rows))
            return {"runs": runs, "scores": _scores(rows)}
        return {"model": f"{SCHEME}{told['id']}"}

    def _stored(self, step: RecipeStep, key: str) -> dict[str, Any] | None:
        """What the step made before, if all of it is still there."""
        try:
            done = read_json(self._mark(step, key))
        except (OSError, ValueError):
            return None
        if not isinstance(done, dict):
            return None
        try:
            if step.kind == "data":
                out = self._file(step, key)
                whole = all(_sha256(_set_file(out, name)) == known for name, known in done["sha256"].items())
                return done if whole else None
            if step.kind == "evaluate":
                there = all((self.results_dir / RUNS / run / "result.json").is_file() for run in done["runs"])
                return done if there else None
            find_card(self.results_dir, done["model"])
        except (OSError, KeyError, TypeError, HarnessError):
            return None
        return done

    def _keep(self, step: RecipeStep, done: Mapping[str, Any]) -> None:
        """Make the step's output known to those that follow."""
        if step.kind == "data":
            out = self.folder / str(done["file"])
            for name in ("", *data_sets(step)):
                reference = f"{step.name}.{name}" if name else step.name
                there = name in done["sha256"]
                self._values[reference] = str(_set_file(out, name)) if there else None
                self._contents[reference] = done["sha256"].get(name, "none")
        else:
            found = done["model"] if "model" in done else done["runs"][0]
            self._values[step.name] = self._contents[step.name] = str(found)

    def _stand_ins(self, step: RecipeStep) -> dict[str, str | None]:
        """For what a step will make."""
        if step.kind == "data":
            file = self.folder / f"{step.name}.jsonl"
            sets = {f"{step.name}.{name}": str(_set_file(file, name)) for name in data_sets(step)}
            return {step.name: str(file), **sets}
        return {step.name: f"{SCHEME}{step.name.replace('@', '-')}" if step.kind != "evaluate" else f"<{step.name}>"}


def outcome(chain: ChainRecipe, done: Sequence[StepDone], *, dry: bool) -> Table:
    """One row a step."""
    rows = [
        {
            "step": one.step.name,
            "what": one.what,
            "state": one.state,
            "output": one.output,
            "scores": "; ".join(one.scores),
            "seconds": one.seconds,
            "command": one.command,
        }
        for one in done
    ]
    shown = Column("seconds", lambda row: "-" if row["seconds"] is None else f"{row['seconds']:.1f}", right=True)
    columns = [column("step"), column("what"), column("state"), column("output"), column("scores"), shown]
    columns += [column("command")] if dry else []
    return Table(f"Chain {chain.name}" + (" (nothing is done)" if dry else ""), tuple(columns), tuple(rows))


def _scores(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The headline of each run: the first row of it."""
    first: dict[str, str] = {}
    for row in rows:
        if isinstance(row.get("value"), int | float):
            first.setdefault(str(row["run_id"]), f"{row['suite']} {row['model']}: {row['metric']} {row['value']:.4g}")
    return list(first.values())


def _output(done: Mapping[str, Any] | None) -> str:
    return "" if done is None else str(done.get("model") or done.get("file") or ", ".join(done.get("runs", ())))


def _filled(step: RecipeStep, values: Mapping[str, str | None]) -> RecipeStep:
    """The step with values for its references. A file of further records that was not written is no input."""
    inputs = [one for one in step.inputs if not ((found := REFERENCE.fullmatch(one)) and _value(found, values) is None)]

    def value(found: re.Match[str]) -> str:
        if (known := _value(found, values)) is None:
            raise UsageError(f"{found[0]} was not written: {found[1]} found nothing for it, so this step has no input")
        return known

    def fill(text: str) -> str:
        return REFERENCE.sub(value, text)

    def told(table: Mapping[str, Any] | None) -> dict[str, Any]:
        return {key: value for key, value in (table or {}).items() if not _left_out(value, values)}

    told_step = replace(step, inputs=tuple(inputs), options=told(step.options), settings=told(step.settings))
    filled = map_texts(told_step, fill)
    if step.kind == "evaluate":  # two steps may come to the same model, whose id is a hash of what it was made from
        return replace(filled, inputs=tuple(dict.fromkeys(filled.inputs)))
    return filled


def _left_out(value: Any, values: Mapping[str, str | None]) -> bool:
    found = REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return found is not None and _value(found, values) == LEFT_OUT


def _value(found: Any, values: Mapping[str, str | None]) -> str | None:
    return values[f"{found[1]}{'.' + found[2] if found[2] else ''}"]


def _flag(key: str, value: Any) -> list[str]:
    name = f"--{key.replace('_', '-')}"
    if isinstance(value, bool):
        return [name] if value else [f"--no-{name[2:]}"]
    if isinstance(value, tuple):
        return [word for one in value for word in (name, one)]
    return [name, _text(value)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _set_file(out: Path, name: str) -> Path:
    """Where a maker puts a further set of its records; "" is the records themselves."""
    return out.with_name(f"{out.stem}.{name}{out.suffix}") if name else out


def _content(value: str) -> str:
    """What a user's input is, for keys: of a file its content."""
    try:
        path = Path(value)
        return _sha256(path) if value and path.is_file() else value
    except (OSError, ValueError):
        return value


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        digest = sha256()
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _command(words: Sequence[str]) -> tuple[click.Context, click.Command]:
    """The click command of such words. Raises `click.UsageError` for one that there is not."""
    from harness.cli.main import cli

    context, found = click.Context(cli, info_name="harness"), cli
    for word in words:
        assert isinstance(found, click.Group)
        inner = found.get_command(context, word)
        if inner is None:
            raise UsageError(f"there is no {found.name} {word!r}")
        context, found = click.Context(inner, parent=context, info_name=word), inner  # type: ignore[assignment]
    return context, found


def _parse(step: RecipeStep, arguments: Sequence[str]) -> None:
    """Read a command line as its command would, and check what can be known without its inputs."""
    depth = 2 if step.kind == "data" else 1
    context, found = _command(arguments[:depth])
    given = found.make_context(found.name, list(arguments[depth:]), parent=context.parent).params
    once = {flag for one in found.params if isinstance(one, click.Option) and not one.multiple for flag in one.opts}
    for key, value in (step.options or {}).items():
        if isinstance(value, tuple) and f"--{key.replace('_', '-')}" in once:  # click would take the last, silently
            raise UsageError(f"the option {key!r} takes one value, not a list: {', '.join(value)}")
    if step.kind == "evaluate":
        from harness.suites import load_suite, parse_suite_arg

        for suite, _ in parse_suite_arg(",".join(given["suite"])):
            load_suite(suite)
    elif step.kind != "data":
        from harness.cli.train import config_of

        config_of(given)


def _call(arguments: Sequence[str]) -> str:
    """Run one of our commands; what it prints on stdout."""
    from harness.cli.main import cli

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = cli.main(args=list(arguments), prog_name="harness", standalone_mode=False)
    if isinstance(code, int) and code:
        raise ChainStopped(f"exit code {code}", code)
    return printed.getvalue()
