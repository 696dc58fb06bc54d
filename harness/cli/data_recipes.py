"""`harness data dual|shorten|perspectives|rationales`: better records out of records, through a teacher."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from harness.cli.data_run import Settings, asking, carry_out, provenance, read_inputs
from harness.types import Json

records_argument = click.argument("records", nargs=-1, required=True, metavar="RECORDS...")
grader_option = click.option("--grader", metavar="NAME", help="What checks answers, in place of the records' own.")


@click.command("dual")
@records_argument
@click.option("--tries", type=click.IntRange(1, 100), default=1, show_default=True, help="Attempts at each record.")
@grader_option
@asking("teacher")
def dual(records: tuple[str, ...], tries: int, grader: str | None, limit: int | None, **given: Any) -> None:
    """Make dual chains for krsl: rectify what the teacher got wrong, corrupt what it got right (EDIT).

    RECORDS are files with right responses, with `rejected` and no response (<traces>.unsolved.jsonl), or both. Writes
    the pairs (`response` right, `rejected` wrong) and, as <out>.stage1.jsonl, all right chains. Defaults: temperature
    0.2.

    \b
    harness data dual traces.jsonl traces.unsolved.jsonl --teacher openai:my-teacher -o pairs.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.dual import Dual

    settings = Settings.of(given)
    found = read_inputs(records, limit, grader)
    recipe = Dual(
        found,
        settings.model,
        tries,
        settings.draw(0.2),
        settings.template("edit_rectify"),
        settings.template("edit_corrupt"),
    )
    carry_out(recipe, settings, [Path(name) for name in records], provenance(records, found))


@click.command("shorten")
@records_argument
@click.option(
    "--tokens",
    default="1:300,2:700,3:1500",
    show_default=True,
    metavar="LEVEL:N,…",
    help="Tokens asked for at each difficulty.",
)
@click.option(
    "--otherwise",
    type=click.Choice(["keep", "drop"]),
    default="keep",
    show_default=True,
    help="What becomes of a record without an accepted rewrite: the original, marked, or nothing.",
)
@click.option("--tokenizer", metavar="ENGINE:NAME", help="Count tokens as this model. [default: pieces of words]")
@grader_option
@asking("teacher")
def shorten(
    records: tuple[str, ...],
    tokens: str,
    otherwise: str,
    tokenizer: str | None,
    grader: str | None,
    limit: int | None,
    **given: Any,
) -> None:
    """Rewrite every response to the length that its problem's difficulty deserves (LiteCoT).

    A rewrite is accepted if it is right and has less than 0.9 of the original's tokens.

    \b
    harness data shorten traces.jsonl --teacher openai:my-teacher -o short.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.shorten import Shorten, count_pieces

    settings = Settings.of(given)
    found = read_inputs(records, limit, grader)
    recipe = Shorten(
        found,
        settings.model,
        read_budgets(tokens),
        otherwise == "drop",
        token_counter(tokenizer, settings.results_dir) if tokenizer is not None else count_pieces,
        settings.draw(0.0),
        settings.template("dap_judge"),
        settings.template("dap_rewrite"),
    )
    source: dict[str, Json] = {**provenance(records, found), "tokens": tokens, "counted_by": tokenizer or "pieces"}
    carry_out(recipe, settings, [Path(name) for name in records], source)


def read_budgets(text: str) -> dict[int, int]:
    """Read "1:300,2:700" as a table. Raises `UsageError`."""
    from harness.errors import UsageError

    found: dict[int, int] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,2}):([0-9]{1,7})\s*", part)
        if match is None:
            raise UsageError(f"--tokens {text!r}: {part!r} is not of the form level:tokens, as in 1:300,2:700,3:1500")
        found[int(match[1])] = int(match[2])
    return found


def token_counter(spec: str, results_dir: Path) -> Any:
    """A counter of tokens with the tokenizer of a model."""
    tokenizer = load_tokenizer(spec, results_dir)
    return lambda text: len(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def load_tokenizer(spec: str, results_dir: Path) -> Any:
    """The tokenizer of a model as `--model` names it. Raises what `backends.load` raises."""
    from backends import load

    return load.load_tokenizer(load.find_weights(spec, results_dir))


@click.command("perspectives")
@records_argument
@click.option("--only", "names", multiple=True, metavar="NAME", help="One perspective; repeat it. [default: all eight]")
@click.option(
    "--at-least",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Leave out records with fewer positives.",
)
@grader_option
@asking("teacher")
def perspectives(
    records: tuple[str, ...],
    names: tuple[str, ...],
    at_least: int,
    grader: str | None,
    limit: int | None,
    **given: Any,
) -> None:
    """Add right rationales from several perspectives as `positives`, for mcc_kd and mind.

    Rationales whose words overlap by more than 0.8 are one. Defaults: temperature 0.7, top-p 0.95.

    \b
    harness data perspectives traces.jsonl --teacher openai:my-teacher -o views.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.perspectives import Perspectives

    settings = Settings.of(given)
    found = read_inputs(records, limit, grader)
    recipe = Perspectives(
        found, settings.model, names, at_least, settings.draw(0.7, 0.95), settings.template("perspectives")
    )
    carry_out(recipe, settings, [Path(name) for name in records], provenance(records, found))


@click.command("rationales")
@records_argument
@asking("teacher")
def rationales(records: tuple[str, ...], limit: int | None, **given: Any) -> None:
    """Store a teacher's thought about every prompt, without an answer: the first half of the data of cotd_po.

    \b
    harness data rationales prompts.jsonl --teacher openai:my-teacher -o thoughts.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.cotd import Rationales

    settings = Settings.of(given)
    found = read_inputs(records, limit, None)
    recipe = Rationales(
        found,
        settings.model,
        settings.draw(0.0),
        settings.template("cotd_rationale"),
        settings.template("cotd_student"),
    )
    carry_out(recipe, settings, [Path(name) for name in records], provenance(records, found))
