"""Weight averaging and balanced actor initialisation on state dicts."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from backends.merging import average_weights, balanced_actor  # noqa: E402
from harness.errors import ConfigError, DataError  # noqa: E402


def state(*values: float, dtype: Any = torch.float32) -> dict[str, Any]:
    return {"layer.weight": torch.tensor(values, dtype=dtype)}


def model(seed: int, rows: int = 4, dtype: Any = torch.float32) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "model.embed_tokens.weight": torch.randn(rows, 3, generator=generator).to(dtype),
        "model.layer.weight": torch.randn(3, 3, generator=generator).to(dtype),
        "model.scale": torch.randn((), generator=generator).to(dtype),
        "model.rotary.inv_freq": torch.randn(2, generator=generator),
        "model.steps": torch.tensor(seed),
    }


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Bit for bit: torch.equal takes -0.0 for 0.0."""
    return one.keys() == two.keys() and all(
        one[name].dtype == two[name].dtype and one[name].numpy().tobytes() == two[name].numpy().tobytes()
        for name in one
    )


def test_golden_vectors() -> None:
    merged = balanced_actor(state(0, 0), [state(1, 3), state(3, 1)], [0.5, 0.5], alpha=0.1)
    torch.testing.assert_close(merged[0]["layer.weight"], torch.tensor([1.8, 1.8]))
    assert merged[1] == {}
    merged = balanced_actor(state(0, 0), [state(1, 3), state(3, 1)], [0.5, 0.5])
    torch.testing.assert_close(merged[0]["layer.weight"], torch.tensor([1.8, 1.8]))
    averaged = average_weights([state(1, 3), state(3, 1)], [0.25, 0.75])
    assert averaged["layer.weight"].tolist() == [2.5, 1.5]


def test_the_ends_are_bit_exact() -> None:
    base, one, two = model(0), model(1), model(2)
    base["model.layer.weight"][0] = -0.0
    one["model.layer.weight"][0, 0] = -0.0
    assert same(balanced_actor(base, [one, two], [0.3, 0.7], alpha=1.0)[0], base)
    buffers = ("model.rotary.inv_freq",)
    first = balanced_actor(base, [one, two], [1.0, 0.0], alpha=0.0, buffers=buffers)[0]
    expected = {**one, "model.rotary.inv_freq": base["model.rotary.inv_freq"], "model.steps": base["model.steps"]}
    assert same(first, expected)
    assert same(average_weights([one, two], [1.0, 0.0]), one)


def test_bfloat16_is_rounded_once() -> None:
    base, one, two = (state(value, dtype=torch.bfloat16) for value in (1.0, 1.0078125, 1.015625))
    merged = balanced_actor(base, [one, two], [0.5, 0.5], alpha=0.5)[0]["layer.weight"]
    # mean of the tuned is between two bfloat16 numbers; a second rounding would carry an error on
    exact = 0.5 * 1.0 + 0.25 * 1.0078125 + 0.25 * 1.015625
    assert merged.dtype == torch.bfloat16
    assert merged.item() == torch.tensor(exact).to(torch.bfloat16).item()
    tiny = [state(1.0, dtype=torch.bfloat16)] * 10
    assert average_weights(tiny, [0.1] * 10)["layer.weight"].item() == 1.0


@given(st.floats(0, 1), st.floats(0, 1), st.floats(-2, 2))
def test_linear_in_each_argument(alpha: float, weight: float, factor: float) -> None:
    def merge(base: Any, one: Any, two: Any) -> Any:
        parts = [{"w": tensor} for tensor in (base, one, two)]
        return balanced_actor(parts[0], parts[1:], [weight, 1 - weight], alpha=alpha)[0]["w"]

    base, one, two, more = torch.randn(4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    zero = torch.zeros(5, dtype=torch.float64)
    for place in range(3):
        given_, shifted = [base, one, two], [zero, zero, zero]
        shifted[place] = more
        moved = [*given_]
        moved[place] = moved[place] + factor * more
        torch.testing.assert_close(merge(*moved), merge(*given_) + factor * merge(*shifted))


def test_merging_equal_models_changes_nothing() -> None:
    merged = balanced_actor(model(1), [model(1), model(1)], [0.5, 0.5], alpha=0.3)[0]
    for name, tensor in model(1).items():
        torch.testing.assert_close(merged[name], tensor)


def test_the_callers_tensors_are_neither_changed_nor_shared() -> None:
    base, one = model(0), model(1)
    for merged in (
        balanced_actor(base, [one], [1.0], alpha=1.0, buffers=["model.rotary.inv_freq"])[0],
        balanced_actor(base, [one], [1.0], alpha=0.0)[0],
        average_weights([base], [1.0]),
    ):
        for tensor in merged.values():
            tensor.fill_(7)
    assert same(base, model(0)) and same(one, model(1))


def test_new_tokens_keep_the_tuned_rows() -> None:
    base, one, two = model(0), model(1, rows=6), model(2, rows=6)
    merged = balanced_actor(base, [one, two], [0.5, 0.5], alpha=0.2)
    assert merged[1] == {"model.embed_tokens.weight": 2}
    name = "model.embed_tokens.weight"
    tuned = (one[name] + two[name]) / 2
    torch.testing.assert_close(merged[0][name][:4], 0.2 * base[name] + 0.8 * tuned[:4])
    torch.testing.assert_close(merged[0][name][4:], tuned[4:])
    exact = balanced_actor(base, [one, two], [0.5, 0.5], alpha=1.0)[0][name]
    assert torch.equal(exact[:4], base[name])


def test_buffers_and_integers_are_the_bases() -> None:
    base, one = model(0), model(1)
    merged = balanced_actor(base, [one], [1.0], alpha=0.5, buffers=["model.rotary.inv_freq"])[0]
    assert merged["model.steps"].item() == 0
    assert torch.equal(merged["model.rotary.inv_freq"], base["model.rotary.inv_freq"])


def changed(name: str, tensor: Any | None) -> dict[str, Any]:
    other = model(1)
    other.pop(name, None)
    return other if tensor is None else {**other, name: tensor}


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (changed("model.scale", None), "other tensors"),
        (changed("model.extra", torch.ones(1)), "other tensors"),
        (changed("model.layer.weight", torch.ones(3, 4)), "shape"),
        (changed("model.layer.weight", torch.ones(4, 3)), "shape"),
        (changed("model.embed_tokens.weight", torch.ones(3, 3)), "shape"),
        (changed("model.embed_tokens.weight", torch.ones(5, 4)), "shape"),
        (changed("model.layer.weight", torch.ones(3, 3, dtype=torch.bfloat16)), "bfloat16.*convert"),
        (changed("model.layer.weight", torch.ones(3, 3, dtype=torch.uint8)), "quantised"),
        (changed("model.layer.weight", torch.ones(3, 3).to(torch.float8_e4m3fn)), "quantised"),
        (changed("model.layer.qweight", torch.ones(1)), "quantised"),
        (changed("model.layer.lora_A.weight", torch.ones(1)), "adapter"),
        ({}, "no tensors"),
    ],
)
def test_models_that_do_not_fit_are_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        balanced_actor(model(0), [other], [1.0])
    with pytest.raises(ConfigError, match=message):
        average_weights([model(0), other], [0.5, 0.5])


def test_more_rows_in_a_plain_average_are_refused() -> None:
    with pytest.raises(ConfigError, match="shape"):
        average_weights([model(0), model(1, rows=5)], [0.5, 0.5])
    with pytest.raises(ConfigError, match="shape"):
        balanced_actor(model(0), [model(1, rows=5), model(2, rows=6)], [0.5, 0.5])


@pytest.mark.parametrize("weights", [[1.0], [0.5, 0.6], [float("nan"), 1.0], [float("inf"), 0.0], [0.5, 0.5, 0.0]])
def test_bad_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="weights"):
        average_weights([model(0), model(1)], weights)
    with pytest.raises(ConfigError, match="weights"):
        balanced_actor(model(0), [model(1), model(2)], weights)


def test_bad_alpha_and_nothing_to_merge() -> None:
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(ConfigError, match="alpha"):
            balanced_actor(model(0), [model(1)], [1.0], alpha=alpha)
    with pytest.raises(ConfigError, match="nothing to merge"):
        average_weights([], [])


def test_what_is_not_finite_is_told_by_name() -> None:
    with pytest.raises(DataError, match=r"layer\.weight"):
        average_weights([state(1.0), state(float("inf"))], [0.5, 0.5])
    with pytest.raises(DataError, match=r"layer\.weight"):
        average_weights([state(6e4, dtype=torch.float16), state(-6e4, dtype=torch.float16)], [3.0, -2.0])
    merged = average_weights([state(1.0), state(float("inf"))], [1.0, 0.0])
    assert merged["layer.weight"].item() == 1.0
