"""The text-quality suite over 10,000 real headlines, none of which has labels of ours."""

from __future__ import annotations

from pathlib import Path

from harness.datasets import pinned
from harness.grading.pool import GradingPool
from harness.suites import load_problems, load_suite
from harness.suites._check import check_suite

NAME = "text_quality:thucnews_titles_test.jsonl"


def test_it_loads_every_headline(shared_data: Path) -> None:
    suite = load_suite(NAME)
    assert suite.name == NAME
    found = load_problems(suite, shared_data, 0, None)
    assert len(found) == len({problem.id for problem in found}) == 10_000
    assert {problem.target for problem in found} == {"{}"}
    by_id = {problem.id: problem for problem in found}
    assert "词汇阅读是关键 08年考研暑期英语复习全指南" in by_id["thucnews-test-0"].messages[0].content
    assert pinned(suite.data, shared_data).rows == 10_000


def test_a_path_is_the_same_data(shared_data: Path) -> None:
    by_path = load_suite(f"text_quality:{shared_data / 'thucnews_titles_test.jsonl'}")
    by_name = load_suite(NAME)
    assert pinned(by_path.data).sha256 == pinned(by_name.data, shared_data).sha256


def test_gold_and_near_misses(shared_data: Path) -> None:
    with GradingPool() as pool:
        done = check_suite(load_suite(NAME), shared_data, 500, pool)
    assert (done["problems"], done["failures"]) == (500, [])
