"""From a judge's reply to a `Verdict`, or to the reason why there is none.

Strict where a guess would be a verdict of ours: exactly one JSON object that decides, the complete set of dimensions
exactly once, whole numbers in range, labels from the closed set. Lenient where nothing is guessed, and then a note
says so:

========================  ============================================================================================
note                      meaning
========================  ============================================================================================
"prose_around_json"       text besides the object and its code fence
"repeated_json"           the same object more than once
"quoted_json"             an object that stands in the text under judgment was passed over
"number_as_text"          "4" where 4 was asked for
"no_reason"               a decision without a reason
"decided_before_reason"   the decision stands before its reason, so the reason did not lead to it
"wrong_total"             points that the judge added up itself are not what its levels are worth
"invented_quote"          evidence that does not stand in the text under judgment
"self_contradiction"      the reason asserts another decision than the verdict (`judges.replies.contradiction`)
"no_logprobs"             a one-label reply without the log-probabilities of its labels: the value is all or nothing
========================  ============================================================================================

A reply that is one object and nothing else is that verdict, whatever the text under judgment holds: else a candidate
that wrote every verdict down could not be judged. In any other reply an object that says what an object of that text
says (`judges.replies.quoting`) is a quotation: an answer that contains `{"rating": 10}` cannot have itself graded by a
judge that talks about it. Tags of a think block inside the strings of an object are text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, assert_never

from harness.answers import JsonObject
from harness.hashing import canonical_json
from harness.types import Completion, Json
from judges.replies import contradiction
from judges.replies.contradiction import contradicts
from judges.replies.evidence import invented
from judges.replies.jsonfind import FoundObject, find_objects, storable
from judges.replies.labels import match_label, match_token, verdict_line
from judges.replies.quoting import Quotable, seen
from judges.replies.thought import with_reply
from judges.types import LEVELS, Dimension, Malformed, Mark, Rubric, RubricChoice, RubricKind, Verdict

PARSER_VERSION = 2
"""Raised whenever the same reply may be read as another verdict."""
MAX_QUOTES = 16
"""Most pieces of evidence for one dimension."""
MAX_OBJECTS = 16
"""Most objects with the deciding key: each is looked up in the text under judgment."""

_DECIDES: Final[Mapping[RubricKind, Literal["dimensions", "rating", "verdict"]]] = {
    "points": "dimensions",
    "rating": "rating",
    "pairwise": "verdict",
    "label": "verdict",
}
_TOTALS = ("total", "total_score", "score", "overall_score", "overall", "points")
_FENCE = re.compile(r"```\w{0,16}")
_WHOLE = re.compile(r"-?[0-9]{1,9}", re.ASCII)


def parse_reply(rubric: Rubric, completion: Completion, *, judged_text: str) -> Verdict:
    """Read one reply; a pairwise verdict's value is that of the answer shown FIRST.

    `judged_text` is everything in the prompt that candidates wrote. Raises `Malformed` with a reason that the judge
    can act on, and nothing else, whatever the reply is; takes time linear in reply and judged text.
    """
    text = with_reply(completion).answer_text
    if text is None:
        raise Malformed("no verdict: the reply ended before its reasoning did; think less and give the verdict")
    if not text.strip():
        raise Malformed("empty reply: give the verdict")
    if rubric.reply == "token":
        return _token(rubric, completion, text)
    if rubric.reply == "line":
        return _noted(rubric, _line(rubric, text))
    notes = _Notes()
    reply = _deciding_object(text, _DECIDES[rubric.kind], judged_text, notes)
    match rubric.kind:
        case "points":
            return _noted(rubric, _points(rubric, reply, judged_text, notes))
        case "rating":
            return _noted(rubric, _rating(rubric, reply, notes))
        case "pairwise" | "label":
            return _noted(rubric, _choice(rubric, reply, notes))
        case _:
            assert_never(rubric.kind)


def _noted(rubric: Rubric, verdict: Verdict) -> Verdict:
    """The verdict, with a note if its reason says otherwise."""
    if not contradicts(rubric, verdict):
        return verdict
    return replace(verdict, notes=(*verdict.notes, contradiction.NOTE))


@dataclass
class _Notes:
    """Notes of one verdict, each once, in the order in which they came up."""

    names: dict[str, None] = field(default_factory=dict)

    def add(self, name: str, applies: bool = True) -> None:
        if applies:
            self.names[name] = None


def _deciding_object(text: str, key: str, judged_text: str, notes: _Notes) -> JsonObject:
    """The one object with the deciding key that is the judge's own."""
    found = find_objects(text, key)
    if len(found) > MAX_OBJECTS:
        raise Malformed(f"{len(found)} verdicts: reply with exactly one JSON object that has {key!r}")
    around = _around(text, found)
    quotable = Quotable(judged_text, key) if around or len(found) > 1 else None
    own = [one for one in found if quotable is None or not quotable.holds(one, text[one.start : one.end])]
    if not own:
        raise Malformed("quoted verdict: the JSON object stands in the text under judgment; give a verdict of your own")
    distinct = {canonical_json(one.value) for one in own}
    if len(distinct) > 1:
        raise Malformed(f"{len(distinct)} different verdicts: reply with exactly one JSON object that has {key!r}")
    notes.add("prose_around_json", bool(around))
    notes.add("quoted_json", len(own) < len(found))
    notes.add("repeated_json", len(own) > 1)
    return own[0].value


def _around(text: str, found: list[FoundObject]) -> str:
    """What a reader sees of the reply besides its objects and their code fences."""
    outside, position = [], 0
    for one in found:
        outside.append(text[position : one.start])
        position = one.end
    return seen(_FENCE.sub("", "".join([*outside, text[position:]])))


# --- points -----------------------------------------------------------------------------------------------------------


def _points(rubric: Rubric, reply: JsonObject, judged_text: str, notes: _Notes) -> Verdict:
    entries = _complete(rubric, reply["dimensions"])
    marks = tuple(_mark(one, entries[one.key], notes) for one in rubric.dimensions)
    total = math.fsum(mark.points for mark in marks)
    _check_sum(reply, total, notes)
    quotes = [quote for mark in marks for quote in mark.evidence]
    notes.add("invented_quote", bool(quotes) and invented(quotes, judged_text) > 0)
    overall = reply.get("overall")
    return Verdict(
        value=total / math.fsum(one.weight for one in rubric.dimensions),
        label=f"{total:.1f}",
        reason=storable(overall) if isinstance(overall, str) else "",
        marks=marks,
        notes=tuple(notes.names),
    )


def _complete(rubric: Rubric, given: Json) -> dict[str, JsonObject]:
    """Dimension key -> what was said of it, from an object by key or a list of {"dimension": key, …}."""
    if isinstance(given, dict):
        pairs = list(given.items())
    elif isinstance(given, list):
        pairs = [(one.get("dimension") if isinstance(one, dict) else None, one) for one in given]
    else:
        raise Malformed('wrong shape: "dimensions" must be an object with one entry per dimension')
    known = {form: one.key for one in rubric.dimensions for form in (_slug(one.name), _slug(one.key))}
    entries: dict[str, JsonObject] = {}
    unknown, twice = [], []
    for name, entry in pairs:
        key = known.get(_slug(name)) if isinstance(name, str) else None
        if key is None:
            unknown.append(_shown(name))
        elif key in entries:
            twice.append(_shown(name))
        elif not isinstance(entry, dict):
            raise Malformed(f"wrong shape: dimension {key!r} must be an object with reason, evidence and level")
        else:
            entries[key] = entry
    missing = [repr(one.key) for one in rubric.dimensions if one.key not in entries]
    faults = [
        f"{what} {', '.join(names[:8])}"
        for what, names in (("missing", missing), ("unknown", unknown), ("given twice", twice))
        if names
    ]
    if faults:
        raise Malformed(f"wrong dimensions: {'; '.join(faults)}; give each dimension exactly once")
    return entries


def _mark(dimension: Dimension, entry: JsonObject, notes: _Notes) -> Mark:
    where = f"dimension {dimension.key!r}"
    level = _whole(entry.get("level"), 1, LEVELS, f"level of {where}", notes)
    points = dimension.weight * level / LEVELS
    _check_sum(entry, points, notes)
    label = None
    if dimension.labels:
        label = _labelled(dimension.labels, entry.get("label"), f"label of {where}")
    return Mark(dimension.key, level, points, _reason(entry, "level", where, notes), label, _quotes(entry, where))


def _quotes(entry: JsonObject, where: str) -> tuple[str, ...]:
    given = entry.get("evidence")
    listed = [given] if isinstance(given, str) else [] if given is None else given
    if not isinstance(listed, list) or len(listed) > MAX_QUOTES:
        raise Malformed(f"wrong shape: evidence of {where} must be a list of at most {MAX_QUOTES} quotes")
    quotes = (_text(one, f"evidence of {where}") for one in listed)
    return tuple(quote for quote in quotes if quote.strip())


def _check_sum(said: JsonObject, points: float, notes: _Notes) -> None:
    """Note points of the judge's own that differ from ours by more than rounding to one digit explains."""
    for name in _TOTALS:
        value = said.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            notes.add("wrong_total", abs(value - points) > 0.051)


# --- rating, pairwise, label ------------------------------------------------------------------------------------------


def _rating(rubric: Rubric, reply: JsonObject, notes: _Notes) -> Verdict:
    rating = _whole(reply["rating"], rubric.low, rubric.high, "rating", notes)
    reason = _reason(reply, "rating", "the rating", notes)
    return Verdict(value=rating / rubric.high, label=str(rating), reason=reason, notes=tuple(notes.names))


def _choice(rubric: Rubric, reply: JsonObject, notes: _Notes) -> Verdict:
    label = _labelled([one.label for one in rubric.choices], reply["verdict"], "verdict")
    choice = _chosen(rubric, label)
    reason = _reason(reply, "verdict", "the verdict", notes)
    return Verdict(choice.value, label, choice.weight, reason, notes=tuple(notes.names))


def _chosen(rubric: Rubric, label: str) -> RubricChoice:
    return next(one for one in rubric.choices if one.label == label)


def _token(rubric: Rubric, completion: Completion, text: str) -> Verdict:
    """One label and nothing else; its value is weighted by log-probabilities where the engine gave them."""
    labels = [one.label for one in rubric.choices]
    label = match_token(labels, text)
    if label is None:
        raise Malformed(f"no verdict: {_shown(text)} is not one of {_listed(labels)}; reply with the label alone")
    choice = _chosen(rubric, label)
    weighted = _expected(rubric, completion, label)
    if weighted is None:
        return Verdict(choice.value, label, choice.weight, notes=("no_logprobs",))
    return Verdict(weighted, label, choice.weight, soft=True)


def _line(rubric: Rubric, text: str) -> Verdict:
    """The label on the last line that gives a verdict; what stands before it is the reason."""
    labels = [one.label for one in rubric.choices]
    label, reason = verdict_line(labels, text)
    if label is None:
        raise Malformed(f"no verdict: end with a line of its own, VERDICT: and one of {_listed(labels)}")
    choice = _chosen(rubric, label)
    return Verdict(choice.value, label, choice.weight, storable(reason), notes=() if reason else ("no_reason",))


def _expected(rubric: Rubric, completion: Completion, label: str) -> float | None:
    """Mean value of the choices, weighted by the first token's probabilities; spellings of one label are added up.

    None where the alternatives do not describe the label that was said: none were given, the first token belonged to
    a think block, or the label is not among them (its first token is only a part of it).
    """
    if not completion.alternatives or completion.reasoning:
        return None
    labels = [one.label for one in rubric.choices]
    said = [(match_token(labels, token), logprob) for token, logprob in completion.alternatives.items()]
    known = [(one, logprob) for one, logprob in said if one is not None and math.isfinite(logprob)]
    if label not in {one for one, _ in known}:
        return None
    top = max(logprob for _, logprob in known)
    shares = [(_chosen(rubric, one).value, math.exp(logprob - top)) for one, logprob in known]
    return math.fsum(value * share for value, share in shares) / math.fsum(share for _, share in shares)


# --- fields -----------------------------------------------------------------------------------------------------------


def _whole(value: Json, low: int, high: int, what: str, notes: _Notes) -> int:
    """A whole number in range: 4, 4.0 or "4", never true, 3.5 or "4/5"."""
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    elif isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
        number = int(value)
        notes.add("number_as_text")
    if number is None:
        raise Malformed(f"not a whole number: {what} is {_shown(value)}; give one from {low} to {high}")
    if not low <= number <= high:
        raise Malformed(f"out of range: {what} is {_shown(value)}; give a whole number from {low} to {high}")
    return number


def _labelled(labels: list[str] | tuple[str, ...], value: Json, what: str) -> str:
    label = match_label(labels, value) if isinstance(value, str) else None
    if label is None:
        raise Malformed(f"unknown label: {what} is {_shown(value)}; give one of {_listed(labels)}")
    return label


def _reason(entry: JsonObject, decides: str, where: str, notes: _Notes) -> str:
    reason = _text(entry.get("reason"), f"reason of {where}")
    notes.add("no_reason", not reason.strip())
    keys = list(entry)
    notes.add("decided_before_reason", "reason" in keys and keys.index(decides) < keys.index("reason"))
    return reason


def _text(value: Json, what: str) -> str:
    """A text that can be stored; nothing at all is ""."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"wrong shape: {what} must be text, not {_shown(value)}")
    return storable(value)


def _slug(name: str) -> str:
    """A dimension's key or display name in one spelling: "Step Completeness" is "step_completeness"."""
    return "_".join(re.findall(r"\w+", name[:128].replace("_", " ").casefold()))


def _shown(value: Json) -> str:
    """A value as the judge wrote it, cut to the length of a message."""
    text = storable(repr(value[:48] if isinstance(value, str) else value))
    return text if len(text) <= 60 else f"{text[:57]}…"


def _listed(labels: list[str] | tuple[str, ...]) -> str:
    return ", ".join(repr(label) for label in labels)
