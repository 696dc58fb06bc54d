"""Choosing tokens: the distribution is the right one, rows are independent, ties and extremes are decided."""

# ruff: noqa: E402  # imports come after the check that they can be made

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the extra hf")

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.models.hf_sampling import choose


def reference(logits: list[float], temperature: float, top_p: float, uniform: float) -> int:
    """The definition, one row in plain Python: sort, cut at the mass, invert the CDF."""
    if temperature == 0:
        return max(range(len(logits)), key=lambda i: (logits[i], -i))
    top = max(logits)
    weights = [2.718281828459045 ** ((x - top) / temperature) for x in logits]
    total = sum(weights)
    ids = list(range(len(logits)))
    if top_p < 1:
        ids.sort(key=lambda i: (-weights[i], i))
        kept, mass = [], 0.0
        for i in ids:
            if mass / total >= top_p:
                break
            kept.append(i)
            mass += weights[i]
        ids = kept
    goal, mass = uniform * sum(weights[i] for i in ids), 0.0
    for i in ids:
        mass += weights[i]
        if mass > goal:
            return i
    return ids[-1]


row = st.tuples(
    st.lists(st.integers(-40, 40).map(lambda n: n / 8), min_size=50, max_size=50),
    st.sampled_from([0.0, 0.3, 0.6, 1.0, 2.0]),
    st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.999, 1.0]),
    st.floats(0.01, 0.99),
)


@settings(max_examples=60)
@given(st.lists(row, min_size=1, max_size=6))
def test_every_row_is_chosen_by_the_definition(rows: list[tuple[list[float], float, float, float]]) -> None:
    logits = torch.tensor([r[0] for r in rows])
    chosen = choose(logits, [r[1] for r in rows], [r[2] for r in rows], [r[3] for r in rows])
    for token, (values, temperature, top_p, uniform) in zip(chosen.token_B, rows, strict=True):
        # A hair to either side: float32 may decide a boundary the other way, and nothing else may differ.
        near = {reference(values, temperature, top_p, u) for u in (uniform - 1e-5, uniform, uniform + 1e-5)}
        near |= {
            reference(values, temperature, p, uniform) for p in (top_p - 1e-5, min(1.0, top_p + 1e-5)) if top_p < 1
        }
        assert token in near


def test_frequencies_follow_the_probabilities() -> None:
    probability = torch.tensor([0.5, 0.3, 0.15, 0.05])
    uniforms = [(i + 0.5) / 2000 for i in range(2000)]
    logits = probability.log().repeat(2000, 1)
    full = torch.bincount(torch.tensor(choose(logits, [1.0] * 2000, [1.0] * 2000, uniforms).token_B), minlength=4)
    assert full.tolist() == [1000, 600, 300, 100]
    nucleus = torch.bincount(torch.tensor(choose(logits, [1.0] * 2000, [0.7] * 2000, uniforms).token_B), minlength=4)
    assert nucleus.tolist() == [1250, 750, 0, 0]
    cold = torch.bincount(torch.tensor(choose(logits, [0.5] * 2000, [1.0] * 2000, uniforms).token_B), minlength=4)
    assert cold[0] / 2000 == pytest.approx(0.25 / (0.25 + 0.09 + 0.0225 + 0.0025), abs=2e-3)


def test_log_probabilities_are_the_model_own() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.bfloat16)
    chosen = choose(logits, [0.0, 5.0], [1.0, 0.5], [0.0, 0.99])
    expected = logits.float().log_softmax(-1)
    assert chosen.logprob_B == pytest.approx([expected[i, t].item() for i, t in enumerate(chosen.token_B)])


def test_a_flat_distribution_over_a_large_vocabulary_keeps_its_nucleus() -> None:
    logits = torch.zeros(1, 50_000)
    assert choose(logits, [1.0], [0.5], [0.999]).token_B[0] == pytest.approx(24_975, abs=2)


def test_impossible_tokens_are_never_chosen() -> None:
    logits = torch.tensor([[float("-inf"), 0.0, float("-inf")]])
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert choose(logits, [1.0], [1.0], [uniform]).token_B == [1]
        assert choose(logits, [1.0], [0.9], [uniform]).token_B == [1]
