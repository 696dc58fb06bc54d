r"""Expressions as trees: a recursive-descent parser over `harness.grading.mathtext.tokens`.

A letter is a variable and letters side by side are a product; `f(2)` with one atom in its brackets is a function value,
`n(n+1)` a product. `i` is the imaginary unit and `e` Euler's number. Depth and length are bounded, nothing is computed.
"""

from __future__ import annotations

from fractions import Fraction

from harness.grading.latex import NUMBER_WORDS
from harness.grading.mathcursor import Cursor
from harness.grading.mathnode import Node, bracketed, is_atom, letters_only, mixed, renamed, times
from harness.grading.mathtext import TexToken, Unreadable
from harness.grading.rationals import parse_rational

_HEADS = frozenset(["f", "g", "h", "F", "G", "H"])


def parse(found: list[TexToken]) -> Node:
    """The tree of a whole token list. Raises `Unreadable` for anything else than one expression."""
    parser = _Parser(found)
    node = parser.sets()
    if parser.place < len(found):
        raise Unreadable(f"{found[parser.place].text} is left over")
    return node


class _Parser(Cursor):
    """See the module docstring."""

    def sets(self) -> Node:
        """Unions, intersections and differences of what follows."""
        self.deeper()
        node = self.ratio()
        while self.at("op", "cup", "cap", "minus"):
            op = self.take().text
            other = self.ratio()
            same = node.args if node.op == op != "minus" else (node,)
            node = Node("cup" if op == "cup" else "cap" if op == "cap" else "minus", (*same, other))
        self.depth -= 1
        return node

    def ratio(self) -> Node:
        parts = [self.sum()]
        while self.at("op", ":") and self.take():
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("ratio", tuple(parts))

    def sum(self) -> Node:
        node = self.signed()
        while self.at("op", "+", "-", "pm", "mp"):
            op = self.take().text
            term = self.term()
            if op in ("pm", "mp"):
                node = Node("pm" if op == "pm" else "mp", (node, term))
            else:
                term = Node("neg", (term,)) if op == "-" else term
                node = Node("add", (*node.args, term)) if node.op == "add" else Node("add", (node, term))
        return node

    def signed(self) -> Node:
        """A term with signs in front."""
        if self.at("op", "+", "-", "pm", "mp"):
            op = self.take().text
            self.deeper()
            inner = self.signed() if self.at("op", "+", "-", "pm", "mp") else self.term()
            self.depth -= 1
            if op in ("pm", "mp"):
                return Node("pm" if op == "pm" else "mp", (Node("num", name="0"), inner))
            return Node("neg", (inner,)) if op == "-" else inner
        return self.term()

    def term(self) -> Node:
        """Factors, joined by signs or standing side by side."""
        node = self.factor()
        while True:
            if self.at("op", "*"):
                self.take()
                node = times(node, self.signed_factor())
            elif self.at("op", "/"):
                self.take()
                node = Node("div", (node, self.below()))
            elif self.starts_factor():
                left, token = node, self.peek()
                right = self.factor()
                total = mixed(left, right, token)
                node = total or times(left, right)
            else:
                return node

    def signed_factor(self) -> Node:
        if self.at("op", "-", "+"):
            sign = self.take().text
            return Node("neg", (self.factor(),)) if sign == "-" else self.factor()
        return self.factor()

    def below(self) -> Node:
        """What a slash divides by: one factor, or the whole product of letters in `t/RC`."""
        first = self.peek()
        node = self.signed_factor()
        if first is not None and first.kind == "letter" and node.op in ("var", "pow"):
            while self.at("letter") and not self.found[self.place].gap and letters_only(node):
                node = times(node, self.factor())
        return node

    def starts_factor(self) -> bool:
        token = self.peek()
        if token is None:
            return False
        if token.kind in ("num", "letter", "const", "func", "cmd"):
            return token.text not in ("choose", "over")
        if token.kind == "env":
            return token.text.startswith("\\begin")
        if token.kind == "open":
            return True
        return token.kind == "op" and token.text == "|" and self.bars == 0

    def factor(self) -> Node:
        """A primary with its powers, factorials, percent and degree signs."""
        node = self.primary()
        while True:
            if self.at("op", "^"):
                self.take()
                node = self.power(node)
            elif self.at("op", "!"):
                self.take()
                node = Node("fact", (node,))
            elif self.at("op", "%"):
                self.take()
                node = Node("percent", (node,))
            elif self.at("op", "deg", "circ"):
                self.take()
                node = Node("degree", (node,))
            elif self.at("op", "'"):
                self.take()
                node = renamed(node, "'")
            else:
                return node

    def power(self, base: Node) -> Node:
        if self.at("op", "circ", "deg"):
            self.take()
            return Node("degree", (base,))
        if self.at("op", "'", "*"):
            return renamed(base, self.take().text)
        if self.at("open", "{") and self.peek(1) is not None:
            inside: list[str] = []
            while (token := self.peek(1 + len(inside))) is not None and token.kind == "op":
                inside.append(token.text)
            closing = self.peek(1 + len(inside))
            if inside and closing is not None and closing == TexToken("close", "}", closing.gap):
                self.place += len(inside) + 2
                if inside in (["circ"], ["deg"]):
                    return Node("degree", (base,))
                return renamed(base, "".join(inside))
        exponent = self.signed_factor() if self.at("op", "-", "+") else self.exponent()
        return Node("pow", (base, exponent))

    def exponent(self) -> Node:
        node = self.primary()
        if self.at("op", "^"):
            self.take()
            return self.power(node)
        return node

    def primary(self) -> Node:
        token = self.take()
        match token.kind:
            case "num":
                return self.numeral(token)
            case "letter" | "word" if " " not in token.text:
                return self.name(token)
            case "const":
                return Node("const", name=token.text)
            case "func":
                return self.function(token.text)
            case "open":
                return self.bracket(token.text)
            case "cmd":
                return self.command(token.text)
            case "env":
                return self.matrix(token.text)
        if token.text in ("|", "||"):
            self.bars += 1
            node = self.sum()
            self.expect("op", token.text)
            self.bars -= 1
            return Node("abs", (node,))
        raise Unreadable(f"{token.text} where a value was expected")

    def numeral(self, token: TexToken) -> Node:
        value = parse_rational(token.text.rstrip(".") or "0")
        if value is None:
            raise Unreadable(f"{token.text[:40]} is no number")
        if self.at("op", "_"):
            base = self.subscript()
            return Node("var", name=f"{token.text}_{NUMBER_WORDS.get(base.lower(), base)}")
        return Node("num", name=token.text, value=value)

    def subscript(self) -> str:
        """The text of a subscript, without spaces and braces."""
        self.expect("op", "_")
        if not self.at("open", "{"):
            return self.take().text.lstrip("\\")
        parts: list[str] = []
        depth = 0
        while True:
            token = self.take()
            depth += (token.text == "{" and token.kind == "open") - (token.text == "}" and token.kind == "close")
            if depth == 0:
                return "".join(part.lstrip("\\") for part in parts if part not in ("{", "}"))
            parts.append(token.text)

    def name(self, token: TexToken) -> Node:
        """A variable, or a function value where a bracket with one atom follows."""
        name = token.text
        while self.at("op", "_", "'"):
            name += "'" if self.at("op", "'") and self.take() else "_" + self.subscript()
        if name in ("\\angle", "\\triangle"):
            while self.at("letter") or self.at("word"):
                name += self.take().text
            return Node("var", name=name)
        if self.at("op", "^") and (follow := self.peek(1)) is not None and follow.text == "'":
            self.place += 2
            name += "'"
        applied = self.application(name) if self.at("open", "(") and name != "…" else None
        if applied is not None:
            return applied
        if name in ("i", "e"):
            return Node("const", name=name)
        return Node("var", name=name)

    def application(self, name: str) -> Node | None:
        """`f(x)`: the arguments in brackets, if this is a function value and no product."""
        start, bars = self.place, self.bars
        self.take()
        self.bars = 1  # a bar behind a value stands between arguments: P(A|B)
        try:
            args = [self.sets()]
            while self.at("sep") or self.at("op", "|"):
                self.take()
                args.append(self.sets())
            self.expect("close", ")")
        except Unreadable:
            self.place = start
            return None
        finally:
            self.bars = bars
        atomic = all(is_atom(arg) for arg in args) and name not in ("e", "i")
        if atomic or len(args) > 1 or args[0].op in ("cup", "cap") or name.rstrip("'") in _HEADS or name.endswith("'"):
            return Node("app", tuple(args), name)
        self.place = start
        return None

    def function(self, name: str) -> Node:
        base = exponent = None
        while self.at("op", "_", "^"):
            if self.take().text == "_":
                base = self.group_or_token()
            else:
                exponent = self.signed_factor() if self.at("op", "-") else self.group_or_token()
        while self.at("op", "'"):
            name += self.take().text
        argument = self.argument(name)
        if exponent is not None and exponent == Node("neg", (Node("num", name="1", value=Fraction(1)),)):
            name, exponent = "arc" + name, None
        if name == "exp" and base is None and exponent is None:
            return Node("pow", (Node("const", name="e"), argument))
        if name == "cbrt":
            return Node("root", (argument, Node("num", name="3", value=Fraction(3))))
        args = argument.args if argument.op == "tuple" else (argument,)
        node = Node("func", args if base is None else (*args, base), name if base is None else name + "_")
        return node if exponent is None else Node("pow", (node, exponent))

    def group_or_token(self) -> Node:
        if self.at("open", "{"):
            self.take()
            return self.bracket("{")
        return self.primary()

    def argument(self, name: str) -> Node:
        """The argument of a function: what brackets hold, or the product up to the next sign or function."""
        if self.at("open"):
            return self.primary()
        node = self.signed_factor()
        if name == "sqrt":
            return node
        while self.starts_factor() and not self.at("func") and not self.at("open") and not self.at("env"):
            node = times(node, self.factor())
        return node

    def bracket(self, opening: str) -> Node:
        """What stands between brackets; the opening one is taken."""
        bars, self.bars = self.bars, 0
        if opening == "\\{" and self.at("close", "\\}"):
            self.take()
            self.bars = bars
            return Node("const", name="empty")
        parts = [self.sets()]
        while self.at("sep"):
            self.take()
            if not self.at("close"):
                parts.append(self.sets())
        if self.at("cmd", "choose", "over") and opening == "{" and len(parts) == 1:
            command = self.take().text
            parts = [Node("binom" if command == "choose" else "div", (parts[0], self.sets()))]
        closing = self.expect("close").text
        self.bars = bars
        return bracketed(opening, closing, tuple(parts))

    def command(self, name: str) -> Node:
        match name:
            case "frac":
                return self.fraction()
            case "sqrt":
                index = None
                if self.at("open", "["):
                    self.take()
                    index = self.bracket("[")
                body = self.group_or_token()
                return Node("root", (body,) if index is None else (body, index))
            case "binom" | "dbinom" | "tbinom":
                return Node("binom", (self.group_or_token(), self.group_or_token()))
            case "not":
                raise Unreadable("a negated relation")
            case "pmod" | "bmod" | "mod":
                return Node("app", (self.group_or_token(),), "mod")
        return self.big(name)

    def fraction(self) -> Node:
        r"""`\\frac`; the d of a derivative's denominator is no letter that cancels."""
        first = self.peek(1) if self.at("open", "{") else self.peek()
        above = self.digit_or_group()
        start = self.place + (1 if self.at("open", "{") else 0)
        derivative = first is not None and first.text in ("d", "\\partial") and start + 1 < len(self.found)
        if derivative and first is not None and self.found[start].text == first.text:
            self.found = [*self.found[:start], TexToken("letter", first.text + "!"), *self.found[start + 1 :]]
        return Node("div", (above, self.digit_or_group()))

    def digit_or_group(self) -> Node:
        r"""`\frac43` holds two digits."""
        token = self.peek()
        if token is not None and token.kind == "num" and len(token.text) > 1 and token.text.isdigit():
            rest = TexToken("num", token.text[1:])
            self.found = [
                *self.found[: self.place],
                TexToken("num", token.text[0]),
                rest,
                *self.found[self.place + 1 :],
            ]
        return self.group_or_token()

    def big(self, name: str) -> Node:
        """A sum, integral or limit: opaque, with its bounds as text and its body as a tree."""
        bounds = ""
        while self.at("op", "_", "^"):
            mark = self.peek()
            if mark is not None and mark.text == "_":
                bounds += "_" + self.subscript()
            else:
                self.take()
                start = self.place
                self.group_or_token()
                bounds += "^" + "".join(token.text for token in self.found[start : self.place])
        return Node("big", (self.signed(),), name + bounds)

    def matrix(self, opening: str) -> Node:
        if not opening.startswith("\\begin"):
            raise Unreadable("an environment ends that was not begun")
        kind = opening.split()[1]
        rows: list[list[Node]] = [[]]
        while not self.at("env"):
            rows[-1].append(self.sets())
            if self.at("op", "\\\\"):
                self.take()
                if not self.at("env"):
                    rows.append([])
            elif self.at("op", "&"):
                self.take()
        self.take()
        width = len(rows[0])
        if width == 0 or any(len(row) != width for row in rows):
            raise Unreadable("rows of different lengths")
        cells = tuple(cell for row in rows for cell in row)
        matrix = Node("matrix", cells, f"{len(rows)}x{width}")
        return Node("func", (matrix,), "det") if kind == "vmatrix" else matrix
