"""What a maker of training data is: a class whose docstring is its help, whose fields are its options.

    @dataclass(frozen=True, kw_only=True)
    class Short(Maker):
        '''Rewrite every response in one sentence.'''
        words: int = option(20, least=1, most=100)
        '''Most words.'''
        name = "short"
        template_fields = {"short": ("question", "words")}  # prompts/short.toml beside this module

One line in `harness/catalog/`, or an entry point "maker.short", makes it `harness data short`. A maker is built from
records, says what it would ask first (`first`, for a dry run), and makes its records with whatever answers its queries
(`run`): an `Asker` over any model, or a function in a test. What it drops it counts by reason; what it keeps has been
checked as its module says, and its meta says who wrote it and with which template.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar

from backends.makers.asking import Ask, Query
from backends.records.inputs import problem_of, read_all
from backends.records.record import TrainRecord, render_response
from backends.records.spans import parts_of, split_response
from backends.templates import Template, asked, load_template
from harness import catalog
from harness.errors import DataError, UnknownName, UsageError
from harness.models.budget import Budget
from harness.models.reply_cache import Cache
from harness.reasoning import with_answer
from harness.types import Completion, Json, Model, Sampling

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made:
    """What a maker made."""

    records: tuple[TrainRecord, ...]
    counts: Mapping[str, int]
    """What became of what it looked at, by name, in the order in which things happen."""
    others: Mapping[str, tuple[TrainRecord, ...]] = field(default_factory=dict)
    """Those of the maker's `sets` that were made, each for a file of its own; they may be empty."""
    facts: Mapping[str, Json] = field(default_factory=dict)
    """What else the report should say."""
    note: str = ""
    """What a person should read at the end."""


def option(
    default: Any, *, least: float | None = None, above: float | None = None, most: float | None = None, shown: str = ""
) -> Any:
    """A field of a maker that is an option: its bounds, and what stands for its value in the help."""
    return field(default=default, metadata={"least": least, "above": above, "most": most, "shown": shown})


def _broken(bounds: Mapping[str, Any], value: float) -> str:
    """The bound of an option that a value breaks; empty if it breaks none."""
    least, above, most = (bounds.get(name) for name in ("least", "above", "most"))
    if least is not None and value < least:
        return f"at least {least:g}"
    if above is not None and value <= above:
        return f"more than {above:g}"
    return f"at most {most:g}" if most is not None and value > most else ""


@dataclass(frozen=True)
class Maker:
    """One way to make data. The fields here are what every maker is given; a subclass's own fields are its options."""

    records: Sequence[TrainRecord]
    model: str = ""
    """Whom it asks, as the records should name it."""
    _: KW_ONLY
    draw: Sampling = field(default=Sampling())
    """A subclass says here how it draws where the user does not."""
    template_files: Mapping[str, str] = field(default_factory=dict)
    """Template -> the user's file that stands in for it."""
    continues: bool = True
    """Whether the model can go on in the middle of a reply."""
    results_dir: Path = Path("results")
    cache: Callable[[], Cache] = field(default=partial(Cache, None))
    """Opens the replies beside the output, for a maker that asks a second model."""
    budget: Budget | None = None
    """Of all models that it asks."""

    name: ClassVar[str]
    """Its name in the catalog; part of every cache key."""
    role: ClassVar[str] = "teacher"
    """What the model is called: `--teacher`, `--student`; empty for a maker that asks nobody."""
    takes_files: ClassVar[bool] = True
    """Whether the command takes RECORDS, files that `read` is given."""
    template_fields: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Template (`prompts/<name>.toml` beside the maker's module) -> the fields that the maker fills."""
    sets: ClassVar[tuple[str, ...]] = ()
    """Further sets that it may make ("stage1", "unsolved")."""
    nothing: ClassVar[str] = "nothing was kept"
    """What it means that no record was made."""

    @classmethod
    def usual(cls, given: Mapping[str, Any]) -> Sampling:
        """How it draws where the user does not say; `given` is what the command was told, by name."""
        return cls.draw

    @classmethod
    def read(cls, files: Sequence[str], given: Mapping[str, Any]) -> tuple[list[TrainRecord], dict[str, Json]]:
        """What it starts from, and where that came from, for the report."""
        return read_all(files, given.get("grader")), {"inputs": list(files)} if files else {}

    def __post_init__(self) -> None:
        """Raises `DataError` for a number out of its bounds, and what loading a template and `check` raise."""
        for one in dataclasses.fields(self):
            given = getattr(self, one.name)
            for value in given if isinstance(given, tuple) else (given,):
                if isinstance(value, int | float) and (broken := _broken(one.metadata, value)):
                    raise DataError(f"--{one.name.replace('_', '-')} {value:g}: {broken}")
        draw = self.draw
        if not 0 <= draw.temperature <= 10 or not 0 < draw.top_p <= 1 or draw.max_tokens < 1:
            raise DataError(
                f"temperature {draw.temperature!r}, top-p {draw.top_p!r} and {draw.max_tokens!r} tokens draw nothing: "
                "temperature from 0 to 10, 0 < top-p <= 1, at least 1 token"
            )
        for name in self.template_files:
            if name not in self.templates:
                raise UnknownName(f"template of {self.name}", name, self.templates)
        self.check()

    def check(self) -> None:
        """Refuse what cannot work, before anything is spent. Raises `DataError` or `UsageError`."""

    @cached_property
    def templates(self) -> Mapping[str, Template]:
        """Those that it asks with, by name."""
        home = next(one for one in type(self).__mro__ if "template_fields" in vars(one))
        own = Path(inspect.getfile(home)).with_name("prompts")
        return {
            name: load_template(name, fields, Path(self.template_files.get(name, own / f"{name}.toml")))
            for name, fields in self.template_fields.items()
        }

    def over(self, model: Model) -> Model:
        """Who is asked, given the model that the user named: that one, or a model over it. Raises `UsageError`."""
        return model

    def first(self) -> Sequence[Query]:
        """What it asks before anything is known; later questions depend on the replies."""
        return ()

    def run(self, ask: Ask) -> Made:
        """Ask, check and build."""
        raise NotImplementedError

    def query(
        self,
        record: TrainRecord,
        template: str,
        attempt: int = 0,
        *,
        part: str = "",
        draw: Sampling | None = None,
        values: Mapping[str, str] = MappingProxyType({}),
    ) -> Query:
        """The record's question, put to the model by a template with these values in its other fields.

        `part` tells several questions about a record apart; `draw` stands in for the maker's.
        """
        name, filled = f"{self.name}:{part}" if part else self.name, self.templates[template]
        problem = problem_of(record, asked(record.prompt, filled, values))
        return Query(name, filled.id, problem, attempt, self.draw if draw is None else draw)


def reply_of(completion: Completion) -> str | None:
    """What was written for us: the text after the model's own think block; None where it failed or was cut."""
    if completion.finish != "stop":
        return None
    text = with_answer(completion).answer_text
    return text.strip() if text is not None and text.strip() else None


def lost(completion: Completion) -> str:
    """Why `reply_of` found nothing."""
    if completion.finish == "error":
        return "teacher_error"
    return "cut" if completion.finish == "length" or completion.text.strip() else "empty"


def replies(
    owners: Iterable[T], completions: Iterable[Completion], counts: Counter[str], part: str = ""
) -> Iterator[tuple[T, str]]:
    """Whose question it was, with what was written for us; what was lost is counted as `part` and the reason."""
    for owner, completion in zip(owners, completions, strict=True):
        text = reply_of(completion)
        if text is None:
            counts[part + lost(completion)] += 1
        else:
            yield owner, text


def plain(response: str) -> str:
    """A response as a teacher is shown it: chain and answer without think tags."""
    split = split_response(response)
    if split is None or split.rule != "think":
        return response.strip()
    chain, answer = parts_of(response)
    return f"{chain}\n{answer}" if chain else answer


def in_form_of(original: str, text: str) -> str:
    """A teacher's text in the form of a response that it stands for: with a think block where that one has one.

    A text without a chain that could be told from its answer stays as it is.
    """
    old, new = split_response(original), split_response(text)
    if old is None or old.rule != "think" or new is None or new.rule == "think":
        return text
    chain, answer = parts_of(text)
    return render_response(chain, answer) if chain else text


def as_pair(record: TrainRecord, right: str, wrong: str) -> TrainRecord:
    """The record with a right response and a wrong one, which is the first of its negatives."""
    think, answer = parts_of(right)
    negatives = tuple(dict.fromkeys((wrong, *record.negatives)))
    return replace(record, response=right, think=think, answer=answer, rejected=wrong, negatives=negatives)


def has_chain(text: str) -> bool:
    """Whether a response has a chain of thought that can be told from its answer."""
    return split_response(text) is not None and parts_of(text)[0] is not None


def tally(counts: Counter[str], order: Sequence[str]) -> dict[str, int]:
    """The counts by name, those of `order` first, zeros included: a reason that never applied is said too."""
    return {name: counts[name] for name in order} | {n: counts[n] for n in sorted(counts) if n not in order}


def load_maker(name: str) -> type[Maker]:
    """The maker of that name. Raises `UnknownName`, and `UsageError` for a plugin that is none."""
    kind = catalog.load("maker", name)
    if not isinstance(kind, type) or not issubclass(kind, Maker) or kind.name != name:
        raise UsageError(f"maker {name!r} ({kind!r}) is no subclass of backends.makers.base.Maker with that name")
    return kind
