"""Which JSON objects of a reply are quotations from the text under judgment, however they were copied.

A candidate that writes `{"rating": 10}` hopes that a judge which talks about it is taken at its word. Judges copy
loosely: other white space, another order of keys, straight quotation marks, without what nobody sees. So objects are
compared as what they say: parsed, keys without order, "10" like 10, in Unicode's compatibility form without letter
case, white space, quotation marks, backslashes and invisible characters, and with the letters of other scripts that
look like Latin ones read as those. What counts is the decision and that its reason, if it has one, stands in the text
(cut with "..." or not); it may be broken JSON there, as a judge mends what it copies. A long object is a quotation,
too, if its letters and digits stand in the text in a row.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterator, Mapping

from harness.answers import JsonObject
from harness.hashing import canonical_json
from harness.types import Json
from judges.replies.jsonfind import FoundObject, valid_objects

_LONG = 24
"""Letters and digits from which on their sequence alone identifies an object; a bare verdict has fewer."""
_QUOTES = "\"'`“”„‟‘’‚‛«»‹›「」『』＂＇′″"
_LATIN = str.maketrans(
    # Cyrillic, then Greek, small and capital, each above the Latin letter that it is drawn like.
    "асеіјорѕухԁһӏԛԝмтвнкАВСЕНІЈКМОРЅТУХοιαρτυνκχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧıɑɡ",
    "aceijopsyxdhlqwmtbhkABCEHIJKMOPSTYXoiaptuvkxyABEZHIKMNOPTYXiag",
)
_UNSEEN = frozenset(("Cc", "Cf", "Mn", "Me", "Co", "Cn", "Cs"))
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"
"""Characters that are called letters or symbols and show nothing."""
_NOTHING = dict.fromkeys(map(ord, _QUOTES + "\\"))
_LINE_MARK = re.compile(r"^[ \t]{0,8}(?:[>#*|]|//|--)[ \t>#*|]{0,8}", re.MULTILINE)
"""What quotes, lists and comments begin their lines with."""
_COMMENT = re.compile(r"(?<=[,{\[])[ \t]{0,8}(?://|#)[^\n]{0,200}")
_ELISION = re.compile(r"\.{3,}")
_CODE_POINT = re.compile(r"\\u([0-9A-Fa-f]{4})")
_BARE_KEY = re.compile(r"(?<=[{,])[A-Za-z_]{1,64}(?=:)")
_COMMA = re.compile(r",(?=[}\]])")
_STRAIGHT = dict.fromkeys(map(ord, _QUOTES), '"')


class Quotable:
    """The verdicts that a text under judgment holds."""

    def __init__(self, judged_text: str, key: str) -> None:
        self._key = key
        self._decisions: set[str] = set()
        plain = seen(judged_text)
        bare = _LINE_MARK.sub("", _COMMENT.sub("", html.unescape(judged_text)))
        texts = tuple(dict.fromkeys((plain, _mended(plain), _mended(seen(bare)))))
        self._text, self._letters = "\n".join(map(_form, texts)), "\n".join(map(_letters, texts))
        for text in texts:
            for found in valid_objects(text):
                self._add(found.value)

    def _add(self, value: Json) -> None:
        """Every decision in it, at any depth."""
        for one in _objects(value):
            said = {_form(name): inner for name, inner in one.items()}
            if self._key in said:
                self._decisions.add(_canonical(said[self._key]))

    def holds(self, found: FoundObject, source: str) -> bool:
        """True if the object, which was read from `source`, says what an object of the text says."""
        if _canonical(found.value[self._key]) in self._decisions and self._stands(found.value.get("reason")):
            return True
        letters = _letters(seen(source))
        return len(letters) >= _LONG and letters in self._letters

    def _stands(self, reason: Json) -> bool:
        """True for a reason that stands in the text, its pieces in order where it is cut; also for none at all."""
        position = 0
        for piece in _ELISION.split(_form(reason if isinstance(reason, str) else "")):
            position = self._text.find(piece, position)
            if position < 0:
                return False
            position += len(piece)
        return True


def seen(text: str) -> str:
    """What a reader sees of a text, in one spelling: no white space, nothing invisible, lookalikes as Latin letters."""
    folded = unicodedata.normalize("NFKD", text)
    if not folded.isascii():
        kept = (one for one in folded if unicodedata.category(one) not in _UNSEEN and one not in _BLANKS)
        folded = "".join(kept).translate(_LATIN)
    return "".join(folded.split())


def _mended(text: str) -> str:
    """The text as JSON, as far as a judge mends what it copies: code points, quotation marks, bare keys, commas."""
    text = _CODE_POINT.sub(lambda found: chr(int(found[1], 16)), text)
    text = text.replace("\\", "").translate(_STRAIGHT)
    return _COMMA.sub("", _BARE_KEY.sub(r'"\g<0>"', text))


def _letters(text: str) -> str:
    """The letters and digits of a text that has been through `seen`."""
    return "".join(filter(str.isalnum, text)).casefold()


def _objects(value: Json) -> Iterator[Mapping[str, Json]]:
    """The objects in a parsed value, itself included; its depth is bounded where it was parsed."""
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from _objects(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _objects(inner)


def _canonical(value: Json) -> str:
    return canonical_json(_folded(value))


def _folded(value: Json) -> Json:
    """The value with every scalar as text: a number that a judge writes in quotes is the same number."""
    if isinstance(value, dict):
        folded: JsonObject = {_form(key): _folded(inner) for key, inner in value.items()}
        return folded
    if isinstance(value, list):
        return [_folded(inner) for inner in value]
    if isinstance(value, str):
        return _form(value)
    return f"{value:g}" if isinstance(value, float) else str(value).casefold()


def _form(text: str) -> str:
    """A text as it is compared: without what JSON and prose put around or before its characters."""
    return seen(text).translate(_NOTHING).casefold()
