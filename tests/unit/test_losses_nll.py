"""Token log-probabilities and the weighted NLL: values, gradients, reductions, chunks, and bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from backends.losses import chunks, nll, reduction  # noqa: E402
from backends.losses.positions import HeadLogits  # noqa: E402
from harness.errors import ConfigError, DataError  # noqa: E402

IGNORE = nll.IGNORE


def draw(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def labels(*shape: int, vocabulary: int, seed: int = 1) -> Any:
    return torch.randint(vocabulary, shape, generator=torch.Generator().manual_seed(seed))


def plain(logits: Any, targets: Any) -> Any:
    """The same by torch's own cross entropy, whole."""
    flat = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=IGNORE, reduction="none"
    )
    return -flat.view_as(targets)


def test_values_by_hand() -> None:
    # softmax(0, ln 3) = (1/4, 3/4); softmax(ln 2, 0) = (2/3, 1/3)
    logits = torch.tensor([[[1.0, 3.0], [2.0, 1.0], [5.0, 7.0]]]).log()
    found = nll.token_logps(logits, torch.tensor([[1, 0, IGNORE]]))
    torch.testing.assert_close(found, torch.tensor([[0.75, 2 / 3, 1.0]]).log())
    assert found[0, 2] == 0.0


def test_a_temperature_divides_the_logits() -> None:
    logits, targets = draw(2, 3, 5), labels(2, 3, vocabulary=5)
    torch.testing.assert_close(nll.token_logps(logits, targets, temperature=1.4), plain(logits / 1.4, targets))
    each = draw(2, 3, seed=4).exp()
    found = nll.token_logps(logits, targets, temperature=each, chunk=2)
    torch.testing.assert_close(found, plain(logits / each[..., None], targets))


@pytest.mark.parametrize("temperature", [1.0, 1.7])
@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_gradients_match_finite_differences(chunk: int, temperature: float) -> None:
    targets = labels(2, 3, vocabulary=4)
    targets[0, 1] = IGNORE
    logits = draw(2, 3, 4).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda z: nll.token_logps(z, targets, temperature=temperature, chunk=chunk), (logits,)
    )
    hidden, head, bias = (draw(2, 3, 5), draw(4, 5, seed=2), draw(4, seed=3))
    inputs = tuple(t.requires_grad_() for t in (hidden, head, bias))
    assert torch.autograd.gradcheck(
        lambda h, w, b: nll.token_logps(HeadLogits(h, w, b), targets, temperature=temperature, chunk=chunk),
        inputs,
    )


def test_hidden_states_and_logits_agree_with_plain_autograd() -> None:
    inputs = tuple(t.requires_grad_() for t in (draw(2, 5, 6), draw(9, 6, seed=2), draw(9, seed=3)))
    hidden, head, bias = inputs
    targets, weights = labels(2, 5, vocabulary=9), draw(2, 5, seed=5)
    targets[1, 3:] = IGNORE
    expected = (plain(hidden @ head.t() + bias, targets) * weights).sum()
    wanted = torch.autograd.grad(expected, inputs)
    for chunk in (1, 4, None):
        found = (nll.token_logps(HeadLogits(hidden, head, bias), targets, chunk=chunk) * weights).sum()
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, inputs), wanted)


def test_only_tensors_that_need_a_gradient_get_one() -> None:
    hidden, head = draw(1, 3, 4).requires_grad_(), draw(5, 4, seed=2)
    nll.token_logps(HeadLogits(hidden, head), labels(1, 3, vocabulary=5)).sum().backward()
    assert hidden.grad is not None and head.grad is None
    frozen, trained = draw(1, 3, 4), draw(5, 4, seed=2).requires_grad_()
    nll.token_logps(HeadLogits(frozen, trained), labels(1, 3, vocabulary=5)).sum().backward()
    assert trained.grad is not None and frozen.grad is None


def test_weights_of_one_are_the_loss_of_the_library() -> None:
    from transformers.loss.loss_utils import ForCausalLMLoss

    logits, tokens = draw(3, 7, 11, dtype=torch.float32).requires_grad_(), labels(3, 7, vocabulary=11)
    tokens[:, :2] = IGNORE
    targets = nll.next_token(tokens, IGNORE)
    items = int((targets != IGNORE).sum())
    theirs = ForCausalLMLoss(logits, tokens, vocab_size=11, num_items_in_batch=items)
    logps = nll.token_logps(logits, targets)
    assert torch.equal(logps, plain(logits, targets))
    ours = nll.weighted_nll(logps, targets != IGNORE, torch.ones(3, 7), reduction="global", num_items=items)
    assert ours.item() == pytest.approx(theirs.item(), rel=2e-7)  # the order of a float32 sum
    wanted, found = torch.autograd.grad(theirs, logits)[0], torch.autograd.grad(ours, logits)[0]
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)


def test_next_token_moves_everything_one_place() -> None:
    assert nll.next_token(torch.tensor([[7, 8, 9]]), IGNORE).tolist() == [[8, 9, IGNORE]]
    assert nll.next_token(torch.tensor([[0.5, -1.0]]), 0).tolist() == [[-1.0, 0.0]]


def test_reductions_by_hand() -> None:
    logps = torch.tensor([[-1.0, -3.0, -50.0], [-5.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    weights = torch.tensor([[1.0, -2.0, 9.0], [0.5, 9.0, 9.0]])
    found = {
        name: float(nll.weighted_nll(logps, mask, weights, reduction=name))  # type: ignore[arg-type]
        for name in ("token", "seq", "sum")
    }
    # sums: 1 - 6 = -5 and 2.5; counts 2 and 1
    assert found == pytest.approx({"token": -2.5 / 3, "seq": (-2.5 + 2.5) / 2, "sum": -2.5})
    assert float(nll.weighted_nll(logps, mask, weights, reduction="global", num_items=torch.tensor(10))) == -0.25
    assert reduction.row_sums(logps, mask).tolist() == [-4.0, -5.0]
    assert reduction.row_means(logps, mask).tolist() == [-2.0, -5.0]


def test_redi_and_krsl_examples_of_the_specification() -> None:
    mean = reduction.row_means(torch.tensor([[-0.25, -0.75], [-0.9, -0.9]]), torch.ones(2, 2))
    assert float(-mean[0] + 0.8 * mean[1]) == pytest.approx(-0.22)
    # 12.3: REDI as one weighted batch: +1/|y+| and -alpha/|y-|, divided by the number of pairs
    logps, mask = torch.tensor([[-0.25, -0.75], [-0.9, -0.9]]), torch.ones(2, 2)
    weights = torch.tensor([[0.5, 0.5], [-0.4, -0.4]])
    assert float(nll.weighted_nll(logps, mask, weights, reduction="global", num_items=1)) == pytest.approx(-0.22)


@given(st.floats(-3, 3).filter(lambda c: abs(c) > 1e-3), st.sampled_from(["token", "seq", "sum"]))
def test_scaling_the_weights_scales_loss_and_gradient(factor: float, name: reduction.Reduction) -> None:
    logits, targets, weights = draw(2, 4, 5).requires_grad_(), labels(2, 4, vocabulary=5), draw(2, 4, seed=3)
    mask = targets != IGNORE
    one = nll.weighted_nll(nll.token_logps(logits, targets), mask, weights, reduction=name)
    many = nll.weighted_nll(nll.token_logps(logits, targets), mask, weights * factor, reduction=name)
    torch.testing.assert_close(many, one * factor)
    torch.testing.assert_close(torch.autograd.grad(many, logits)[0], torch.autograd.grad(one, logits)[0] * factor)


def test_weights_are_detached_and_a_zero_weight_has_no_gradient_of_its_own() -> None:
    logits, targets = draw(1, 3, 5).requires_grad_(), labels(1, 3, vocabulary=5)
    weights = torch.tensor([[1.0, 0.0, -1.0]], dtype=torch.float64, requires_grad=True)
    loss = nll.weighted_nll(nll.token_logps(logits, targets), targets != IGNORE, weights)
    loss.backward()
    assert weights.grad is None
    assert bool((logits.grad[0, 1] == 0).all()) and bool((logits.grad[0, 0] != 0).any())


def step(parts: list[Any], head: Any, weights: list[Any], items: int) -> Any:
    """The head's gradient after one backward pass per part, as an optimiser step with accumulation has it."""
    head = head.clone().requires_grad_()
    for (hidden, targets), weight in zip(parts, weights, strict=True):
        logps = nll.token_logps(HeadLogits(hidden, head), targets, chunk=2)
        nll.weighted_nll(logps, targets != IGNORE, weight, reduction="global", num_items=items).backward()
    return head.grad


def test_accumulation_steps_are_one_batch_under_the_global_reduction() -> None:
    hidden, head, targets, weights = draw(4, 5, 3), draw(7, 3, seed=2), labels(4, 5, vocabulary=7), draw(4, 5, seed=6)
    targets[0, 1:], targets[2] = IGNORE, IGNORE  # one short row and one empty one
    items = int((targets != IGNORE).sum())
    whole = step([(hidden, targets)], head, [weights], items)
    single = [(hidden[i : i + 1], targets[i : i + 1]) for i in range(4)]
    torch.testing.assert_close(step(single, head, list(weights.split(1)), items), whole)


def test_padding_changes_nothing() -> None:
    logits, targets = draw(2, 3, 5), labels(2, 3, vocabulary=5)
    wide = torch.cat([logits, torch.full((2, 4, 5), float("nan"), dtype=torch.float64)], dim=1).requires_grad_()
    padded = torch.cat([targets, torch.full((2, 4), IGNORE)], dim=1)
    for name in ("token", "seq", "sum"):
        short = nll.weighted_nll(nll.token_logps(logits, targets), targets != IGNORE, reduction=name)  # type: ignore[arg-type]
        long = nll.weighted_nll(nll.token_logps(wide, padded), padded != IGNORE, reduction=name)  # type: ignore[arg-type]
        torch.testing.assert_close(long, short)
    long.backward()
    assert bool((wide.grad[:, 3:] == 0).all())


def test_what_is_masked_may_be_infinite() -> None:
    logps = torch.tensor([[-1.0, -float("inf")]], requires_grad=True)
    loss = nll.weighted_nll(logps, torch.tensor([[True, False]]), torch.tensor([[2.0, 0.0]]))
    loss.backward()
    assert loss.item() == 2.0 and logps.grad.tolist() == [[-2.0, 0.0]]


def test_bfloat16_is_summed_in_float32() -> None:
    hidden = draw(1, 1, 8, dtype=torch.bfloat16).expand(1, 600, 8)  # a bfloat16 sum of equals stops growing at 256
    head = draw(16, 8, seed=2, dtype=torch.bfloat16).requires_grad_()
    targets = torch.full((1, 600), 3)
    found = nll.token_logps(HeadLogits(hidden, head), targets, chunk=1)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, plain((hidden @ head.t()).float(), targets))
    found.sum().backward()
    wide = head.detach().float().requires_grad_()
    plain((hidden.float() @ wide.t()), targets).sum().backward()
    assert head.grad.dtype == torch.bfloat16
    torch.testing.assert_close(head.grad.float(), wide.grad, rtol=2e-2, atol=0.5)


def test_under_autocast_the_head_runs_in_its_dtype() -> None:
    hidden, head = draw(1, 4, 8, dtype=torch.float32), draw(16, 8, seed=2, dtype=torch.float32).requires_grad_()
    targets = labels(1, 4, vocabulary=16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = nll.token_logps(HeadLogits(hidden, head), targets)
        wanted = plain(torch.nn.functional.linear(hidden, head).float(), targets)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted)
    found.sum().backward()
    assert head.grad.dtype == torch.float32 and bool((head.grad != 0).any())


def test_mixed_dtypes_are_promoted() -> None:
    hidden, head = draw(1, 2, 4, dtype=torch.bfloat16), draw(5, 4, dtype=torch.float32)
    found = nll.token_logps(HeadLogits(hidden, head), labels(1, 2, vocabulary=5))
    torch.testing.assert_close(found, plain(hidden.float() @ head.t(), labels(1, 2, vocabulary=5)))


def test_empty_batches_are_an_error_or_an_exact_zero() -> None:
    logits = draw(2, 2, 3).requires_grad_()
    nothing = torch.full((2, 2), IGNORE)
    logps = nll.token_logps(logits, nothing)
    for name in ("token", "seq"):
        with pytest.raises(DataError):
            nll.weighted_nll(logps, nothing != IGNORE, reduction=name)  # type: ignore[arg-type]
    loss = nll.weighted_nll(logps, nothing != IGNORE, reduction="global", num_items=5)
    loss.backward()
    assert loss.item() == 0.0 and bool((logits.grad == 0).all())
    half = torch.tensor([[True, True], [False, False]])
    with pytest.raises(DataError, match=r"\[1\]"):
        nll.weighted_nll(logps, half, reduction="seq")
    with pytest.raises(DataError, match=r"\[1\]"):
        reduction.row_means(logps, half)
    assert reduction.row_sums(logps, half).tolist() == [0.0, 0.0]
    with pytest.raises(DataError, match="no rows"):
        reduction.row_means(logps[:0], half[:0])


def test_bad_input_is_refused() -> None:
    logits, targets = draw(1, 2, 3), torch.tensor([[0, 2]])
    for wrong in (3, -1):
        with pytest.raises(DataError, match="outside the vocabulary"):
            nll.token_logps(logits, torch.tensor([[0, wrong]]))
    with pytest.raises(ConfigError, match="labels"):
        nll.token_logps(logits, torch.tensor([[0]]))
    with pytest.raises(ConfigError, match="expected"):
        nll.token_logps(logits[0], targets)
    with pytest.raises(ConfigError, match="do not fit"):
        nll.token_logps(HeadLogits(logits, draw(4, 5)), targets)
    for temperature in (0.0, -1.0, torch.zeros(1, 2)):
        with pytest.raises(ConfigError, match="temperature"):
            nll.token_logps(logits, targets, temperature=temperature)
    with pytest.raises(ConfigError, match="chunk"):
        nll.token_logps(logits, targets, chunk=0)
    logps = nll.token_logps(logits, targets)
    with pytest.raises(ConfigError, match="weights"):
        nll.weighted_nll(logps, targets >= 0, torch.ones(2))
    with pytest.raises(ConfigError, match="reduction"):
        nll.weighted_nll(logps, targets >= 0, reduction="mean")  # type: ignore[arg-type]
    for name, items in (("token", 3), ("global", None)):
        with pytest.raises(ConfigError, match="num_items"):
            nll.weighted_nll(logps, targets >= 0, reduction=name, num_items=items)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="num_items"):
        nll.weighted_nll(logps, targets >= 0, reduction="global", num_items=0)


def test_a_nan_is_not_hidden() -> None:
    logits = torch.full((1, 1, 3), float("nan"), requires_grad=True)
    loss = nll.weighted_nll(nll.token_logps(logits, torch.tensor([[0]])), torch.ones(1, 1))
    loss.backward()
    assert bool(loss.isnan()) and bool(logits.grad.isnan().all())


@given(st.integers(0, 9), st.integers(1, 11))
def test_rows_by_chunks_are_the_whole(rows: int, chunk: int) -> None:
    def mix(x: Any, y: Any, matrix: Any) -> Any:
        return (x.softmax(-1) @ matrix).tanh() * y[:, None]

    x, y, matrix = draw(rows, 4).requires_grad_(), draw(rows, seed=2).requires_grad_(), draw(4, 3).requires_grad_()
    whole, parts = mix(x, y, matrix), chunks.map_rows(mix, (x, y), (matrix,), chunk=chunk)
    torch.testing.assert_close(parts, whole)
    grad = draw(rows, 3, seed=7)
    torch.testing.assert_close(
        torch.autograd.grad(parts, (x, y, matrix), grad), torch.autograd.grad(whole, (x, y, matrix), grad)
    )


def test_a_chunk_gets_gradients_only_for_what_needs_them() -> None:
    x, target = draw(5, 3).requires_grad_(), draw(5, 3, seed=2)
    chunks.map_rows(lambda a, b: (a * b).sum(-1), (x, target), chunk=2).sum().backward()
    torch.testing.assert_close(x.grad, target)
    assert target.grad is None


def test_the_default_chunk_is_bounded_by_memory() -> None:
    assert chunks.chunk_rows(151_936) == 220
    assert chunks.chunk_rows(10**9) == 1
    assert chunks.chunk_rows(10, chunk=7) == 7


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_entropies_beside_the_log_probabilities(temperature: float) -> None:
    hidden, head = draw(2, 5, 4).requires_grad_(), draw(7, 4, seed=2)
    targets = labels(2, 5, vocabulary=7)
    targets[0, 2:] = IGNORE
    whole = (hidden @ head.T) / temperature
    told = HeadLogits(hidden, head)
    logps, entropies = nll.token_logps_and_entropies(told, targets, temperature=temperature, chunk=3)
    assert torch.equal(logps, nll.token_logps(told, targets, temperature=temperature, chunk=3))
    right = torch.distributions.Categorical(logits=whole.detach()).entropy()
    torch.testing.assert_close(entropies, torch.where(targets == IGNORE, torch.zeros_like(right), right))
    assert not entropies.requires_grad
    (first,) = torch.autograd.grad(logps.sum(), hidden)
    (second,) = torch.autograd.grad(plain(whole, targets).sum(), hidden)
    torch.testing.assert_close(first, second)


def test_the_entropy_of_a_token_that_cannot_be_is_nothing() -> None:
    logits = torch.tensor([[[0.0, 0.0, -float("inf")]]])
    _, entropies = nll.token_logps_and_entropies(logits, torch.tensor([[0]]))
    assert entropies.item() == pytest.approx(math.log(2))
