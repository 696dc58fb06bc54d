"""A maker of another distribution: one class, one prompt beside it, one entry point, and nothing to change here."""

from __future__ import annotations

import json
import re
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest

from backends.records.source import read_records
from harness import catalog
from harness.cli.main import cli
from harness.errors import ConfigError, DataError, HarnessError, Interrupted, UnknownName, UsageError
from harness.types import Completion, Request
from tests.scripted_model import ScriptedModel

MODULE = '''
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar, Literal

from backends.makers.base import Made, Maker, lost, option, reply_of
from harness.types import Sampling


@dataclass(frozen=True, kw_only=True)
class Titles(Maker):
    """Give every question a title.

    A title is one line.
    """

    draw: Sampling = field(default=Sampling(temperature=0.3))
    words: int = option(5, least=1, most=9)
    """Most words of a title."""
    share: float = option(0.5, above=0, most=1)
    mood: Literal["plain", "grand"] = "plain"
    """Its tone."""
    loud: bool = False
    """In capitals."""
    number: bool = True
    prefix: tuple[str, ...] = ()
    sizes: tuple[int, int] = option((1, 2), shown="A B")
    notes: Path | None = None
    grader: str | None = None

    name = "titles"
    template_fields: ClassVar = {"title": ("question", "words")}

    def first(self):
        return [self.query(one, "title", values={"words": str(self.words)}) for one in self.records]

    def run(self, ask):
        made, counts = [], {"given": len(self.records), "kept": 0}
        for one, completion in zip(self.records, ask(self.first()), strict=True):
            text = reply_of(completion)
            if text is None:
                counts[lost(completion)] = counts.get(lost(completion), 0) + 1
                continue
            meta = {**one.meta, "titled_by": self.model, "mood": self.mood}
            made.append(replace(one, response=text.upper() if self.loud else text, meta=meta))
        counts["kept"] = len(made)
        return Made(tuple(made), counts, facts={"words": self.words})


@dataclass(frozen=True, kw_only=True)
class Firsts(Maker):
    """Keep what stands first."""

    many: int
    """How many."""

    name = "firsts"
    role = ""

    def run(self, ask):
        return Made(tuple(self.records[: self.many]), {"given": len(self.records)})


@dataclass(frozen=True, kw_only=True)
class Clash(Firsts):
    """Has an option that every command has."""

    limit: int = 3
    name = "clash"


@dataclass(frozen=True, kw_only=True)
class Unknown(Firsts):
    """Has an option of a type that is not there at run time."""

    path: "Paht" = None
    name = "unknown"


@dataclass(frozen=True, kw_only=True)
class Untyped(Firsts):
    """Has an option of no type that a command line can give."""

    table: dict = field(default_factory=dict)
    name = "untyped"


class Renamed(Firsts):
    """Is listed under another name."""


NOT_ONE = 3
'''
PROMPT = 'version = "1"\nsummary = "a title"\nsource = "none"\ntext = "A title of {words} words: {question}"\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "maker_plugin"
    (package / "prompts").mkdir(parents=True)
    (package / "prompts" / "title.toml").write_text(PROMPT)
    (package / "titles_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(package))
    names = {"titles": "Titles", "firsts": "Firsts", "clash": "Clash", "untyped": "Untyped", "odd": "Renamed"}
    names |= {"number": "NOT_ONE", "unknown": "Unknown"}
    points = {
        f"maker.{name}": EntryPoint(f"maker.{name}", f"titles_module:{attribute}", "harness.plugins")
        for name, attribute in names.items()
    }
    monkeypatch.setattr(catalog, "_plugins", lambda: points)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: object) -> None:
    cli.main(list(map(str, arguments)), standalone_mode=False)


ASK = ("data", "titles", "synth:per_level=3", "--teacher", "mock:gold", "--quiet", "-o", "t.jsonl")


def test_it_is_listed_shown_and_has_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    run("list", "makers")
    listed = capsys.readouterr().out
    assert "titles" in listed and "traces" in listed and "plugin of unknown" in listed
    run("show", "titles")
    assert "words: int = 5 (Most words of a title)" in capsys.readouterr().out
    run("data", "--help")
    page = capsys.readouterr().out
    assert page.index("  traces") < page.index("  titles") < page.index("  stats")
    run("data", "titles", "--help")
    page = " ".join(capsys.readouterr().out.split())
    assert "Give every question a title. A title is one line." in page and "RECORDS..." in page
    for line in (
        "--words INTEGER RANGE Most words of a title. [default: 5; 1<=x<=9]",
        "--share FLOAT RANGE [default: 0.5; 0<x<=1]",
        "--mood [plain|grand] Its tone. [default: plain]",
        "--loud In capitals. --number / --no-number [default: number] --prefix TEXT",
        "--sizes A B [default: 1, 2] --notes FILE",
        "--teacher ENGINE:NAME Model that is the teacher. [required]",
    ):
        assert line in page, line


def test_it_makes_records_with_its_own_options() -> None:
    run(*ASK, "--words", 7, "--mood", "grand", "--loud", "--prefix", "a", "--prefix", "b", "--sizes", 3, 4)
    records = read_records(Path("t.jsonl"))
    assert len(records) == 6 and all(one.response == (one.response or "").upper() for one in records)
    assert records[0].meta["titled_by"] == "mock:gold" and records[0].meta["mood"] == "grand"
    report = json.loads(Path("t.jsonl.report.json").read_text())
    assert (report["recipe"], report["words"], report["asked"]["requests"]) == ("titles", 7, 6)
    assert report["templates"][0].startswith("title@1#") and report["inputs"] == ["synth:per_level=3"]


def test_it_goes_on_after_an_interruption_and_asks_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def reply(request: Request) -> str | Completion:
        if len(asked) == 4 and stop:
            raise KeyboardInterrupt
        asked.append(request.problem.id)
        return "A title"

    monkeypatch.setattr("harness.cli.data_make.load_model", lambda *_: ScriptedModel(reply))
    stop = True
    with pytest.raises(Interrupted, match="run the same command again"):
        run(*ASK)
    assert not Path("t.jsonl").exists() and len(asked) == 4
    stop = False
    run(*ASK)
    assert len(asked) == len(set(asked)) == 6 and len(read_records(Path("t.jsonl"))) == 6
    report = json.loads(Path("t.jsonl.report.json").read_text())
    assert (report["asked"]["requests"], report["asked"]["cached"]) == (2, 4)


def test_one_that_asks_nobody() -> None:
    run("data", "firsts", "synth:per_level=3", "--many", 2, "-o", "f.jsonl")
    assert len(read_records(Path("f.jsonl"))) == 2
    with pytest.raises(DataError, match=r"nothing was kept, so g\.jsonl was not written"):
        run("data", "firsts", "synth:per_level=3", "--many", 0, "-o", "g.jsonl")
    assert not Path("g.jsonl").exists()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((*ASK, "--words", 10), None, "'--words': 10 is not in the range 1<=x<=9"),
        ((*ASK, "--share", 0), None, "0<x<=1"),
        ((*ASK, "--mood", "sad"), None, "'sad' is not one of 'plain', 'grand'"),
        ((*ASK, "--sizes", 1), None, "requires 2 arguments"),
        ((*ASK, "--wrods", 1), None, "No such option '--wrods'"),
        ((*ASK, "--template", "titel=x"), UnknownName, "template of titles.*Did you mean 'title'"),
        ((*ASK, "--template", "title=none.toml"), ConfigError, "none.toml cannot be read"),
        (("data", "firsts", "synth:per_level=3", "-o", "x"), None, "Missing option '--many'"),
        (("data", "clash", "r", "-o", "x"), UsageError, "cannot have an option --limit: every maker's command has"),
        (("data", "untyped", "r", "-o", "x"), UsageError, "field 'table' .*dict.*, which no option has"),
        (("data", "odd", "r", "-o", "x"), UsageError, "maker 'odd' .* is no subclass .* with that name"),
        (
            ("data", "unknown", "r", "-o", "x"),
            UsageError,
            "maker 'unknown': the type of a field .*'Paht' is not defined",
        ),
        (("data", "number", "r", "-o", "x"), UsageError, "is no maker"),
        (("data", "titels"), None, "No such command 'titels'"),
    ],
)
def test_bad_options_and_makers_are_one_clear_line(
    arguments: tuple[object, ...], error: type[HarnessError] | None, message: str
) -> None:
    with pytest.raises(error or click.UsageError) as caught:
        run(*arguments)
    told = caught.value.format_message() if isinstance(caught.value, click.UsageError) else str(caught.value)
    assert re.search(message, told) and "\n" not in told


def test_the_maker_of_the_page_works(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data.md").read_text(encoding="utf-8")
    module, prompt = (
        re.search(rf"```{kind}\n(.*?)```", page[page.index("## A maker of your own") :], re.DOTALL)
        for kind in ("python", "toml")
    )
    assert module is not None and prompt is not None
    (here / "maker_plugin" / "brief_of_the_page.py").write_text(module[1])
    (here / "maker_plugin" / "prompts" / "brief.toml").write_text(prompt[1])
    assert f"2 new files of {module[1].count(chr(10))} and {prompt[1].count(chr(10))} lines" in page
    point = EntryPoint("maker.brief", "brief_of_the_page:Brief", "harness.plugins")
    monkeypatch.setattr(catalog, "_plugins", lambda: {"maker.brief": point})
    run("data", "brief", "synth:per_level=3", "--teacher", "mock:gold", "--words", 9, "--quiet", "-o", "b.jsonl")
    assert len(read_records(Path("b.jsonl"))) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"words": 0}, "--words 0: at least 1"),
        ({"words": 10}, "--words 10: at most 9"),
        ({"share": 0.0}, "--share 0: more than 0"),
    ],
)
def test_a_number_out_of_bounds_is_refused_from_python_too(options: dict[str, float], message: str) -> None:
    from titles_module import Titles  # type: ignore[import-not-found]

    with pytest.raises(DataError, match=message):
        Titles([], "t", **options)
