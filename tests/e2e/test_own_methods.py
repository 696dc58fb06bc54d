"""The repository's own methods, trained again and gated against their stored baselines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first use trains the tiny student from scratch
def test_no_method_has_become_worse(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "benchmarks" / "own_methods.py"), "--results-dir", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
