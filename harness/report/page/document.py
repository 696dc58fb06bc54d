"""The file: head, what Python draws, the data, the page's own style and script, and a policy that allows only these."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from harness.errors import UsageError
from harness.leaderboard import place_of, split_notes
from harness.report.board import wide_tables
from harness.report.matrix import matrix
from harness.report.page.data import PageData, block, packed
from harness.report.page.gather import Gathered, gather
from harness.report.page.tables import notes_list, safe, section
from harness.report.page.texts import Packed, Texts, pack_texts
from harness.report.page.verdict import verdict
from harness.report.page.why import why
from harness.report.table import Table
from harness.run.folder import RunFolder

_MB = 1_000_000
_SPARE = 2_000


@dataclass(frozen=True)
class PageSpec:
    """What a page is made of and may hold."""

    title: str = "Report"
    baseline: str | None = None
    teacher: str | None = None
    texts: Texts = "all"
    max_size: float = 10.0
    """Megabytes of the file."""
    data_dir: Path | None = None


@dataclass(frozen=True)
class Own:
    """What a command has to show itself; it stands first, in place of the leaderboard."""

    tables: Sequence[Table] = ()
    notes: Sequence[str] = ()
    figures: Sequence[str] = ()
    """HTML already."""
    verdicts: bool = True
    """False where its tables decide by more than single runs."""


def report(folders: Sequence[RunFolder], spec: PageSpec, own: Own | None = None) -> str:
    """The page of these runs as text; raises `UsageError` where the numbers alone are larger than is allowed.

    Without runs it is what the command shows itself, and no script.
    """
    found = gather(folders, spec.data_dir, spec.baseline)
    views = _views(found, spec, own)
    boards = tuple(one.board for one in found)
    behind = why(found, drawn=own is None or own.verdicts)  # a bench has drawn its own, by method
    if not found:
        return _document(spec.title, views, b"", Packed(b"", ()))
    damaged = tuple(why for one in found for why in one.damaged)
    bare = len(
        _document(spec.title, views, packed(PageData(spec.title, boards, damaged)), Packed(b"", damaged), behind)
    )
    room = int((spec.max_size * _MB - bare - _SPARE) * 3 / 4)
    if room < 0:
        raise UsageError(
            f"the numbers alone take {bare / _MB:.1f} MB, more than --max-size {spec.max_size:g}: name fewer runs, or "
            "allow more"
        )
    texts = pack_texts(found, spec.texts, room)
    texts = Packed(texts.content, (*dict.fromkeys([*damaged, *texts.left_out]),))
    return _document(spec.title, views, packed(PageData(spec.title, boards, texts.left_out)), texts, behind)


def _views(found: Sequence[Gathered], spec: PageSpec, own: Own | None) -> str:
    """What is read without a script: verdicts, matrix, leaderboards, or first what the command shows itself."""
    if own is not None:
        parts = [notes_list(own.notes), *map(section, own.tables), *own.figures]
        first = "".join(parts) or "<p>Nothing to show.</p>"
        rest = _verdicts(found) if found and own.verdicts else ""
        return f'<section id="board">{first}</section>{rest}'
    if not found:
        return '<section id="verdict"><h2>Verdict</h2><p>There are no finished runs to report on.</p></section>'
    groups = [one.group for one in found]
    parts = [_verdicts(found), '<section id="board"><h2>Leaderboard</h2>']
    for group, table in zip(groups, wide_tables(groups), strict=True):
        lines = {
            f"{name}: {model}": group.standings[place].estimate.value
            for name, model in (("baseline", spec.baseline), ("teacher", spec.teacher))
            if (place := place_of(group.standings, model)) is not None
        }
        parts.append(section(table, lines))
    return "".join([*parts, "</section>"])


def _verdicts(found: Sequence[Gathered]) -> str:
    groups = [one.group for one in found]
    parts = ['<section id="verdict"><h2>Verdict</h2>']
    for said in map(verdict, groups):
        parts.append(f'<article><h3>{safe(said.suite)}</h3><p class="said">{safe(said.sentence)}</p>')
        parts.append(f"{notes_list(said.doubts)}</article>")
    parts.append(f"{notes_list(split_notes(groups))}</section>")
    if len(groups) > 1:
        table = matrix([one.result for group in groups for one in group.standings])
        parts.append(f'<section id="matrix"><h2>Models and suites</h2>{section(table, notes=False)}</section>')
    return "".join(parts)


def asset(name: str) -> str:
    """A file of the page's own: style or script, as it stands in the package."""
    return resources.files("harness.report.page").joinpath("assets", name).read_text(encoding="utf-8-sig")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


SCRIPTS = ("core.js", "explore.js", "item.js", "main.js")
_EXPLORER = (
    '<p id="failed" role="alert" hidden></p>'
    '<section id="pairs" hidden><h2>Pairs</h2><div id="pair-table" class="scroll"></div></section>'
    '<section id="explore" hidden><h2>Problems</h2>'
    "<p>Keys: j k h l move, Enter opens, Esc closes, f changes the filter, t folds thoughts, d marks words that "
    "differ, / searches. The address keeps the view.</p>"
    '<div id="controls" role="search"></div><div class="frame"><div id="grid" role="grid" tabindex="0" '
    'aria-label="problems by models" aria-activedescendant="current"><div id="head" role="rowgroup"></div>'
    '<div id="rows" role="rowgroup"></div></div></div></section><section id="item" aria-live="polite" hidden></section>'
    "<noscript><p>Problems, answers and pairs need a script, which this browser does not run.</p></noscript>"
)
_LINKS = {
    "verdict": "Verdict",
    "matrix": "Suites",
    "board": "Leaderboard",
    "pairs": "Pairs",
    "explore": "Problems",
    "why": "Why",
    "noise": "Noise",
    "training": "Training",
    "provenance": "Provenance",
    "left-out": "Not in this file",
}


def _document(title: str, views: str, numbers: bytes, texts: Packed, behind: str = "") -> str:
    style, script = asset("page.css"), ""
    policy = f"default-src 'none'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    left_out = f'<section id="left-out"><h2>Not in this file</h2>{notes_list(texts.left_out)}</section>'
    body, nav, data = views, "", ""
    if numbers:
        script = '(() => {\n"use strict";\n' + "".join(map(asset, SCRIPTS)) + "})();\n"
        policy += f"; script-src '{_hash(script)}'"
        body = f"{views}{_EXPLORER}{behind}{left_out if texts.left_out else ''}"
        links = (f'<a href="#{name}">{text}</a>' for name, text in _LINKS.items() if f'id="{name}"' in body)
        nav = f"<nav>{' · '.join(links)}</nav>"
        # The script draws the numbers while the browser still reads the texts.
        data = f"{block('data', numbers)}\n<script>{script}</script>\n{block('texts', texts.content)}\n"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{safe(title)}</title><style>{style}</style></head>"
        f"<body><header><h1>{safe(title)}</h1>{nav}</header><main>{body}</main>\n{data}</body></html>\n"
    )
