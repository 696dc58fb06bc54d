"""A teacher of another vocabulary: it reads the same prompt and response in its own tokens, behind its own template.

Where its tokens and the student's belong together is `backends.losses.alignment`. What it cannot read (a response with
a control token of its own, longer than its context, or not the same bytes in its tokens) it says nothing about; such
rows are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from backends.base import ExampleMaker, Training
from backends.losses.alignment import Alignment, Groups, Span, by_bytes, by_position, side
from backends.losses.positions import HeadLogits
from backends.records.collate import collate, padding
from backends.records.record import TrainRecord
from backends.records.segments import CODE, Encoded, Encoder, Example, Tokenised, Unusable, tokenizer_difference
from backends.records.spans import never_closes
from backends.records.token_bytes import matching, token_bytes
from backends.rollouts.planning import context_of
from backends.teachers.local import teacher_here
from backends.trainers.batch import Batch, as_batch
from harness.errors import DataError
from harness.markup import TABLE

_KEPT = 4096
"""Most rows whose alignment is remembered."""


class Remembered:
    """A maker of examples that remembers which prompt is whose, so that a teacher can be asked in its own words."""

    def __init__(self, maker: ExampleMaker) -> None:
        self._maker = maker
        self.encoder: Encoder | None = None
        self.asked: dict[tuple[int, ...], TrainRecord] = {}
        """Prompts in the student's tokens -> a record with this prompt."""

    def __call__(self, encoder: Encoder, records: Sequence[TrainRecord]) -> Tokenised:
        """The maker's examples."""
        data, known = self._maker(encoder, records), {record.id: record for record in records}
        self.encoder = encoder
        for example in data.examples:
            (sequence,) = example.sequences
            self.asked.setdefault(tuple(sequence.ids_T[~sequence.supervised_T].tolist()), known[example.id])
        return data


@dataclass(frozen=True)
class Read:
    """One row as the teacher reads it."""

    sequence: Encoded
    groups: tuple[tuple[Span, Span], ...]
    """Of its learnt tokens with the student's; (student, teacher)."""


@dataclass(frozen=True)
class Aligned:
    """What the teacher thinks of a micro-batch, and where it belongs."""

    logits: HeadLogits
    mask_RT: Tensor
    """Its learnt tokens; a row for each of `rows_R`."""
    rows_R: Tensor
    """The student's rows that it could read."""
    ours: Groups
    theirs: Groups


class ForeignTeacher:
    """The model of `--teacher`, whatever its tokenizer."""

    def __init__(self, training: Training, method: str, alignment: Alignment, asked: Remembered) -> None:
        """Load it.

        Raises `ConfigError` for a teacher that is missing or whose tokens do not add up to their text, and `DataError`
        if it can read none of the data.
        """
        spec = teacher_here(training, method)
        assert asked.encoder is not None
        self._training, self._alignment, self._asked = training, alignment, asked.asked
        self.model, self.tokenizer = training.load(spec)
        self._same = tokenizer_difference(training.tokenizer, self.tokenizer) is None
        tokenizers = (training.tokenizer, self.tokenizer)
        self._ours, self._theirs = ([], []) if self._same else map(token_bytes, tokenizers)
        self.sizes = (len(training.tokenizer), len(self.tokenizer))
        """Tokens of the student's and of its vocabulary."""
        self._end, self._pad = training.tokenizer.eos_token_id, padding(self.tokenizer)
        self._context = context_of(self.model.config)
        self._student, self._encoder = asked.encoder, asked.encoder.of(self.tokenizer)
        self._known: dict[tuple[int, ...], Read | str] = {}
        if training.rollout is None:
            self._refuse_unreadable()

    def common(self) -> tuple[list[int], list[int]]:
        """The tokens that both vocabularies have: ids of the student's and of its own."""
        everything = list(range(self.sizes[0]))
        return (everything, everything) if self._same else matching(self._training.tokenizer, self.tokenizer)

    def count(self, batch: Batch) -> dict[str, Tensor]:
        """Groups, rows that are compared and rows that the teacher cannot read."""
        found = [self._read(*row) for row in _rows(batch)]
        groups = sum(len(one.groups) for one in found if isinstance(one, Read))
        unread = sum(isinstance(one, str) for one in found)
        return {name: torch.tensor(count) for name, count in (
            ("groups", groups), ("compared", len(found) - unread), ("unread", unread))}  # fmt: skip

    def look(self, batch: Batch) -> Aligned | None:
        """Its pass over the rows that it can read; None if there is none."""
        found = [self._read(*row) for row in _rows(batch)]
        kept = [(number, one) for number, one in enumerate(found) if isinstance(one, Read)]
        if not kept:
            return None
        examples = [Example(str(number), (one.sequence,)) for number, one in kept]
        device = batch.labels_RT.device
        its = as_batch({name: value.to(device) for name, value in collate(examples, self._pad).items()})
        logits: HeadLogits = self._training.forward(HeadLogits.detached, its, self.model)
        ours = [(number, [group[0] for group in one.groups]) for number, one in kept]
        theirs = [(place, [group[1] for group in one.groups]) for place, (_, one) in enumerate(kept)]
        rows_R = torch.tensor([number for number, _ in kept], device=device)
        return Aligned(logits, its.mask_RT, rows_R, _side(batch, ours), _side(its, theirs))

    def _read(self, prompt: tuple[int, ...], learnt: tuple[int, ...]) -> Read | str:
        """A row as the teacher reads it, or why it cannot."""
        key = (*prompt, -1, *learnt)
        if key not in self._known:
            if len(self._known) >= _KEPT:  # of what a student draws there is no end
                self._known.clear()
            self._known[key] = self._align(prompt, learnt)
        return self._known[key]

    def _align(self, prompt: tuple[int, ...], learnt: tuple[int, ...]) -> Read | str:
        if not learnt:
            return "in which nothing is learnt"
        if self._same:
            groups = by_position(len(learnt), len(learnt))
            return Read(_encoded(prompt, learnt), tuple(groups))
        ended = learnt[-1] == self._end
        ours = [self._ours[token] for token in (learnt[:-1] if ended else learnt)]
        try:
            asked, told = self._retold(self._asked[prompt], b"".join(ours).decode("utf-8", errors="replace"), ended)
        except Unusable as error:
            return str(error)
        theirs = [self._theirs[token] for token in told]
        one, other = b"".join(ours), b"".join(theirs)
        if not (one.endswith(other) or other.endswith(one)):
            return "whose bytes are not those of the teacher's tokens"
        spans = by_bytes(ours, theirs) if self._alignment == "bytes" else by_position(len(ours), len(theirs))
        if ended:  # the ends belong together, whatever came before
            told = (*told, self.tokenizer.eos_token_id)
            spans = [*spans, ((len(ours), len(ours) + 1), (len(theirs), len(theirs) + 1))]
        if self._context is not None and len(asked) + len(told) > self._context:
            return f"longer than the teacher's context of {self._context} tokens"
        return Read(_encoded(asked, told), tuple(spans)) if spans else "without a place where both tokenizations meet"

    def _retold(self, record: TrainRecord, text: str, ended: bool) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """(prompt, response) in the teacher's tokens; a think block that only one side's prompt opens is kept whole."""
        asked, ours = self._encoder.prompt(record), self._student.prompt(record)
        if ended and never_closes(text, ours.opened_think or asked.opened_think):
            raise Unusable("unclosed_think")
        if ours.opened_think and not asked.opened_think:
            opening = next(found for row in TABLE if (found := row.opening_of(ours.closing)) is not None)
            text = f"{opening}\n{text.lstrip()}"
        both = self._encoder.continued(asked, text).tokens
        return asked.tokens, both[len(asked.tokens) :]

    def _refuse_unreadable(self) -> None:
        why = None
        for batch in self._training.batches():
            for row in _rows(batch):
                found = self._read(*row)
                if isinstance(found, Read):
                    return
                why = why or found
        raise DataError(f"the teacher {self._training.teacher!r} can read no response; the first is one {why}")


def _encoded(prompt: Sequence[int], learnt: Sequence[int]) -> Encoded:
    segments = [CODE["prompt"]] * len(prompt) + [CODE["answer"]] * len(learnt)
    return Encoded(np.array([*prompt, *learnt], np.int32), np.array(segments, np.int8))


def _rows(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(prompt, learnt tokens) of each row; a row in which nothing is learnt has neither."""
    found = []
    for ids_T, labels_T, mask_T in zip(batch.inputs["input_ids"], batch.labels_RT, batch.mask_RT, strict=True):
        places = mask_T.nonzero().flatten()
        prompt = ids_T[: int(places[0]) + 1].tolist() if len(places) else []
        found.append((tuple(prompt), tuple(labels_T[places].tolist())))
    return found


def _side(batch: Batch, spans: Sequence[tuple[int, Sequence[Span]]]) -> Groups:
    """The groups of some rows, given as spans of their learnt tokens."""
    width, groups = batch.labels_RT.shape[1], []
    for row, of_row in spans:
        places = batch.mask_RT[row].nonzero().flatten()
        at, tokens = (places + row * width).tolist(), batch.labels_RT[row][places].tolist()
        groups += [(at[first:after], tokens[first:after]) for first, after in of_row]
    return side(groups, batch.labels_RT.device)
