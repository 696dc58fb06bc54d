"""Dual chains of EDIT (arXiv 2405.19737): right and wrong chains of the same question that follow one path.

Rectify: a question that the teacher got wrong (a record without a response, with `rejected`) is put to it again with
the answer given; the new chain is kept if the grader finds it right after everything that speaks of the given answer
has been taken out, and becomes the response to that `rejected`. Corrupt: a right response gets a wrong twin by
contrastive prompting; kept if its answer is there, wrong, and the twin is near: an edit distance above 0 and of at most
`MAX_EDITS` of the longer one's words. The further set "stage1" holds all right chains, given and rectified, for
the training before the key-step stage.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from backends.losses.edit import edit_distance
from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, has_chain, in_form_of, option, plain, replies, tally
from backends.records.inputs import noted, require_checkable
from backends.records.record import TrainRecord, response_text
from backends.records.spans import parts_of
from backends.records.verify import grade_texts
from harness.errors import DataError
from harness.types import Sampling

MAX_EDITS = 0.6
"""Largest edit distance of a wrong twin, as a share of the longer text's words."""

_MENTION = re.compile(
    r"\b(?:hint(?:s|ed)?|(?:given|provided|known|stated|supplied|expected|correct)\s+(?:final\s+)?answer)\b",
    re.IGNORECASE,
)
_HINT_LINE = re.compile(r"^[ \t]*H:[^\n]*(?:\n|\Z)", re.MULTILINE)
_BREAK = re.compile(r"((?<=[.!?。！？])[ \t]+|[ \t]*\n\s*)")
_WORD = re.compile(r"\w+|[^\w\s]")
_ORDER = (
    *("right_given", "corrupt_asked", "corrupt_kept", "corrupt_teacher_error", "corrupt_cut", "corrupt_empty"),
    *("corrupt_answer_right", "corrupt_no_answer", "corrupt_no_chain", "corrupt_identical", "corrupt_too_far"),
    *("wrong_given", "rectify_asked", "rectify_kept", "rectify_hint_removed", "rectify_teacher_error", "rectify_cut"),
    *("rectify_empty", "rectify_answer_wrong", "rectify_no_answer", "rectify_no_chain", "rectify_hint", "unusable"),
)


def without_hints(text: str) -> str:
    """The text without the hint line and without every sentence or line that speaks of a given answer."""
    parts = _BREAK.split(_HINT_LINE.sub("", text))
    kept = ""
    for at in range(0, len(parts), 2):
        if not _MENTION.search(parts[at]):
            kept += parts[at] + (parts[at + 1] if at + 1 < len(parts) else "")
    # A mention may also run over a line break.
    return without_hints(_MENTION.sub("", kept)) if _MENTION.search(kept) else kept.strip()


def edit_share(one: str, other: str) -> float:
    """Edit distance over words and signs of two responses, as a share of the longer one, 0 (same words) to 1."""
    ids: dict[str, int] = {}
    # Without think tags: eight signs that both have would make any two short responses near.
    first, second = ([ids.setdefault(word, len(ids)) for word in _WORD.findall(plain(text))] for text in (one, other))
    longest = max(len(first), len(second), 1)
    # What twins begin and end with alike costs nothing: most of the work is saved.
    start = _shared(first, second)
    first, second = first[start:], second[start:]
    end = _shared(first[::-1], second[::-1])
    return edit_distance(first[: len(first) - end], second[: len(second) - end]) / longest


def _shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@dataclass(frozen=True, kw_only=True)
class Dual(Maker):
    """Make dual chains for krsl: rectify what the teacher got wrong, corrupt what it got right (EDIT).

    RECORDS are files with right responses, with `rejected` and no response (<traces>.unsolved.jsonl), or both. Writes
    the pairs (`response` right, `rejected` wrong) and, as <out>.stage1.jsonl, all right chains. Defaults: temperature
    0.2.

    \b
    harness data dual traces.jsonl traces.unsolved.jsonl --teacher openai:my-teacher -o pairs.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.2))
    tries: int = option(1, least=1, most=100)
    """Attempts at each record."""
    grader: str | None = option(None, shown="NAME")
    """What checks answers, in place of the records' own."""

    name = "dual"
    template_fields: ClassVar = {"edit_rectify": ("question", "gold"), "edit_corrupt": ("question", "gold", "right")}
    sets = ("stage1",)

    def check(self) -> None:
        """Every record needs `gold` and a grader, and one of them a response or a `rejected`."""
        require_checkable(self.records, "dual")
        if not self._right() and not self._wrong():
            raise DataError("dual has nothing to work on: no record has a response or a 'rejected' of the teacher's")

    def _right(self) -> list[TrainRecord]:
        return [record for record in self.records if (response_text(record) or "").strip()]

    def _wrong(self) -> list[TrainRecord]:
        return [record for record in self.records if not (response_text(record) or "").strip() and record.rejected]

    def first(self) -> Sequence[Query]:
        """The first attempt at every record."""
        return [
            *(self._query(record, "corrupt", 0) for record in self._right()),
            *(self._query(record, "rectify", 0) for record in self._wrong()),
        ]

    def _query(self, record: TrainRecord, which: str, attempt: int) -> Query:
        values = {"gold": record.gold or ""}
        if which == "corrupt":
            values["right"] = plain(response_text(record) or "")
        return self.query(record, f"edit_{which}", attempt, part=which, values=values)

    def run(self, ask: Ask) -> Made:
        """Ask, check and pair."""
        right, wrong = self._right(), self._wrong()
        counts = Counter(right_given=len(right), wrong_given=len(wrong))
        counts["unusable"] = len(self.records) - len(right) - len(wrong)
        corrupted = self._attempts(ask, right, "corrupt", counts)
        rectified = self._attempts(ask, wrong, "rectify", counts)
        pairs = {**corrupted, **rectified}
        stage1 = [*right, *(rectified[record.id] for record in wrong if record.id in rectified)]
        return Made(
            tuple(pairs[record.id] for record in self.records if record.id in pairs),
            tally(counts, _ORDER),
            {"stage1": tuple(stage1)},
        )

    def _attempts(
        self, ask: Ask, records: Sequence[TrainRecord], which: str, counts: Counter[str]
    ) -> dict[str, TrainRecord]:
        """Record id -> the pair that was made of it; reasons are counted by attempt."""
        made: dict[str, TrainRecord] = {}
        check = self._check_twins if which == "corrupt" else self._check_rectified
        for attempt in range(self.tries):
            open_records = [record for record in records if record.id not in made]
            completions = ask([self._query(record, which, attempt) for record in open_records]) if open_records else []
            counts[f"{which}_asked"] += len(completions)
            texts = list(replies(open_records, completions, counts, f"{which}_"))
            for pair in check(texts, counts):
                made[pair.id] = pair
                counts[f"{which}_kept"] += 1
        return made

    def _check_twins(self, texts: Sequence[tuple[TrainRecord, str]], counts: Counter[str]) -> list[TrainRecord]:
        shaped = [(record, in_form_of(response_text(record) or "", _label_off(text))) for record, text in texts]
        pairs = []
        for (record, twin), verdict in zip(shaped, grade_texts(shaped), strict=True):
            right = response_text(record) or ""
            share = edit_share(right, twin)
            if verdict != "wrong":
                counts["corrupt_answer_right" if verdict == "right" else "corrupt_no_answer"] += 1
            elif not has_chain(twin):
                counts["corrupt_no_chain"] += 1
            elif share == 0 or share > MAX_EDITS:
                counts["corrupt_identical" if share == 0 else "corrupt_too_far"] += 1
            else:
                negatives = tuple(dict.fromkeys((twin, *record.negatives)))
                pair = replace(record, response=right, rejected=twin, negatives=negatives)
                pairs.append(self._noted(pair, "corrupted", "edit_corrupt", share))
        return pairs

    def _check_rectified(self, texts: Sequence[tuple[TrainRecord, str]], counts: Counter[str]) -> list[TrainRecord]:
        """Graded twice: the cleaned text decides; the text as written only says why one was dropped."""
        shaped = [(record, in_form_of(record.rejected or "", without_hints(text))) for record, text in texts]
        before = grade_texts(texts)
        pairs = []
        for (record, text), verdict, (_, written), was in zip(shaped, grade_texts(shaped), texts, before, strict=True):
            if verdict != "right":
                reason = "hint" if was == "right" else "answer_wrong" if verdict == "wrong" else "no_answer"
                counts[f"rectify_{reason}"] += 1
            elif not has_chain(text):
                counts["rectify_no_chain"] += 1
            else:
                counts["rectify_hint_removed"] += bool(_MENTION.search(written) or _HINT_LINE.search(written))
                think, answer = parts_of(text)
                pair = replace(record, response=text, think=think, answer=answer)
                share = edit_share(text, record.rejected or "")
                pairs.append(self._noted(pair, "rectified", "edit_rectify", share))
        return pairs

    def _noted(self, pair: TrainRecord, how: str, template: str, share: float) -> TrainRecord:
        by, share = self.templates[template].id, round(share, 4)
        return noted(pair, pair=how, pair_teacher=self.model, template=by, edit_share=share, verified=True)


def _label_off(text: str) -> str:
    """Without the label that a teacher may repeat from the prompt."""
    return re.sub(r"\A\W*wrong response\W*?:\**\s*", "", text, flags=re.IGNORECASE)
