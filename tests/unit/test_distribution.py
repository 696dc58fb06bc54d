"""What users are told to install: never a name that an index would look up."""

from __future__ import annotations

import json
import shlex
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from harness import distribution
from harness.errors import MissingExtra

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Installed:
    """A distribution whose PEP 610 record is this text."""

    def __init__(self, record: str | None) -> None:
        self.record = record

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self.record


def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: str | None) -> None:
    """The package lies in a site-packages folder, installed as the record says."""
    monkeypatch.setattr(distribution, "__file__", str(tmp_path / "site" / "harness" / "distribution.py"))
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(record))


def test_the_name_is_the_projects_own() -> None:
    assert PROJECT["name"] == distribution.NAME


@pytest.mark.parametrize("extra", sorted(PROJECT["optional-dependencies"]))
def test_every_extra_is_installed_from_this_checkout(extra: str) -> None:
    command = shlex.split(distribution.install_command(extra))
    if extra == "lighteval":
        assert command == ["make", "-C", str(ROOT), "venv-full"]
    else:
        assert command == ["pip", "install", "-e", f"{ROOT}[{extra}]", "-c", str(ROOT / "constraints.txt")]
    assert str(MissingExtra("this", extra)).endswith(distribution.install_command(extra))


def test_a_copy_from_a_repository_installs_from_that_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = {"url": "https://example.org/x/h.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
    installed(monkeypatch, tmp_path, json.dumps(origin))
    assert distribution.install_command("hf") == (
        "pip install 'distillation-harness[hf] @ git+https://example.org/x/h.git@abc'"
    )


def test_a_copy_from_a_folder_installs_from_that_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "my source"
    source.mkdir()
    (source / "pyproject.toml").touch()
    installed(monkeypatch, tmp_path, json.dumps({"url": source.as_uri(), "dir_info": {}}))
    assert distribution.install_command("hf") == f"pip install -e '{source}[hf]'"


@pytest.mark.parametrize("record", [None, "", "{}", "not JSON", "[]", '{"url": "https://example.org/h.whl"}'])
def test_a_copy_of_unknown_origin_names_a_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: str | None
) -> None:
    installed(monkeypatch, tmp_path, record)
    assert "in a checkout of distillation-harness" in distribution.install_command("hf")


def test_no_page_and_no_message_asks_an_index_for_this_project() -> None:
    """`pip install NAME` for our own name, or for the stranger's package that once was advised."""
    files = [ROOT / "README.md", *(ROOT / "docs").rglob("*.*"), *(ROOT / ".ci").iterdir()]
    files += [
        path for package in ("harness", "judges", "backends", "rubrics") for path in (ROOT / package).rglob("*.py")
    ]
    asks = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files
        if path.name not in ("distribution.py", "LOG.md")
        for line in path.read_text(encoding="utf-8").splitlines()
        if "llm-harness" in line or ("pip install" in line and distribution.NAME in line and "@ git+" not in line)
    ]
    assert asks == []


def test_what_needs_the_second_environment_is_looked_for_where_it_is() -> None:
    """`make test-full` does not collect the ten thousand others, which that environment does not run."""
    assert "-m full tests/e2e\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
    marked = [path for path in (ROOT / "tests").rglob("*.py") if "mark." + "full" in path.read_text(encoding="utf-8")]
    assert marked and [path for path in marked if path.parent.name != "e2e"] == []
