"""Loading rubrics: names, paths, weightings, plugins, and what the content hash tells apart."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness import catalog
from harness.cli.main import cli
from harness.errors import ConfigError, UnknownName, UsageError
from judges.prompts.render import render
from judges.prompts.rubric import MAX_BYTES, load_rubric, weightings
from judges.types import Task

GOLDEN = Path(__file__).parent.parent / "golden" / "rubric_ids.json"
POINTS = '''version = "1"
kind = "points"
summary = "two dimensions, for tests"
source = "ours"
system = """
{dimensions}
"""
template = """
Question:
{question}

Answer:
{answer}

{reply_format}
"""

[[dimensions]]
key = "truth"
name = "Truth"
question = "Is it true?"
weight = 60
levels = ["a", "b", "c", "d", "e"]

[[dimensions]]
key = "grace"
name = "Grace"
question = "Is it graceful?"
weight = 40
levels = ["a", "b", "c", "d", "e"]

[weightings.even]
truth = 50
grace = 50
'''


def write(folder: Path, text: str, name: str = "mine.toml") -> str:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path)


def weights(name: str, weighting: str | None = None) -> list[float]:
    return [one.weight for one in load_rubric(name, weighting).dimensions]


def test_the_published_levels_of_mathematics() -> None:
    levels = {one.key: one.levels for one in load_rubric("cot_math").dimensions}
    conclusion, steps = levels["conclusion_reasonableness"], levels["step_completeness"]
    assert "completely wrong" in conclusion[0] and "A wrong final answer" in conclusion[1]
    assert not any("wrong" in level for level in conclusion[2:])
    assert "the result is verified" in steps[4] and "not verified" in steps[3]
    assert "never checked" in load_rubric("cot_math").system, "the example is of the same mind"


def test_the_published_weights() -> None:
    assert weights("cot_math") == [25, 20, 20, 20, 15]
    assert weights("cot_quality") == [25, 20, 20, 20, 15]
    assert weights("cot_quality", "prompt") == [25, 15, 15, 25, 20]
    assert [one.key for one in load_rubric("cot_math").dimensions] == [
        "reasoning_correctness",
        "method_relevance",
        "step_completeness",
        "calculation_accuracy",
        "conclusion_reasonableness",
    ]
    labels = {one.key: one.labels for one in load_rubric("cot_math").dimensions if one.labels}
    assert labels == {"calculation_accuracy": ("correct", "minor_errors", "major_errors", "systematic_errors")}
    assert [one.key for one in load_rubric("cot_quality").dimensions] == [
        "logical_correctness",
        "relevance",
        "completeness",
        "factual_accuracy",
        "conclusion_faithfulness",
    ]


def test_the_five_way_verdicts_and_their_votes() -> None:
    choices = load_rubric("pairwise_5").choices
    assert [(one.label, one.value, one.weight) for one in choices] == [
        ("A>>B", 1.0, 3.0),
        ("A>B", 1.0, 1.0),
        ("A=B", 0.5, 1.0),
        ("B>A", 0.0, 1.0),
        ("B>>A", 0.0, 3.0),
    ]


def test_a_file_is_named_by_its_stem(tmp_path: Path) -> None:
    rubric = load_rubric(write(tmp_path, POINTS))
    assert rubric.id == f"mine@1#{rubric.content_hash}"
    assert load_rubric(write(tmp_path, POINTS, "other.toml")).content_hash == rubric.content_hash


def test_a_weighting_is_another_rubric_that_asks_the_same(tmp_path: Path) -> None:
    path = write(tmp_path, POINTS)
    plain, even = load_rubric(path), load_rubric(path, "even")
    assert (plain.name, even.name) == ("mine", "mine:even")
    assert plain.content_hash != even.content_hash
    assert weights(path, "even") == [50, 50]
    assert weightings(path) == ("even",)
    task = Task("p", 0, ("q",), ("a",))
    assert render(plain, task) == render(even, task), "weights are not shown, so the cache serves both"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('version = "1"', 'version = "2"'),
        ("Is it true?", "Is it really true?"),
        ("Question:", "Question: "),
        ('"a", "b"', '"a.", "b"'),
        ("for tests", "for all tests"),
        ('source = "ours"', 'source = "mine"'),
        ("weight = 60", "weight = 60.5\n#"),
        ('kind = "points"', 'kind = "points"\nmax_tokens = 99'),
        ('kind = "points"', 'kind = "points"\npart = "all"'),
    ],
)
def test_every_edit_changes_the_hash(tmp_path: Path, old: str, new: str) -> None:
    before = load_rubric(write(tmp_path, POINTS))
    text = POINTS.replace(old, new, 1).replace("weight = 40", "weight = 39.5" if "60.5" in new else "weight = 40")
    assert load_rubric(write(tmp_path, text)).content_hash != before.content_hash


def test_what_is_not_content_does_not_change_the_hash(tmp_path: Path) -> None:
    before = load_rubric(write(tmp_path, POINTS))
    text = "\ufeff# a comment\n" + POINTS.replace("weight = 60", "weight = 60.0").replace("\n", "\r\n")
    assert load_rubric(write(tmp_path, text)).content_hash == before.content_hash


@pytest.mark.parametrize("given", json.loads(GOLDEN.read_text()), ids=lambda given: given["id"])
def test_ids_are_the_same_on_every_machine(given: dict[str, str | None]) -> None:
    """If this fails, a rubric was edited: raise its version and write the new id. Old verdicts keep the old one."""
    assert load_rubric(str(given["rubric"]), given["weighting"]).id == given["id"]


def test_unknown_names_come_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown rubric 'cot_maths'\. Did you mean 'cot_math'\?"):
        load_rubric("cot_maths")
    with pytest.raises(UnknownName, match=r"unknown weighting 'promt'\. Did you mean 'prompt'\?"):
        load_rubric("cot_quality", "promt")
    with pytest.raises(UsageError, match=r"rubrics/cot_math\.toml has no weightings besides its own"):
        load_rubric("cot_math", "x")
    with pytest.raises(UsageError, match="of kind 'rating' and has no weightings"):
        load_rubric("rating_10", "prompt")


def test_files_that_are_no_rubric(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file"):
        load_rubric(str(tmp_path / "absent.toml"))
    with pytest.raises(ConfigError, match=r"is no path: embedded null byte"):
        load_rubric("x\0/mine.toml")
    with pytest.raises(ConfigError, match=r"is no rubric: a path to one ends in '\.toml'"):
        load_rubric(str(tmp_path))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(ConfigError, match=r"folder\.toml: cannot be read"):
        load_rubric(str(tmp_path / "folder.toml"))
    with pytest.raises(ConfigError, match=r"my rubric\.toml: rename the file"):
        load_rubric(write(tmp_path, POINTS, "my rubric.toml"))
    with pytest.raises(ConfigError, match=r"mine\.toml:1: the file is empty"):
        load_rubric(write(tmp_path, " \n\n"))
    with pytest.raises(ConfigError, match="larger than 256 KiB"):
        load_rubric(write(tmp_path, POINTS + "#" * MAX_BYTES))
    (tmp_path / "latin.toml").write_bytes(POINTS.replace("Is it true?", "Est-ce vrai, l\xe0?").encode("latin-1"))
    with pytest.raises(
        ConfigError, match=rf"latin\.toml:{POINTS[: POINTS.index('Is it true')].count(chr(10)) + 1}: not"
    ):
        load_rubric(str(tmp_path / "latin.toml"))


def test_a_plugin_brings_a_rubric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "harness_rubric_plugin"
    package.mkdir()
    (package / "__init__.py").touch()
    write(package, POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    values = {"theirs": "harness_rubric_plugin:mine.toml", "lost": "harness_rubric_plugin:no.toml", "bad": "no_such:x"}
    points = {f"rubric.{name}": EntryPoint(f"rubric.{name}", v, "harness.plugins") for name, v in values.items()}
    monkeypatch.setattr(catalog, "_plugins", lambda: points)
    assert load_rubric("theirs", "even").name == "theirs:even"
    for name in ("lost", "bad"):
        with pytest.raises(UsageError, match=f"rubric '{name}' .* cannot be read"):
            load_rubric(name)


def test_show_tells_what_a_rubric_asks() -> None:
    shown = CliRunner().invoke(cli, ["show", "cot_quality"])
    assert shown.exit_code == 0, shown.output
    for text in (load_rubric("cot_quality").id, "weight: 25.0", "level 5: ", "prompt:", "relevance: 15.0", "{answer}"):
        assert text in shown.output
    facts = json.loads(CliRunner().invoke(cli, ["show", "pairwise_5", "--json"]).output)["rubric"]
    assert [choice["label"] for choice in facts["choices"]] == ["A>>B", "A>B", "A=B", "B>A", "B>>A"]
    assert json.loads(CliRunner().invoke(cli, ["show", "rating_10", "--json"]).output)["rubric"]["scale"] == "1 to 10"


def test_show_checks_and_shows_a_file_of_ones_own(tmp_path: Path) -> None:
    path = write(tmp_path, POINTS.replace("{dimensions}", "- one\n  and its second line\n{dimensions}"))
    facts = json.loads(CliRunner().invoke(cli, ["show", path, "--json"]).output)["rubric"]
    assert facts["id"] == load_rubric(path).id and facts["weightings"] == {"even": {"truth": 50, "grace": 50}}
    shown = CliRunner().invoke(cli, ["show", path]).output
    assert "    - one\n      and its second line\n" in shown, "a prompt keeps its indentation"
    assert "labels" not in shown, "what a dimension does not have is not shown"
    broken = CliRunner().invoke(cli, ["show", write(tmp_path, POINTS.replace("weight = 40", "weight = 50"))])
    assert isinstance(broken.exception, ConfigError) and "mine.toml:" in str(broken.exception)
