"""Plugins of other distributions: whatever is wrong with one is an error that names it, and costs nothing else."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from harness import catalog
from harness.errors import UsageError


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Register entry points of a module that raises and of things that are something else; the module's name."""
    (tmp_path / "harness_plugin_raises.py").write_text("raise RuntimeError('boom')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    targets = {"suite.raises": "harness_plugin_raises:SUITE", "suite.absent": "harness_no_such_module:SUITE"}
    targets |= {"model.nameless": "json:nothing", "suite.wrong": "json:dumps", "protocol.wrong": "json:dumps"}
    targets |= {
        "grader.wrong": "json:dumps",
        "metric.wrong": "json:__name__",
        "metric.bare": "json:dumps",
        "suite.aime": "json:dumps",
    }
    points = {name: EntryPoint(name, value, "harness.plugins") for name, value in targets.items()}
    monkeypatch.setattr(catalog, "_plugins", lambda: points)
    return "harness_plugin_raises"


def test_every_method_has_a_row_in_the_papers() -> None:
    papers = (Path(__file__).parents[2] / "docs" / "papers.md").read_text(encoding="utf-8")
    assert [name for name in catalog.entries("method") if f"`{name}`" not in papers] == []


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("suite", "raises", "does not load: RuntimeError.*boom"),
        ("suite", "absent", "does not load: .*harness_no_such_module"),
        ("model", "nameless", "does not load: .*nothing"),
        ("suite", "wrong", "is no suite"),
        ("grader", "wrong", "is no grader"),
        ("metric", "wrong", "is no metric"),
        ("metric", "bare", r"is no metric: .*write `harness.types.Metric\(name, function, unit, lower_is_better\)`"),
        ("protocol", "wrong", "is no protocol"),
    ],
)
def test_a_broken_plugin_is_named(plugin: str, kind: catalog.Kind, name: str, message: str) -> None:
    assert name in catalog.entries(kind)
    with pytest.raises(UsageError, match=f"plugin {kind} '{name}' .*{message}"):
        catalog.load(kind, name)


def test_our_own_names_win(plugin: str) -> None:
    assert catalog.entries("suite")["aime"][0].startswith("harness.suites")
