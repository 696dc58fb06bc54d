"""Who may import whom (docs/design), and what the start-up path may not pull in."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "trl", "vllm", "openai", "pandas", "datasets", "numpy", "pyarrow", "rich", "sympy")

PACKAGES = ("harness", "judges", "rubrics", "backends")

# Lower tiers never import higher ones. A module's tier is that of its longest listed prefix.
TIERS: list[tuple[str, ...]] = [
    (
        "harness",
        "harness.types",
        "harness.errors",
        "harness.catalog",
        "harness.redact",
        "harness.secrets_table",
        "harness.hashing",
        "harness.files",
        "harness.clock",
        "harness.plain",
        "harness.options",
        "harness.distribution",
    ),
    (
        "harness.answers",
        "harness.markup",
        "harness.reasoning",
        "harness.refusals",
        "harness.sentences",
        "harness.formats",
        "harness.grading",
        "harness.metrics",
        "harness.stats",
        "harness.datasets",
        "harness.synth",
        "harness.models",
        "harness.registry",
        "harness.spent",
        "harness.threshold",
        "harness.provenance",
    ),
    ("judges", "rubrics"),
    ("backends",),
    ("harness.suites",),
    ("backends.makers", "harness.systems"),
    ("harness.config", "harness.run"),
    (
        "harness.ranking",
        "harness.leaderboard",
        "harness.compare",
        "harness.reduction",
        "harness.power",
        "harness.report",
        "harness.interop",
    ),
    ("harness.bench", "harness.analyses"),
    ("harness.gate",),
    ("harness.cli", "harness.__main__", "harness.pytest_plugin"),
]


def tier(module: str) -> int:
    prefixes = {name: level for level, names in enumerate(TIERS) for name in names}
    while module not in prefixes or module == "harness":
        if module == "harness":
            return 0
        module = module.rpartition(".")[0]
    return prefixes[module]


def imports(path: Path) -> set[str]:
    """Every harness module that a file imports, anywhere in it, TYPE_CHECKING blocks aside."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] in PACKAGES}


def modules() -> list[tuple[str, Path]]:
    files = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
    return [(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"), file) for file in files]


@pytest.mark.parametrize(("module", "path"), modules(), ids=lambda value: value if isinstance(value, str) else "")
def test_a_module_imports_only_its_own_tier_and_below(module: str, path: Path) -> None:
    wrong = {name for name in imports(path) if tier(name) > tier(module)}
    assert not wrong, f"{module} (tier {tier(module)}) imports {sorted(wrong)}"


@pytest.mark.parametrize("command", [["--help"], ["list", "suites"], ["list", "models"], ["run", "--help"]])
def test_start_up_imports_nothing_heavy(command: list[str]) -> None:
    code = (
        "import sys\nfrom harness.cli.main import cli\n"
        f"cli.main({command!r}, standalone_mode=False)\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


def test_files_stay_small() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("harness", "judges", "backends", "tests", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := path.read_text(encoding="utf-8").count("\n")) > 400
    }
    assert not long, "split by subject"
