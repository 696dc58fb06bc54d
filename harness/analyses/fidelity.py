"""How closely students follow their teacher: the same answers, the same words, the same next tokens; and under stress.

Agreement is how often an answer is the teacher's, right or wrong (`harness.analyses.teacher`); fidelity is sentence
BLEU of a student's text against the teacher's of the same attempt (sacrebleu, effective order), with corpus BLEU beside
it. With three runs or more their rank correlations with accuracy say whether following the teacher is what made
students better (LCS2-IIITD's KD_generalization). `--tokens` asks both models about the students'
answers (`harness.analyses.next_tokens`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.analyses.asking import Scored, StoredText, open_models, score_texts, stored_texts
from harness.analyses.base import Analysis, AnalysisContext, SideBySide, mean_of, measured, side_by_side
from harness.analyses.next_tokens import TopTokens, alike, mean_over, shared, stressed, top_tokens
from harness.analyses.teacher import agreement
from harness.errors import DataError, UsageError
from harness.models.base import import_extra
from harness.report.table import Column, Row, Table, column, number
from harness.run.folder import RunFolder, find_run
from harness.run.tokenizers import mark_of, of_run
from harness.stats.ranks import rank_correlations
from harness.stats.standard_errors import Array
from harness.types import Json, TokenScores

_FEWEST_RUNS = 3
_SEED = 0


@dataclass(frozen=True)
class Fidelity(Analysis):
    """How closely students follow their teacher: agreement of answers, BLEU of texts, and next tokens with --tokens.

    RUN are runs of students, of one suite; --teacher is the run of their teacher. With three or more, rank correlations
    of agreement and fidelity with accuracy. --tokens has both models score the students' answers: top tokens, overlap,
    Spearman, Kendall and KL of the next-token distributions, and what noise on the teacher's logits or a temperature
    leaves of them.
    """

    runs = "STUDENT_RUN [STUDENT_RUN...]"

    teacher: str
    """Run of the teacher."""
    tokens: bool = False
    """Ask the models of the runs about next tokens."""
    top: int = field(default=10, metadata={"least": 2})
    """Likeliest tokens of a position that are looked at."""
    noise: tuple[float, ...] = field(default=(1.0, 2.0, 5.0), metadata={"above": 0.0})
    """Standard deviation of the noise on the teacher's logits; repeat for more."""
    temperature: tuple[float, ...] = field(default=(2.0, 5.0), metadata={"above": 0.0})
    """Temperature of the teacher's distribution; repeat for more."""
    model_arg: tuple[str, ...] = field(default=(), metadata={"shown": "ROLE.KEY=VALUE"})
    """Option of a model's engine, student or teacher, e.g. teacher.dtype=float32; repeat for more."""
    samples: int = field(default=1, metadata={"least": 1})
    """Answers of each problem for --tokens, at most."""
    limit: int | None = field(default=None, metadata={"least": 1})
    """Problems for --tokens, at most."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """Answers and words, then next tokens, then stress, then correlations over runs."""
        teacher = find_run(context.results_dir, self.teacher)
        board = side_by_side([teacher, *runs])
        if self.tokens:
            for run in runs:
                _refuse_other_tokenizer(run, teacher)
        rows = [_followed(board, place, teacher, run) for place, run in enumerate(runs, 1)]
        notes = [f"{len(board.problems)} problems; teacher {board.names[0]}"]
        notes += [f"{board.left_out} problems are left out: not scored in every run"] if board.left_out else []
        title = f"How closely students follow {board.names[0]}, {runs[0].result.suite}"
        tables = [Table(title, _COLUMNS, tuple(rows), tuple(notes))]
        if self.tokens:
            tables += self._next_tokens(board, teacher, runs, context)
        return tables + ([_over_runs(rows)] if len(runs) >= _FEWEST_RUNS else [])

    def _next_tokens(
        self, board: SideBySide, teacher: RunFolder, runs: Sequence[RunFolder], context: AnalysisContext
    ) -> list[Table]:
        stress = [("temperature", 1.0), *(("noise", one) for one in self.noise)]
        stress += [("temperature", one) for one in self.temperature]
        plain: list[Row] = []
        under: list[Row] = []
        both: list[Row] = []
        notes: list[str] = []
        for place, run in enumerate(runs, 1):
            texts = [one for one in stored_texts(run, context, self.samples, self.limit) if one.key[0] in board.rows[0]]
            pairs, left_out = self._scored(run, teacher, texts, context)
            notes += [f"{board.names[place]}: {left_out}"] if left_out else []
            clusters = dict(zip(board.problems, board.clusters, strict=True))
            names = [clusters[problem] for problem in pairs]
            found = {problem: [alike(*pair) for pair in some] for problem, some in pairs.items()}
            row = {key: _cell(mean_over(found, key), names, key) for key in _ALIKE}
            plain.append({"student": board.names[place], "problems": len(pairs), **row})
            for k in [k for k in _SHARED if k <= self.top]:
                first = {problem: [shared(*pair, k) for pair in some] for problem, some in pairs.items()}
                cells = {key: _cell(mean_over(first, key), names, key) for key in ("overlap", "mass")}
                both.append({"student": board.names[place], "k": k, **cells})
            rng = np.random.default_rng(_SEED)
            moved = {problem: [stressed(*pair, stress, rng) for pair in some] for problem, some in pairs.items()}
            for at, (kind, level) in enumerate(stress):
                one = {problem: [levels[at] for levels in some] for problem, some in moved.items()}
                told = {key: _cell(mean_over(one, key), names, key) for key in _STRESSED}
                shown = "none" if at == 0 else kind
                under.append({"student": board.names[place], "stress": shown, "level": level, **told})
        how = f"the {self.top} likeliest tokens at each position of the students' answers; means over problems"
        seen = "noise and temperature on the teacher's list alone: what they lift from below it is not seen"
        return [
            Table("Next tokens of student and teacher", _ALIKE_COLUMNS, tuple(plain), (how, *notes)),
            Table("Likeliest tokens that both share", _SHARED_COLUMNS, tuple(both), (_MASS,)),
            Table("The teacher's next tokens under stress", _STRESS_COLUMNS, tuple(under), (seen,)),
        ]

    def _scored(
        self, run: RunFolder, teacher: RunFolder, texts: Sequence[StoredText], context: AnalysisContext
    ) -> tuple[dict[str, list[tuple[TopTokens, TopTokens]]], str]:
        """(Student's, teacher's) of each text by problem, and how many are left out and why."""
        specs = {"student": run.result.model, "teacher": teacher.result.model}
        models = open_models(specs, self.model_arg, context)

        def make(one: StoredText, scores: TokenScores) -> TopTokens:
            return top_tokens(scores, self.top)

        mine: Scored[TopTokens] = score_texts(models["student"], texts, make, context, top=self.top)

        def make_same(one: StoredText, scores: TokenScores) -> TopTokens:
            if one.key in mine.values and mine.values[one.key].text != scores.ids:
                raise ValueError(_two_tokenizers(run, teacher))
            return top_tokens(scores, self.top)

        theirs = score_texts(models["teacher"], texts, make_same, context, top=self.top)
        pairs: dict[str, list[tuple[TopTokens, TopTokens]]] = {}
        for key, tokens in mine.values.items():
            if key in theirs.values:
                pairs.setdefault(key[0], []).append((tokens, theirs.values[key]))
        if not pairs:
            raise DataError(f"{run.name}: no answer is scored by both models")
        left = len(texts) - sum(map(len, pairs.values()))
        return pairs, f"{left} answers are left out: {mine.why or theirs.why}" if left else ""


def _followed(board: SideBySide, place: int, teacher: RunFolder, run: RunFolder) -> Row:
    sacrebleu = import_extra("sacrebleu.metrics", "BLEU", "judge")
    bleu = sacrebleu.BLEU(effective_order=True)
    mine, theirs = _texts(run), _texts(teacher)
    of_problem: dict[str, list[float]] = {}
    counted: list[list[int]] = []
    for problem in board.problems:
        for row in board.rows[place][problem]:
            pair = mine.get((problem, row.attempt)), theirs.get((problem, row.attempt))
            if pair[0] and pair[1]:
                score = bleu.sentence_score(pair[0], [pair[1]])
                of_problem.setdefault(problem, []).append(score.score / 100)
                counted.append([*score.counts, *score.totals, score.sys_len, score.ref_len])
    clusters = dict(zip(board.problems, board.clusters, strict=True))
    means = np.array([math.fsum(found) / len(found) for found in of_problem.values()])
    corpus = None
    if counted:  # the counts of all sentences are the corpus's
        sums = np.sum(counted, axis=0).tolist()
        orders = (len(sums) - 2) // 2
        corpus = sacrebleu.BLEU.compute_bleu(sums[:orders], sums[orders:-2], *sums[-2:]).score / 100
    return {
        "student": board.names[place],
        "run": run.name,
        "accuracy": mean_of(board.means(place), board.clusters),
        "agreement": mean_of(agreement(board, place, 0)[0], board.clusters),
        "fidelity": mean_of(means, [clusters[problem] for problem in of_problem]),
        "corpus_bleu": corpus,
        "texts": len(counted),
    }


def _texts(run: RunFolder) -> dict[tuple[str, int], str]:
    return {key: record.completion.text for key, record in run.latest.items() if record.completion.finish != "error"}


def _over_runs(rows: Sequence[Row]) -> Table:
    """Whether students that follow more are better, over runs."""
    found: list[Row] = []
    for name in ("agreement", "fidelity"):
        pairs = [(number(row, name, "value"), number(row, "accuracy", "value")) for row in rows]
        known = np.array([pair for pair in pairs if None not in pair], dtype=np.float64).reshape(-1, 2)
        rho, tau = rank_correlations(known[None, :, 0], known[None, :, 1])
        enough = len(known) >= _FEWEST_RUNS
        found.append(
            {
                "with": name,
                "spearman": float(rho[0]) if enough else None,
                "kendall": float(tau[0]) if enough else None,
                "runs": len(known),
            }
        )
    return Table("Rank correlation with accuracy, over students", _CORRELATIONS, tuple(found), ())


def _refuse_other_tokenizer(run: RunFolder, teacher: RunFolder) -> None:
    """Before anything is asked, where both tokenizers lie here; else the first text tells."""
    mine, theirs = (of_run(one.result, one.results_dir) for one in (run, teacher))
    if mine is not None and theirs is not None and mark_of(run.result, mine) != mark_of(teacher.result, theirs):
        raise UsageError(_two_tokenizers(run, teacher))


def _two_tokenizers(run: RunFolder, teacher: RunFolder) -> str:
    return (
        f"{run.result.model} and {teacher.result.model} have two tokenizers: their next tokens cannot be held together "
        "(agreement and fidelity can: leave out --tokens)"
    )


_ALIKE = ("top_token", "overlap", "spearman", "kendall", "kl")
_SHARED = (1, 3, 10)
_MASS = "overlap: share of the k likeliest tokens that both have; mass: what the student gives those"
_STRESSED = ("kept", "top_token", "spearman", "moved")
_SHARES = ("top_token", "overlap", "kept", "mass")


def _cell(values: Array, clusters: Sequence[str], name: str) -> Json:
    known = ~np.isnan(values)
    chosen = [cluster for cluster, one in zip(clusters, known, strict=True) if one]
    return mean_of(values[known], chosen, share=name in _SHARES)


def _plain(title: str, key: str, *, scale: float = 1.0, digits: int = 3) -> Column:
    def show(row: Row) -> str:
        value = number(row, key)
        return "-" if value is None or math.isnan(value) else f"{scale * value:.{digits}f}"

    return Column(title, show, right=True)


_COLUMNS = (
    column("student"),
    measured("accuracy [%]", "accuracy"),
    measured("agrees with teacher [%]", "agreement"),
    measured("fidelity, BLEU [%]", "fidelity"),
    _plain("corpus BLEU [%]", "corpus_bleu", scale=100.0, digits=1),
    column("texts", right=True),
)
_ALIKE_COLUMNS = (
    column("student"),
    column("problems", right=True),
    measured("same top token [%]", "top_token"),
    measured("overlap [%]", "overlap"),
    measured("Spearman [%]", "spearman"),
    measured("Kendall [%]", "kendall"),
    measured("KL at least [mnat]", "kl", scale=1000.0),
)
_SHARED_COLUMNS = (
    column("student"),
    column("k", right=True),
    measured("overlap [%]", "overlap"),
    measured("mass [%]", "mass"),
)
_STRESS_COLUMNS = (
    column("student"),
    Column("stress", lambda row: f"{row['stress']} {number(row, 'level'):g}" if row["stress"] != "none" else "none"),
    measured("top token kept [%]", "kept"),
    measured("student's top token [%]", "top_token"),
    measured("Spearman [%]", "spearman"),
    measured("moved [mnat]", "moved", scale=1000.0),
)
_CORRELATIONS = (
    column("with"),
    _plain("Spearman", "spearman"),
    _plain("Kendall", "kendall"),
    column("runs", right=True),
)
