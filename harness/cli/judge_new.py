"""`harness judge new`: a rubric file of one's own, begun as a copy of another."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("new")
@click.argument("name", metavar="NAME|FILE")
@click.option(
    "--like",
    required=True,
    metavar="NAME|FILE",
    help="Rubric to begin from (`harness list rubrics`), or a TOML file.",
)
def command(name: str, like: str) -> None:
    """Write NAME.toml, a copy of another rubric to edit; a file that is there is never overwritten.

    The copy asks the judge the very same question, so what was asked before costs nothing until the first edit.

    \b
    harness judge new mine --like pairwise_5
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.errors import ConfigError
    from judges.prompts.rubric import check_file_name, load_rubric, rubric_text

    path = Path(name if name.endswith(".toml") else f"{name}.toml")
    check_file_name(str(path))
    rubric, (_, text) = load_rubric(like), rubric_text(like)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(
                f"# Begun as a copy of {rubric.id}. Say `harness show {path}` after an edit: mistakes have a line.\n"
            )
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path} is there already: name another, or delete it first") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from None
    click.echo(
        f"{path}: a copy of {rubric.id}; edit it, then harness judge lab --rubric {like} --rubric {path} --set …"
    )
