"""List-wise distillation of scores: hand values, gradients, shorter lists, a judge that learns an order."""

from __future__ import annotations

import math

import pytest
import torch
from objective_steps import assert_invariant, record
from torch import Tensor

from backends.losses.ranking import listwise_kl, rank_loss
from backends.methods.dear import METHOD, DearOptions, ListObjective, examples
from backends.methods.prm import label_ids
from backends.records.record import Candidate
from harness.errors import ConfigError, DataError
from harness.options import parse_options

S, T = torch.tensor([[1.0, 0.5, -0.5]]).double(), torch.tensor([[2.0, 0.0, 1.0]]).double()
ALL = torch.ones(1, 3, dtype=torch.bool)
KINDS = ["ce", "ranknet", "listnet", "ranknet+ce"]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def bce(ours: float, theirs: float) -> float:
    p, q = sigmoid(ours), sigmoid(theirs)
    return -(q * math.log(p) + (1 - q) * math.log(1 - p))


def test_by_hand() -> None:
    ce = -math.log(math.exp(1) / sum(math.exp(x) for x in (1, 0.5, -0.5)))
    pairs = (bce(0.5, 2) + bce(1.5, 1) + bce(1, -1)) / 3
    q = [math.exp(x) / sum(math.exp(y) for y in (2, 0, 1)) for x in (2, 0, 1)]
    p = [math.exp(x) / sum(math.exp(y) for y in (1, 0.5, -0.5)) for x in (1, 0.5, -0.5)]
    right = {"ce": ce, "ranknet": pairs, "ranknet+ce": (ce + pairs) / 2}
    right["listnet"] = -sum(b * math.log(a) for a, b in zip(p, q, strict=True))
    for kind, value in right.items():
        assert rank_loss(S, T, ALL, kind=kind).item() == pytest.approx(value)  # type: ignore[arg-type]
    half = [
        [math.exp(x / 2) / sum(math.exp(y / 2) for y in side) for x in side] for side in ((2, 0, 1), (1, 0.5, -0.5))
    ]
    kl = 4 * sum(b * math.log(b / a) for b, a in zip(*half, strict=True))
    assert listwise_kl(S, T, ALL).item() == pytest.approx(kl)


def test_what_the_methods_page_says() -> None:
    assert listwise_kl(S, S, ALL, temperature=1.0).item() == 0.0
    even = torch.zeros(1, 3).double()
    assert rank_loss(even, even, ALL, kind="ranknet").item() == pytest.approx(math.log(2))
    assert listwise_kl(S + 3, T - 2, ALL).item() == pytest.approx(listwise_kl(S, T, ALL).item())  # no origin


@pytest.mark.parametrize("kind", [*KINDS, "kl"])
def test_gradients_and_shorter_lists(kind: str) -> None:
    def loss(s: Tensor, t: Tensor, valid: Tensor) -> Tensor:
        return listwise_kl(s, t, valid) if kind == "kl" else rank_loss(s, t, valid, kind=kind)  # type: ignore[arg-type]

    valid = torch.tensor([[1, 1, 1], [1, 1, 0]]).bool()
    s, t = torch.cat([S, S + 0.3]).requires_grad_(), torch.cat([T, T * 0.2])
    assert torch.autograd.gradcheck(lambda s: loss(s, t, valid), (s,))
    found = loss(s, t, valid)
    torch.testing.assert_close(found[1:], loss(s[1:, :2], t[1:, :2], valid[1:, :2]))
    (grad,) = torch.autograd.grad(found.sum(), s)
    assert grad[1, 2] == 0.0


def test_bad_lists() -> None:
    with pytest.raises(DataError, match="fewer than two"):
        rank_loss(S, T, torch.tensor([[1, 0, 0]]).bool())
    with pytest.raises(DataError, match="not finite"):
        listwise_kl(S, T.masked_fill(T == 0, math.inf), ALL)
    with pytest.raises(ConfigError, match="unknown ranking loss 'best'"):
        rank_loss(S, T, ALL, kind="best")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="shape"):
        listwise_kl(S, T[:, :2], ALL)
    with pytest.raises(ConfigError):
        parse_options(DearOptions, {"rank": "lambda"}, "dear")


def candidates(*scored: tuple[str, float | None]) -> tuple[Candidate, ...]:
    return tuple(Candidate(text, reward) for text, reward in scored)


RECORDS = [
    record(0, candidates=candidates(("It is 4.", 2.0), ("It is 5.", -1.0), ("Perhaps 6.", 0.5))),
    record(1, candidates=candidates(("yes", 0.1), ("no", 0.9))),
    record(2, candidates=candidates(("a", 1.0), ("b", 0.0), ("c", 0.0))),
]


def test_a_step_by_hand(student) -> None:  # type: ignore[no-untyped-def]
    rows = student.examples(examples, RECORDS)
    made = METHOD.stages(METHOD.options())[0].objective()
    made.setup(student.training(rows))
    taken = student.step(made, rows)
    good, bad = label_ids(student.tokenizer)
    total = torch.zeros((), dtype=torch.float64)
    for example in rows:
        scores = []
        for sequence in example.sequences:
            last = student.model(input_ids=torch.tensor(sequence.ids_T[None, :-1]).long()).logits[0, -1]
            scores.append(last[good] - last[bad])
        s, t = torch.stack(scores)[None], torch.tensor([example.rewards]).double()
        valid = torch.ones_like(t, dtype=torch.bool)
        total = total + (0.9 * rank_loss(s, t, valid) + 0.1 * listwise_kl(s, t, valid)).sum() / 3
    assert taken.loss == pytest.approx(total.item())
    for name, grad in student.gradients(total).items():
        torch.testing.assert_close(taken.grads[name], grad, rtol=1e-5, atol=1e-7)

    def again() -> ListObjective:
        made.setup(student.training(rows))
        return made

    assert_invariant(student, again, rows)


def test_a_judge_learns_the_order(student) -> None:  # type: ignore[no-untyped-def]
    rows = student.examples(examples, RECORDS)
    made = METHOD.stages(METHOD.options())[0].objective()
    made.setup(student.training(rows))
    kept = {name: value.clone() for name, value in student.model.state_dict().items()}
    optimiser = torch.optim.Adam(student.model.parameters(), lr=1e-2)
    for _ in range(30):
        log = student.step(made, rows).log
        optimiser.step()
    student.model.load_state_dict(kept)
    assert log["best_first"] == 1.0


def test_what_is_left_out(student) -> None:  # type: ignore[no-untyped-def]
    from backends.records.segments import Encoder

    odd = [
        *RECORDS,
        record(3, candidates=candidates(("one", 1.0))),
        record(4, candidates=candidates(("x", 1), ("", 0))),
    ]
    data = examples(Encoder(student.tokenizer, 512), [*RECORDS, *odd])
    assert data.left_out == {"no_pair": ("r3",), "empty": ("r4",)}
    with pytest.raises(DataError, match="record 'r5': a candidate has no reward"):
        examples(Encoder(student.tokenizer, 512), [record(5, candidates=candidates(("a", 1.0), ("b", None)))])
