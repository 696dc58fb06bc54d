"""Steps without a model: the equations of a chain, each a step, for worlds whose chains are arithmetic (`synth`).

`15 * 5 = 75` is the step that asks for 15 * 5 and has the result 75. The operands of a sum or a product are put in
order, so that 5 * 15 asks for the same.
"""

from __future__ import annotations

import re

from backends.records.record import MAX_ITEMS
from backends.structure.steps import PathStep

_NUMBER, _SIGN = r"-?[0-9]{1,18}", r" {0,2}[-+*/] {0,2}"
_EQUATION = re.compile(
    rf"(?<![+*/] )(?<![-+*/.,0-9])({_NUMBER}(?:{_SIGN}{_NUMBER}){{1,16}}) {{0,2}}= {{0,2}}({_NUMBER})"
    rf"(?![0-9]|[.,][0-9]|{_SIGN}[0-9])"
)
_TWO = re.compile(rf"({_NUMBER}) {{0,2}}([-+*/]) {{0,2}}({_NUMBER})")


def equation_steps(path: str) -> tuple[PathStep, ...]:
    """The equations `a op b = c` between whole numbers in the order of the chain, at most `MAX_ITEMS`."""
    found = []
    for match in _EQUATION.finditer(path):
        two = _TWO.fullmatch(match[1])
        if two is None:  # more than one operation
            continue
        left, operator, right = two.groups()
        if operator in "+*":
            left, right = sorted((left, right), key=lambda number: (int(number), number))
        asks = f"{left} {operator} {right}"
        found.append(PathStep(asks, asks, str(int(match[2]))))
        if len(found) == MAX_ITEMS:
            break
    return tuple(found)
