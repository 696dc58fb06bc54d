"""An analysis with an option: how many answers of each run end in a lucky digit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.analyses.base import Analysis, AnalysisContext
from harness.report.table import Table, column
from harness.run.folder import RunFolder


@dataclass(frozen=True)
class Lucky(Analysis):
    """How many answers end in a lucky digit."""

    digit: int = field(default=7, metadata={"least": 0, "most": 9})
    """The lucky digit."""

    def tables(self, runs: Sequence[RunFolder], context: AnalysisContext) -> list[Table]:
        """One row a run."""
        rows = tuple(
            {"run": run.name, "lucky": sum(str(row.score.answer).endswith(str(self.digit)) for row in run.graded)}
            for run in runs
        )
        return [Table("Lucky answers", (column("run"), column("lucky", right=True)), rows)]
