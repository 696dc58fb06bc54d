"""Drawing from student and teacher together: the mixture's log-probabilities, whoever draws beside whom."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
import transformers
from tiny_model import request, write_model

from backends.base import Mixture, Training
from backends.rollouts.engine import Drawn, Wanted
from backends.rollouts.engine_hf import HfEngine
from backends.rollouts.engine_mixed import MixedEngine
from backends.rollouts.settings import RolloutSettings
from backends.teachers.local import LocalTeacher
from backends.trainers.head import add_objective_head
from harness.errors import ConfigError
from harness.models.hf_attention import NAME
from harness.models.hf_prompt import PromptRenderer

TEXTS = {"a": 1, "hello": 2, "x" * 40: 3, "one two": 4}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    return write_model(folder / "student"), write_model(folder / "teacher", seed=1)


def policy(folders: tuple[Path, Path], adapter: bool = False) -> Training:
    student, teacher = (transformers.AutoModelForCausalLM.from_pretrained(one, dtype=torch.float32) for one in folders)
    add_objective_head(student)
    if adapter:
        student = peft.get_peft_model(
            student, peft.LoraConfig(r=2, init_lora_weights=False, target_modules="all-linear")
        )
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[0])
    return Training(
        model=student.train(), tokenizer=tokenizer, forward=lambda *_: None, batches=lambda: (), device=student.device,
        teacher="other", load=lambda spec: (teacher.eval(), tokenizer), examples=0,
    )  # fmt: skip


def wanted(training: Training, texts: dict[str, int]) -> list[Wanted]:
    render = PromptRenderer(training.tokenizer, None, False, None).render
    return [Wanted(render(request(text).messages), seed) for text, seed in texts.items()]


def draw(training: Training, asked: list[Wanted], share: float, **told: Any) -> dict[int, Drawn]:
    mixture = Mixture(share, lambda policy: LocalTeacher(policy, "minillm"))
    engine = MixedEngine(RolloutSettings(**{"max_new": 24, **told}), mixture)
    found: dict[int, Drawn] = {}
    engine.sync(training, 0)
    engine.draw(asked, lambda number, drawn: found.update({number: drawn}))
    engine.close()
    return found


def logps(model: Any, ids: torch.Tensor, temperature: float) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = (model.eval()(ids).logits[0] / temperature).log_softmax(-1)
    return found


@pytest.mark.parametrize(("share", "temperature", "adapter"), [(0.2, 1.0, False), (0.7, 0.7, True)])
def test_log_probabilities_are_the_mixtures(
    folders: tuple[Path, Path], share: float, temperature: float, adapter: bool
) -> None:
    """By two whole passes over each text, however the rows stood together while they were drawn."""
    training = policy(folders, adapter)
    teacher, _ = training.load("other")
    asked = wanted(training, TEXTS)
    for number, drawn in draw(training, asked, share, temperature=temperature).items():
        prompt = asked[number].prompt.tokens
        ids = torch.tensor([*prompt, *drawn.tokens_T.tolist()])[None]
        own, other = (logps(model, ids, temperature).exp() for model in (training.model, teacher))
        mixed = ((1 - share) * own + share * other).log()[len(prompt) - 1 : -1]
        expected = mixed.gather(1, ids[0, len(prompt) :, None])[:, 0]
        np.testing.assert_allclose(drawn.logps_T, expected.numpy(), atol=2e-5)
    assert training.model.config._attn_implementation != NAME and teacher.config._attn_implementation != NAME


def test_what_is_drawn_depends_on_its_seed_alone(folders: tuple[Path, Path]) -> None:
    training = policy(folders)
    asked = wanted(training, TEXTS)
    together = draw(training, asked, 0.5)
    for number, one in enumerate(asked):
        (alone,) = draw(training, [one], 0.5).values()
        assert alone.tokens_T.tolist() == together[number].tokens_T.tolist()


def test_a_teacher_that_is_the_student_changes_no_sample(folders: tuple[Path, Path]) -> None:
    training = policy((folders[0], folders[0]))
    asked, found = wanted(training, TEXTS), {}
    engine = HfEngine(RolloutSettings(max_new=24))
    engine.sync(training, 0)
    engine.draw(asked, lambda number, drawn: found.update({number: drawn}))
    mixed = draw(training, asked, 0.5)
    assert [mixed[n].tokens_T.tolist() for n in range(4)] == [found[n].tokens_T.tolist() for n in range(4)]


def test_the_share_is_the_teachers(folders: tuple[Path, Path]) -> None:
    """A student that can only say 7 and a teacher that can only say 9: 200 tokens, each from one of the two."""
    training = policy(folders)
    teacher, _ = training.load("other")
    for model, token in ((training.model, 7), (teacher, 9)):
        head = model.get_output_embeddings()
        head.weight.data.zero_()
        head.bias = torch.nn.Parameter(torch.full((head.weight.shape[0],), -50.0))
        head.bias.data[token] = 50.0
    asked = [replace(one, seed=seed) for seed in range(20) for one in wanted(training, {"a": 0})]
    said = Counter(token for one in draw(training, asked, 0.25, max_new=10).values() for token in one.tokens_T.tolist())
    assert set(said) == {7, 9} and 30 <= said[9] <= 70  # 50 expected, standard deviation 6.1


def test_an_end_that_is_left_out_is_not_the_teachers_to_say(folders: tuple[Path, Path]) -> None:
    training = policy(folders)
    teacher, _ = training.load("other")
    engine = MixedEngine(RolloutSettings(max_new=4), Mixture(0.5, lambda policy: LocalTeacher(policy, "m", end="mask")))
    assert engine.teacher(training).left_out == [256] and engine.teacher(training) is engine.teacher(training)
    asked = wanted(training, {"a": 1})
    engine.sync(training, 0)
    drawn: dict[int, Drawn] = {}
    engine.draw(asked, lambda number, one: drawn.update({number: one}))
    ids = torch.tensor([*asked[0].prompt.tokens, int(drawn[0].tokens_T[0])])[None]
    own, other = (logps(model, ids, 1.0).exp()[-2] for model in (training.model, teacher))
    other[256] = 0
    mixed = (own + other / other.sum()) / 2
    assert drawn[0].logps_T[0] == pytest.approx(float(mixed[ids[0, -1]].log()), abs=2e-5)


def test_layers_that_do_not_see_the_whole_past_are_refused(folders: tuple[Path, Path]) -> None:
    training = policy(folders)
    teacher, _ = training.load("other")
    teacher.config = transformers.MistralConfig(sliding_window=4, num_hidden_layers=2)
    with pytest.raises(ConfigError, match="teacher_mix=0"):
        draw(training, wanted(training, {"a": 1}), 0.5)
