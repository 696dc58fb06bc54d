"""One self-contained HTML page: tables with intervals drawn as inline SVG. No script, no font, no request anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.files import write_output
from harness.report.page.tables import notes_list, safe, section
from harness.report.table import Table

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.5rem} h2{font-size:1.05rem;margin:2rem 0 .5rem}
.scroll{overflow-x:auto} table{border-collapse:collapse} caption{text-align:left}
th,td{padding:.25rem .7rem;border-bottom:1px solid #ddd;text-align:left;white-space:nowrap}
.n{text-align:right;font-variant-numeric:tabular-nums} .ref td{color:#666;font-style:italic}
ul{color:#444;padding-left:1.2rem} svg{vertical-align:middle} figure{margin:2rem 0;overflow-x:auto}
.bar{stroke:#2b6cb0;stroke-width:2} .dot{fill:#2b6cb0} .ref .dot{fill:#999} .axis{stroke:#ddd}
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#161616}th,td{border-color:#333}ul,.ref td{color:#aaa}
.axis{stroke:#333}.bar{stroke:#7db7f0}.dot{fill:#7db7f0}}
"""


def page(title: str, tables: Sequence[Table], notes: Sequence[str] = (), figures: Sequence[str] = ()) -> str:
    """The whole page as text; every piece of foreign text is escaped. `figures` are HTML already, below the tables."""
    body = "".join([*(section(table) for table in tables), *figures]) or "<p>Nothing to show.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{safe(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{safe(title)}</h1>{notes_list(notes)}{body}</body></html>\n"
    )


def write_page(path: Path, title: str, tables: Sequence[Table], notes: Sequence[str] = ()) -> None:
    """Write the page; raises `OSError` if the place cannot be written."""
    write_output(path, page(title, tables, notes))
