"""The repository's own methods, trained again and gated against their stored baselines."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="needs the extra train")

from benchmarks import own_methods


@pytest.mark.slow
@pytest.mark.timeout(1200)  # the first use trains the tiny student from scratch
@pytest.mark.parametrize("method", own_methods.METHODS)
def test_no_method_has_become_worse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setattr(sys, "argv", ["harness"])  # which a command reads
    model = own_methods.train(method, str(tmp_path))
    assert own_methods.gate(method, model, str(tmp_path), save=False) == 0
