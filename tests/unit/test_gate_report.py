"""Reports: the picture, JUnit, annotations and summary hold whatever a model wrote, as text."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest
from gate_sides import make_side

from harness.gate import advice, report
from harness.gate.decide import GateVerdict, decide_all
from harness.gate.github import annotation_lines, error_annotation, summary
from harness.gate.junit import junit
from harness.gate.pairs import Rule

EVIL = "</failure>]]>\x00\x1b[31m|`<script>\n::error::owned\r\n%0A::set-output ::stop-commands::x \u202e @all"


def verdict(before: list[float], after: list[float], margin: str | None = "1pp", **changes: Any) -> GateVerdict:
    return decide_all([(make_side(before, **changes), make_side(after, "new", **changes))], Rule(margin))[0]


@pytest.fixture
def evil() -> GateVerdict:
    base, new = make_side([1.0] * 40), make_side([0.0] * 40, "new")
    values = {f"{EVIL}{i}": replace(value, best=EVIL, worst=EVIL) for i, value in enumerate(base.values.values())}
    lost = {key: replace(value, mean=0.0, low=0.0, high=0.0) for key, value in values.items()}
    return decide_all([(replace(base, values=values, model=EVIL), replace(new, values=lost, model=EVIL))], Rule("1pp"))[
        0
    ]


QUESTIONS = {("toy", f"{EVIL}{i}"): EVIL for i in range(40)}


def test_the_first_line_is_the_verdict() -> None:
    lost = verdict([1.0] * 100, [0.0] * 50 + [1.0] * 50)
    text = report.text_report([lost], 3, {("toy", "p0000"): "What is 6 * 7?"})
    first, *rest = text.splitlines()
    assert first == "REGRESS: toy avg@n: worse by 50.0 pp [40.0, 58.6]; allowed: 1.0"
    assert any("What is 6 * 7?" in line for line in rest) and any("'42' -> '41'" in line for line in rest)
    assert "and 47 more; --show 50 lists all" in text
    assert all(len(line) <= 200 for line in rest)


def test_the_picture_shows_bounds_edge_zero_and_estimate() -> None:
    line = report.picture(verdict([1.0] * 100, [0.0] * 50 + [1.0] * 50))
    drawn = line.split()[1]
    assert [mark for mark in drawn if mark in "[o]|0"] == ["[", "o", "]", "|", "0"]
    assert report.picture(verdict([1.0] * 500, [1.0] * 500)).count("o") > 0


def test_lengths_are_shown_as_they_are_counted() -> None:
    longer = verdict([100.0] * 200, [150.0] * 200, None, metric="tokens_out")
    assert report.headline(longer).startswith("REGRESS: toy tokens_out: longer by 50.0 % [47.0")
    assert "longer by 50.0 tok" in report.headline(verdict([100.0] * 200, [150.0] * 200, "5tok", metric="tokens_out"))
    assert "equal: 0.0 %" in report.headline(verdict([100.0] * 200, [100.0] * 200, None, metric="tokens_out"))
    row = report.as_json([longer], 1, {})["suites"][0]  # type: ignore[index]
    assert row["difference"] == 0.5 and row["low"] <= 0.5 <= row["high"] and row["better"] == "lower"


def test_inconclusive_prints_the_commands_that_would_decide() -> None:
    sides = make_side([0.5, 0.75, 1.0] * 40, n=4), make_side([0.75, 0.5, 1.0] * 40, "new", n=4, limit=None)
    found = decide_all([sides], Rule("4pp"))[0]
    assert found.outcome == "inconclusive"
    text = report.text_report([found], 0, {})
    n = min(need.n for need in found.needs if need.n is not None)
    assert (
        f"harness run --suite toy --model mock:new --n {n} --seed 0 --temperature 0.6 --top-p 1 --max-tokens 256"
        in text
    )
    assert "80% power" in text
    hopeless = report.text_report([verdict([0.5, 0.75, 1.0] * 10, [0.75, 0.5, 1.0] * 10, n=4)], 0, {})
    assert "no number of samples of these 30 is enough" in hopeless and "harness run" not in hopeless
    assert "harness gate --baseline toy-base --candidate toy-new --margin 15pp" in hopeless
    greedy = report.text_report([verdict([1.0] * 3, [1.0] * 3, sampling={"temperature": 0.0})], 0, {})
    assert "at temperature 0 more samples would be copies" in greedy


def test_a_command_is_safe_to_paste() -> None:
    assert advice.command(make_side([1.0], model="hf:a b; rm -rf $HOME", limit=5), 4, {}, ()).startswith(
        "harness run --suite toy --model 'hf:a b; rm -rf $HOME' --n 4 --seed 0 --limit 5"
    )


def test_foreign_text_cannot_leave_its_line(evil: GateVerdict) -> None:
    text = report.text_report([evil], 5, QUESTIONS)
    assert "\x1b" not in text and "\x00" not in text and "\u202e" not in text
    assert not any(line.lstrip().startswith(("::", "</")) for line in text.splitlines())
    assert json.loads(json.dumps(report.as_json([evil], 2, QUESTIONS)))["suites"][0]["n_flips"] == 40


def test_junit_is_valid_whatever_a_model_wrote(evil: GateVerdict) -> None:
    passed, unknown = verdict([1.0] * 500, [1.0] * 500), verdict([1.0] * 3, [1.0] * 3)
    root = ElementTree.fromstring(junit([evil, passed, unknown], 5, QUESTIONS))
    suite = root.find("testsuite")
    assert suite is not None
    assert {key: suite.get(key) for key in ("tests", "failures", "skipped", "errors")} == {
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    cases = root.findall(".//testcase")
    assert [[child.tag for child in case] for case in cases] == [["failure"], ["system-out"], ["skipped"]]
    assert (cases[0].findtext("failure") or "").startswith("REGRESS")
    failed = ElementTree.fromstring(junit([], 0, {}, error=f"no such run {EVIL}"))
    assert failed.find(".//testcase/error") is not None and failed.find(".//testsuite[@errors='1']") is not None


def test_annotations_are_one_command_a_suite(evil: GateVerdict) -> None:
    lines = annotation_lines([evil, verdict([1.0] * 500, [1.0] * 500), verdict([1.0] * 3, [1.0] * 3)]).splitlines()
    assert [line.split(" ")[0] for line in lines] == ["::error", "::notice", "::warning"]
    assert all(line.count("title=") == 1 and "\r" not in line for line in lines)
    assert "%25 power" in lines[2] and "%0A" in lines[2]
    assert ":gym%3Asum%2C easy::" in annotation_lines([verdict([1.0] * 3, [1.0] * 3, suite="gym:sum, easy")]).replace(
        "title=harness gate%3A inconclusive on ", ":"
    )
    assert error_annotation(EVIL).count("\n") == 1
    assert "%250A" in error_annotation(EVIL)  # an encoded line break of the model's stays its text


def test_the_summary_shows_foreign_text_literally(evil: GateVerdict) -> None:
    text = summary([evil], 3, QUESTIONS)
    assert "<script>" not in text and "`" not in text and "@all" not in text
    table = [line for line in text.splitlines() if line.startswith("| <code>")]
    assert len(table) == 4 and {line.count(" | ") for line in table} == {7, 4}
    assert "**regress**" in text
    assert "::" not in text


def test_a_gate_of_several_suites_says_what_its_verdict_means() -> None:
    text = report.text_report([verdict([1.0] * 500, [1.0] * 500), verdict([1.0] * 3, [1.0] * 3)], 0, {})
    assert "INCONCLUSIVE: 1 of 2 suites pass. All must" in text


@pytest.mark.parametrize(
    ("after", "test", "margin", "words"),
    [
        ([0.0] * 49 + [1.0] * 51, "noninferior", "2pp", "worse by 49.0 pp [39.0, 57.7]; allowed: 2.0"),
        ([1.0] * 100, "noninferior", "5pp", "equal: 0.0 pp [-3.0, 3.0]; allowed loss: 5.0"),
        ([0.0] * 49 + [1.0] * 51, "superior", "2pp", "worse by 49.0 pp [39.0, 57.7]; required gain: more than 2.0"),
        ([1.0] * 100, "equivalent", "2.5pp", "equal: 0.0 pp [-3.0, 3.0]; allowed either way: 2.5"),
    ],
)
def test_one_sentence_says_it_everywhere(after: list[float], test: Any, margin: str, words: str) -> None:
    found = decide_all([(make_side([1.0] * 100), make_side(after, "new"))], Rule(margin, test))
    outputs = {
        "report": report.text_report(found, 0, {}),
        "summary": summary(found, 0, {}),
        "JUnit": junit(found, 0, {}),
        "annotations": annotation_lines(found),
    }
    assert [name for name, text in outputs.items() if words not in text] == []
