"""Mixture-of-experts students: what is said of their balancing loss, and their config as it was.

No objective here has a balancing loss: each method minimises what its paper says, so that methods stay comparable, and
passes for references, teachers and candidates must not add to it. The plan says so. TRL would switch router outputs on
in the config, which is saved with the model: whoever loads it later would compute router outputs at every token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_SETTINGS = ("output_router_logits", "router_aux_loss_coef")
"""What TRL changes."""


def router_notes(config: Any) -> list[str]:
    """A line for the dry run if the student's config declares a balancing loss; `config` is transformers'."""
    text = config.get_text_config()
    if not hasattr(text, "output_router_logits"):
        return []
    declared = getattr(text, "router_aux_loss_coef", None)
    told = "" if declared is None else f" (router_aux_loss_coef {declared} of its config)"
    return [
        f"mixture of experts: its load-balancing loss{told} is not in the objective, routers learn from the method's "
        "loss alone; look at the balance of long trainings, or keep the routers fixed with lora_targets"
    ]


@contextmanager
def router_settings_kept(config: Any) -> Iterator[None]:
    """The router settings of a transformers config are after the block what they were before it."""
    text = config.get_text_config()
    kept = {name: getattr(text, name) for name in _SETTINGS if hasattr(text, name)}
    yield
    for name, value in kept.items():
        setattr(text, name, value)
