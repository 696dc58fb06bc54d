"""The reward `structure`: teacher and student cut into steps, matched in waves, failures, controls."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from backends.records.record import TrainRecord
from backends.records.synth import synth_records
from backends.rewards.scorers import Scorers, open_scorers
from backends.rewards.structure import Structure, folded
from backends.rewards.total import Totals
from backends.rollouts.types import LEFT_OUT, Part
from backends.structure.cutting import RULE
from backends.structure.paths import ask_template
from backends.structure.steps import PathStep, write_steps
from harness.errors import BudgetReached, ConfigError, DataError
from harness.types import Completion, Request
from judges.types import Judging, Judgment, Task, Verdict
from tests.unit.rollout_groups import group, record

TEACHER = "5 * 4 = 20. 8 + 20 = 28. 28 - 3 = 25."


@pytest.fixture(scope="module")
def scorers() -> Iterator[Scorers]:
    with open_scorers(None, Path("results")) as opened:
        yield opened


def taught(think: str = TEACHER, **more: object) -> TrainRecord:
    return record(gold="25", think=think, answer="25", **more)


def rule(**options: object) -> Structure:
    return Structure(gsrm=RULE, **options)  # type: ignore[arg-type]


def values(parts: Sequence[Part]) -> list[float | None]:
    return [part.value for part in parts]


# --- a rule and exact matches ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"<think>\n{TEACHER}\n</think>\nThe answer is 25.", 3.0),
        ("<think>\n4 * 5 = 20. 20 + 8 = 28. 28 - 3 = 24.\n</think>\n24", 2.5),  # operands exchanged; a wrong result
        ("<think>\n8 + 20 = 28. 5 * 4 = 20.\n</think>\n25", 0.0),  # another order
        ("<think>\n5 * 4 = 20.\n</think>\n8 + 20 = 28. 28 - 3 = 25.", 1.0),  # what follows the thought is no path
        (f"{TEACHER} 1 + 1 = 2. 2 + 2 = 4.", 3.0),  # never closed: all of it; more steps than the teacher's
        (f"<think>\n{TEACHER}", 3.0),
        ("", 0.0),
        ("<think>\n</think>\n25", 0.0),
        ("25", 0.0),
    ],
)
def test_equations_as_steps(text: str, value: float, scorers: Scorers) -> None:
    (part,) = rule().score(group([text], taught()), scorers)
    assert part.value == value and not part.why


def test_what_is_written_down_beside(scorers: Scorers) -> None:
    texts = ["<think>\n4 * 5 = 20. 20 + 8 = 27.\n</think>\n", "5 * 4 = 20", "7"]
    parts = rule(normalise="n_teacher").score(group(texts, taught()), scorers)
    assert values(parts) == [0.5, 1 / 3, 0.0]
    assert [dict(part.more) for part in parts] == [
        {"match": 0.5, "matched": 2 / 3, "unclosed": 0.0},
        {"match": 1 / 3, "matched": 1 / 3, "unclosed": 1.0},
        {"match": 0.0, "matched": 0.0, "unclosed": 1.0},
    ]


def test_the_teachers_own_path_is_worth_all_of_its_steps_and_anothers_next_to_nothing(scorers: Scorers) -> None:
    records = synth_records(0, 20, (3, 4, 5))
    for shuffled in (False, True):
        reward = rule(normalise="n_teacher", shuffle_teacher=shuffled)
        assert reward.unmarkable(records, scorers) == {}
        found = [reward.score(group([one.response or ""], one), scorers)[0].value for one in records]
        if shuffled:
            assert sum(value or 0.0 for value in found) < 0.1 * len(found)
            again = rule(normalise="n_teacher", shuffle_teacher=True)
            again.unmarkable(records[::-1], scorers)  # whatever the order of the records
            assert [again.score(group([one.response or ""], one), scorers)[0].value for one in records] == found
        else:
            assert found == [1.0] * len(found)


def test_a_record_without_a_step_is_left_out_before_anything_is_drawn(scorers: Scorers) -> None:
    records = [taught(id="a"), taught("It is plainly 25.", id="b")]
    assert Totals("structure=1", {"structure.gsrm": RULE}).unmarkable(records, scorers) == {
        "b": "structure: no step is found in the teacher's path"
    }
    (part,) = rule().score(group(["5 * 4 = 20"], records[1]), scorers)
    assert part.value is None and part.why.startswith(LEFT_OUT)


@pytest.mark.parametrize("options", [{}, {"gsrm": "rule:words"}, {"gsrm": RULE, "normalise": "min"}])
def test_options_that_make_no_sense(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        Totals("structure=1", {f"structure.{name}": value for name, value in options.items()})


def test_what_cannot_be_marked_is_refused_first() -> None:
    with pytest.raises(DataError, match="1 of 2 records have neither 'think' nor a response, the first 'b'"):
        rule().check([taught(id="a"), record(id="b")])
    with pytest.raises(DataError, match="there is only one"):
        rule(shuffle_teacher=True).check([taught()])


# --- models ---------------------------------------------------------------------------------------------------------

STEPS = (PathStep("first", "How much is 2 + 3?", "5"), PathStep("then", "And times 4?", "20"))
PATH, OTHER = "2 + 3 = 5, times 4 is 20", "Twenty, of course"


class Models:
    """A structure reward model that knows lists by path, and a judge that knows pairs; both count."""

    def __init__(self, scorers: Scorers, lists: Callable[[Request], str | Completion], says: object = True) -> None:
        self.requests: list[Request] = []
        self.waves: list[list[tuple[str, str, str]]] = []
        self._lists, self._says = lists, says
        self.scorers = dataclasses.replace(scorers, ask=self.ask, judge=self.judge)

    def ask(self, spec: str, requests: Sequence[Request]) -> list[Completion]:
        assert spec == "trained:gsrm"
        self.requests += requests
        replies = [self._lists(request) for request in requests]
        return [one if isinstance(one, Completion) else Completion(one, "stop") for one in replies]

    def judge(self, spec: str, judging: Judging, tasks: Sequence[Task]) -> list[list[Judgment]]:
        assert spec == "openai:judge" and judging.name.startswith("match_")
        asked = [(judging.name[6:], *(task.opponent or ()), *task.answers) for task in tasks]
        if asked:
            self.waves.append(asked)
        said = [self._says(one) if callable(self._says) else self._says for one in asked]
        return [
            [
                Judgment(
                    task.problem_id, task.attempt, "judge", "", "single", 0,
                    None if one is None else Verdict(float(one), "yes" if one else "no"), "",  # type: ignore[arg-type]
                    "" if one is not None else "it would not say",
                )
            ]
            for task, one in zip(tasks, said, strict=True)
        ]  # fmt: skip


def modelled(**options: object) -> Structure:
    return Structure(gsrm="trained:gsrm", match="openai:judge", **options)  # type: ignore[arg-type]


def written(*steps: PathStep) -> str:
    return write_steps(steps)[0]


def test_models_are_named_so_that_they_are_opened() -> None:
    assert modelled().models() == ("trained:gsrm", "openai:judge")
    assert rule().models() == ()
    modelled().check([taught()])  # the rubrics load


def test_paths_are_cut_by_the_prompt_that_the_model_was_trained_with(scorers: Scorers) -> None:
    models = Models(scorers, lambda request: written(*STEPS))
    reward = modelled()
    of = taught(PATH)
    assert reward.unmarkable([of], models.scorers) == {}
    parts = reward.score(group([f"<think>\n{OTHER}\n</think>\n20", "", "</think>"], of), models.scorers)
    assert values(parts) == [2.0, 0.0, 0.0]  # equal lists: nobody is asked; an empty path is worth nothing
    assert not models.waves and len(models.requests) == 2  # the teacher once, the one path
    for request, path in zip(models.requests, (PATH, OTHER), strict=True):
        content = request.messages[-1].content
        assert path in content and "6 * 7?" in content
        assert (request.temperature, request.max_tokens) == (0.0, 10_000)
        assert ask_template().fill({"question": "", "path": ""}).split("Question:")[0] in content


def test_waves_ask_no_more_than_algorithm_one_needs(scorers: Scorers) -> None:
    teacher = [PathStep(f"why {i}", f"what {i}", f"{i} apples") for i in range(3)]
    student = [PathStep(f"because {i}", f"which {i}", f"{i} pears") for i in range(4)]

    def says(asked: tuple[str, str, str]) -> bool:
        return asked[1] not in ("what 0", "why 2")

    models = Models(
        scorers, lambda request: written(*(teacher if PATH in request.messages[0].content else student)), says
    )
    parts = modelled().score(group([OTHER, PATH, OTHER + "."], taught(PATH)), models.scorers)
    assert values(parts) == [1.5, 3.0, 1.5]
    asked = [one for wave in models.waves for one in wave]
    assert len(asked) == 2 * 7  # of each of the two: three steps, two questions, two results
    order = [{aspect for aspect, *_ in wave} for wave in models.waves]
    assert order[0] == {"step"} and len(models.waves) == 3 + 2 * 2
    assert ("step", "why 0", "because 0") in asked  # the teacher's first, then the student's


def test_results_that_the_grader_finds_equal_are_not_asked_about(scorers: Scorers) -> None:
    lists = {PATH: STEPS, OTHER: (PathStep("First.", "how much is 2  + 3?", "\\frac{10}{2}"), STEPS[1])}
    models = Models(
        scorers, lambda request: written(*lists[next(p for p in lists if p in request.messages[0].content)])
    )
    assert values(modelled().score(group([OTHER], taught(PATH)), models.scorers)) == [2.0]
    assert not models.waves


def test_a_silent_judge_leaves_no_value(scorers: Scorers) -> None:
    lists = {PATH: STEPS, OTHER: (PathStep("otherwise", "x", "y"),)}

    def cut(request: Request) -> str:
        return written(*lists[next(path for path in lists if path in request.messages[0].content)])

    models = Models(scorers, cut, None)
    first, second = modelled().score(group([OTHER, PATH], taught(PATH)), models.scorers)
    assert first.value is None and "the judge gave no verdict on a step" in first.why and "would not say" in first.why
    assert second.value == 2.0
    silent = Models(scorers, cut, lambda asked: True if asked[0] == "step" else None)
    assert values(modelled().score(group([OTHER], taught(PATH)), silent.scorers)) == [None]


def test_a_list_that_cannot_be_read_is_drawn_once_more_and_is_then_no_low_reward(scorers: Scorers) -> None:
    def cut(request: Request) -> str:
        if PATH in request.messages[0].content or (request.temperature and "second" in request.messages[0].content):
            return written(*STEPS)
        return "I cannot."

    models = Models(scorers, cut)
    parts = modelled().score(group(["never", "at the second try"], taught(PATH)), models.scorers)
    assert values(parts) == [None, 2.0]
    assert parts[0].why == "the structure reward model gave no readable step, twice"
    assert [request.temperature for request in models.requests] == [0.0, 0.0, 0.0, 0.2, 0.2]
    assert len({(request.id, request.seed) for request in models.requests}) == 5


def test_a_path_too_long_for_the_model_has_no_value(scorers: Scorers) -> None:
    def cut(request: Request) -> str | Completion:
        too_long = Completion("", "error", error="the prompt has 40,000 tokens")
        return written(*STEPS) if PATH in request.messages[0].content else too_long

    models = Models(scorers, cut)
    (part,) = modelled().score(group([OTHER], taught(PATH)), models.scorers)
    assert part.value is None and part.why == "the structure reward model failed: the prompt has 40,000 tokens"
    assert len(models.requests) == 2


def test_a_spent_budget_is_everybodys_matter(scorers: Scorers) -> None:
    def spent(spec: str, requests: Sequence[Request]) -> list[Completion]:
        raise BudgetReached("spent")

    totals = Totals("structure=1", {"structure.gsrm": "trained:gsrm"})
    with pytest.raises(BudgetReached):
        totals.mark(group(["x"], taught()), dataclasses.replace(scorers, ask=spent))


def test_some_completions_are_held_against_another_records_teacher(
    scorers: Scorers, monkeypatch: pytest.MonkeyPatch
) -> None:
    lists = {PATH: STEPS, "another": (PathStep("elsewhere", "x", "y"),), OTHER: STEPS}
    records = [taught(PATH, id="a"), taught("another", id="b")]

    def reward_of(says: bool, share: float = 1.0) -> tuple[Structure, Models]:
        monkeypatch.setattr("backends.rewards.structure.SHUFFLED", share)
        told = {path: written(*steps) for path, steps in lists.items()}
        models = Models(scorers, lambda one: next(t for p, t in told.items() if p in one.messages[0].content), says)
        reward = modelled()
        reward.unmarkable(records, models.scorers)
        return reward, models

    for says in (True, False):
        reward, models = reward_of(says)
        (part,) = reward.score(group([OTHER], records[0]), models.scorers)
        assert part.value == 2.0 and part.more["shuffled"] == float(says)
        assert models.waves == [[("step", "elsewhere", "first")]]
    reward, models = reward_of(True, 0.01)
    parts = reward.score(group([f"{OTHER} {number}" for number in range(600)], records[0]), models.scorers)
    assert 1 <= sum("shuffled" in part.more for part in parts) <= 20
    assert "shuffled" not in rule().score(group([TEACHER], taught()), scorers)[0].more


def test_folding() -> None:
    assert folded("  What IS\n5?. ") == "what is 5?" and folded("5.0") == "5.0"


def test_what_a_judge_of_words_says_of_every_pair(tmp_path: Path) -> None:
    """With `mock:judge`, many of whose replies cannot be read: no value there, and nothing is asked twice."""
    reward = Structure(gsrm=RULE, match="mock:judge")
    path = tmp_path / "replies.sqlite"
    texts = [f"<think>\n{a} * 4 = {a * 4}. {a} + 1 = {a + 1}.\n</think>\n" for a in range(10, 26)]

    def marked() -> tuple[list[Part], int]:
        with open_scorers(path, tmp_path, models=reward.models(), arguments={"malformed": "0.5"}) as opened:
            parts = list(reward.score(group(texts, taught()), opened))
            return parts, opened.spent.requests

    first, requests = marked()
    assert requests > len(texts) and {type(part.value) for part in first} == {float, type(None)}
    assert all(part.why for part in first if part.value is None)
    again, requests = marked()
    assert values(again) == values(first) and requests == 0
