"""The page of `harness report` in a browser: what is drawn, keys, filters, the address, print, and no request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from chromium import BINARY, Page, browser
from stored_runs import make_run

from harness.report.page.document import PageSpec, report
from harness.run.folder import RunFolder, list_runs
from harness.run.store import write_graded, write_records
from harness.types import Completion, Record

pytestmark = pytest.mark.skipif(BINARY is None, reason="no chromium or google-chrome is installed")

RIGHT = {"student": [0, 0, 0, 1, 1, 0], "good": [1, 1, 1, 0, 1, 0], "other": [0, 1, 1, 0, 1, 0]}
EVIL = "<img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    for model, values in RIGHT.items():
        directory = make_run(results, model, [float(value) for value in values])
        rows = []
        for row, value in zip(RunFolder(directory).graded, values, strict=True):
            cut = model == "other" and row.problem_id == "p000"
            status = "truncated" if cut else "scored"
            rows.append(replace(row, score=replace(row.score, status=status, answer=str(41 + value), why="as is")))
        write_graded(directory, rows)
        said = [f"<think>hm {EVIL}</think>{model} says {row.score.answer} to {row.problem_id}" for row in rows]
        write_records(
            directory,
            [
                Record(r.problem_id, 0, 1, "h", Completion(s, "stop", tokens_out=9))
                for r, s in zip(rows, said, strict=True)
            ],
        )
    file = results / "report.html"
    file.write_text(report(list_runs(results), PageSpec(baseline="student")), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browser(tmp_path_factory.mktemp("profile")) as page:
        yield page


def rows(tab: Page) -> list[str]:
    return list(tab.run("[...document.querySelectorAll('#rows .name')].map((e) => e.textContent)"))


def choose(tab: Page, name: str, value: str) -> None:
    tab.run(
        f"(() => {{ const list = document.getElementById('choose-{name}'); list.value = '{value}'; "
        "list.dispatchEvent(new Event('change')); })()"
    )


def test_filters_keys_and_the_address(tab: Page, page_file: Path) -> None:
    tab.open(page_file)
    assert rows(tab) == [f"p{i:03d}" for i in range(6)]
    expected = {"lost": ["p003"], "won": ["p000", "p001", "p002"], "one": ["p000", "p003"], "none": ["p005"]}
    expected |= {"differ": ["p000", "p001", "p002", "p003"], "cut": ["p000"]}
    for name, found in expected.items():
        choose(tab, "f", name)
        assert rows(tab) == found, name
        assert f"f={name}" in tab.run("location.hash")
    tab.open(page_file, "#f=one&row=1&col=2")
    assert rows(tab) == ["p000", "p003"]
    assert tab.run("document.getElementById('current').getAttribute('aria-label')") == "p003, student: 1/1 right"
    tab.press("k", "h")
    assert tab.run("document.getElementById('current').getAttribute('aria-label')") == "p000, other: 0/1 right, 1 cut"
    tab.press("f")
    assert "f=none" in tab.run("location.hash")
    tab.run("document.querySelector('nav a').click()")  # a section of the page changes nothing of the view
    assert rows(tab) == ["p005"]
    tab.press("/")
    assert tab.run("document.activeElement.id") == "search"
    tab.press("Escape")
    assert tab.run("document.activeElement.id") != "search"


def test_the_search_reads_answers_and_patterns(tab: Page, page_file: Path) -> None:
    tab.open(page_file, "#q=says+42+to+p003")
    tab.wait("document.getElementById('count').textContent === '1 of 6 problems'")
    tab.open(page_file, "#q=" + "/to%20p00[12]/")
    assert rows(tab) == ["p001", "p002"]
    tab.open(page_file, "#q=/[/")
    assert rows(tab) == []


def test_an_item_shows_answers_side_by_side(tab: Page, page_file: Path) -> None:
    tab.open(page_file)
    tab.run("document.getElementById('grid').focus()")
    tab.press("Enter")
    tab.wait("document.querySelectorAll('#item article').length === 2")
    assert tab.run("[...document.querySelectorAll('#item h4')].map((e) => e.textContent)") == ["student", "good"]
    assert tab.run("document.querySelector('#item mark').textContent") == "41"
    assert tab.run("document.getElementById('item').innerText.includes('null')") is False
    assert tab.run("document.querySelector('#item details').open") is False
    tab.press("t")
    tab.wait("document.querySelector('#item details').open")
    assert EVIL in tab.run("document.querySelector('#item details .text').textContent")
    assert tab.run("document.querySelectorAll('#item img, #item script').length") == 0
    tab.press("d")
    tab.wait("document.querySelectorAll('#item ins').length > 0")
    tab.press("j")
    tab.wait("document.querySelector('#item h2').textContent === 'p001'")
    address = tab.run("location.hash")
    tab.press("Escape", "t", "d")
    tab.wait("document.getElementById('item').hidden")
    tab.open(page_file, address)
    tab.wait("document.querySelector('#item h2')?.textContent === 'p001'")


def test_a_pair_opens_the_problems_on_which_it_differs(tab: Page, page_file: Path) -> None:
    tab.open(page_file)
    label = "good against other"
    assert tab.run("document.querySelectorAll('.pairs button').length") == 6
    tab.run(f"[...document.querySelectorAll('.pairs button')].find((e) => e.ariaLabel.startsWith('{label}')).click()")
    assert rows(tab) == ["p000"]
    tab.run("history.back()")
    tab.wait("document.querySelectorAll('#rows .name').length === 6")


def test_tables_sort_and_the_page_prints_without_the_explorer(tab: Page, page_file: Path) -> None:
    tab.open(page_file)
    models = "[...document.querySelectorAll('#board tbody tr')].map((row) => row.children[1].textContent)"
    assert tab.run(models)[0] == "good"
    press = "[...document.querySelectorAll('#board .sort')].find((e) => e.textContent === 'model').click()"
    tab.run(press)
    assert tab.run(models) == ["student", "other", "good"]
    tab.run(press)
    assert tab.run(models) == ["good", "other", "student"]
    tab.call("Emulation.setEmulatedMedia", media="print")
    shown = "['verdict', 'board', 'explore', 'pairs'].filter((id) => document.getElementById(id).offsetHeight > 0)"
    assert tab.run(shown) == ["verdict", "board"]
    tab.call("Emulation.setEmulatedMedia", media="")


def test_without_a_script_the_verdict_and_the_leaderboard_stand(tab: Page, page_file: Path) -> None:
    tab.call("Emulation.setScriptExecutionDisabled", value=True)
    tab.call("Page.navigate", url="about:blank")
    tab.call("Page.navigate", url=page_file.as_uri())
    tab.wait("document.readyState === 'complete' && document.querySelectorAll('#board svg').length === 3")
    assert tab.run("document.getElementById('explore').offsetHeight") == 0
    assert "good is best" in tab.run("document.body.innerText") or "tied" in tab.run("document.body.innerText")
    tab.call("Emulation.setScriptExecutionDisabled", value=False)


def test_nothing_was_asked_of_a_network_and_nothing_complained(tab: Page, page_file: Path) -> None:
    tab.open(page_file)
    assert {url.partition("#")[0] for url in tab.requests} <= {page_file.as_uri(), "about:blank"}
    assert tab.errors == []
    assert tab.run("document.title") == "Report"
