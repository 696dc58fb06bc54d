"""A place in a list of tokens, for the parser of `harness.grading.mathtree`."""

from __future__ import annotations

from harness.grading.mathtext import TexToken, Unreadable

MAX_DEPTH = 60


class Cursor:
    """Where a parser stands in a list of tokens, how deep it is, and how many bars are open."""

    def __init__(self, found: list[TexToken]) -> None:
        self.found, self.place, self.depth, self.bars = found, 0, 0, 0

    def peek(self, ahead: int = 0) -> TexToken | None:
        """The token so many places ahead; None behind the end."""
        place = self.place + ahead
        return self.found[place] if place < len(self.found) else None

    def at(self, kind: str, *texts: str) -> bool:
        """Whether the next token is of this kind (and one of these texts)."""
        token = self.peek()
        return token is not None and token.kind == kind and (not texts or token.text in texts)

    def take(self) -> TexToken:
        """The next token, left behind."""
        token = self.peek()
        if token is None:
            raise Unreadable("the text ends too early")
        self.place += 1
        return token

    def expect(self, kind: str, *texts: str) -> TexToken:
        """The next token, which must be this one."""
        if self.at(kind, *texts):
            return self.take()
        raise Unreadable(f"{texts} was expected")

    def deeper(self) -> None:
        """One level further in. Raises `Unreadable` if there are too many."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable("nested too deeply")
