"""`--budget 200ktok` or `--budget 5usd`: a limit on what one command may spend on asking.

Tokens are those of requests made now, prompt and reply together; what comes from the cache costs nothing. Money is
tokens at the prices that the model was given (`--judge-arg price_in=… price_out=…`, per million tokens); the currency
is only a name. A request is started when it still fits together with all that are in flight, each at its estimate: the
average of the replies so far, the longest possible reply while there is none. Estimates are wrong by little and either
way, so that the limit is passed by at most what was in flight when it was reached.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from harness.errors import BudgetReached, ConfigError
from harness.models.base import NotBegun
from harness.types import Completion, Json, Model, Request

CURRENCIES = ("usd", "eur", "gbp", "chf", "cny", "jpy", "krw", "inr", "cad", "aud", "brl", "sek", "pln")
_SCALES = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_BUDGET = re.compile(r"(?P<number>[0-9][0-9_,]{0,30}(?:\.[0-9]{0,12})?|\.[0-9]{1,12})\s{0,3}(?P<unit>[A-Za-z]{2,8})")
_TOKENS = re.compile(r"(?P<scale>[kmg]?)tok(?:ens?)?")
_CHARS_A_TOKEN = 4.0


@dataclass
class Budget:
    """What may be spent and what is; one object may serve several judges in turn."""

    limit: float
    """Tokens, or units of the currency."""
    unit: str
    """"tok" or a currency."""
    spent: float = 0.0
    reserved: float = 0.0
    """Estimates of what is in flight."""

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read "200ktok", "2Mtok", "50000tok", "5usd", "0.5eur". Raises `ConfigError` for anything else."""
        match = _BUDGET.fullmatch(text.strip())
        unit = match["unit"].lower() if match else ""
        tokens = _TOKENS.fullmatch(unit)
        if match is None or (tokens is None and unit not in CURRENCIES):
            raise ConfigError(
                f"budget {text!r} is no amount: write tokens as 200ktok or 2Mtok, money as 5usd "
                f"(currencies: {', '.join(CURRENCIES)})"
            )
        limit = float(match["number"].replace("_", "").replace(",", "")) * (_SCALES[tokens["scale"]] if tokens else 1.0)
        if limit <= 0:
            raise ConfigError(f"budget {text!r} must be more than nothing")
        return cls(limit, "tok" if tokens else unit)

    def fits(self, amount: float) -> bool:
        """Whether that much more may be spent, next to what is in flight."""
        return self.spent + self.reserved + amount <= self.limit

    def __str__(self) -> str:
        return f"{self._amount(self.spent)} of {self._amount(self.limit)} {self.unit}"

    def _amount(self, value: float) -> str:
        if self.unit == "tok":
            return f"{value:,.0f}"
        return f"{value:,.2f}" if value >= 1 or value == 0 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Prices:
    """Prices of a million tokens."""

    tokens_in: float
    tokens_out: float

    @classmethod
    def of(cls, environment: Mapping[str, Json]) -> Prices | None:
        """Those in `Model.environment()`; None unless both are there."""
        found = [environment.get(name) for name in ("price_in", "price_out")]
        if not all(isinstance(price, int | float) and math.isfinite(price) for price in found):
            return None
        return cls(*(float(price) for price in found if isinstance(price, int | float)))

    def cost(self, tokens_in: float, tokens_out: float) -> float:
        """Price of that many tokens."""
        return (tokens_in * self.tokens_in + tokens_out * self.tokens_out) / 1e6


class Meter:
    """Charges one model's requests to a budget."""

    def __init__(self, budget: Budget, model: Model, option: str = "--judge-arg") -> None:
        """Raises `ConfigError` for a budget in money and a model without prices; `option` is how those are given."""
        self.budget = budget
        prices = Prices.of(model.environment())
        if prices is None and budget.unit != "tok":
            raise ConfigError(
                f"a budget in {budget.unit} needs the prices of {model.name!r} per million tokens: "
                f"{option} price_in=… {option} price_out=… (or give the budget in tokens: 200ktok)"
            )
        # A budget in tokens counts every token as one.
        self._prices = prices if prices is not None and budget.unit != "tok" else Prices(1e6, 1e6)
        self._replies = 0
        self._out = 0.0
        self._in_per_char = 1.0 / _CHARS_A_TOKEN
        self._open = 0
        """Requests in flight."""
        self._over = False
        """True once a request did not fit with nothing in flight: a smaller one behind it would, and is not begun."""
        self._turn = asyncio.Lock()
        self._ended = asyncio.Event()

    async def spend(self, request: Request, answer: Callable[[Request], Awaitable[Completion]]) -> Completion:
        """Answer a request once it fits, and charge what it took. In order: one that does not fit holds up the next.

        Raises `BudgetReached`, which says how much is spent, if it does not fit with nothing in flight.
        """
        try:
            async with self._turn:
                while self._over or (amount := self._estimate(request)) is None:
                    if self._over or not self._open:
                        self._over = True
                        raise BudgetReached(str(self.budget))
                    self._ended.clear()
                    await self._ended.wait()
        except asyncio.CancelledError:
            raise NotBegun from None
        self._open += 1
        self.budget.reserved += amount
        try:
            completion = await answer(request)
            self._charge(request, completion)
            return completion
        finally:
            self._open -= 1
            self.budget.reserved = self.budget.reserved - amount if self._open else 0.0  # float sums may not cancel
            self._ended.set()

    def _estimate(self, request: Request) -> float | None:
        """What the request may cost; None if that does not fit.

        While nothing is known and nothing is in flight, one request is let through: its estimate is only an upper
        bound, and a budget that is never touched would tell the user nothing.
        """
        tokens_in = _chars(request) * self._in_per_char
        tokens_out = min(self._out / self._replies if self._replies else math.inf, request.max_tokens)
        amount = self._prices.cost(tokens_in, tokens_out)
        first = not self._replies and not self.budget.spent and not self.budget.reserved
        return amount if first or self.budget.fits(amount) else None

    def _charge(self, request: Request, completion: Completion) -> None:
        """What the request really took, at an estimate where the server does not say; nothing if it failed."""
        chars = _chars(request)
        tokens_in, tokens_out = completion.tokens_in, completion.tokens_out
        if completion.finish == "error":
            self.budget.spent += self._prices.cost(tokens_in or 0, tokens_out or 0)
            return
        if tokens_in is None:
            tokens_in = math.ceil(chars * self._in_per_char)
        elif chars > 0:
            self._in_per_char += (tokens_in / chars - self._in_per_char) / (self._replies + 1)
        if tokens_out is None:
            tokens_out = math.ceil((len(completion.text) + len(completion.reasoning or "")) / _CHARS_A_TOKEN)
        self._replies += 1
        self._out += tokens_out
        self.budget.spent += self._prices.cost(tokens_in, tokens_out)


def _chars(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)
