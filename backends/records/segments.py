r"""From records to token ids in which every token has one segment: prompt, think, answer, meta, solve or pad.

The prompt is rendered exactly as the harness renders it for evaluation (`harness.models.hf_prompt`), the response is
tokenised on its own and appended: these are the ids that a model sees and has to produce. The end of sequence is
appended and supervised, and belongs to the answer. The prompt is masked. A sequence over the limit is left out and
counted, never cut: a response cut before its answer teaches not to answer.

    encoder = Encoder(tokenizer, max_length=2048)
    data = tokenise(encoder, records, fields=("response", "rejected"))
    print(*left_out_lines(data), sep="\n")
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from backends.records.record import ChainStep, TrainRecord, response_text
from backends.records.spans import (
    Cue,
    begun,
    boundaries,
    closed_by,
    never_closes,
    split_response,
    token_parts,
    without_opening_tag,
)
from harness.errors import ConfigError, DataError
from harness.markup import tag_tokens, unknown_markup
from harness.models.hf_prompt import Prompt, PromptRenderer
from harness.plain import plural
from harness.reasoning import reply_tags

Segment = Literal["prompt", "think", "answer", "meta", "solve", "pad"]
SEGMENTS: tuple[Segment, ...] = get_args(Segment)
CODE: dict[str, int] = {name: code for code, name in enumerate(SEGMENTS)}
"""Segment -> the number that stands for it in arrays and tensors."""
IGNORED = -100
"""Label of a token that is not supervised, as PyTorch's cross-entropy expects it."""

T = TypeVar("T")
Field = Literal["response", "rejected", "positives", "negatives", "candidates"]
Reason = Literal[
    "too_long", "no_split", "unclosed_think", "stray_think", "special_token", "empty", "no_pair", "other_chain"
]
_WHY: dict[Reason, str] = {
    "too_long": "longer than max_length",
    "no_split": "without a chain and an answer that can be told apart",
    "unclosed_think": "with a think block that is never closed, or never entered though the template opens one",
    "stray_think": "with a closing think tag that nothing opened, behind the end of a think block",
    "special_token": "with a control token or an unknown character in the response",
    "empty": "with an empty response",
    "no_pair": "without a better and a worse side: both are the same tokens, or no candidate has a higher reward",
    "other_chain": "of which the candidates do not follow one and the same chain",
}


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """One prompt and one response as token ids. T is the number of tokens, end of sequence included."""

    ids_T: NDArray[np.int32]
    segments_T: NDArray[np.int8]
    """Codes of `SEGMENTS`."""
    completed: bool = False
    """Whether the response had a closing think tag that nothing opened: its opening tag was put in front."""
    extras: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Further arrays of a method with one row a token, (T, …): flags, weights, a teacher's stored distributions."""

    @property
    def supervised_T(self) -> NDArray[np.bool_]:
        """Which tokens are learnt: all but the prompt's."""
        return np.isin(self.segments_T, (CODE["prompt"], CODE["pad"]), invert=True)

    @property
    def labels_T(self) -> NDArray[np.int32]:
        """The ids where supervised, else `IGNORED`; not shifted."""
        return np.where(self.supervised_T, self.ids_T, IGNORED).astype(np.int32)

    def count(self, *segments: Segment) -> int:
        """How many tokens are in any of these segments."""
        return int(np.isin(self.segments_T, [CODE[name] for name in segments]).sum())


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One record as a method trains on it: a response; a response and its wrong twin; K candidates."""

    id: str
    sequences: tuple[Encoded, ...]
    rewards: tuple[float, ...] = ()
    """Of the candidates, in order; empty where none were asked for."""
    index: int = 0
    """Its number in the data set (`backends.trainers.feed`)."""
    numbers: Mapping[str, float] = field(default_factory=dict)
    """Of a completion that the student drew: "advantage", "correct", … (`Batch.numbers`)."""
    aside: tuple[Encoded, ...] = ()
    """The same responses behind other prompts, one for each sequence, which another model reads (`Batch.aside`)."""


@dataclass(frozen=True, slots=True)
class Tokenised:
    """The examples of a data set and what was left out of it."""

    examples: tuple[Example, ...]
    left_out: Mapping[Reason, tuple[str, ...]]
    """Why -> ids of the records, in order."""

    @property
    def tokens(self) -> Mapping[Segment, int]:
        """How many tokens each segment has, over all sequences."""
        counts = Counter[int]()
        for example in self.examples:
            for sequence in example.sequences:
                counts.update(sequence.segments_T.tolist())
        return {name: counts[code] for name, code in CODE.items() if name != "pad"}  # type: ignore[misc]


class Unusable(Exception):
    """A response that cannot be trained on; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(_WHY[reason])
        self.reason: Reason = reason


class Encoder:
    """Turns prompts and responses into ids with one fast tokenizer."""

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        *,
        template: str | None = None,
        plain: bool = False,
        enable_thinking: bool | None = None,
    ) -> None:
        """`max_length`: most tokens of prompt, response and end of sequence together.

        `template` replaces the tokenizer's own chat template, `plain` ignores both, `enable_thinking` is a variable of
        the template: what the model is evaluated with. Raises `ConfigError` for a tokenizer without offsets or without
        an end of sequence, and for a limit below 2.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise ConfigError(
                f"{type(tokenizer).__name__} is no fast tokenizer: it cannot say which characters a token stands for. "
                "Use a model with a tokenizer.json"
            )
        if tokenizer.eos_token_id is None:
            raise ConfigError("the tokenizer has no end-of-sequence token: a model trained with it would never stop")
        if max_length < 2:
            raise ConfigError(f"max_length {max_length} leaves no room for a response: at least 2 tokens")
        self.tokenizer, self.max_length = tokenizer, max_length
        self.template = None if plain else template or tokenizer.chat_template
        self._renderer = (template, plain, enable_thinking)
        self.eos_id: int = tokenizer.eos_token_id
        own = zip(tokenizer.all_special_ids, tokenizer.all_special_tokens, strict=True)
        added = ((number, str(token)) for number, token in tokenizer.added_tokens_decoder.items() if token.special)
        names = {**dict(own), **dict(added)}
        tags = tag_tokens(names.values())
        self._control = {number: token for number, token in names.items() if token not in tags}
        self.folded_system = False
        """Whether the template had no place for a system turn, so that its text went to the first user turn."""
        self.unread: dict[str, str] = {}
        """Responses that seem to hold a thought in markup that is not known -> that markup."""
        self.control_prompts: dict[str, str] = {}
        """Record -> the first control token that the text of its turns holds: read as such, whoever wrote it."""

    def of(self, tokenizer: Any) -> Encoder:
        """Another tokenizer's, which asks in the same way by its own template."""
        return Encoder(tokenizer, self.max_length, plain=self._renderer[1], enable_thinking=self._renderer[2])

    def prompt(self, record: TrainRecord) -> Prompt:
        """The record's prompt as ids. Raises `DataError` if the chat template refuses it."""
        # One renderer a record: it remembers what it rendered, which over a large data set is a leak.
        renderer = PromptRenderer(self.tokenizer, *self._renderer)
        prompt = renderer.render(record.prompt)
        self.folded_system |= renderer.folded_system
        if prompt.error is not None:
            raise DataError(prompt.error)
        said = "\n".join(turn.content for turn in record.prompt)
        held = [token for token in self._control.values() if token in said]
        if held:
            self.control_prompts[record.id] = min(held, key=said.index)
        return prompt

    def begun(self, record: TrainRecord, text: str) -> Prompt:
        """The record's prompt and a text that the response begins with, as ids.

        Raises `Unusable` for a think block that is not closed and for a control token; `DataError` as `prompt` does.
        """
        prompt = self.prompt(record)
        if never_closes(text, prompt.opened_think):
            raise Unusable("unclosed_think")
        return self.continued(prompt, text)

    def continued(self, prompt: Prompt, text: str) -> Prompt:
        """The prompt with the beginning of a response, cut anywhere. Raises `Unusable` for control tokens."""
        text = self._continued(prompt, text) if prompt.opened_think else text
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if not self._control.keys().isdisjoint(ids):
            raise Unusable("special_token")
        return Prompt((*prompt.tokens, *ids))

    def encode(
        self,
        prompt: Prompt,
        text: str,
        structure: Sequence[ChainStep] = (),
        need_split: bool = False,
        cue: Cue = "answer",
    ) -> Encoded:
        """Prompt, response and end of sequence. `need_split`: a response without chain or answer is of no use.

        `cue`: the part that the closing tag or "My answer:" belongs to.

        Raises `Unusable`; `DataError` for a structure that is not that of the response.
        """
        if text.rstrip().endswith(self.tokenizer.eos_token):  # as dumps of generations have it
            text = text.rstrip().removesuffix(self.tokenizer.eos_token)
        if not text.strip():
            raise Unusable("empty")
        if not prompt.opened_think and (unread := unknown_markup(text)) is not None and not reply_tags(text):
            self.unread[text] = unread
        if never_closes(text, prompt.opened_think):
            raise Unusable("unclosed_think")
        whole = text if prompt.opened_think else begun(text)
        if whole is None:
            raise Unusable("stray_think")
        text, completed = whole, whole != text
        if need_split:
            split = split_response(text)
            if split is None or not text[split.think_start : split.think_end].strip():
                raise Unusable("no_split")
        if prompt.opened_think:
            text = self._continued(prompt, text)
        found = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        ids: list[int] = found["input_ids"]
        if not self._control.keys().isdisjoint(ids):
            raise Unusable("special_token")
        if len(prompt.tokens) + len(ids) + 1 > self.max_length:
            raise Unusable("too_long")
        parts = token_parts(found["offset_mapping"], boundaries(text, structure, cue))
        segments = [CODE["prompt"]] * len(prompt.tokens) + [CODE[part] for part in parts] + [CODE["answer"]]
        ids_T = np.array([*prompt.tokens, *ids, self.eos_id], np.int32)
        return Encoded(ids_T, np.array(segments, np.int8), completed=completed)

    def _continued(self, prompt: Prompt, text: str) -> str:
        """The response without the opening tag that the prompt already ends in, and without a second line break.

        Its block ends in the tag that belongs to the prompt's.
        """
        text = closed_by(without_opening_tag(text.lstrip()), prompt.closing)
        broken = self.tokenizer.decode(prompt.tokens[-4:])[-1:].isspace()
        return text.lstrip() if broken else text

    def runs(self, encoded: Encoded) -> list[tuple[Segment, str]]:
        """The decoded text of each stretch of one segment, in order: what a dry run shows."""
        segments = encoded.segments_T
        cuts = [0, *(np.flatnonzero(np.diff(segments)) + 1).tolist(), len(segments)]
        return [
            (SEGMENTS[segments[start]], self.tokenizer.decode(encoded.ids_T[start:end].tolist()))
            for start, end in pairwise(cuts)
        ]


def example_of(
    encoder: Encoder,
    record: TrainRecord,
    fields: Sequence[Field] = ("response",),
    *,
    need_split: bool = False,
    cue: Cue = "answer",
) -> Example:
    """The named fields of a record, encoded; its structure belongs to its `response`.

    Raises `Unusable`, and `DataError` for a record without one of the fields and for a candidate without a reward.
    """
    prompt = encoder.prompt(record)
    sequences = tuple(
        encoder.encode(prompt, text, record.structure if name == "response" else (), need_split, cue)
        for name in fields
        for text in _texts(record, name)
    )
    if "rejected" in fields and "response" in fields:
        right, wrong = (sequences[fields.index(side)] for side in ("response", "rejected"))
        if np.array_equal(right.ids_T, wrong.ids_T):  # nothing can be preferred to itself
            raise Unusable("no_pair")
    return Example(record.id, sequences, _rewards(record) if "candidates" in fields else ())


def encode_or_count(
    encode: Callable[[T], Iterable[Example]], items: Iterable[T], name: Callable[[T], str] = attrgetter("id")
) -> Tokenised:
    """The examples of every item (a record, by its id); of which `Unusable` is raised is left out and counted.

    A `DataError` gets the item's name in front. Raises `DataError` if nothing is left.
    """
    examples: list[Example] = []
    left_out: dict[Reason, list[str]] = {}
    for item in items:
        try:
            examples += encode(item)
        except Unusable as error:
            left_out.setdefault(error.reason, []).append(name(item))
        except DataError as error:
            raise DataError(f"record {name(item)!r}: {error}") from None
    data = Tokenised(tuple(examples), {reason: tuple(ids) for reason, ids in left_out.items()})
    if not data.examples:
        raise DataError("no record can be trained on: " + ("; ".join(left_out_lines(data)) or "there are none"))
    return data


def tokenise(
    encoder: Encoder,
    records: Iterable[TrainRecord],
    fields: Sequence[Field] = ("response",),
    *,
    need_split: bool = False,
    cue: Cue = "answer",
) -> Tokenised:
    """One example of the named fields of every record; of which one sequence is unusable is left out as a whole.

    Raises `DataError` as `example_of` does, and if nothing is left.
    """
    return encode_or_count(
        lambda record: (example_of(encoder, record, fields, need_split=need_split, cue=cue),), records
    )


def _texts(record: TrainRecord, name: Field) -> Sequence[str]:
    found: Sequence[str | None]
    if name == "response":
        found = (response_text(record),)
    elif name == "rejected":
        found = (record.rejected,)
    elif name == "candidates":
        found = [candidate.text for candidate in record.candidates]
    else:
        found = record.positives if name == "positives" else record.negatives
    texts = [text for text in found if text is not None]
    if not texts:
        raise DataError(f"it has no {name!r}")
    return texts


def _rewards(record: TrainRecord) -> tuple[float, ...]:
    rewards = [candidate.reward for candidate in record.candidates]
    if any(reward is None for reward in rewards):
        raise DataError(f"candidate {rewards.index(None)} has no reward")
    return tuple(reward for reward in rewards if reward is not None)


def left_out_lines(data: Tokenised) -> list[str]:
    """What was left out, one line for each reason."""
    return [
        f"left out {plural(len(ids), 'record')} {_WHY[reason]}, the first {ids[0]!r}"
        for reason, ids in data.left_out.items()
    ]


# --- tokenizers -------------------------------------------------------------------------------------------------------


PROBE = "Let x = 12,345.67 – naïve “quotes”,\n\n\tif n>=0: return 数学   # \U0001f600 <think>\r\n"
"""A text in which tokenizers that look alike show that they are not."""


def tokenizer_difference(student: Any, teacher: Any, *, end: bool = True) -> str | None:
    """How two tokenizers differ, or None if every id means the same in both; the vocabularies' padding does not count.

    Compares the whole mapping from tokens to ids, the special tokens (`end`: also the end of sequence), and the ids of
    a probe text, which shows other merges or normalisation. A method that compares distributions token by token needs
    None.
    """
    ours: dict[str, int] = student.get_vocab()
    theirs: dict[str, int] = teacher.get_vocab()
    if ours != theirs:
        first = min(ours.items() ^ theirs.items(), key=lambda item: (item[1], item[0]))[0]
        return (
            f"the vocabularies differ ({len(ours)} and {len(theirs)} tokens): {first!r} is "
            f"{ours.get(first, 'absent')} in the student's and {theirs.get(first, 'absent')} in the teacher's"
        )
    for name in ("eos_token_id", "bos_token_id") if end else ("bos_token_id",):
        if getattr(student, name) != getattr(teacher, name):
            return f"{name} is {getattr(student, name)} in the student's, {getattr(teacher, name)} in the teacher's"
    if student(PROBE, add_special_tokens=False)["input_ids"] != teacher(PROBE, add_special_tokens=False)["input_ids"]:
        return "the vocabularies agree, but the same text becomes other tokens: merges or normalisation differ"
    return None
