"""`harness bench`: train several methods on the same student, data and budget, evaluate them, and compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from harness.cli import options
from harness.cli.sections import Sections

_JUDGING = (
    "judge", "judge_options", "rubric", "judging", "weighting", "prompt", "repeats", "judge_temperature", "aggregate",
    "allow_self",
)  # fmt: skip


@click.command("bench", cls=Sections)
@click.option("--preset", metavar="NAME", help="Defaults for everything below: demo (the embedded world, minutes).")
@click.option(
    "--methods",
    multiple=True,
    metavar="NAME,…",
    help="Training methods.",
)
@click.option(
    "--reference",
    metavar="METHOD|student",
    help="What the others are held against: a method, or the untrained student. [default: the first method]",
)
@options.some(options.TRAINING, "student", "data")
@click.option("--teacher", metavar="SPEC", help="Where a method needs its weights; gets a row if it can be evaluated.")
@click.option("--model", multiple=True, metavar="ENGINE:NAME", help="Further model to show beside them.")
@click.option(
    "--controls",
    is_flag=True,
    help="Rows for the untrained student with k examples of the data, told to think, and by majority vote.",
)
@click.option("--seeds", type=int, metavar="COUNT", help="Trainings of each method: seeds 0, 1, … [default: 3]")
@click.option("--budget", metavar="AMOUNT", help="Tokens or time of each training: 200ktok, 2Mtok, 30min.")
@options.some(options.TRAINING, "count")
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Setting of all trainings (learning_rate=1e-4), or of one method: METHOD.learning_rate, METHOD.option.",
)
@options.some(options.TRAINING, "max_length", "precision", "gradient_checkpointing", "template")
@click.option("--suite", multiple=True, metavar="NAME[:N],…", help="Suites; NAME:N sets the samples per problem.")
@options.some(options.SAMPLING)
@click.option(
    "--model-arg",
    "model_options",
    multiple=True,
    metavar="KEY=VALUE",
    callback=options.pairs,
    help="Option of the engine that evaluates, e.g. dtype=float32; MODEL:KEY=VALUE is of one model, the student's also "
    "of what is trained from it.",
)
@options.some(options.JUDGING, *_JUDGING)
@options.data_dir
@options.results_dir
@click.option(
    "--report",
    type=options.FilePath(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with plots (.html) or Markdown (.md).",
)
@click.option("--dry-run", is_flag=True, help="Show trainings, tokens and requests; spend nothing.")
@options.quiet
@options.output_format
def command(**given: Any) -> None:
    """Train methods on the same student, data and budget; evaluate; compare, paired by problem and seed.

    The untrained student is the control. Intervals and tests count training seeds, questions and samples as drawn at
    random, and a second table says how much each contributes. The same command goes on where it was stopped, and only
    trains and generates what is missing. A method that fails costs its own row: the command then exits with 1.

    \b
    harness bench --preset demo --report demo.html
    harness bench --methods sft,emo,thinkanswer,krsl --student smollm2 --data train.jsonl --suite gsm8k --seeds 3 \\
        --budget 2Mtok --set lora_rank=16 --dry-run
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.cli.bench_run import bench

    bench(given)
