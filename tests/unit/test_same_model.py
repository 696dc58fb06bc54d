"""A judge that is the judged model: told by weights where they lie here, by names elsewhere, and by nothing less."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_model import write_model

from harness.errors import UsageError
from harness.models import load_model
from harness.run.judged.choose import Identity, refuse_self, same_model

Named = tuple[str, Identity]


def local(folder: str, fingerprint: str, engine: str = "hf", **more: object) -> Named:
    facts = {"engine": engine, "model": folder, "fingerprint": fingerprint, "adapter": None, **more}
    return (f"{engine}:{folder}", facts)  # type: ignore[arg-type]


def hub(model: str, revision: str = "1", **more: object) -> Named:
    return (f"hf:{model}", {"engine": "hf", "model": model, "revision": revision, "fingerprint": None, **more})  # type: ignore[dict-item]


def served(model: str, where: object = ("http://a/v1",), name: str = "") -> Named:
    return (name or f"openai:{model}", {"engine": "openai", "model": model, "served": where})  # type: ignore[dict-item]


def lora(folder: str, mark: str | None, *earlier: str, base: Callable[..., Named] = local) -> Named:
    more = {"adapter": folder, "adapter_fingerprint": mark, "earlier_adapters": list(earlier)}
    return base("./base", "w1", **more)


# Within a group all are one model, between groups none is.
GROUPS: dict[str, list[Named]] = {
    "weights": [
        local("./a", "w1"),
        local("/elsewhere/copy", "w1"),
        local("./a", "W1", "vllm"),
        ("trained:x-1", {"engine": "hf", "model": "models/x-1", "fingerprint": "w1"}),
    ],
    "retrained in the same folder": [local("./a", "w2"), local("./a", "w2", dtype="float32")],
    "adapter on them": [lora("./lora", "l1"), lora("/copy/of/lora", "l1"), lora("trained-name", "L1")],
    "another adapter": [lora("./lora", "l2")],
    "adapter on an adapter": [lora("./lora", "l1", "l0")],
    "hub": [hub("Qwen/Qwen3-8B"), hub("qwen/qwen3-8b"), hub("Qwen/Qwen3-8B", "2"), served("QWEN/Qwen3-8B")],
    "adapter on the hub's": [
        hub("Qwen/Qwen3-8B", adapter="./lora", adapter_fingerprint="l1"),
        hub("qwen/Qwen3-8B", adapter="./other", adapter_fingerprint="l1"),
    ],
    "another owner": [hub("someone/Qwen3-8B"), served("someone/qwen3-8b", ("http://b/v1",))],
    "server": [
        served("GPT-4.1"),
        served("gpt-4.1", ("http://b/v1",)),
        served("openai/gpt-4.1", ("https://router/v1",)),
        served("gpt-4.1", "release-7"),
    ],
    "checkpoint by name": [served("student", "step-100"), served("other-name", "Step-100", "openai:other-name")],
    "another checkpoint": [served("student", "step-200")],
    "mock": [("mock:gold", {"engine": "mock"}), ("mock:Gold", {"engine": "mock", "seed": 1})],
}
ALL = [(group, model) for group, models in GROUPS.items() for model in models]


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ALL, ALL)), ids=lambda pair: pair[0])
def test_one_model_or_two(one: tuple[str, Named], other: tuple[str, Named]) -> None:
    assert same_model(one[1], other[1]) == (one[0] == other[0])


def test_real_weights_in_two_folders_and_changed_in_one(tmp_path: Path) -> None:
    first, copy = write_model(tmp_path / "a"), write_model(tmp_path / "b")
    judge, judged = load_model(f"hf:{first}", {}, tmp_path), load_model(f"hf:{copy}", {}, tmp_path)
    with pytest.raises(UsageError, match="--allow-self"):
        refuse_self([judge], [(judged.name, judged.describe())], allowed=False)
    refuse_self([judge], [(judged.name, judged.describe())], allowed=True)
    before = judge.describe()
    weights = first / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\x00\x00\x00\x01")
    again = load_model(f"hf:{first}", {}, tmp_path)
    refuse_self([again], [(judge.name, before)], allowed=False)
