"""General knowledge behind right solutions, and with it the data of LoRID's three models (`lorid:`).

The teacher lists the rules that a solution relies on. A rule is left out that names a number above 10 of the question
(small ones are in rules too: "the 2 sides"), or a name: a word written with a capital in both; where it begins a
sentence in both, only if English sentences do not begin with it. What is left becomes three files, whose prompts are
word for word those that the system asks with: the records themselves, `<out>.knowledge` and `<out>.reason`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar

from backends.makers.asking import Ask, Query
from backends.makers.base import Made, Maker, plain, replies, tally
from backends.records.inputs import noted
from backends.records.record import TrainRecord, require, response_text
from backends.templates import Template, asked
from harness.systems.lorid import own_templates
from harness.types import Sampling
from judges.prompts.fencing import fence
from judges.replies.jsonfind import find_objects
from judges.types import Malformed

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?")
_CAPITAL = re.compile(r"(?P<start>\A|[.?!:\n])?[ \t*_\"'(]{0,8}\b(?P<word>[^\W\d_a-z][^\W\d_]+)")
_SMALL = 10
_COMMON = """
the an if when how what which who where why for in on at to by of from with as is are was were let find given there this
that these those it its each every all any one two both after before then so since because while once suppose assume
add subtract multiply divide calculate compute determine solve use take total sum his her their they he she
"""
_BEGINNERS = frozenset(_COMMON.split())
"""Words that sentences begin with and that are nobody's name."""
_ORDER = (
    *("given", "asked", "teacher_error", "cut", "empty", "malformed"),
    *("rules", "own_number", "own_name", "repeated", "no_rule", "kept"),
)


@dataclass(frozen=True, kw_only=True)
class Knowledge(Maker):
    """Write down the general rules behind right solutions: data for the three models of lorid.

    RECORDS have a response. <out>.knowledge.jsonl trains the model that writes knowledge, <out>.reason.jsonl the one
    that answers with it, <out>.jsonl the one that answers without. Rules with a number above 10 or a name of the
    question are left out. Defaults: temperature 0.2.

    \b
    harness data knowledge traces.jsonl --teacher openai:my-teacher -o lorid.jsonl
    """  # noqa: D301  # a real backspace: it tells click to keep these lines

    draw: Sampling = field(default=Sampling(temperature=0.2))

    name = "knowledge"
    sets = ("knowledge", "reason")
    template_fields: ClassVar = {"lorid_rules": ("question", "solution")}

    def check(self) -> None:
        """Every record needs a response."""
        require(self.records, ("response",), "harness data knowledge")

    def first(self) -> Sequence[Query]:
        """Everything: it asks once."""
        return [
            self.query(record, "lorid_rules", values={"solution": plain(response_text(record) or "")})
            for record in self.records
        ]

    @cached_property
    def _systems(self) -> tuple[Template, Template]:
        return own_templates()

    def run(self, ask: Ask) -> Made:
        """Ask, read the list, leave out what is the question's own."""
        counts = Counter(given=len(self.records), asked=len(self.records))
        kept: list[tuple[TrainRecord, str]] = []
        for record, text in replies(self.records, ask(self.first()), counts):
            rules = rules_of(text)
            if rules is None:
                counts["malformed"] += 1
                continue
            counts["rules"] += len(rules)
            found = general(record.prompt[-1].content, rules, counts)
            if found:
                kept.append((record, "\n".join(found)))
            else:
                counts["no_rule"] += 1
        counts["kept"] = len(kept)
        facts = {"knowledge_by": self.model, "template": self.templates["lorid_rules"].id}
        made = tuple(noted(record, **facts) for record, _ in kept)
        about, reason = self._systems
        others = {
            "knowledge": tuple(
                TrainRecord(
                    id=f"{record.id}#knowledge",
                    prompt=asked(record.prompt, about, {}),
                    response=rules,
                    meta=facts | {"problem": record.id},
                )
                for record, rules in kept
            ),
            "reason": tuple(
                replace(
                    noted(record, **facts, problem=record.id),
                    id=f"{record.id}#reason",
                    prompt=asked(record.prompt, reason, {"knowledge": fence(rules)}),
                )
                for record, rules in kept
            ),
        }
        return Made(made, tally(counts, _ORDER), others)


def rules_of(text: str) -> list[str] | None:
    """The texts of the last {"output": […]} of a reply; None if it has none."""
    try:
        found = find_objects(text, "output")[-1].value["output"]
    except Malformed:
        return None
    if not isinstance(found, list) or not all(isinstance(rule, str) for rule in found):
        return None
    return [" ".join(rule.split()) for rule in found if rule.strip()]


def general(question: str, rules: Sequence[str], counts: Counter[str]) -> list[str]:
    """The rules that name no number and nobody of the question, each once."""
    numbers, (names, begins) = _numbers(question), _capitals(question)
    found: list[str] = []
    for rule in rules:
        inside, at_start = _capitals(rule)
        if numbers & _numbers(rule):
            counts["own_number"] += 1
        elif inside & (names | begins) or at_start & (names | begins - _BEGINNERS):
            counts["own_name"] += 1
        elif rule in found:
            counts["repeated"] += 1
        else:
            found.append(rule)
    return found


def _numbers(text: str) -> set[float]:
    return {value for one in _NUMBER.findall(text) if (value := float(one.replace(",", ""))) > _SMALL}


def _capitals(text: str) -> tuple[set[str], set[str]]:
    """Words with a capital inside sentences, and those at the start of one."""
    inside: set[str] = set()
    begins: set[str] = set()
    for found in _CAPITAL.finditer(text):
        word = found["word"]
        if word[0].isupper():
            (inside if found["start"] is None else begins).add(word.casefold())
    return inside, begins
