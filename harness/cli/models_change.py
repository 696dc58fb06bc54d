"""`harness models rm|add`: the two ways in which people change the registry; training is the third."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options
from harness.errors import StoreError, UsageError
from harness.registry import SCHEME, check_id, children, find_card, list_cards, models_dir, remove


@click.command("rm")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Even if other models were trained from it.")
@options.results_dir
def remove_model(name: str, yes: bool, force: bool, results_dir: Path) -> None:
    """Remove model NAME, its checkpoint and what training left; a linked checkpoint stays, and so do all runs.

    An unfinished training or a model with a broken card goes by its whole id.
    """
    try:
        found = find_card(results_dir, name)[0].name
    except StoreError:
        found = check_id(name.removeprefix(SCHEME))
        if not (models_dir(results_dir) / found).is_dir():
            raise
    above = children(list_cards(results_dir).cards, found)
    if above and not force:
        names = ", ".join(card.id for card in above[:5]) + (", …" if len(above) > 5 else "")
        raise UsageError(
            f"{len(above)} model(s) were trained from {found!r}: {names}. Remove them first, or say --force"
        )
    if not yes:
        try:
            sure = click.confirm(f"remove {models_dir(results_dir) / found} for good?", err=True)
        except click.Abort:
            raise UsageError("nobody is there to ask: say --yes to remove it") from None
        if not sure:
            click.echo("nothing was removed", err=True)
            return
    remove(results_dir, found)
    click.echo(f"removed {found}", err=True)


@click.command("add")
@click.argument("path", type=options.FilePath(file_okay=False, path_type=Path))
@click.option("--base", required=True, metavar="SPEC", help="Model it was trained from: hf:owner/name, smollm2, …")
@click.option("--method", default="imported", show_default=True, metavar="NAME", help="How it was trained.")
@click.option("--data", metavar="TEXT", help="What it was trained on.")
@click.option("--teacher", metavar="SPEC", help="Model whose traces or logits it was trained on.")
@click.option("--name", metavar="ID", help="Its id. [default: <base>-<method>-<8 hex digits>]")
@click.option("--link", is_flag=True, help="Link to the folder instead of copying its files.")
@options.results_dir
def add(
    path: Path,
    base: str,
    method: str,
    data: str | None,
    teacher: str | None,
    name: str | None,
    link: bool,
    results_dir: Path,
) -> None:
    """Import the checkpoint in folder PATH, whole or a LoRA adapter (peft), and print the new model's id.

    What could not be loaded is refused: torn files, tensors that are missing, too many or of another shape, an adapter
    that does not fit --base, a tokenizer larger than the embeddings, weights that are not finite.

    \b
    harness models add ./out/checkpoint-1000 --base hf:owner/name --method sft --data my-traces
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.models.adopting import adopt

    click.echo(adopt(results_dir, path, base, name, method=method, data=data, teacher=teacher, link=link).id)
