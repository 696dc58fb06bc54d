"""PRM: ends of steps, labels of records, the loss by hand, and a planted mistake that is found."""

from __future__ import annotations

import math

import pytest
import torch
from objective_steps import assert_invariant, record

from backends.methods.prm import METHOD, examples, label_ids
from backends.records.synth import synth_records
from backends.structure.judged import End, ends_of, labelled_ends, p_good
from harness.errors import ConfigError, DataError

RIGHT, WRONG = "<think>\n1 + 1 = 2. 2 + 2 = 4.\n</think>\n4", "<think>\n1 + 1 = 2. 2 + 2 = 5.\n</think>\n5"
TWINS = record(0, response=RIGHT, rejected=WRONG, meta={"error_span": [WRONG.index("2 + 2"), WRONG.index("\n</")]})
TOLD = record(1, response=RIGHT, meta={"step_labels": [1, 0.25], "outcome": False})


def objective():
    return METHOD.stages(METHOD.options())[0].objective()


@pytest.fixture
def rows(student):
    return student.examples(examples, [TWINS, TOLD])


def ready(student, rows):
    chosen = objective()
    chosen.setup(student.training(rows))
    return chosen


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("<think>\na. b\n\nc\n</think>\nd", ["a. b", "a. b\n\nc"]),
        ("a.\nb. c", ["a.", "a.\nb. c"]),
        ("Cost 1.5 x. So 2.", ["Cost 1.5 x.", "Cost 1.5 x. So 2."]),
        ("one", ["one"]),
    ],
)
def test_steps_are_paragraphs_else_lines_else_sentences(text, steps):
    *found, whole = ends_of(text)
    assert [end.text for end in found] == steps
    assert whole == End(f"{steps[-1]}\n\nd" if "</think>" in text else steps[-1], "end")


def test_no_path_has_no_ends():
    assert ends_of("<think>\n</think>\n5") == [] == ends_of("")


def test_a_wrong_twin_is_good_up_to_its_mistake():
    assert [one.good for one in labelled_ends(TWINS)] == [1, 1, 1, 1, 0, 0]
    for made in synth_records(0, 6, (1, 2, 3)):
        labels = [one.good for one in labelled_ends(made)]
        right = len(ends_of(made.response))
        assert labels == [1.0] * (right + made.meta["error_step"]) + [0.0] * (
            len(labels) - right - made.meta["error_step"]
        )


def test_labels_of_a_record_come_first_and_an_outcome_may_lack():
    assert [one.good for one in labelled_ends(TOLD)] == [1.0, 0.25, 0.0]
    assert len(labelled_ends(record(response=RIGHT, meta={"step_labels": [1, 1]}))) == 2


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"response": RIGHT}, "have no labels"),
        ({"response": RIGHT, "meta": {"step_labels": [1]}}, "1 labels and its response 2 steps"),
        ({"response": RIGHT, "meta": {"step_labels": "11"}}, "no list of labels"),
        ({"response": RIGHT, "meta": {"step_labels": [1, 7]}}, "from 0 .bad. to 1"),
        ({"response": RIGHT, "meta": {"step_labels": [1, 0], "outcome": "yes"}}, "meta.outcome"),
        ({"meta": {"step_labels": [1]}}, "no 'response'"),
        ({"rejected": WRONG, "meta": {"error_span": [999, 1]}}, "error_span"),
    ],
)
def test_a_record_without_labels_is_refused_by_its_id(student, fields, words):
    with pytest.raises(DataError, match=f"record 'r3'.*{words}"):
        student.examples(examples, [TOLD, record(3, **fields)])


def test_one_token_of_each_row_is_learnt(student, rows):
    good, bad = label_ids(student.tokenizer)
    assert [one.sequences[0].supervised_T.sum() for one in rows] == [1] * 9
    assert [int(one.sequences[0].ids_T[-1]) for one in rows] == [good] * 4 + [bad] * 2 + [good, bad, bad]
    assert [one.id for one in rows][:2] == ["r0", "r0/2"]
    shown = student.tokenizer.decode(rows[0].sequences[0].ids_T.tolist())
    assert "1 + 1 = 2." in shown and "2 + 2" not in shown


def test_the_loss_by_hand_and_in_any_micro_batches(student, rows):
    ids = list(label_ids(student.tokenizer))
    total = 0.0
    for one in rows:
        with torch.no_grad():
            scores = student.model(torch.tensor([one.sequences[0].ids_T[:-1].tolist()])).logits[0, -1, ids]
        logps, good = scores.log_softmax(-1), one.numbers["good"]
        total -= float(good * logps[0] + (1 - good) * logps[1])
    found = student.step(ready(student, rows), rows)
    assert found.loss == pytest.approx(total / 9, rel=1e-6)
    assert (6 * found.log["step_ce"] + 3 * found.log["end_ce"]) / 9 == pytest.approx(found.loss)
    assert_invariant(student, lambda: ready(student, rows), rows)


def test_equal_logits_give_log_two(student, rows):
    head = student.model.get_output_embeddings().weight
    good, bad = label_ids(student.tokenizer)
    with torch.no_grad():
        head[bad] = head[good]
    assert student.step(ready(student, rows), rows).loss == pytest.approx(math.log(2))


def test_a_planted_mistake_is_found(student):
    """A step with a 9 is wrong: after some steps of training every wrong end is likelier bad than any right one."""
    chains = [
        ("3 3 3. 4 4 4.", [1, 1]),
        ("5 5 5. 9 9 9.", [1, 0]),
        ("9 9 9. 2 2 2.", [0, 0]),
        ("6 6 6. 7 7 7.", [1, 1]),
    ]
    data = [record(n, response=text, meta={"step_labels": labels}) for n, (text, labels) in enumerate(chains)]
    rows = student.examples(examples, data)
    chosen, optimiser = ready(student, rows), torch.optim.Adam(student.model.parameters(), lr=0.01)
    for _ in range(40):
        loss = student.step(chosen, rows)
        optimiser.step()
    ids = list(label_ids(student.tokenizer))
    with torch.no_grad():
        scores = [
            student.model(torch.tensor([one.sequences[0].ids_T[:-1].tolist()])).logits[0, -1, ids] for one in rows
        ]
    margins = [(one.numbers["good"], float(two[0] - two[1])) for one, two in zip(rows, scores, strict=True)]
    pairs = [a > b for good, a in margins for bad, b in margins if good > bad]
    assert sum(pairs) / len(pairs) == 1.0 and loss.log["told_right"] == 1.0  # the area under the curve


def test_labels_that_begin_alike_are_refused():
    with pytest.raises(ConfigError, match="same token"):
        label_ids(lambda text, **_: {"input_ids": [7, len(text)]})


def test_p_of_the_two_labels():
    assert p_good({"yes": math.log(0.3), "no": math.log(0.1)}) == pytest.approx(0.75)
    assert p_good({"yes": -5000.0, "no": -0.1}) < 1e-300 and p_good({"yes": -0.1, "no": -5000.0}) == 1.0
