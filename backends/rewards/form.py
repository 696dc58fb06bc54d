"""Whether a reply has the form that was asked for: RLKD's two rewards, and the checks that evaluation counts.

The tags are looked for in the whole reply, as its writer was asked for them; a think tag that the prompt has already
written counts as the reply's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from backends.rewards.base import Reward
from backends.rollouts.types import Part, Rollout, RolloutGroup
from harness import formats
from harness.reasoning import with_answer

if TYPE_CHECKING:
    from backends.rewards.scorers import Scorers

_OPENING = "<think>\n"
_BETWEEN = "\n</think>\n<answer>\n"
_END = "\n</answer>"
_TAGS = (_OPENING, "\n</think>\n", "\n<answer>\n", _END)


@dataclass(frozen=True)
class Format(Reward):
    """1 for a reply in the form that was asked for, else 0."""

    form: Literal["tags", "think", "boxed"] = "tags"
    r"""tags: `<think>\n…\n</think>\n<answer>\n…\n</answer>` and nothing else, as in RLKD; think: one closed think block
    and an answer after it; boxed: an answer in `\boxed{}`. The last two are `format:think`, `format:boxed` of a run."""

    name: ClassVar[str] = "format"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """No model and no worker: each check is linear in the reply."""
        return [Part(float(_FORMS[self.form](rollout))) for rollout in group.rollouts]


@dataclass(frozen=True)
class Tags(Reward):
    r"""A quarter each for `<think>\n`, `\n</think>\n`, `\n<answer>\n`, `\n</answer>`, where it stands exactly once."""

    name: ClassVar[str] = "tags"
    version: ClassVar[int] = 1
    low: ClassVar[float] = 0.0
    high: ClassVar[float] = 1.0

    def score(self, group: RolloutGroup, scorers: Scorers) -> Sequence[Part]:
        """The count of open-r1, which RLKD's code takes over."""
        texts = [_whole(rollout) for rollout in group.rollouts]
        return [Part(sum(text.count(tag) == 1 for tag in _TAGS) / len(_TAGS)) for text in texts]


def _whole(rollout: Rollout) -> str:
    """The reply with the think tag that the prompt ended in."""
    if not rollout.opened_think:
        return rollout.text
    return (_OPENING.strip() if rollout.text.startswith("\n") else _OPENING) + rollout.text


def _tagged(rollout: Rollout) -> bool:
    r"""`^<think>\n.*?\n</think>\n<answer>\n.*?\n</answer>$` over lines, in linear time on any text."""
    text = _whole(rollout).removesuffix("\n")
    if not text.startswith(_OPENING) or not text.endswith(_END):
        return False
    between = text.find(_BETWEEN, len(_OPENING))
    return between >= 0 and between + len(_BETWEEN) <= len(text) - len(_END)


def _think(rollout: Rollout) -> bool:
    return formats.think(with_answer(rollout.completion()))


def _boxed(rollout: Rollout) -> bool:
    return formats.boxed(with_answer(rollout.completion()))


_FORMS: Mapping[str, Callable[[Rollout], bool]] = {"tags": _tagged, "think": _think, "boxed": _boxed}
