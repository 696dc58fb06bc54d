"""AlpacaEval, Arena-Hard and MT-Bench: answers and judgments as those benchmarks' own files, and their answers as runs.

An imported file of answers becomes a run like any other, so that any judge of ours can judge it; its model is named
`file:<generator>`, and how its answers were sampled is not known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import DataError, StoreError, UsageError
from harness.files import write_output
from harness.interop.common import safe_name
from harness.reasoning import with_answer
from harness.run.folder import RunFolder
from harness.run.judged.tasks import baseline_answers, load_answers
from harness.run.plan import PlannedRun, make_jobs, plan_suites
from harness.run.replan import stored_job
from harness.run.spec import make_request, prompt_hash
from harness.run.store import RunStore
from harness.run.turns import follow_up
from harness.suites import load_suite
from harness.suites.arena_hard import V2_BASELINES
from harness.types import Completion, Json, Record
from judges.protocols.alpaca import files as alpaca_files
from judges.protocols.arena import files as arena_files
from judges.protocols.mt_bench import files as mt_bench_files
from judges.protocols.mt_bench import judging as mt_bench
from judges.protocols.stored_rows import Answer, read_rows
from judges.types import Judged, Judgment, Task

BENCHMARKS = ("alpaca_eval", "arena_hard", "mt_bench")


def import_answers(path: Path, benchmark: str, config: RunConfig) -> list[Path]:
    """Make one run for each model whose answers are in a file of the benchmark; returns the run directories.

    Raises `DataError` naming the rows that do not belong to the benchmark's questions, or that are missing.
    """
    read: dict[str, Callable[[Path, PlannedRun], dict[str, dict[str, tuple[str, ...]]]]] = {
        "alpaca_eval": _alpaca_answers,
        "arena_hard": _arena_answers,
        "mt_bench": _mt_bench_answers,
    }
    asked = replace(config, suite=(benchmark,), model=("file:answers",))
    plans = plan_suites(asked)
    found = read[benchmark](path, make_jobs(plans, "file:answers", {}, asked)[0])
    if not found:
        raise DataError(f"{path}: there is no answer in it")
    if unnamed := [model for model in found if not model.strip()]:
        raise DataError(f"{path}: a model without a name ({unnamed[0]!r}): say whose answers these are")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    made: list[Path] = []
    for model, answers in found.items():
        identity: dict[str, Json] = {"engine": "file", "model": model, "sha256": digest}
        job = make_jobs(plans, f"file:{model}", identity, asked)[0]
        missing = [problem.id for problem in job.problems if _question(problem.id) not in answers]
        if missing:
            raise DataError(f"{path}: {model} has no answer to {len(missing)} questions: {', '.join(missing[:5])}")
        _store(job, answers)
        made.append(job.directory)
    return made


def _question(problem_id: str) -> str:
    """MT-Bench's problems are turns of questions; everywhere else a problem is a question."""
    return problem_id.partition("/")[0]


def _store(job: PlannedRun, answers: Mapping[str, tuple[str, ...]]) -> None:
    with RunStore(job.directory, job.spec) as store:
        for first in job.problems:
            problem = first
            for text in answers[_question(first.id)]:
                completion = Completion(text=text, finish="stop")
                made_from = prompt_hash(problem.messages)
                if not store.done((problem.id, 0), made_from):
                    seed = make_request(problem, 0, job.spec.sampling).seed
                    store.append(Record(problem.id, 0, seed, made_from, completion))
                following = follow_up(job.suite, problem, with_answer(completion))
                if following is None:
                    break
                problem = following
        store.compact()


def _alpaca_answers(path: Path, job: PlannedRun) -> dict[str, dict[str, tuple[str, ...]]]:
    by_index = {int(problem.id): problem.messages[-1].content for problem in job.problems}
    outputs = alpaca_files.read_outputs(path, [by_index[index] for index in sorted(by_index)])
    return {outputs[0].model: {one.question: one.turns for one in outputs}}


def _arena_answers(path: Path, job: PlannedRun) -> dict[str, dict[str, tuple[str, ...]]]:
    known = {problem.id for problem in job.problems}
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for raw in read_rows([path]):
        try:
            answer = arena_files.read_answer(raw.fields)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"{raw.where}: not an Arena-Hard answer: {error}") from error
        answers = found.setdefault(answer.model, {})
        if answer.question not in known:
            raise DataError(f"{raw.where}: {answer.question!r} is no question of {job.suite.name}")
        if answer.question in answers:
            raise DataError(f"{raw.where}: a second answer of {answer.model!r} to {answer.question!r}")
        answers[answer.question] = answer.turns
    return found


def _mt_bench_answers(path: Path, job: PlannedRun) -> dict[str, dict[str, tuple[str, ...]]]:
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for answer in mt_bench_files.read_answers(path):
        if len(answer.turns) != 2:
            raise DataError(
                f"{path}: {answer.model!r} has {len(answer.turns)} turns to question {answer.question}, not 2"
            )
        found.setdefault(answer.model, {})[answer.question] = answer.turns
    return found


def export_benchmark(folder: RunFolder, benchmark: str, out: Path, config: RunConfig) -> list[Path]:
    """Write a run's answers, and, of a judged run, its judgments too, as the benchmark's own files below `out`.

    Raises `UsageError` if the run is of another suite or was judged in another way than the benchmark's files can hold.
    """
    spec = folder.spec
    base = folder.beside(spec.judged_from) if spec.judged_from is not None else folder
    job = stored_job(base, config)
    if job.suite.name.removesuffix("_v2") != benchmark:
        raise UsageError(f"{folder.name} is a run of {job.suite.name}, not of {benchmark}")
    judging = load_suite(job.suite.name).judging
    answers = load_answers(job, "answer", 1)
    tasks = [task for task in answers.tasks if task.key not in answers.failed]
    judged: list[Judged] = []
    judgments: list[Judgment] = []
    if base is not folder:
        in_pairs = (benchmark, spec.judging.get("judging")) == ("mt_bench", mt_bench.PAIR_NAME)
        own = spec.judging.get("judging") == judging and spec.against in (None, "baseline")
        if not own and not in_pairs:
            raise UsageError(
                f"{folder.name} was not judged by the protocol of {benchmark}: export the answers alone, {base.name}"
            )
        judgments = folder.judgments
        rows = {(row.problem_id, row.attempt): row.score for row in folder.graded}
        known = {task.problem_id for task in answers.tasks}
        if (
            not any(judgment.repeat == 0 for judgment in judgments)
            or any(judgment.problem_id not in known for judgment in judgments)
            or any(task.key not in rows for task in tasks)
        ):
            raise StoreError(
                f"{folder} lacks verdicts or scores of its answers: write it again with the same `harness judge`"
            )
        judged = [
            Judged(task.problem_id, task.attempt, score.value, score.status)
            for task in tasks
            for score in [rows[task.key]]
        ]
        if in_pairs:
            opponent = base.beside(spec.against or "").spec.model
            tasks = [replace(task, meta={**task.meta, "opponent_model": opponent}) for task in tasks]
        elif job.suite.baseline is not None:
            opponents = baseline_answers(job, Path(config.data_dir) if config.data_dir is not None else None)
            tasks = [replace(task, opponent=opponents[task.problem_id]) for task in tasks]
    write = {"alpaca_eval": _write_alpaca, "arena_hard": _write_arena, "mt_bench": _write_mt_bench}[benchmark]
    return write(job, tasks, judged, judgments, out)


def _write_alpaca(
    job: PlannedRun, tasks: Sequence[Task], judged: Sequence[Judged], judgments: Sequence[Judgment], out: Path
) -> list[Path]:
    folder = _folder(out / safe_name(job.spec.model))
    paths = [folder / "model_outputs.json"]
    alpaca_files.write_outputs(paths[0], tasks, job.spec.model)
    if judged:
        annotator = f"{judgments[0].judge} with {judgments[0].rubric}"
        paths.append(_folder(folder / safe_name(annotator)) / "annotations.json")
        rows = alpaca_files.annotation_rows(tasks, judged, model=job.spec.model, annotator=annotator)
        alpaca_files.write_annotations(paths[1], rows)
    return paths


def _write_arena(
    job: PlannedRun, tasks: Sequence[Task], judged: Sequence[Judged], judgments: Sequence[Judgment], out: Path
) -> list[Path]:
    model = job.spec.model
    answers = [
        arena_files.answer_row(Answer(task.problem_id, model, task.answers[-1:]), task.turns[-1], 0.0) for task in tasks
    ]
    paths = [_lines(_folder(out / "model_answer") / f"{safe_name(model)}.jsonl", answers)]
    if judged:
        by_problem: dict[str, list[Judgment]] = {}
        for judgment in judgments:
            by_problem.setdefault(judgment.problem_id, []).append(judgment)
        pairs = [
            arena_files.pair_row(
                arena_files.pair_of(task, by_problem.get(task.problem_id, []), model=model, baseline=_baseline(task))
            )
            for task in tasks
        ]
        folder = _folder(out / "model_judgment" / safe_name(judgments[0].judge))
        paths.append(_lines(folder / f"{safe_name(model)}.jsonl", pairs))
    return paths


def _baseline(task: Task) -> str:
    """Whose answer Arena-Hard held this one against: v2 has a baseline for each category."""
    return V2_BASELINES.get(str(task.meta.get("category")), arena_files.V01_BASELINE)


def _write_mt_bench(
    job: PlannedRun, tasks: Sequence[Task], judged: Sequence[Judged], judgments: Sequence[Judgment], out: Path
) -> list[Path]:
    model = job.spec.model
    answers = [mt_bench_files.answer_row(answer, 0.0) for answer in mt_bench_files.answers_of(tasks, model)]
    paths = [_lines(_folder(out / "model_answer") / f"{safe_name(model)}.jsonl", answers)]
    if judged:
        judge = judgments[0].judge
        asked = [judgment for judgment in judgments if judgment.repeat == 0 and judgment.judge == judge]
        if asked[0].order == "single":
            kind = "single"
            rows = [mt_bench_files.single_row(mt_bench_files.single_of(judgment, model), 0.0) for judgment in asked]
        else:
            kind, opponent = "pair", str(tasks[0].meta["opponent_model"])
            games: dict[str, list[Judgment]] = {}
            for judgment in asked:
                games.setdefault(judgment.problem_id, []).append(judgment)
            pairs = [mt_bench_files.pair_of(both, model, opponent) for both in games.values()]
            rows = [mt_bench_files.pair_row(pair, 0.0) for pair in pairs]
        paths.append(_lines(_folder(out / "model_judgment") / f"{safe_name(judge)}_{kind}.jsonl", rows))
    return paths


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    write_output(path, "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows))
    return path
