"""Prompts as data: `prompts/<name>.toml` beside the module that asks, versioned by what they say.

A template's id, `name@version#hash`, is part of every cache key and of every record made with it: whoever changes a
character asks anew. Fields in braces are filled in one pass, so that what a question or a chain says is never read as
a field. The wording is ours; each file names the paper whose criteria it keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import ConfigError, DataError
from harness.hashing import canonical_json, short_hash
from harness.types import Message
from judges.prompts.rubric_file import TomlTable, parse
from judges.prompts.templates import BadTemplate, fields, fill

MAX_BYTES = 64 * 1024
"""A prompt is a page; anything longer is another file by mistake."""


@dataclass(frozen=True, slots=True)
class Template:
    """One prompt."""

    name: str
    version: str
    summary: str
    text: str
    variants: Mapping[str, str] = field(default_factory=dict)
    """Name -> what stands for {variant}."""
    content_hash: str = ""
    """First 12 hex digits of the sha256 over text and variants."""

    @property
    def id(self) -> str:
        """`name@version#hash`."""
        return f"{self.name}@{self.version}#{self.content_hash}"

    def fill(self, values: Mapping[str, str]) -> str:
        """The text with every field filled in."""
        return fill(self.text, values)


def load_template(name: str, known: Sequence[str], file: Path) -> Template:
    """The template of that name in a file; `known` are the fields that its maker fills.

    A file of the user's may leave some out, but not `question`. Raises `ConfigError` naming file and line for a file
    that cannot be read or does not make sense.
    """
    root = parse(str(file), _read(file))
    root.only({"version", "summary", "source", "text", "variants"})
    text = root.text("text").strip()
    root.text("source")  # whose criteria it keeps: every file says so
    _check_fields(root, name, text, known)
    variants = _variants(root) if "variant" in known else {}
    return Template(
        name=name,
        version=root.text("version"),
        summary=root.text("summary"),
        text=text,
        variants=variants,
        content_hash=short_hash(canonical_json([text, variants]), 12),
    )


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ConfigError(f"{file} is larger than {MAX_BYTES} bytes, which no prompt is")
        return data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}") from error


def _check_fields(root: TomlTable, name: str, text: str, known: Sequence[str]) -> None:
    try:
        used = fields(text)
    except BadTemplate as error:
        root.fail("text", str(error), error.excerpt)
    for one in used:
        if one not in known:
            filled = ", ".join(f"{{{field}}}" for field in known)
            root.fail("text", f"unknown field {{{one}}}: {name} fills {filled}", f"{{{one}}}")
    if "question" not in used:
        root.fail("text", "the prompt does not show the {question}")


def _variants(root: TomlTable) -> dict[str, str]:
    table = root.table("variants")
    if not table.values:
        root.fail("variants", 'the template needs variants: a table [variants] of name = "what stands for {variant}"')
    return {name: table.text(name) for name in table.values}


def asked(prompt: tuple[Message, ...], template: Template, values: Mapping[str, str]) -> tuple[Message, ...]:
    """The turns of a prompt with the last one, the question, as the template puts it; earlier turns stay as they are.

    Raises `DataError` for a prompt that does not end in a turn of the user.
    """
    if not prompt or prompt[-1].role != "user":
        raise DataError(f"a prompt must end in a turn of the user to be put into the template {template.name!r}")
    return (*prompt[:-1], Message("user", template.fill({"question": prompt[-1].content, **values})))
