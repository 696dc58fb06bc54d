"""Are two models one model? What keeps a judge from judging its own answers unnoticed.

Where weights lie here they are told by their fingerprints, the base's and those of the adapters on top: a copy in
another folder, or in another engine, is the same model, and a folder whose weights have changed is another. Where they
lie elsewhere there is only what they are called: a hub's or a server's name, in any case, at any address, with or
without the owner before it; two names of what is served (`checkpoint`) tell two models apart. What neither can tell is
written in docs/judging.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.types import Json


@dataclass(frozen=True, slots=True)
class Named:
    """A model's name on the command line, and what `Model.describe` says of it."""

    name: str
    identity: Mapping[str, Json]

    def base(self) -> str | None:
        """Fingerprint of the weights below all adapters; None if they do not lie here."""
        return _text(self.identity.get("fingerprint"))

    def adapters(self) -> tuple[str | None, ...]:
        """Every adapter in the order in which they lie on the base: its fingerprint, or what a hub calls it."""
        earlier = self.identity.get("earlier_adapters")
        found = [_text(one) for one in earlier] if isinstance(earlier, list | tuple) else []
        if self.identity.get("adapter") is not None:
            found.append(_text(self.identity.get("adapter_fingerprint")) or _text(self.identity.get("adapter")))
        return tuple(found)

    def called(self) -> str | None:
        """What a hub or a server calls it; None for weights that lie here."""
        return _text(self.identity.get("model")) if self.base() is None else None

    def checkpoint(self) -> str | None:
        """What the user says is served under the name."""
        return _text(self.identity.get("served"))


def _text(value: Json) -> str | None:
    """A text as it is compared, None for anything else."""
    return value.casefold() if isinstance(value, str) else None


def same_model(one: Named, other: Named) -> bool:
    """True if the two are one model as far as anybody can tell from here."""
    if one.base() is not None and other.base() is not None:
        return (one.base(), one.adapters()) == (other.base(), other.adapters())
    if one.identity == other.identity:
        return True
    if one.adapters() != other.adapters():
        return False
    if one.checkpoint() is not None and other.checkpoint() is not None:
        return one.checkpoint() == other.checkpoint()
    mine, theirs = one.called(), other.called()
    if mine is None or theirs is None:
        return one.name.casefold() == other.name.casefold()
    if ("/" in mine) != ("/" in theirs):  # "gpt-4o" and "openai/gpt-4o"
        return mine.rpartition("/")[2] == theirs.rpartition("/")[2]
    return mine == theirs
