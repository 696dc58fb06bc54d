"""Chains: what a file may say, what a step reads, and what is done again when something has changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from system_fakes import Ran, command

from backends.chain import chain_lines, chains, filled, load_chain
from harness.errors import HarnessError

SELECT = """
[inputs]
level = "1"
[[steps]]
name = "records"
data = "synth"
options = { levels = "{level}", per_level = 6 }
[[steps]]
name = "more"
data = "synth"
options = { levels = "{level}", per_level = 8 }
"""


def test_the_chains_of_the_papers_are_there() -> None:
    offline = {"zephyr", "edit-krsl", "cotd-po-rounds", "tailored-rounds", "dasd", "nesycd", "socratic-zero"}
    assert offline | {"rlkd-path", "fevo", "bai", "chem-r"} <= set(chains())


def written(folder: Path, text: str) -> str:
    path = folder / "chain.toml"
    path.write_text(text)
    return str(path)


def chain(tmp_path: Path, *more: str, text: str) -> Ran:
    return command("chain", written(tmp_path, text), "--results-dir", tmp_path / "results", "--json", *more)


def states(ran: Ran) -> list[str]:
    assert ran.exit_code == 0, ran.stderr
    return [row["state"] for row in json.loads(ran.stdout)["rows"]]


def test_a_step_is_done_again_only_if_its_words_or_what_it_reads_changed(tmp_path: Path) -> None:
    assert states(chain(tmp_path, text=SELECT)) == ["done", "done"]
    assert states(chain(tmp_path, text=SELECT)) == ["done before", "done before"]
    other = SELECT.replace("per_level = 8", "per_level = 9")
    assert states(chain(tmp_path, text=other)) == ["done before", "done"]
    assert states(chain(tmp_path, "--set", "level=2", text=SELECT)) == ["done", "done"]
    assert states(chain(tmp_path, text=SELECT)) == ["done before", "done before"]
    for file in (tmp_path / "results" / "chains" / "chain").glob("records-*.jsonl"):
        file.unlink()  # what was lost is made again, to the same bytes, and what reads it is not
    assert states(chain(tmp_path, text=SELECT)) == ["done", "done before"]


def test_a_dry_run_says_what_is_done_and_writes_nothing(tmp_path: Path) -> None:
    assert states(chain(tmp_path, "--dry-run", text=SELECT)) == ["to do", "to do"]
    assert not (tmp_path / "results").exists()
    chain(tmp_path, text=SELECT)
    assert states(chain(tmp_path, "--dry-run", text=SELECT)) == ["done", "done"]


def test_rounds_hand_the_last_output_on(tmp_path: Path) -> None:
    text = """
    [inputs]
    student = "tiny"
    [[steps]]
    name = "pupil"
    train = "sft"
    options = { student = "{student}", data = "synth:levels=1", budget = "1ktok" }
    [[steps]]
    name = "score"
    evaluate = ["synth_easy"]
    models = ["{student}", "{pupil}", "{pupil@1}"]
    [rounds]
    count = 3
    steps = ["pupil"]
    carry = { student = "pupil" }
    """
    found = filled(load_chain(written(tmp_path, text)), {})
    assert [step.name for step in found.steps] == ["pupil@1", "pupil@2", "pupil@3", "score"]
    told = [step.options["student"] for step in found.steps[:3] if step.options is not None]
    assert told == ["{student}", "{pupil@1}", "{pupil@2}"]
    assert found.steps[3].inputs == ("{student}", "{pupil@3}", "{pupil@1}")


STEP = '[[steps]]\nname = "a"\ndata = "synth"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no [[steps]]"),
        ("a = ", "is not valid TOML"),
        ("[steps]\nname = 1", "steps must be a list"),
        ('[[steps]]\nname = "a"\n', "must say one of data, train"),
        ('[[steps]]\nname = "a"\ndata = "synth"\ntrain = "sft"\n', "it says data and train"),
        ('[[steps]]\nname = "A b"\ndata = "synth"\n', "is no name"),
        (STEP + STEP, "'a' is given twice"),
        ('[inputs]\na = ""\n' + STEP, "'a' is given twice"),
        (STEP + "extra = 1\n", "no key 'extra'"),
        (STEP + "models = []\n", "has no 'models'"),
        (STEP + "options = { levels = {} }\n", "must be a text, a number"),
        (STEP + 'options = { levels = "{b}" }\n', "{b}, which nothing makes"),
        (STEP + 'options = { levels = "{a}" }\n', "comes later or is the step itself"),
        (STEP + "options = { help = true }\n", "cannot have the option 'help'"),
        (STEP + 'options = { "dry-run" = true }\n', "cannot have the option 'dry-run'"),
        (STEP + 'options = { out = "elsewhere" }\n', "cannot have the option 'out'"),
        (STEP + 'inputs = ["--help"]\n', "the input '--help' is no file"),
        (STEP + '[[steps]]\nname = "b"\ntrain = "sft"\noptions = { data = "{a.more}" }\n', "a has no set 'more'"),
        ('[[steps]]\nname = "b"\nevaluate = []\n', "evaluates nothing"),
        (STEP + '[rounds]\ncount = 0\nsteps = ["a"]\n', "count from 1"),
        (STEP + '[rounds]\ncount = 500\nsteps = ["a"]\n', "count from 1 to 200"),
        (STEP + '[rounds]\ncount = 2\nsteps = ["b"]\n', "must be steps that stand together"),
        (STEP + '[rounds]\ncount = 2\nsteps = ["a"]\ncarry = { x = "a" }\n', "must be an input"),
    ],
)
def test_a_file_that_is_no_chain_is_one_line(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HarnessError) as error:
        load_chain(written(tmp_path, text))
    assert said in str(error.value) and error.value.exit_code == 2
    assert "\n" not in str(error.value) or "TOML" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (STEP.replace("synth", "nothing"), "nothing"),
        (STEP + "options = { colour = 1 }\n", "No such option '--colour'"),
        (STEP + 'options = { split = "evil" }\n', "'evil'"),
        ('[[steps]]\nname = "a"\ntrain = "nothing"\noptions = { student = "tiny", data = "x" }\n', "nothing"),
        ('[[steps]]\nname = "a"\ntrain = "sft"\noptions = { student = "tiny" }\n', "--data"),
        ('[[steps]]\nname = "a"\ntrain = "sft"\noptions = { student = "tiny", data = ["x", "y"] }\n', "one value"),
        ('[[steps]]\nname = "a"\nevaluate = ["nothing"]\nmodels = ["tiny"]\n', "nothing"),
        (
            '[[steps]]\nname = "a"\ntrain = "sft"\noptions = { student = "tiny", data = "x" }\nsettings = { y = 1 }\n',
            "y",
        ),
        ('[inputs]\nwho = ""\n' + STEP + 'options = { levels = "{who}" }\n', "needs --set who="),
    ],
)
def test_what_a_step_cannot_mean_is_said_before_anything_is_done(text: str, said: str, tmp_path: Path) -> None:
    first = SELECT.replace('[inputs]\nlevel = "1"\n', "").replace("{level}", "1") if not text.startswith("[in") else ""
    ran = chain(tmp_path, text=first + text.replace('"a"', '"last"'))
    assert ran.exit_code == 2 and said in ran.stderr and ran.stderr.count("\n") == 1, ran.stderr
    assert not (tmp_path / "results").exists()


def test_two_steps_that_come_to_the_same_model_are_evaluated_once(tmp_path: Path) -> None:
    text = """
    [inputs]
    one = "mock:gold"
    other = "mock:gold"
    [[steps]]
    name = "score"
    evaluate = ["synth_easy"]
    models = ["{one}", "{other}"]
    options = { limit = 2 }
    """
    ran = chain(tmp_path, text=text)
    assert ran.exit_code == 0, ran.stderr
    (row,) = json.loads(ran.stdout)["rows"]
    assert row["command"].count("--model") == 1 and row["scores"].count("mock:gold") == 1


def test_a_step_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    text = SELECT + '[[steps]]\nname = "bad"\ntrain = "sft"\noptions = { student = "trained:none", data = "{more}" }\n'
    ran = chain(tmp_path, text=text)
    assert ran.exit_code == 2 and "step 3 of 3 (bad, train sft)" in ran.stderr and "goes on here" in ran.stderr
    assert states(chain(tmp_path, text=SELECT)) == ["done before", "done before"]


@pytest.mark.parametrize("name", sorted(chains()))
def test_every_packaged_chain_loads_parses_and_is_drawn(name: str, tmp_path: Path) -> None:
    found = load_chain(name)
    assert found.about["summary"] and found.about["paper"]
    lines = "\n".join(chain_lines(found))
    assert all(step.name in lines for step in found.steps)
    missing: dict[str, Any] = {key: "mock:gold" for key, value in found.inputs.items() if not value}
    given = [word for key, value in missing.items() for word in ("--set", f"{key}={value}")]
    ran = command("chain", name, *given, "--dry-run", "--json", "--results-dir", tmp_path)
    assert ran.exit_code == 0, ran.stderr
    assert [row["step"] for row in json.loads(ran.stdout)["rows"]] == [step.name for step in found.steps]


def test_a_further_set_that_was_not_written_is_told_where_it_is_needed(tmp_path: Path) -> None:
    """A perfect teacher fails nothing: its unsolved problems are no file, and only an input may do without."""
    start = '[[steps]]\nname = "solve"\ndata = "traces"\n'
    start += 'options = { teacher = "mock:gold", suite = "synth_easy", limit = 3 }\n[[steps]]\nname = "next"\n'
    first = '[inputs]\nsuite = "synth_easy"\n' + start
    needed = first + 'train = "sft"\noptions = { student = "tiny", data = "{solve.unsolved}" }\n'
    ran = chain(tmp_path, text=needed)
    assert ran.exit_code == 2 and "{solve.unsolved} was not written" in ran.stderr and "step 2 of 2" in ran.stderr
    spared = first + 'data = "clean"\ninputs = ["{solve}", "{solve.unsolved}"]\n'
    assert states(chain(tmp_path, text=spared)) == ["done before", "done"]
    shown = first + 'evaluate = ["{suite}"]\nmodels = ["mock:gold"]\noptions = { limit = 2 }\n'
    rows = json.loads(chain(tmp_path, text=shown).stdout)["rows"]
    assert rows[1]["what"] == "evaluate synth_easy"
