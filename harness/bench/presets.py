"""Named sets of defaults for `harness bench`; whatever the command line says wins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import UnknownName

Preset = Mapping[str, Any]
"""Parameter of the command -> its default; `assignments` are those of `--set`."""

_EQUAL = {
    "scheduler": "cosine",
    "warmup": "0.03",
    "weight_decay": "0",
    "thinkanswer.cot_ce_weight": "0.1",
    "krsl.sft_share": "0.8",
}
"""The papers' settings differ; one comparison of methods has one set.

ThinkAnswer in its stabilised form: without likelihood on them, the tiny student's chains fall apart (docs/LOG.md).
"""

_DEMO: Preset = {
    "student": "tiny",
    "methods": ("sft", "emo", "thinkanswer", "krsl"),
    "data": "synth:levels=1+2,per_level=1000",
    "suite": ("synth_easy",),
    "seeds": 3,
    "budget": "120ktok",
    "max_tokens": 160,
    "assignments": _EQUAL
    | {"learning_rate": "1e-3", "batch_size": "16", "micro_batch": "16", "lora_rank": "none"}
    | {"krsl.key_steps.learning_rate": "2.5e-5"},  # a fortieth, as in the paper
}
PRESETS: Mapping[str, Mapping[str, Preset]] = {
    "demo": {
        "tiny": _DEMO,
        "smollm2": {
            **_DEMO,
            "student": "smollm2",
            "budget": "30ktok",
            "limit": 40,
            "precision": "bf16",
            "assignments": _EQUAL
            | {
                "learning_rate": "5e-4",
                "krsl.key_steps.learning_rate": "1.25e-5",
                "batch_size": "8",
                "lora_rank": "16",
                "lora_alpha": "32",
                "lora_dropout": "0",
                "lora_targets": "all-linear",
            },
        },
    },
}
"""Name -> student -> defaults; the first student is the preset's own."""


def find_preset(name: str, student: str | None) -> Preset:
    """The preset for a student, the preset's own if none is named; for a student without one, that of its own student.

    Raises `UnknownName`.
    """
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    by_student = PRESETS[name]
    own = next(iter(by_student.values()))
    return by_student.get(student, {**own, "student": student}) if student is not None else own
