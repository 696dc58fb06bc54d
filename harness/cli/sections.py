"""Help of commands with many options: by subject, what a first user needs first."""

from __future__ import annotations

import click

FIRST, SAMPLING, TRAINING, JUDGING, PLACES = "What to do", "Problems and sampling", "Training", "Judging", "Output"
_SECTIONS = {
    SAMPLING: ("n", "limit", "seed", "temperature", "top_p", "max_tokens", "protocol", "metric", "model_options"),
    TRAINING: ("count", "max_length", "precision", "gradient_checkpointing", "template", "teacher_server"),
    JUDGING: (
        *("judge", "judge_options", "rubric", "judging", "weighting", "prompt", "repeats", "orders"),
        *("judge_temperature", "aggregate", "samples", "allow_self", "judge_budget"),
    ),
    PLACES: (
        *(
            "config_file",
            "max_failures",
            "data_dir",
            "results_dir",
            "shard",
            "dry_run",
            "details",
            "report",
            "junit_file",
        ),
        *("annotations", "show", "quiet", "form", "as_json", "report_to", "keep_rollouts", "_click_default_help"),
    ),
}
_OF = {name: title for title, names in _SECTIONS.items() for name in names}
_FINER = ("weighting", "prompt", "repeats", "orders", "judge_temperature", "aggregate", "samples", "allow_self")
"""Of judging: taken by `run` as ever, but said by --set, and listed by `harness judge run`."""


class Sections(click.Command):
    """A command whose options are listed by subject; what has no subject comes first."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under the titles of their subjects."""
        listed: dict[str, list[tuple[str, str]]] = {title: [] for title in (FIRST, *_SECTIONS)}
        for parameter in self.get_params(ctx):
            record, name = parameter.get_help_record(ctx), str(parameter.name)
            if record is None or (self.name == "run" and name in _FINER):
                continue
            spent_on_judges = self.name == "run" and name == "budget"
            listed[JUDGING if spent_on_judges else _OF.get(name, FIRST)].append(record)
        for title, records in listed.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
        if self.name == "run":
            finer = ", ".join(_FINER)
            formatter.write_paragraph()
            formatter.write_text(
                f"Finer points of judging by --set KEY=VALUE ({finer}): see `harness judge run --help`."
            )
