"""Two prompts (or two judges) on the same frozen pairs: the paired difference, what changed, and why it might have."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness.stats.paired import Paired, paired_differences
from judges.lab.label_agreement import Value
from judges.lab.labelled_pair import Label
from judges.lab.measure import pair_values
from judges.lab.votes import PairVotes
from judges.prompts.render import render
from judges.prompts.templates import fields
from judges.types import Rubric, Task


@dataclass(frozen=True)
class Change:
    """A pair on which the two verdicts differ."""

    id: str
    subset: str
    question: str
    """The last thing the user said."""
    label: Label
    before: Label
    after: Label
    gain: float
    """Accuracy after minus before, in [-1, 1]; 0 for two different wrong verdicts."""
    reason_before: str
    reason_after: str


@dataclass(frozen=True)
class ArmDifference:
    """The second of two arms against the first: the same judge with another prompt, or another judge with the same."""

    differences: Mapping[str, Paired]
    """Name of a per-pair value -> second minus first over the pairs that both have it; "strict" by McNemar's test."""
    changes: tuple[Change, ...]
    """Biggest losses first, biggest gains last."""
    compared: int
    """Pairs that both arms scored."""
    first: str = ""
    """Name of the arm."""
    second: str = ""
    p_holm: float | None = None
    """p of the accuracy difference, corrected for all comparisons of a report; None without one."""
    diff: str = ""
    """Unified diff of the two prompts; empty if they are the same."""
    subsets: Mapping[str, Paired] = field(default_factory=dict)
    """Subset -> difference in accuracy there, where the set has more than one."""

    def deciding_p(self, name: str) -> float | None:
        """The p value by which the difference of that name is decided: that of accuracy is corrected."""
        return self.p_holm if name == "accuracy" else self.differences[name].p

    @property
    def worse(self) -> tuple[Change, ...]:
        """Changes that cost agreement, biggest first."""
        return tuple(change for change in self.changes if change.gain < 0)

    @property
    def better(self) -> tuple[Change, ...]:
        """Changes that gained agreement, biggest first."""
        return tuple(sorted((c for c in self.changes if c.gain > 0), key=lambda change: (-change.gain, change.id)))


def versus(first: Sequence[PairVotes], second: Sequence[PairVotes], own_names: Sequence[str] = ()) -> ArmDifference:
    """Compare two arms' outcomes of the same pairs, in the same order."""
    couples = list(zip(first, second, strict=True))
    assert all(one.pair.id == other.pair.id for one, other in couples)
    differences = {}
    for name, value in pair_values(own_names).items():
        if (found := _paired(couples, value, mcnemar=name == "strict")) is not None:
            differences[name] = found
    changes = [change for one, other in couples if (change := _change(one, other)) is not None]
    return ArmDifference(
        differences,
        tuple(sorted(changes, key=lambda change: (change.gain, change.id))),
        sum(one.scored and other.scored for one, other in couples),
        subsets=_by_subset(couples),
    )


def _by_subset(couples: Sequence[tuple[PairVotes, PairVotes]]) -> dict[str, Paired]:
    names = sorted({one.pair.subset for one, _ in couples})
    groups = {name: [couple for couple in couples if couple[0].pair.subset == name] for name in names}
    accuracy: Value = pair_values([])["accuracy"]
    found = {name: _paired(group, accuracy, mcnemar=False) for name, group in groups.items()}
    return {name: paired for name, paired in found.items() if paired is not None} if len(names) > 1 else {}


def _paired(couples: Sequence[tuple[PairVotes, PairVotes]], value: Value, *, mcnemar: bool) -> Paired | None:
    gaps, clusters, dropped = [], [], []
    for one, other in couples:
        before, after = value(one), value(other)
        if before is None or after is None:
            dropped.append(one.pair.id)
            continue
        gaps.append(after - before)
        clusters.append(one.pair.cluster)
    if not gaps:
        return None
    return paired_differences(np.array(gaps), clusters, mcnemar=mcnemar, dropped=dropped)


def _change(one: PairVotes, other: PairVotes) -> Change | None:
    before, after = one.verdict, other.verdict
    if before is None or after is None or before == after:
        return None
    value: Value = (lambda o: o.strict) if one.pair.label == "tie" else (lambda o: o.accuracy)
    was, now = value(one), value(other)
    assert was is not None and now is not None
    pair = one.pair
    return Change(
        pair.id, pair.subset, pair.turns[-1], pair.label, before, after, now - was, one.reason(), other.reason()
    )


def prompt_text(rubric: Rubric) -> str:
    """The whole prompt as a judge would get it, with stand-ins for question and answers."""
    # The sets have no references, so the template is the one without, unless it asks for one itself.
    reference = "(the reference)" if "reference" in fields(rubric.template) else None
    task = Task("", 0, ("(the question)",), ("(an answer)",), ("(the other answer)",), reference)
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in render(rubric, task))


def prompt_diff(first: Rubric, second: Rubric) -> str:
    """Unified diff of two rubrics' whole prompts; empty if they say the same."""
    lines = difflib.unified_diff(
        prompt_text(first).splitlines(), prompt_text(second).splitlines(), first.id, second.id, lineterm="", n=2
    )
    return "\n".join(lines)
