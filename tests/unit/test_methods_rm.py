"""RM: rows of a pair, the loss by hand, a preference that is learnt, and one scale in training and as a reward."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
import transformers
from objective_steps import assert_invariant, record

from backends.methods.prm import label_ids
from backends.methods.rm import METHOD
from backends.records.record import Candidate
from backends.records.segments import Encoder
from backends.rewards.process import Process
from backends.rewards.scorers import open_scorers
from harness.errors import DataError
from harness.options import parse_options
from tests.tiny_model import write_model
from tests.unit.rollout_groups import group
from tests.unit.rollout_groups import record as asked

PAIRS = [
    record(0, response="<think>\n1 + 1 = 2.\n</think>\n2", rejected="<think>\n1 + 1 = 3.\n</think>\n3"),
    record(1, response="yes", rejected="no, never"),
    record(2, think="4 - 1 = 3.", answer="3", rejected="so"),
]


def stage(**options: str):
    return METHOD.stages(parse_options(METHOD.options, options, "rm"))[0]


@pytest.fixture
def rows(student):
    return student.examples(stage().examples, PAIRS)


def ready(student, rows):
    chosen = stage().objective()
    chosen.setup(student.training(rows))
    return chosen


def rewards(student, row):
    """By hand: the log odds of the two words behind each side's question."""
    good, bad = label_ids(student.tokenizer)
    scores = [student.model(torch.tensor([one.ids_T[:-1].tolist()])).logits[0, -1] for one in row.sequences]
    return [one[good] - one[bad] for one in scores]


def test_a_pair_is_two_questions_in_the_words_of_prm(student, rows):
    shown = [student.tokenizer.decode(one.ids_T.tolist()) for one in rows[0].sequences]
    assert "1 + 1 = 2.\n\n2" in shown[0] and "1 + 1 = 3.\n\n3" in shown[1]
    assert all("with its answer" in text for text in shown)
    assert [one.supervised_T.sum() for row in rows for one in row.sequences] == [1] * 6
    assert "4 - 1 = 3." in student.tokenizer.decode(rows[2].sequences[0].ids_T.tolist())


def test_the_loss_and_its_gradient_by_hand_and_in_any_micro_batches(student, rows):
    found = student.step(ready(student, rows), rows)
    margins = [better - worse for better, worse in (rewards(student, row) for row in rows)]
    expected = torch.stack([(1 + (-margin).exp()).log() for margin in margins]).mean()
    student.model.zero_grad()
    expected.backward()
    assert found.loss == pytest.approx(expected.item(), rel=1e-9)
    assert found.log["margin"] == pytest.approx(sum(margins).item() / 3)
    assert found.log["preferred"] == pytest.approx(sum(margin.item() > 0 for margin in margins) / 3)
    assert found.log["chosen_reward"] - found.log["rejected_reward"] == pytest.approx(found.log["margin"])
    for name, weight in student.model.named_parameters():
        torch.testing.assert_close(found.grads[name], weight.grad, rtol=1e-7, atol=1e-12)
    assert_invariant(student, lambda: ready(student, rows), rows)


@pytest.mark.parametrize(("difference", "loss"), [(0.0, math.log(2)), (1.0, 0.313262), (-2.0, 2.126928)])
def test_golden_values_of_bradley_terry(difference, loss):
    chosen, rejected = torch.tensor([3.0 + difference]), torch.tensor([3.0])
    found = stage().objective().pair_loss(chosen, rejected, torch.tensor([0]))
    assert float(found.loss_P) == pytest.approx(loss, abs=1e-6) and float(found.margin_P) == difference


def test_pairs_of_scored_answers(student):
    """Best against worst; what is equal, the same text twice, or empty, is left out and counted."""
    texts = ("one", "two", "three")
    scored = record(0, candidates=tuple(map(Candidate, texts, (0.2, 0.9, 0.1))))
    flat = record(1, candidates=(Candidate("one", 0.5), Candidate("two", 0.5)))
    same = record(2, candidates=(Candidate("one", 0.5), Candidate("one", 0.7)))
    empty = record(3, candidates=(Candidate("one", 0.5), Candidate("<think>\n</think>\n", 0.7)))
    made = stage(pairs="best_worst").examples(Encoder(student.tokenizer, 512), [scored, flat, same, empty])
    (pair,) = made.examples
    shown = [student.tokenizer.decode(one.ids_T.tolist()) for one in pair.sequences]
    assert "two" in shown[0] and "three" in shown[1]
    assert made.left_out == {"no_pair": ("r1", "r2"), "empty": ("r3",)}
    bare = record(4, candidates=(Candidate("a"), Candidate("b")))
    with pytest.raises(DataError, match="all with a reward"):
        stage(pairs="best_worst").examples(Encoder(student.tokenizer, 512), [bare])


def test_what_does_not_fit_is_left_out(student):
    made = stage().examples(Encoder(student.tokenizer, 400), [PAIRS[1], record(5, response="x" * 300, rejected="y")])
    assert [one.id for one in made.examples] == ["r1"] and made.left_out == {"too_long": ("r5",)}


def test_a_planted_preference_is_learnt_and_holds_for_other_texts(student):
    """Threes are better than nines, however many: trained on even numbers of them, seen in odd ones."""
    pairs = [record(n, response="3 " * (n + 2), rejected="9 " * (n + 2)) for n in range(12)]
    made = student.examples(stage().examples, pairs)
    known, new = made[::2], made[1::2]
    chosen, optimiser = ready(student, known), torch.optim.Adam(student.model.parameters(), lr=0.01)
    for _ in range(30):
        loss = student.step(chosen, known)
        optimiser.step()
    assert loss.log["preferred"] == 1.0 and loss.loss < 0.1
    with torch.no_grad():
        assert all(better > worse for better, worse in (rewards(student, row) for row in new))


def test_the_reward_process_has_the_very_number_that_is_trained(tmp_path: Path):
    folder = write_model(tmp_path / "rm", context=1024)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    (row,) = stage().examples(Encoder(tokenizer, 1024), [asked(response="It is 4.", rejected="It is 5.")]).examples
    good, bad = label_ids(tokenizer)
    with torch.no_grad():
        scores = model(torch.tensor([row.sequences[0].ids_T[:-1].tolist()])).logits[0, -1]
    with open_scorers(None, tmp_path, models=[f"hf:{folder}"], arguments={"dtype": "float32"}) as scorers:
        (part,) = Process(prm=f"hf:{folder}", trajectory=1.0, scale="log_odds").score(group(["It is 4."]), scorers)
    assert part.value == pytest.approx(float(scores[good] - scores[bad]), rel=1e-4)
