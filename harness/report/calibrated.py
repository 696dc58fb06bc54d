"""A judged run corrected by labels, or by another judge on a part of it, as a table."""

from __future__ import annotations

import math

from harness.plain import plural
from harness.report.table import Column, Row, Table, column, number
from harness.report.text import percent, signed_interval, with_interval
from harness.run.judged.calibrate import Calibration
from harness.stats.corrected import Corrected
from harness.stats.standard_errors import Mean

RANDOM = "all this holds if what was labelled is a random sample of the run (`--limit` takes one)"


def calibration_table(found: Calibration, title: str) -> Table:
    """The judge's own mean, and what is left of it; with how the judge errs below."""
    rows = [_row("as judged", found.judged), _row("prediction-powered", found.powered)]
    if found.rogan_gladen is not None:
        rows.append(_row("Rogan-Gladen", found.rogan_gladen))
    notes = [
        f"{plural(found.labels, 'label')} on {plural(found.units, 'problem')}; the judge's mean is "
        f"{signed_interval(found.gap.value, found.gap.low, found.gap.high)} points off the labels",
        f"weight of the judge beside the labels: {found.powered.weight:.2f} (0: it adds nothing to the labels)",
    ]
    if found.of_win is not None and found.of_loss is not None:
        notes.append(
            f"it gives true wins {percent(found.of_win)} and true losses {percent(found.of_loss)} on average "
            "(a judge that never errs: 100 and 0)"
        )
    if found.rogan_gladen is None:
        notes.append("no Rogan-Gladen: it takes labels that are wins and losses, and a judge that values wins higher")
    return Table(title, _COLUMNS, tuple(rows), (*notes, RANDOM))


def bridge_table(found: Calibration, title: str) -> Table:
    """The old judge's mean, and what the new one would have given."""
    rows = (_row("by the old judge", found.judged), _row("by the new one, bridged", found.powered))
    alike = "-" if math.isnan(found.agreement) else f"{found.agreement:.2f}"
    notes = (
        f"both judged {found.labels} of {plural(found.units, 'problem')}: the old judge gives "
        f"{signed_interval(found.gap.value, found.gap.low, found.gap.high)} points more, correlation {alike}",
        f"weight of the old judge beside the new one's sample: {found.powered.weight:.2f}",
        RANDOM,
    )
    return Table(title, _COLUMNS, rows, notes)


def _row(name: str, found: Mean | Corrected) -> Row:
    return {"estimate": name, "value": found.value, "low": found.low, "high": found.high}


def _shown(row: Row) -> str:
    value, low, high = (number(row, name) for name in ("value", "low", "high"))
    return "-" if value is None or low is None or high is None else with_interval(value, low, high)


_COLUMNS = (column("estimate"), Column("mean value [%, 95 % CI]", _shown, right=True))
