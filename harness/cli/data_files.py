"""`harness data synth|decontaminate|stats`: what needs no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from harness.cli import options
from harness.cli.data_run import (
    check_out,
    force_option,
    limit_option,
    out_option,
    provenance,
    read_inputs,
    summary,
    write_made,
)
from harness.plain import plural
from harness.report.table import to_json
from harness.types import Json, Problem

if TYPE_CHECKING:
    from backends.records.contamination import Hit
    from backends.records.record import TrainRecord
    from backends.records.synth import Form
    from harness.synth import Level, Split, Style


@click.command("synth")
@click.option("--levels", default="1,2", show_default=True, metavar="N,…", help="Out of 1 to 5.")
@click.option("--per-level", type=click.IntRange(1, 1_000_000), default=500, show_default=True, help="Of each level.")
@click.option("--split", type=click.Choice(["train", "dev"]), default="train", show_default=True)
@click.option("--style", type=click.Choice(["short", "plain", "long"]), default="plain", show_default=True)
@click.option(
    "--form",
    type=click.Choice(["think", "plain"]),
    default="think",
    show_default=True,
    help="The chain in a think block, or before the answer.",
)
@click.option("--positives", type=click.IntRange(0, 64), default=0, show_default=True, help="Other right responses.")
@click.option(
    "--candidates", type=click.IntRange(0, 64), default=0, show_default=True, help="Rewarded answers: 0 or 2+."
)
@click.option("--seed", type=int, default=0, show_default=True)
@out_option
@force_option
def synth(
    levels: str,
    per_level: int,
    split: str,
    style: str,
    form: str,
    positives: int,
    candidates: int,
    seed: int,
    out: Path,
    force: bool,
) -> None:
    """Write records of the embedded world: right chains, wrong twins, structures, candidates, all of known truth.

    "long" chains have a structure and no wrong twin; the other styles have a twin. No record's question is in the
    suites synth and synth_easy.

    \b
    harness data synth --levels 1,2 --per-level 500 --style plain --positives 2 --candidates 4 -o train.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.base import Made
    from backends.records.synth import synth_records
    from harness.errors import UsageError

    parts = [part.strip() for part in levels.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) == 1 for part in parts):
        raise UsageError(f"--levels {levels!r}: levels are digits joined by commas, as in 1,2")
    check_out(out, "synth", (), force)
    records = synth_records(
        seed,
        per_level,
        tuple(cast("Level", int(part)) for part in parts),
        split=cast("Split", split),
        style=cast("Style", style),
        form=cast("Form", form),
        positives=positives,
        candidates=candidates,
    )
    counts = Counter(f"level_{record.meta['level']}" for record in records)
    made = Made(tuple(records), {"records": len(records), **dict(sorted(counts.items()))})
    facts: dict[str, Json] = {"levels": levels, "per_level": per_level, "split": split, "style": style, "form": form}
    write_made(made, out, "synth", {**facts, "positives": positives, "candidates": candidates, "seed": seed})
    click.echo(summary(made, out, None), err=True)


@dataclass
class _Looked:
    """What every suite was looked at for."""

    suites: dict[str, Json] = field(default_factory=dict)
    """Suite -> how it was checked and how many questions it has, or why it was not."""
    unchecked: list[str] = field(default_factory=list)
    hits: list[Hit] = field(default_factory=list)


@click.command("decontaminate")
@click.argument("records", nargs=-1, required=True, metavar="RECORDS...")
@click.option("--suite", default="all", show_default=True, metavar="all|NAME,…", help="Benchmarks to look for.")
@click.option("--ngram", type=click.IntRange(2, 100), default=8, show_default=True, help="Words of a gram.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.2,
    show_default=True,
    help="Share of a question's or prompt's grams from which it counts as the same.",
)
@options.data_dir
@out_option
@force_option
@limit_option
def decontaminate(
    records: tuple[str, ...],
    suite: str,
    ngram: int,
    threshold: float,
    data_dir: Path | None,
    out: Path,
    force: bool,
    limit: int | None,
) -> None:
    """Leave out the records whose prompts overlap with a benchmark's questions.

    RECORDS may also be prompt files as `harness data traces` takes them: it costs least before a teacher answers.
    Generated suites (synth), whose questions look alike without being the same, are compared as whole questions. A
    suite whose data are not at hand is listed as unchecked, and the report says so: give --data-dir. Finds copies and
    edits; hardly any paraphrase (docs/data.md).

    \b
    harness data decontaminate traces.jsonl --suite all --data-dir ./benchmarks -o clean.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from backends.makers.base import Made
    from harness.errors import DataError

    check_out(out, "decontaminate", [Path(name) for name in records], force)
    found = read_inputs(records, limit, None, plain=True)
    looked = _look(found, suite, ngram, threshold, data_dir)
    bad = {hit.record for hit in looked.hits}
    clean = tuple(record for record in found if record.id not in bad)
    made = Made(clean, {"given": len(found), "contaminated": len(bad), "clean": len(clean)})
    by_suite = Counter(hit.suite for hit in {(hit.record, hit.suite): hit for hit in looked.hits}.values())
    facts: dict[str, Json] = {
        **provenance(records, found),
        "ngram": ngram,
        "threshold": threshold,
        "suites": looked.suites,
        "unchecked": list(looked.unchecked),
        "hits_by_suite": dict(by_suite.most_common()),
        "hits": [
            {
                "record": hit.record,
                "suite": hit.suite,
                "problem": hit.problem,
                "overlap": round(hit.overlap, 4),
                "shared": hit.shared,
            }
            for hit in looked.hits
        ],
    }
    lines = [f"{name}: overlaps with {plural(count, 'record')}" for name, count in by_suite.most_common()]
    if looked.unchecked:
        lines.append(f"warning: NOT checked against {', '.join(looked.unchecked)}: their data are not at hand")
    if clean:
        write_made(made, out, "decontaminate", facts)
    click.echo(summary(made, out, None, "\n".join(lines)), err=True)
    if not clean:
        raise DataError(f"every record overlaps with a benchmark, so {out} was not written")


def _look(records: Sequence[TrainRecord], names: str, n: int, threshold: float, data_dir: Path | None) -> _Looked:
    """Compare the records with every suite named.

    A suite named by the user must be readable; of "all", what cannot be read is listed as unchecked. Raises
    `DataError` if nothing could be checked.
    """
    from backends.records.contamination import Questions, remove_contaminated
    from harness import catalog
    from harness.errors import DataError, HarnessError
    from harness.suites import load_problems, load_suite

    everything = names == "all"
    questions, looked = Questions(n, threshold), _Looked()
    compared = False
    wanted = list(catalog.entries("suite")) if everything else [name.strip() for name in names.split(",")]
    for name in dict.fromkeys(wanted):
        try:
            suite = load_suite(name)
            problems = load_problems(suite, data_dir, 0, None)
        except HarnessError as error:
            if not everything:
                raise
            looked.suites[name] = {"checked": "no", "why": str(error)}
            looked.unchecked.append(name)
            continue
        generated = suite.data.generate is not None
        if generated:
            looked.hits += _same_question(records, name, problems)
        else:
            questions.add(name, problems)
            compared = True
        looked.suites[name] = {"checked": "whole questions" if generated else "grams", "questions": len(problems)}
    if compared:
        filtered = remove_contaminated(records, questions)
        looked.hits += filtered.hits
        for name, count in filtered.unchecked_questions.items():
            looked.suites[name] = {**cast("Mapping[str, Json]", looked.suites[name]), "too_short": count}
    if len(looked.unchecked) == len(looked.suites):
        raise DataError("no suite could be checked: name the folder of their data with --data-dir")
    return looked


def _same_question(records: Sequence[TrainRecord], suite: str, problems: Sequence[Problem]) -> list[Hit]:
    from backends.records.contamination import Hit, words

    asked = {tuple(words(problem.messages[-1].content)): problem.id for problem in problems}
    found = []
    for record in records:
        said = tuple(words(record.prompt[-1].content))
        if said in asked:
            found.append(Hit(record.id, suite, asked[said], 1.0, len(said)))
    return found


@click.command("stats")
@click.argument("records", nargs=-1, required=True, metavar="RECORDS...")
@click.option("--tokenizer", metavar="ENGINE:NAME", help="Count tokens as this student, and what it cannot learn.")
@click.option(
    "--max-length", type=click.IntRange(min=2), default=4096, show_default=True, help="With --tokenizer: the limit."
)
@options.results_dir
@options.as_json
def stats(records: tuple[str, ...], tokenizer: str | None, max_length: int, results_dir: Path, as_json: bool) -> None:
    """Say what is in files of records: fields, how responses split into chain and answer, lengths, the data hash."""
    from backends.makers.stats import stats as summarise
    from harness.cli.data_recipes import load_tokenizer

    found = read_inputs(records, None, None)
    loaded = load_tokenizer(tokenizer, results_dir) if tokenizer is not None else None
    result = summarise(found, loaded, max_length)
    if as_json:
        click.echo(to_json(result.to_json()), nl=False)
        return
    from harness.plain import clean

    click.echo(f"{plural(result.records, 'record')}, data hash {result.data_hash[:16]}")
    click.echo("fields: " + ", ".join(f"{name} {count:,}" for name, count in result.fields.items()))
    shown = ", ".join(f"{rule} {count:,}" for rule, count in result.splits.items()) or "no responses"
    click.echo(f"responses split by: {shown}; {result.without_chain:,} of them without a chain")
    for unit, table in (("words", result.words), ("tokens", result.tokens)):
        for name, spread in table.items():
            numbers = ", ".join(f"{key} {value:,.0f}" for key, value in spread.items())
            click.echo(f"{unit} of {name}: {numbers}")
    for reason, count in result.unusable.items():
        click.echo(f"cannot be trained on ({reason}): {count:,}")
    for name, values in result.meta.items():
        click.echo(f"{name}: " + ", ".join(f"{clean(value, 60)} {count:,}" for value, count in values.items()))
    if result.meta.get("split", {}).get("test"):
        click.echo("warning: holds TEST problems of a suite: never evaluate on it what they train", err=True)
