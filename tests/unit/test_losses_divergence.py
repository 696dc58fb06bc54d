"""The divergence library and entropies: golden values, gradients, invariances, vocabulary padding, bad input."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from backends.losses import divergence as dv  # noqa: E402
from backends.losses import entropy, nll, reduction  # noqa: E402
from harness.errors import ConfigError, DataError  # noqa: E402

KINDS: tuple[dv.Kind, ...] = ("forward_kl", "reverse_kl", "jsd", "tvd")
TEACHER, STUDENT = (0.7, 0.2, 0.1), (0.5, 0.3, 0.2)
INF = math.inf


def draw(*shape: int, seed: int = 0, dtype: Any = torch.float64) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def logits(*probabilities: float) -> Any:
    return torch.tensor([[probabilities]], dtype=torch.float64).log() + 1.5  # logits are free up to a constant


def ones(z: Any) -> Any:
    return torch.ones(z.shape[:2], dtype=torch.bool)


def value(student: Any, teacher: Any, **options: Any) -> float:
    found: float = dv.token_divergence(student, teacher, ones(student), **options).sum().item()
    return found


@pytest.mark.parametrize(
    ("beta", "expected"), [(0.0, 0.085123), (0.1, 0.007695), (0.5, 0.021901), (0.9, 0.008185), (1.0, 0.092033)]
)
def test_jsd_golden_values(beta: float, expected: float) -> None:
    assert value(logits(*STUDENT), logits(*TEACHER), kind="jsd", beta=beta) == pytest.approx(expected, abs=5e-7)


def test_kl_and_tvd_golden_values() -> None:
    student, teacher = logits(*STUDENT), logits(*TEACHER)
    assert value(student, teacher, kind="forward_kl") == pytest.approx(0.085123, abs=5e-7)
    assert value(student, teacher, kind="reverse_kl") == pytest.approx(0.092033, abs=5e-7)
    assert value(student, teacher, kind="tvd") == pytest.approx(0.2)
    # golden row 20: JSD / beta tends to the forward KL, so the value jumps at the end
    assert value(student, teacher, kind="jsd", beta=0.001) / 0.001 == pytest.approx(0.085041, abs=5e-7)


def test_mcc_kd_symmetric_kl() -> None:
    p, q = logits(0.7, 0.3), logits(0.4, 0.6)
    mean = (value(p, q, kind="forward_kl") + value(q, p, kind="forward_kl")) / 2
    assert mean == pytest.approx(0.187914, abs=5e-7)


def test_top_two_with_a_tail_of_one_token_is_the_whole() -> None:
    student, teacher = logits(*STUDENT), logits(*TEACHER)
    for side in ("teacher", "student"):
        found = value(student, teacher, kind="reverse_kl", top_k=2, top_k_of=side, mass="tail")
        assert found == pytest.approx(0.092033, abs=5e-7)
    # renormalised: (7/9, 2/9) against (5/8, 3/8)
    expected = 7 / 9 * math.log(7 / 9 / (5 / 8)) + 2 / 9 * math.log(2 / 9 / (3 / 8))
    assert value(student, teacher, kind="forward_kl", top_k=2) == pytest.approx(expected)
    assert value(student, teacher, kind="tvd", top_k=3) == pytest.approx(0.2)


def test_top_k_follows_the_named_side() -> None:
    student, teacher = logits(0.1, 0.2, 0.7), logits(0.6, 0.3, 0.1)
    of_teacher = 2 / 3 * math.log(2 / 3 * 3) + 1 / 3 * math.log(1 / 3 * 3 / 2)
    assert value(student, teacher, kind="forward_kl", top_k=2) == pytest.approx(of_teacher)
    of_student = 0.75 * math.log(0.75 * 9 / 2) + 0.25 * math.log(0.25 * 9 / 7)
    assert value(student, teacher, kind="forward_kl", top_k=2, top_k_of="student") == pytest.approx(of_student)


def test_sampled_estimators() -> None:
    student, teacher = torch.tensor([-1.3]), torch.tensor([-1.0])  # golden row 17: u = -0.3
    found = [dv.sampled_divergence(student, teacher, estimator=name).item() for name in ("k1", "k2", "k3")]  # type: ignore[arg-type]
    assert found == pytest.approx([-0.3, 0.045, 0.049859], abs=5e-7)


def test_gradients_of_the_sampled_estimators_in_expectation() -> None:
    z = logits(*STUDENT)[0, 0].requires_grad_()
    log_p, log_t = z.log_softmax(-1), logits(*TEACHER)[0, 0].log_softmax(-1)
    p = log_p.detach().exp()
    grads = {
        name: torch.autograd.grad(
            (p * dv.sampled_divergence(log_p, log_t, estimator=name)).sum(), z, retain_graph=True
        )[0]
        for name in ("k1", "k2", "k3")
    }
    reverse = torch.autograd.grad(dv.divergence(log_p, log_t, kind="reverse_kl"), z, retain_graph=True)[0]
    forward = torch.autograd.grad(dv.divergence(log_p, log_t, kind="forward_kl"), z)[0]
    torch.testing.assert_close(grads["k1"], torch.zeros_like(z))
    torch.testing.assert_close(grads["k2"], reverse)
    torch.testing.assert_close(grads["k3"], forward)


def test_gradients_in_closed_form() -> None:
    z, teacher = draw(1, 1, 6).requires_grad_(), draw(1, 1, 6, seed=2)
    p, t = z.softmax(-1).detach(), teacher.softmax(-1)
    grad = torch.autograd.grad(dv.token_divergence(z, teacher, ones(z), kind="forward_kl").sum(), z)[0]
    torch.testing.assert_close(grad, p - t)
    u = p.log() - t.log()
    grad = torch.autograd.grad(dv.token_divergence(z, teacher, ones(z), kind="reverse_kl").sum(), z)[0]
    torch.testing.assert_close(grad, p * (u - (p * u).sum()))


@pytest.mark.parametrize("options", [{}, {"top_k": 3, "mass": "tail"}, {"top_k": 3, "top_k_of": "student"}])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_match_finite_differences_for_both_sides(kind: dv.Kind, options: dict[str, Any]) -> None:
    student, teacher = draw(2, 2, 5).requires_grad_(), draw(2, 2, 5, seed=2).requires_grad_()
    mask = torch.tensor([[True, False], [True, True]])
    assert torch.autograd.gradcheck(
        lambda s, t: dv.token_divergence(s, t, mask, kind=kind, beta=0.3, temperature=1.3, chunk=2, **options),
        (student, teacher),
    )


@given(st.integers(0, 50), st.sampled_from(KINDS), st.floats(0.05, 0.95), st.integers(1, 7))
def test_chunks_batches_and_masks_change_nothing(seed: int, kind: dv.Kind, beta: float, chunk: int) -> None:
    student, teacher = draw(3, 4, 6, seed=seed).requires_grad_(), draw(3, 4, 6, seed=seed + 100)
    mask = draw(3, 4, seed=seed + 200) > -0.5
    whole = dv.divergence(student.log_softmax(-1), teacher.log_softmax(-1), kind=kind, beta=beta) * mask
    found = dv.token_divergence(student, teacher, mask, kind=kind, beta=beta, chunk=chunk)
    torch.testing.assert_close(found, whole)
    weights = draw(3, 4, seed=seed + 300)
    wanted = torch.autograd.grad((whole * weights).sum(), student)[0]
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), student)[0], wanted)
    rows = [
        dv.token_divergence(student[i : i + 1], teacher[i : i + 1], mask[i : i + 1], kind=kind, beta=beta)
        for i in range(3)
    ]
    torch.testing.assert_close(torch.cat(rows), whole)


@given(st.integers(0, 99), st.floats(0.02, 0.98), st.floats(0.0, 30.0))
def test_jsd_is_bounded_symmetric_and_zero_only_between_equals(seed: int, beta: float, sharpness: float) -> None:
    student, teacher = draw(1, 1, 7, seed=seed) * sharpness, draw(1, 1, 7, seed=seed + 500) * sharpness
    found = value(student, teacher, kind="jsd", beta=beta)
    assert -1e-12 <= found <= -beta * math.log(beta) - (1 - beta) * math.log(1 - beta) + 1e-12
    assert found == pytest.approx(value(teacher, student, kind="jsd", beta=1 - beta), abs=1e-12)
    assert sharpness < 0.1 or found > 0


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_k": 4, "mass": "tail"}])
@pytest.mark.parametrize("kind", KINDS)
def test_student_equal_to_teacher_has_no_loss_and_no_gradient(kind: dv.Kind, options: dict[str, Any]) -> None:
    for dtype, noise in ((torch.float64, 1e-15), (torch.float32, 3e-7), (torch.bfloat16, 1e-3)):
        student = (draw(1, 3, 50, dtype=dtype) * 5).requires_grad_()
        found = dv.token_divergence(student, student.detach(), ones(student), kind=kind, beta=0.3, **options)
        assert bool((found == 0).all())
        assert torch.autograd.grad(found.sum(), student)[0].abs().max().item() <= noise


def test_an_extreme_gap_stays_finite() -> None:
    student = torch.tensor([[[200.0, -200.0, 0.0]]], requires_grad=True)
    teacher = torch.tensor([[[-200.0, 200.0, 0.0]]])
    for beta in (0.1, 0.5, 0.9):
        found = dv.token_divergence(student, teacher, ones(student), kind="jsd", beta=beta)
        assert found.item() == pytest.approx(-beta * math.log(beta) - (1 - beta) * math.log(1 - beta), rel=1e-5)
        assert bool(torch.autograd.grad(found.sum(), student)[0].isfinite().all())


def test_one_hot_teacher_and_forward_kl_is_sft() -> None:
    student, targets = draw(2, 3, 6), torch.tensor([[1, 2, nll.IGNORE], [0, 5, 3]])
    teacher = torch.full((2, 3, 6), -INF, dtype=torch.float64)
    teacher.scatter_(2, targets.clamp_min(0)[..., None], 0.0)
    mask = targets != nll.IGNORE
    found = reduction.reduce_tokens(dv.token_divergence(student, teacher, mask, kind="forward_kl"), mask)
    torch.testing.assert_close(found, nll.weighted_nll(nll.token_logps(student, targets), mask))


@pytest.mark.parametrize("kind", KINDS)
def test_temperature_and_its_square(kind: dv.Kind) -> None:
    student, teacher = draw(1, 2, 5), draw(1, 2, 5, seed=2)
    plain = dv.token_divergence(student / 2, teacher / 2, ones(student), kind=kind)
    torch.testing.assert_close(dv.token_divergence(student, teacher, ones(student), kind=kind, temperature=2.0), plain)
    scaled = dv.token_divergence(student, teacher, ones(student), kind=kind, temperature=2.0, tau2_scale=True)
    torch.testing.assert_close(scaled, 4 * plain)


@pytest.mark.parametrize("options", [{}, {"top_k": 3, "mass": "tail"}, {"top_k": 3}])
@pytest.mark.parametrize("kind", KINDS)
def test_padded_vocabularies_of_one_tokenizer(kind: dv.Kind, options: dict[str, Any]) -> None:
    """151,936 against 152,064 rows in small: cut, padded with -inf, or cut further, the value is the same."""
    student, teacher = draw(1, 3, 8).requires_grad_(), draw(1, 3, 11, seed=2)
    mask = ones(student)
    with pytest.raises(ConfigError, match=r"8 logits and the teacher 11.*`vocabulary`"):
        dv.token_divergence(student, teacher, mask, kind=kind)
    wanted = dv.token_divergence(student, teacher[..., :8], mask, kind=kind, **options)
    cut = dv.token_divergence(student, teacher, mask, kind=kind, vocabulary=8, **options)
    torch.testing.assert_close(cut, wanted)
    wide = torch.cat([student, torch.full((1, 3, 3), -INF, dtype=torch.float64)], dim=-1)
    closed = teacher.clone()
    closed[..., 8:] = -INF
    padded = dv.token_divergence(wide, closed, mask, kind=kind, **options)
    torch.testing.assert_close(padded, wanted)
    gradients = [torch.autograd.grad(x.sum(), student)[0] for x in (cut, padded, wanted)]
    torch.testing.assert_close(gradients[0], gradients[2])
    torch.testing.assert_close(gradients[1], gradients[2])


def test_the_real_widths_are_told() -> None:
    student, teacher = torch.zeros(1, 1, 151_936), torch.zeros(1, 1, 152_064)
    with pytest.raises(ConfigError, match=r"151936.*152064"):
        dv.token_divergence(student, teacher, ones(student), kind="jsd")
    assert value(student, teacher, kind="jsd", vocabulary=151_936) == 0.0


def test_probability_where_the_other_has_none() -> None:
    student, teacher = logits(0.5, 0.5, 0.0).requires_grad_(), logits(0.5, 0.0, 0.5)
    for kind in ("forward_kl", "reverse_kl"):
        assert value(student, teacher, kind=kind) == INF
    assert value(student, teacher, kind="tvd") == pytest.approx(0.5)
    found = dv.token_divergence(student, teacher, ones(student), kind="jsd")
    assert found.item() == pytest.approx(0.5 * math.log(2))
    assert bool(torch.autograd.grad(found.sum(), student)[0].isfinite().all())


def stored(teacher: Any, k: int) -> tuple[Any, Any]:
    top = teacher.log_softmax(-1).topk(k, dim=-1)
    return top.values, top.indices


@pytest.mark.parametrize("mass", ["renormalise", "tail"])
@pytest.mark.parametrize("kind", KINDS)
def test_stored_top_k_is_the_local_teachers(kind: dv.Kind, mass: dv.Mass) -> None:
    student, teacher = draw(2, 3, 9).requires_grad_(), draw(2, 3, 9, seed=2)
    mask = torch.tensor([[True, True, False], [True, False, True]])
    logps, ids = stored(teacher, 4)
    logps[0, 2], ids[0, 2] = 0.5, 999  # outside the mask nothing is read
    for chunk in (1, None):
        found = dv.stored_divergence(student, logps, ids, mask, kind=kind, mass=mass, chunk=chunk)
        local = dv.token_divergence(student, teacher, mask, kind=kind, top_k=4, mass=mass)
        torch.testing.assert_close(found, local)
        torch.testing.assert_close(
            torch.autograd.grad(found.sum(), student)[0], torch.autograd.grad(local.sum(), student)[0]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_tail_without_any_mass(kind: dv.Kind) -> None:
    open_student, open_teacher = draw(1, 2, 3).requires_grad_(), draw(1, 2, 3, seed=2)
    padding = torch.full((1, 2, 2), -INF, dtype=torch.float64)
    student, teacher = (torch.cat([z, padding], dim=-1) for z in (open_student, open_teacher))
    found = dv.token_divergence(student, teacher, ones(student), kind=kind, top_k=3, mass="tail")
    wanted = dv.token_divergence(open_student, open_teacher, ones(student), kind=kind)
    torch.testing.assert_close(found, wanted)
    leaf = student.detach().requires_grad_()
    gradient = torch.autograd.grad(
        dv.token_divergence(leaf, teacher, ones(leaf), kind=kind, top_k=3, mass="tail").sum(), leaf
    )[0]
    torch.testing.assert_close(gradient[..., :3], torch.autograd.grad(wanted.sum(), open_student)[0])
    assert bool((gradient[..., 3:] == 0).all())


@pytest.mark.parametrize("mass", ["renormalise", "tail"])
@pytest.mark.parametrize("kind", KINDS)
def test_unused_slots_of_a_stored_row_count_for_nothing(kind: dv.Kind, mass: dv.Mass) -> None:
    student, teacher = draw(1, 2, 9), draw(1, 2, 9, seed=2)
    logps, ids = stored(teacher, 3)
    wide = torch.cat([logps, torch.full((1, 2, 2), -INF, dtype=torch.float64)], dim=-1)
    padding = torch.cat([ids, torch.tensor([[[-1, 0], [999, 8]]])], dim=-1)
    mask = ones(student)
    found = dv.stored_divergence(student, wide, padding, mask, kind=kind, mass=mass)
    torch.testing.assert_close(found, dv.stored_divergence(student, logps, ids, mask, kind=kind, mass=mass))


def test_stored_values_at_another_temperature() -> None:
    student, teacher = draw(1, 2, 9), draw(1, 2, 9, seed=2)
    logps, ids = stored(teacher, 4)
    found = dv.stored_divergence(
        student, logps, ids, ones(student), kind="forward_kl", temperature=2.0, tau2_scale=True
    )
    local = dv.token_divergence(
        student, teacher, ones(student), kind="forward_kl", temperature=2.0, tau2_scale=True, top_k=4
    )
    torch.testing.assert_close(found, local)
    with pytest.raises(ConfigError, match="tail"):
        dv.stored_divergence(student, logps, ids, ones(student), kind="jsd", temperature=2.0, mass="tail")


def test_a_stored_row_that_holds_all_the_mass() -> None:
    student = draw(1, 1, 4, dtype=torch.float32).requires_grad_()
    logps, ids = torch.tensor([[[0.0]]]), torch.tensor([[[2]]])
    found = dv.stored_divergence(student, logps, ids, ones(student), kind="forward_kl", mass="tail")
    assert found.item() == pytest.approx(-student.log_softmax(-1)[0, 0, 2].item(), abs=1e-5)
    # Rounding may have taken a rest that was there: the reverse KL must not become infinite for it.
    reverse = dv.stored_divergence(student, logps, ids, ones(student), kind="reverse_kl", mass="tail")
    for value_ in (found, reverse):
        assert bool(value_.isfinite()) and bool(torch.autograd.grad(value_.sum(), student)[0].isfinite().all())


def test_bad_stored_values_are_refused() -> None:
    student, mask = draw(1, 1, 4), torch.ones(1, 1)
    for logps in ([0.5, -1.0], [-INF, -1.0], [math.nan, -1.0]):
        with pytest.raises(DataError, match="no log-probabilities"):
            dv.stored_divergence(student, torch.tensor([[logps]]), torch.tensor([[[0, 1]]]), mask, kind="jsd")
    for wrong in (4, -1):
        with pytest.raises(DataError, match=f"id {wrong} is outside"):
            dv.stored_divergence(student, torch.tensor([[[-1.0]]]), torch.tensor([[[wrong]]]), mask, kind="jsd")


def test_nothing_to_compare_is_an_exact_zero_in_the_graph() -> None:
    student = draw(1, 2, 4).requires_grad_()
    nothing = torch.zeros(1, 2)
    found = dv.token_divergence(student, draw(1, 2, 4), nothing, kind="jsd").sum()
    found = found + dv.stored_divergence(student, *stored(draw(1, 2, 4), 2), nothing, kind="jsd").sum()
    found = found + entropy.token_entropy(student, nothing).sum()
    found.backward()
    assert found.item() == 0.0 and bool((student.grad == 0).all())


def test_a_nan_is_not_hidden() -> None:
    broken = torch.full((1, 1, 3), math.nan)
    for kind in KINDS:
        assert math.isnan(value(broken, torch.zeros(1, 1, 3), kind=kind))
        assert math.isnan(value(torch.zeros(1, 1, 3), broken, kind=kind))


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "js"},
        {"kind": "jsd", "beta": 1.5},
        {"kind": "jsd", "temperature": 0.0},
        {"kind": "jsd", "mass": "rest"},
        {"kind": "jsd", "top_k": 0},
        {"kind": "jsd", "top_k": 2, "top_k_of": "both"},
        {"kind": "jsd", "vocabulary": 5},
        {"kind": "jsd", "vocabulary": 0},
    ],
)
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        value(draw(1, 1, 4), draw(1, 1, 4), **options)


def test_bad_shapes_are_refused() -> None:
    z = draw(1, 2, 4)
    with pytest.raises(ConfigError, match="mask"):
        dv.token_divergence(z, z, torch.ones(2), kind="jsd")
    with pytest.raises(ConfigError, match="teacher"):
        dv.token_divergence(z, z[:, :1], torch.ones(1, 2), kind="jsd")
    with pytest.raises(ConfigError, match="estimator"):
        dv.sampled_divergence(z, z, estimator="k4")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="log-probabilities"):
        dv.sampled_divergence(z, z[..., :1], estimator="k1")


def test_entropy_golden_values() -> None:
    # CurioSFT: logits (3,2,1,0) and (8,0,0,0); TSD-KD: (.7,.2,.1) and (.5,.3,.2)
    z = torch.tensor([[[3.0, 2, 1, 0], [8.0, 0, 0, 0]]], dtype=torch.float64)
    assert entropy.token_entropy(z, ones(z))[0].tolist() == pytest.approx([0.947537, 0.009049], abs=5e-7)
    pair = torch.cat([logits(*TEACHER), logits(*STUDENT)], dim=1)
    assert entropy.token_entropy(pair, ones(pair))[0].tolist() == pytest.approx([0.801819, 1.029653], abs=5e-7)


def test_entropy_gradients_chunks_and_padding() -> None:
    z, mask = draw(2, 3, 4).requires_grad_(), torch.tensor([[1, 1, 0], [0, 1, 1]])
    assert torch.autograd.gradcheck(lambda x: entropy.token_entropy(x, mask, chunk=3), (z,))
    torch.testing.assert_close(entropy.token_entropy(z, mask, chunk=1), entropy.token_entropy(z, mask))
    assert entropy.token_entropy(z, mask)[0, 2].item() == 0.0
    wide = torch.cat([z, torch.full((2, 3, 2), -INF, dtype=torch.float64)], dim=-1)
    found = entropy.token_entropy(wide, mask)
    torch.testing.assert_close(found, entropy.token_entropy(z, mask))
    assert bool(torch.autograd.grad(found.sum(), z)[0].isfinite().all())


def test_top_share_entropy() -> None:
    values = torch.tensor([[0.1, 0.9, 9.0, 0.2, 0.3, 0.4], [0.5, 0.7, 0.3, 0.0, 0.0, 0.0]])
    mask = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]])
    found = entropy.top_share_entropy(values, mask)  # one of five tokens, worth five, and one of three, worth three
    assert found.sum().item() / 8 == pytest.approx((5 * 0.9 + 3 * 0.7) / 8)
    whole = entropy.top_share_entropy(values, mask, share=1.0)
    torch.testing.assert_close(whole, values * mask, check_dtype=False)
    many = torch.arange(100.0)[None]
    assert (entropy.top_share_entropy(many, torch.ones(1, 100), share=0.07) > 0).sum() == 7  # not eight
    assert entropy.top_share_entropy(values, torch.zeros(2, 6)).sum() == 0
    for share in (0.0, 1.1):
        with pytest.raises(ConfigError, match="share"):
            entropy.top_share_entropy(values, mask, share=share)


def test_trl_agrees_on_the_generalised_jsd() -> None:
    trainer = pytest.importorskip("trl.experimental.gkd.gkd_trainer").GKDTrainer
    student, teacher = draw(2, 3, 7, dtype=torch.float32), draw(2, 3, 7, seed=2, dtype=torch.float32)
    targets = torch.tensor([[1, 2, -100], [3, -100, -100]])
    mask = targets != -100
    for beta in (0.0, 0.3, 0.5, 1.0):
        theirs = trainer.generalized_jsd_loss(student, teacher, labels=targets, beta=beta, temperature=1.3)
        values = dv.token_divergence(student, teacher, mask, kind="jsd", beta=beta, temperature=1.3)
        torch.testing.assert_close(reduction.reduce_tokens(values, mask), theirs)
