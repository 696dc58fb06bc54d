"""Which bytes the tokens of a vocabulary stand for: what two tokenizers have in common.

Text is no measure of it: a token may be a part of a character, and a tokenizer may write a blank as "Ġ" or "▁".
"""

from __future__ import annotations

from typing import Any

from backends.records.segments import PROBE
from harness.errors import ConfigError

Key = tuple[bool, bytes]
"""What a token stands for in any vocabulary: whether it is a control token, and its bytes."""


def token_bytes(tokenizer: Any) -> list[bytes]:
    """The bytes of each token by id.

    Raises `ConfigError` for a tokenizer whose tokens do not add up to the text that they were made of.
    """
    size = len(tokenizer)
    added = {number: token.content.encode() for number, token in tokenizer.added_tokens_decoder.items()}
    pieces = tokenizer.convert_ids_to_tokens(list(range(size)))
    probe: list[int] = tokenizer(PROBE, add_special_tokens=False, verbose=False)["input_ids"]
    for read in (_of_letters, _of_pieces):
        found = [added.get(number) or read(piece) for number, piece in enumerate(pieces)]
        if b"".join(found[number] for number in probe).endswith(PROBE.encode()):
            return found
    raise ConfigError(
        f"the tokens of {tokenizer.name_or_path!r} do not add up to the text that they stand for: it has neither a "
        "byte-level vocabulary nor pieces with byte fallback, and cannot be aligned with another tokenizer's"
    )


def matching(student: Any, teacher: Any) -> tuple[list[int], list[int]]:
    """The tokens that both have, as ids of the one and of the other: same bytes, control tokens among themselves.

    The ends of sequence belong together whatever they are called. Each token has one partner at most.
    """
    theirs: dict[Key, list[int]] = {}
    for number, key in enumerate(_keys(teacher)):
        theirs.setdefault(key, []).append(number)
    ours: dict[Key, int] = {}
    pairs: dict[int, int] = {}
    for number, key in enumerate(_keys(student)):
        place = ours.get(key, 0)  # the second token of the same bytes belongs to the other's second
        ours[key] = place + 1
        if place < len(theirs.get(key, ())):
            pairs[number] = theirs[key][place]
    return list(pairs), list(pairs.values())


def _keys(tokenizer: Any) -> list[Key]:
    control = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    control |= set(tokenizer.all_special_ids)
    keys = [(number in control, data) for number, data in enumerate(token_bytes(tokenizer))]
    keys[tokenizer.eos_token_id] = (True, b"end of sequence")
    return keys


def _letters() -> dict[str, int]:
    """Letter -> byte of byte-level vocabularies: printable bytes are themselves, the others follow from 256 on."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTE = _letters()


def _of_letters(piece: str) -> bytes:
    return bytes(_BYTE[letter] for letter in piece if letter in _BYTE)


def _of_pieces(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        try:
            return bytes([int(piece[3:5], 16)])
        except ValueError:
            pass
    return piece.replace("\u2581", " ").encode()
