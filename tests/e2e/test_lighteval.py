"""lighteval's tasks with its real code: our rows, prompts and scores are the library's own. Runs in `.venv-full`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.datasets import load_rows, pinned
from harness.errors import DataError, UnknownName, UsageError
from harness.grading.pool import GradingPool
from harness.suites import load_problems, load_suite
from harness.types import Problem

pytestmark = [
    pytest.mark.full,
    pytest.mark.filterwarnings("ignore"),  # the libraries' own, by the dozen: what counts here are the scores
]

pytest.importorskip("lighteval", reason="needs the environment .venv-full")

TASKS = ("math_500", "gsm8k", "mmlu:astronomy", "aime24")


@pytest.fixture(scope="module")
def data_dir(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real rows in the columns of the hub's tables, under the names that the suites read."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "lighteval").mkdir()

    def rows(name: str, count: int) -> list[dict[str, object]]:
        with (shared_data / name).open(encoding="utf-8") as stream:
            return [json.loads(next(stream)) for _ in range(count)]

    def write(task: str, table: Sequence[dict[str, object]]) -> None:
        path = folder / "lighteval" / f"{task}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in table), encoding="utf-8")

    write("math_500", [{k: row[k] for k in ("problem", "solution", "answer")} for row in rows("math500.jsonl", 40)])
    write("gsm8k", [{"question": row["question"], "answer": row["solution"]} for row in rows("gsm8k_test.jsonl", 30)])
    arc = [row for row in rows("arc_easy_test.jsonl", 40) if len(row["choices"]) == 4 and row["answer"] in "ABCD"]  # type: ignore[arg-type, operator]
    columns = ("question", "choices", "answer")
    write("mmlu_astronomy", [{"subject": "astronomy"} | {k: row[k] for k in columns} for row in arc])
    write("aime24", [{"problem": row["problem"], "answer": str(row["answer"])} for row in rows("aime24.jsonl", 10)])
    return folder


def problems_of(task: str, data_dir: Path) -> list[Problem]:
    suite = load_suite(f"lighteval:{task}")
    return load_problems(replace(suite, data=pinned(suite.data, data_dir)), data_dir, seed=0, limit=None)


def replies(problem: Problem, other: Problem) -> list[str]:
    """Right, wrong, marked, unmarked, another problem's, nothing like an answer."""
    doc = json.loads(problem.target)["doc"]
    gold = str(doc["choices"][doc["gold_index"]]).strip()
    wrong = json.loads(other.target)["doc"]
    final = gold.split("####")[-1].strip()
    return [
        gold,
        f"Let me think. {gold}",
        str(wrong["choices"][wrong["gold_index"]]).strip(),
        f"The answer is $\\boxed{{{final}}}$.",
        f"ANSWER: {final}",
        final,
        "I do not know.",
        "B",
    ]


@pytest.mark.parametrize("task", TASKS)
def test_scores_are_those_of_lighteval_itself(task: str, data_dir: Path) -> None:
    from lighteval.models.model_output import ModelResponse

    from harness.grading.lighteval import find_config

    config = find_config(task)
    problems = problems_of(task, data_dir)
    raws = [json.loads(line) for line in (data_dir / load_suite(f"lighteval:{task}").data.files[0]).open()]
    assert len(problems) == len(raws)
    own = next(metric for metric in config.metrics if metric.category.value == "GENERATIVE")
    pairs: list[tuple[Problem, str, float]] = []
    for index, problem in enumerate(problems[:20]):
        raw = raws[int(problem.id.removeprefix(f"lighteval-{task}-").partition("-")[0])]
        doc = config.prompt_function(raw | {"__few_shots": False, "__index": index}, task)
        assert problem.messages[0].content.endswith(doc.query)
        for reply in replies(problem, problems[index - 1]):
            value = own.compute_sample(doc=doc, model_response=ModelResponse(text=[reply]))
            pairs.append((problem, reply, float(next(iter(value.values())))))
    with GradingPool(workers=1, timeout=30.0) as pool:
        futures = [pool.submit("lighteval", problem.target, reply) for problem, reply, _ in pairs]
        scores = [future.result() for future in futures]
    assert [score.status for score in scores] == ["scored"] * len(pairs), [s.why for s in scores if s.value is None][:1]
    assert [score.value for score in scores] == [value for _, _, value in pairs]
    assert {0.0, 1.0} <= {score.value for score in scores}


def test_the_pin_is_taken_from_the_data_and_follows_it(data_dir: Path, tmp_path: Path) -> None:
    suite = load_suite("lighteval:math_500")
    first = pinned(suite.data, data_dir)
    assert (first.rows, len(first.sha256)) == (40, 64)
    assert pinned(suite.data, data_dir).sha256 == first.sha256
    (tmp_path / "lighteval").mkdir()
    lines = (data_dir / "lighteval" / "math_500.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "lighteval" / "math_500.jsonl").write_text("".join(lines[1:]), encoding="utf-8")
    assert pinned(suite.data, tmp_path).sha256 != first.sha256
    with pytest.raises(DataError, match="is not in"):
        load_rows(load_suite("lighteval:gsm8k").data, tmp_path)


def test_tasks_are_found_by_name_without_importing_them() -> None:
    from harness.suites.lighteval_tasks import task_names

    names = task_names()
    assert len(names) > 500
    assert {"math_500", "gsm8k", "aime24", "gpqa:diamond", "mmlu:anatomy", "ifeval"} <= set(names)
    with pytest.raises(UnknownName, match="math_500"):
        load_suite("lighteval:math_501")


@pytest.mark.parametrize("task", ["arc:easy", "winogrande", "wikitext:103:document_level"])
def test_tasks_that_need_likelihoods_are_refused_with_the_reason(task: str) -> None:
    from harness.suites.lighteval_tasks import task_names

    if task not in task_names():
        pytest.skip(f"this lighteval has no task {task}")
    with pytest.raises(UsageError, match="log-likelihood"):
        load_suite(f"lighteval:{task}")


def test_choices_that_lighteval_shuffles_are_the_same_every_time(tmp_path: Path) -> None:
    (tmp_path / "lighteval").mkdir()
    made_up = {
        "Question": "Which of these is a colour?",
        "Correct Answer": "red",
        **{f"Incorrect Answer {i}": word for i, word in enumerate(("loud", "heavy", "seven"), 1)},
    }
    table = "".join(json.dumps(made_up | {"Question": f"{made_up['Question']} ({i})"}) + "\n" for i in range(20))
    (tmp_path / "lighteval" / "gpqa_diamond.jsonl").write_text(table, encoding="utf-8")
    first, second = problems_of("gpqa:diamond", tmp_path), problems_of("gpqa:diamond", tmp_path)
    assert first == second
    assert len({json.loads(problem.target)["doc"]["gold_index"] for problem in first}) > 1


def test_the_command_runs_a_task_end_to_end(data_dir: Path, tmp_path: Path) -> None:
    async def run() -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "harness", "run", "--suite", "lighteval:gsm8k", "--model", "mock:gold"),
            *("--limit", "10", "--data-dir", str(data_dir), "--results-dir", str(tmp_path), "--json"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        return process.returncode or 0, out.decode(), err.decode()

    code, out, err = asyncio.run(run())
    assert code == 0, err
    headline = next(row for row in json.loads(out)["rows"] if row["metric"].startswith("avg"))
    assert (headline["suite"], headline["value"], headline["n_problems"]) == ("lighteval:gsm8k", 1.0, 10)
