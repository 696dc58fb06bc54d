"""What a person should read of tokenised data before training starts: what is left out, odd, how long."""

from __future__ import annotations

from collections import Counter

from backends.records.segments import Encoder, Tokenised, left_out_lines
from harness.models.base import SYSTEM_FOLDED
from harness.models.hf_template import TemplateRefusal, render
from harness.plain import plural
from harness.reasoning import unread_words
from harness.types import Message


def preflight(encoder: Encoder, data: Tokenised) -> list[str]:
    """What a person should read before training starts, one line each; the counts of what was left out come first."""
    lengths = sorted(len(sequence.ids_T) for example in data.examples for sequence in example.sequences)
    tokens = ", ".join(f"{count} {name}" for name, count in data.tokens.items() if count)
    lines = [*left_out_lines(data), *odd_lines(encoder, data)]
    lines.append(
        f"{len(data.examples)} examples, {len(lengths)} sequences, {sum(lengths)} tokens ({tokens}); "
        f"median {lengths[len(lengths) // 2]}, longest {lengths[-1]} of {encoder.max_length}"
    )
    if encoder.template is None:
        lines.append("no chat template: the turns of a prompt are joined by blank lines, as evaluation does it")
    elif (end := _turn_end(encoder)) and not end.startswith(encoder.tokenizer.eos_token):
        lines.append(
            f"the chat template ends a turn with {end[:40]!r}, the tokenizer's end of sequence is "
            f"{encoder.tokenizer.eos_token!r}: that is what is trained, and what must stop generation"
        )
    if encoder.folded_system:
        lines.append(f"the chat template has {SYSTEM_FOLDED}, as evaluation does it")
    if encoder.tokenizer.pad_token_id is None:
        lines.append(f"no padding token: batches are filled with {encoder.tokenizer.eos_token!r}, masked where it pads")
    return lines


def odd_lines(encoder: Encoder, data: Tokenised) -> list[str]:
    """What is trained on and not quite as it was given, or dangerous, one line for each kind."""
    begun_ids = [example.id for example in data.examples if any(part.completed for part in example.sequences)]
    control = [example.id for example in data.examples if example.id in encoder.control_prompts]
    lines = []
    if begun_ids:
        lines.append(
            f"{plural(len(begun_ids), 'record')} with a closing think tag that nothing opened: the opening tag was "
            f"put in front, the first {begun_ids[0]!r}"
        )
    if control:
        lines.append(
            f"{plural(len(control), 'record')} with a control token in the text of the prompt, which the model reads "
            f"as one: the first {control[0]!r} with {encoder.control_prompts[control[0]]!r}"
        )
    if encoder.unread:
        seen, _ = unread_words(Counter(encoder.unread.values()))
        lines.append(f"{seen}: it is trained as part of the answer; write it as <think>…</think> if it is one")
    return lines


def _turn_end(encoder: Encoder) -> str:
    """What the template puts after a finished turn of the assistant; "" if it refuses such a conversation."""
    mark = "a finished answer"
    try:
        turns = (Message("user", "a question"), Message("assistant", mark))
        text = render(encoder.tokenizer, turns, encoder.template or "")
    except TemplateRefusal:
        return ""
    return text.rpartition(mark)[2].strip()
