"""Judgments in the benchmarks' own files as tables: the published statistics, and our intervals beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.datasets import MissingData, data_folder, load_rows
from harness.report.table import Column, Row, Table
from harness.suites import load_suite
from harness.types import Json
from judges.protocols.alpaca import files as alpaca_files
from judges.protocols.alpaca.data import load_glm_data
from judges.protocols.alpaca.score import score_annotations
from judges.protocols.arena import files as arena_files
from judges.protocols.arena import results as arena_results
from judges.protocols.mt_bench import files as mt_bench_files
from judges.protocols.mt_bench import score as mt_bench_score
from judges.protocols.stored_rows import read_rows

_ALPACA = (
    "model", "win_rate", "standard_error", "low", "high", "length_controlled_winrate", "lc_standard_error",
    "lc_standard_error_glm", "lc_range", "lc_aligned", "formula", "discrete_win_rate", "n_wins", "n_wins_base",
    "n_draws", "n_total", "n_unscored", "avg_length", "provenance", "flags",
)  # fmt: skip
"""Keys of a row: fields of `AlpacaScore`, under the names of the benchmark's leaderboard."""
_PUBLISHED_NAMES = {
    "length_controlled_winrate": "lc",
    "lc_standard_error": "lc_se",
    "lc_standard_error_glm": "lc_se_glm",
    "lc_range": "lc_rivals",
}
_ARENA = ("model", "category", "baseline", "score", "low", "high", "se", "n_problems", "n_votes")


def alpaca_tables(
    files: Sequence[Path], data_dir: Path | None, published: Path | None, leaderboard: Path | None
) -> list[Table]:
    """AlpacaEval's numbers; `published` are held beside them, and `leaderboard` is written."""
    data, instructions = load_glm_data(data_dir), _instructions(data_dir)
    known = {row.model: row for row in alpaca_files.read_leaderboard(published)} if published is not None else {}
    annotations = [row for file in files for row in alpaca_files.read_annotations(file, instructions)]
    scores = score_annotations(annotations, data)
    rows: list[Row] = []
    for score in scores:
        row: dict[str, Json] = _fields(score, _ALPACA, _PUBLISHED_NAMES)
        told = known.get(score.model)
        row["published_lc"] = told.lc if told is not None else None
        row["published_win_rate"] = told.win_rate if told is not None else None
        rows.append(row)
    if leaderboard is not None:
        alpaca_files.write_leaderboard(leaderboard, scores)
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
    return [Table("AlpacaEval 2 [%]", columns, tuple(rows), tuple(notes))]


def _instructions(data_dir: Path | None) -> list[str] | None:
    """The benchmark's instructions in order, to check that files align; None where they are not at hand."""
    if data_folder(data_dir) is None:
        return None
    try:
        rows = load_rows(load_suite("alpaca_eval").data, data_dir)
    except MissingData:
        return None
    return [str(row["instruction"]) for row in sorted(rows, key=lambda row: int(str(row["id"])))]


def arena_tables(files: Sequence[Path], answers: Sequence[Path]) -> list[Table]:
    """Arena-Hard's scores by both estimators, and with style taken out where the answers are there too."""
    raws = read_rows(files)
    rows: list[Row] = []
    notes: list[str] = []
    for verdicts in arena_results.score_judgments(raws):
        notes += verdicts.warnings
        for method, scores in (("mean vote", verdicts.mean), ("Bradley-Terry", verdicts.bradley_terry)):
            rows += [_fields(score, _ARENA) | {"method": method, "judge": verdicts.judge} for score in scores]
    if answers:
        for judge, styled in arena_results.score_with_style(raws, arena_files.read_answers(read_rows(answers))):
            told = {"method": "style controlled", "judge": judge}
            rows += [_fields(score, _ARENA) | told for score in styled.scores]
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
        *(_number(name, name, 2, scale=100.0) for name in ("score", "low", "high")),
        _number("problems", "n_problems", 0),
        _number("votes", "n_votes", 0),
        _text("baseline"),
        _text("judge"),
    )
    return [Table("Arena-Hard [%]", columns, tuple(rows), tuple(dict.fromkeys(notes)))]


def mt_bench_tables(files: Sequence[Path]) -> list[Table]:
    """MT-Bench's ratings, pairwise results, or both, whatever the files hold."""
    raws = read_rows(files, refuse_empty=True)
    pairs = [raw for raw in raws if "g1_winner" in raw.fields]
    singles = [raw for raw in raws if "g1_winner" not in raw.fields]
    tables = []
    if singles:
        tables.append(_ratings(mt_bench_score.score_judgments(mt_bench_files.read_single(raw) for raw in singles)))
    if pairs:
        tables.append(_pairs(mt_bench_score.score_pairs(mt_bench_files.read_pair(raw) for raw in pairs)))
    return tables


def _ratings(scores: Sequence[mt_bench_score.MtBenchScore]) -> Table:
    names = list(dict.fromkeys(name for score in scores for name in score.estimates))
    rows: list[Row] = []
    for score in scores:
        rating = score.estimates["rating"]
        values = {name: estimate.value for name, estimate in score.estimates.items()}
        rows.append(
            {
                **_fields(score, ("model", "judge")),
                **values,
                **_fields(rating, ("low", "high")),
                **_fields(score, ("n", "unparsed", "repeated", "missing")),
            }
        )
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


def _pairs(scores: Sequence[mt_bench_score.PairScore]) -> Table:
    counts = ("wins", "ties", "losses", "unparsed")
    rows: list[Row] = [
        {
            **_fields(score, ("model", "judge")),
            "adjusted_win_rate": score.adjusted.value,
            **_fields(score.adjusted, ("low", "high")),
            **_fields(score, counts),
        }
        for score in scores
    ]
    columns = (
        _text("model"),
        _number("win rate + ties/2", "adjusted_win_rate", 1, scale=100.0),
        _number("low", "low", 1, scale=100.0),
        _number("high", "high", 1, scale=100.0),
        *(_number(name, name, 0) for name in counts),
        _text("judge"),
    )
    return Table("MT-Bench, pairwise [%]", columns, tuple(rows))


def _fields(score: object, keys: Sequence[str], renamed: dict[str, str] | None = None) -> dict[str, Json]:
    """Those fields of a score as plain values, under keys that may be called otherwise."""
    values = {key: getattr(score, (renamed or {}).get(key, key)) for key in keys}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _text(name: str) -> Column:
    def show(row: Row) -> str:
        value = row[name]
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    return Column(name, show)


def _number(title: str, name: str, digits: int, *, scale: float = 1.0) -> Column:
    def show(row: Row) -> str:
        value = row.get(name)
        return f"{scale * value:,.{digits}f}" if isinstance(value, int | float) else ""

    return Column(title, show, right=True)
