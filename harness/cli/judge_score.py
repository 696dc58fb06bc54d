"""`harness judge score`: score judgments that stand in a benchmark's own files, whoever made them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options
from harness.report.table import Format
from harness.types import Json

if TYPE_CHECKING:
    from harness.report.table import Column, Row, Table
    from judges.protocols.mt_bench.score import ModelScore, PairScore


@click.command("score")
@click.argument("protocol", type=click.Choice(["alpaca_eval", "arena_hard", "mt_bench"]))
@click.argument("files", nargs=-1, required=True, type=options.FilePath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--answers",
    multiple=True,
    type=options.FilePath(exists=True, dir_okay=False, path_type=Path),
    help="arena_hard: answer files of the models and the baseline, for style control.",
)
@click.option(
    "--published",
    type=options.FilePath(exists=True, dir_okay=False, path_type=Path),
    help="alpaca_eval: a leaderboard.csv to hold the numbers against.",
)
@click.option(
    "--leaderboard",
    type=options.FilePath(dir_okay=False, path_type=Path),
    help="alpaca_eval: write the numbers as the benchmark's leaderboard.csv.",
)
@options.data_dir
@options.output_format
def command(
    protocol: str,
    files: tuple[Path, ...],
    answers: tuple[Path, ...],
    published: Path | None,
    leaderboard: Path | None,
    data_dir: Path | None,
    form: Format,
) -> None:
    """Score the judgments in FILES by PROTOCOL, with the benchmark's published statistics and our intervals.

    \b
    alpaca_eval   annotations.json (length control needs instruction_difficulty and df_gamed in --data-dir)
    arena_hard    model_judgment/<judge>/<model>.jsonl, or battles
    mt_bench      <judge>_single.jsonl or <judge>_pair.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines
    from harness.errors import UsageError

    if answers and protocol != "arena_hard":
        raise UsageError(f"--answers is for arena_hard's style control, {protocol} has none")
    if protocol != "alpaca_eval" and (published is not None or leaderboard is not None):
        raise UsageError(f"--published and --leaderboard are files of alpaca_eval, {protocol} has none")
    if protocol == "arena_hard":
        tables = _arena(files, answers)
    else:
        own = protocol == "alpaca_eval"
        tables = [_alpaca(files, data_dir, published, leaderboard)] if own else _mt_bench(files)
    options.emit(tables, form)


def _alpaca(files: tuple[Path, ...], data_dir: Path | None, published: Path | None, leaderboard: Path | None) -> Table:
    from harness.report.table import Table
    from judges.protocols.alpaca.data import load_glm_data
    from judges.protocols.alpaca.files import read_annotations, read_leaderboard, write_leaderboard
    from judges.protocols.alpaca.score import score_annotations

    data = load_glm_data(data_dir)
    known = {row.model: row for row in read_leaderboard(published)} if published is not None else {}
    scores = score_annotations([row for file in files for row in read_annotations(file, _instructions(data_dir))], data)
    rows: list[dict[str, Json]] = [
        {
            "model": score.model,
            "win_rate": score.win_rate,
            "standard_error": score.standard_error,
            "low": score.low,
            "high": score.high,
            "length_controlled_winrate": score.lc,
            "lc_standard_error": score.lc_se,
            "lc_standard_error_glm": score.lc_se_glm,
            "lc_range": list(score.lc_rivals) if score.lc_rivals is not None else None,
            "lc_aligned": score.lc_aligned,
            "formula": score.formula,
            "discrete_win_rate": score.discrete_win_rate,
            "n_wins": score.n_wins,
            "n_wins_base": score.n_wins_base,
            "n_draws": score.n_draws,
            "n_total": score.n_total,
            "n_unscored": score.n_unscored,
            "avg_length": score.avg_length,
            "provenance": score.provenance,
            "flags": list(score.flags),
            "published_lc": known[score.model].lc if score.model in known else None,
            "published_win_rate": known[score.model].win_rate if score.model in known else None,
        }
        for score in scores
    ]
    if leaderboard is not None:
        write_leaderboard(leaderboard, scores)
    columns = (
        _text("model"),
        _number("LC win rate", "length_controlled_winrate", 2),
        _number("published LC", "published_lc", 2),
        _number("se (GLM exact)", "lc_standard_error", 2),
        _number("se (GLM fitted)", "lc_standard_error_glm", 2),
        _number("win rate", "win_rate", 2),
        _number("published", "published_win_rate", 2),
        _number("se", "standard_error", 2),
        _number("length", "avg_length", 0),
        _number("n", "n_total", 0),
        _number("unscored", "n_unscored", 0),
        _text("flags"),
    )
    notes = [f"length control: {name}" for name in dict.fromkeys(f"{s.formula}, {s.provenance}" for s in scores)]
    return Table("AlpacaEval 2 [%]", columns, tuple(rows), tuple(notes))


def _instructions(data_dir: Path | None) -> list[str] | None:
    """The benchmark's instructions in order, to check that files align; None where they are not at hand."""
    from harness.datasets import MissingData, data_folder, load_rows
    from harness.suites import load_suite

    if data_folder(data_dir) is None:
        return None
    try:
        rows = load_rows(load_suite("alpaca_eval").data, data_dir)
    except MissingData:
        return None
    return [str(row["instruction"]) for row in sorted(rows, key=lambda row: int(str(row["id"])))]


def _arena(files: tuple[Path, ...], answers: tuple[Path, ...]) -> list[Table]:
    from harness.report.table import Table
    from judges.protocols.arena.files import read_answers, read_rows
    from judges.protocols.arena.results import score_judgments, score_with_style

    raws = read_rows(files)
    rows: list[dict[str, Json]] = []
    notes: list[str] = []
    for result in score_judgments(raws):
        notes += result.warnings
        for method, scores in (("mean vote", result.mean), ("Bradley-Terry", result.bradley_terry)):
            rows += [_arena_row(result.judge, method, score) for score in scores]
    if answers:
        for judge, styled in score_with_style(raws, read_answers(read_rows(answers))):
            rows += [_arena_row(judge, "style controlled", score) for score in styled.scores]
            notes.append(f"style control: length in tokens ({styled.tokens})")
            notes += [
                f"{model}: nearly all answers differ from the baseline's in one direction ({', '.join(names)}); its "
                "style-controlled score is a guess beyond the data"
                for model, names in styled.extrapolated.items()
            ]
    columns = (
        _text("model"),
        _text("category"),
        _text("method"),
        _number("score", "score", 2, scale=100.0),
        _number("low", "low", 2, scale=100.0),
        _number("high", "high", 2, scale=100.0),
        _number("problems", "n_problems", 0),
        _number("votes", "n_votes", 0),
        _text("baseline"),
        _text("judge"),
    )
    return [Table("Arena-Hard [%]", columns, tuple(rows), tuple(dict.fromkeys(notes)))]


def _arena_row(judge: str, method: str, score: object) -> dict[str, Json]:
    names = ("model", "category", "baseline", "score", "low", "high", "se", "n_problems", "n_votes")
    return {**{name: getattr(score, name) for name in names}, "method": method, "judge": judge}


def _mt_bench(files: tuple[Path, ...]) -> list[Table]:
    from judges.protocols.mt_bench import files as mt_bench_files
    from judges.protocols.mt_bench import score as mt_bench_score

    raws = mt_bench_files.read_rows(files)
    pairs = [raw for raw in raws if "g1_winner" in raw.fields]
    singles = [raw for raw in raws if "g1_winner" not in raw.fields]
    tables: list[Table] = []
    if singles:
        scores = mt_bench_score.score_judgments(mt_bench_files.read_single(raw) for raw in singles)
        tables.append(_mt_bench_ratings(scores))
    if pairs:
        found = mt_bench_score.score_pairs(mt_bench_files.read_pair(raw) for raw in pairs)
        tables.append(_mt_bench_pairs(found))
    return tables


def _mt_bench_ratings(scores: Sequence[ModelScore]) -> Table:
    from harness.report.table import Table

    names = list(dict.fromkeys(name for score in scores for name in score.estimates))
    rows: list[dict[str, Json]] = [
        {
            "model": score.model,
            "judge": score.judge,
            **{name: estimate.value for name, estimate in score.estimates.items()},
            "low": score.estimates["rating"].low,
            "high": score.estimates["rating"].high,
            "n": score.n,
            "unparsed": score.unparsed,
            "repeated": score.repeated,
            "missing": score.missing,
        }
        for score in scores
    ]
    columns = (
        _text("model"),
        *(_number(name.removeprefix("rating:").replace("_", " "), name, 2) for name in names),
        _number("low", "low", 2),
        _number("high", "high", 2),
        *(_number(name, name, 0) for name in ("n", "unparsed", "repeated", "missing")),
        _text("judge"),
    )
    notes = [
        f"{score.model}: {len(score.mismatched)} recorded ratings differ from the judge's text: "
        + ", ".join(score.mismatched[:5])
        for score in scores
        if score.mismatched
    ]
    return Table("MT-Bench, ratings from 1 to 10", columns, tuple(rows), tuple(notes))


def _mt_bench_pairs(scores: Sequence[PairScore]) -> Table:
    from harness.report.table import Table

    rows: list[dict[str, Json]] = [
        {
            "model": score.model,
            "judge": score.judge,
            "adjusted_win_rate": score.adjusted.value,
            "low": score.adjusted.low,
            "high": score.adjusted.high,
            "wins": score.wins,
            "ties": score.ties,
            "losses": score.losses,
            "unparsed": score.unparsed,
        }
        for score in scores
    ]
    columns = (
        _text("model"),
        _number("win rate + ties/2", "adjusted_win_rate", 1, scale=100.0),
        _number("low", "low", 1, scale=100.0),
        _number("high", "high", 1, scale=100.0),
        *(_number(name, name, 0) for name in ("wins", "ties", "losses", "unparsed")),
        _text("judge"),
    )
    return Table("MT-Bench, pairwise [%]", columns, tuple(rows))


def _text(name: str) -> Column:
    from harness.report.table import Column

    def show(row: Row) -> str:
        value = row[name]
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return Column(name, show)


def _number(title: str, name: str, digits: int, *, scale: float = 1.0) -> Column:
    from harness.report.table import Column

    def show(row: Row) -> str:
        value = row.get(name)
        return f"{scale * value:,.{digits}f}" if isinstance(value, int | float) else ""

    render: Callable[[Row], str] = show
    return Column(title, render, right=True)
