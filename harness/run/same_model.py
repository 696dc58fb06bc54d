"""Are two models one model? What keeps a judge from judging its own answers unnoticed.

Where weights lie here they are told by their fingerprints, the base's and those of the adapters on top: a copy in
another folder, or in another engine, is the same model, and a folder whose weights have changed is another. Where they
lie elsewhere there is only what they are called: a hub's or a server's name, in any case, at any address, with or
without the owner before it; two names of what is served (`checkpoint`) tell two models apart. What neither can tell is
written in docs/judging.md.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.types import Json

Identity = Mapping[str, Json]
"""What `Model.describe` says."""


def same_model(one: tuple[str, Identity], two: tuple[str, Identity]) -> bool:
    """True if the two (name on the command line, identity) are one model as far as anybody can tell from here."""
    (name, identity), (other_name, other) = one, two
    if _base(identity) is not None and _base(other) is not None:
        return (_base(identity), _adapters(identity)) == (_base(other), _adapters(other))
    if identity == other:
        return True
    if _adapters(identity) != _adapters(other):
        return False
    served, others = _text(identity.get("served")), _text(other.get("served"))  # what the user says is served
    if served is not None and others is not None:
        return served == others
    mine, theirs = _called(identity), _called(other)
    if mine is None or theirs is None:
        return name.casefold() == other_name.casefold()
    if ("/" in mine) != ("/" in theirs):  # "gpt-4o" and "openai/gpt-4o"
        return mine.rpartition("/")[2] == theirs.rpartition("/")[2]
    return mine == theirs


def _base(identity: Identity) -> str | None:
    """Fingerprint of the weights below all adapters; None if they do not lie here."""
    return _text(identity.get("fingerprint"))


def _adapters(identity: Identity) -> tuple[str | None, ...]:
    """Every adapter in the order in which they lie on the base: its fingerprint, or what a hub calls it."""
    earlier = identity.get("earlier_adapters")
    found = [_text(one) for one in earlier] if isinstance(earlier, list | tuple) else []
    if identity.get("adapter") is not None:
        found.append(_text(identity.get("adapter_fingerprint")) or _text(identity.get("adapter")))
    return tuple(found)


def _called(identity: Identity) -> str | None:
    """What a hub or a server calls it; None for weights that lie here."""
    return _text(identity.get("model")) if _base(identity) is None else None


def _text(value: Json) -> str | None:
    """A text as it is compared, None for anything else."""
    return value.casefold() if isinstance(value, str) else None
