"""What each model of a system took: for one answer, and for all answers of a run, in tokens and money.

A system's tokens are those of all of its models together, so that no table shows a cascade at the price of one call;
here they are told apart. A model within a system within a system has the role "model.model".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from harness.models.budget import Prices
from harness.types import Completion, Graded, Json, Usage


def usage_of(completion: Completion) -> dict[str, Usage]:
    """Role -> what that model took for the answer; empty for a model that answers by itself."""
    found: dict[str, Usage] = {}
    for role, reply in _replies(completion):
        # What a failed request took is known where the engine says so, and else was nothing that is charged.
        lost = 0 if reply.finish == "error" else None
        tokens_in = reply.tokens_in if reply.tokens_in is not None else lost
        tokens_out = reply.tokens_out if reply.tokens_out is not None else lost
        found[role] = _plus(found.get(role, Usage(0, 0, 0)), Usage(1, tokens_in, tokens_out))
    return found


def _replies(completion: Completion, above: str = "") -> Iterator[tuple[str, Completion]]:
    for role, reply in completion.composed.replies if completion.composed is not None else ():
        if reply.composed is None:
            yield above + role, reply
        else:
            yield from _replies(reply, f"{above}{role}.")


def _plus(one: Usage, two: Usage) -> Usage:
    return Usage(one.calls + two.calls, _sum(one.tokens_in, two.tokens_in), _sum(one.tokens_out, two.tokens_out))


def _sum(one: int | None, two: int | None) -> int | None:
    return None if one is None or two is None else one + two


def component_totals(graded: Sequence[Graded], environment: Mapping[str, Json]) -> dict[str, dict[str, Json]]:
    """Role -> name, calls, tokens and cost over all answers; empty for a model that answers by itself."""
    totals: dict[str, Usage] = defaultdict(lambda: Usage(0, 0, 0))
    for row in graded:
        for role, usage in row.usage.items():
            totals[role] = _plus(totals[role], usage)
    return {
        role: {"answers": len(graded), **_component(usage, _part(environment, role))}
        for role, usage in sorted(totals.items())
    }


def _part(environment: Mapping[str, Json], role: str) -> Mapping[str, Json]:
    """What is recorded of the model of this role."""
    for name in role.split("."):
        parts = environment.get("parts")
        found = parts.get(name) if isinstance(parts, Mapping) else None
        environment = found if isinstance(found, Mapping) else {}
    return environment


def _component(usage: Usage, environment: Mapping[str, Json]) -> dict[str, Json]:
    prices = Prices.of(environment)
    known = usage.tokens_in is not None and usage.tokens_out is not None
    return {
        "model": environment.get("name"),
        "calls": usage.calls,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cost": prices.cost(usage.tokens_in or 0, usage.tokens_out or 0) if prices is not None and known else None,
    }


def total_cost(components: Mapping[str, Mapping[str, Json]]) -> float | None:
    """Cost of all components; None unless each has one."""
    costs = [one["cost"] for one in components.values()]
    return None if any(cost is None for cost in costs) else sum(float(str(cost)) for cost in costs)


def break_even(graded: Sequence[Graded], environment: Mapping[str, Json]) -> dict[str, Json]:
    """After how many answers a system with a teacher has paid for what it was shown; {} where nobody said its cost.

    demo_cost / (cost of a teacher's answer - cost of an answer); the teacher's is the mean over those it gave here.
    `answers` is None where it never pays, and where the teacher gave none or a price is missing; `why` says which.
    """
    demo, components = environment.get("demo_cost"), component_totals(graded, environment)
    if not isinstance(demo, int | float) or not components:
        return {}
    taught = sum(any(_is_teacher(role) for role in row.usage) for row in graded)
    if not taught:
        return {"demo_cost": demo, "answers": None, "why": "the teacher was never asked: nothing tells what it costs"}
    cost = total_cost(components)
    paid = total_cost({role: one for role, one in components.items() if _is_teacher(role)})
    if cost is None or paid is None:
        return {"demo_cost": demo, "answers": None, "why": "a price is missing"}
    alone, own = paid / taught, cost / len(graded)
    found: dict[str, Json] = {"demo_cost": demo, "teacher_cost": alone, "cost": own}
    if own >= alone:
        return {**found, "answers": None, "why": "an answer costs no less than the teacher's"}
    return {**found, "answers": math.ceil(demo / (alone - own) - 1e-9)}


def _is_teacher(role: str) -> bool:
    return role.partition(".")[0] == "teacher"
