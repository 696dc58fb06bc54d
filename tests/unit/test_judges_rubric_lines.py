"""Where in a TOML file a key is: the scan must agree with tomllib about what is a key and what only looks like one."""

from __future__ import annotations

import json
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import ConfigError
from judges.prompts.rubric_file import locate, parse

TRICKY = """# [no.table]
a = 1 # b = 2
text = \"\"\"
c = 3
[d]
\\"\"\"e = 4\"\"\"\"
raw = '''
[[f]]
g = "'''
h = [ # a comment ] with a bracket
  "i = 5", [ "]" ],
  { j = "}" },
]
"k.l" . m = 'n = "6'
[ o . 'p' ] # [q]
r = {s = 1, t = [2]}

[[u]]
v = 1
[u.w]
x = 2
[[u.y]]
z = 3
[[u]]
v = 4
[[u.y]]
z = 5
[[u.y]]
z = 6"""


def test_keys_are_found_and_lookalikes_are_not() -> None:
    tomllib.loads(TRICKY)
    found = locate(TRICKY)
    assert found == {
        ("a",): 2,
        ("text",): 3,
        ("raw",): 7,
        ("h",): 10,
        ("k.l",): 14,
        ("k.l", "m"): 14,
        ("o",): 15,
        ("o", "p"): 15,
        ("o", "p", "r"): 16,
        ("u",): 18,
        ("u", 0): 18,
        ("u", 0, "v"): 19,
        ("u", 0, "w"): 20,
        ("u", 0, "w", "x"): 21,
        ("u", 0, "y"): 22,
        ("u", 0, "y", 0): 22,
        ("u", 0, "y", 0, "z"): 23,
        ("u", 1): 24,
        ("u", 1, "v"): 25,
        ("u", 1, "y"): 26,
        ("u", 1, "y", 0): 26,
        ("u", 1, "y", 0, "z"): 27,
        ("u", 1, "y", 1): 28,
        ("u", 1, "y", 1, "z"): 29,
    }
    assert locate(TRICKY.replace("\n", "\r\n")) == found


ODD = st.text(st.sampled_from("ab=[]{}#'\"\\\n ."), max_size=12)
VALUES = st.one_of(
    ODD.map(json.dumps),
    st.lists(ODD.map(json.dumps), max_size=3).map(lambda items: "[\n" + ",\n".join(items) + " # ]\n]"),
    ODD.filter(lambda text: "'" not in text and "\n" not in text).map(lambda text: f"'{text}'"),
    ODD.filter(lambda text: "'" not in text).map(lambda text: f"'''\n{text}'''"),
    ODD.map(lambda text: '"""\n' + text.replace("\\", "\\\\").replace('"', '\\"') + '"""'),
    ODD.map(lambda text: f"{{ a = {json.dumps(text)} }}"),
)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=8))
def test_every_key_has_the_line_it_was_written_on(rows: list[tuple[bool, str]]) -> None:
    """Keys with awkward values, each in a table of its own or not, are where they were put."""
    text, wanted = "", {}
    table: tuple[str | int, ...] = ()
    for number, (opens, value) in enumerate(rows):
        if opens:
            count = sum(1 for path in wanted if len(path) == 2 and path[0] == "t")
            table = ("t", count)
            wanted.setdefault(("t",), text.count("\n") + 1)
            wanted[table] = text.count("\n") + 1
            text += "[[t]] # x = 1\n"
        wanted[(*table, f"k{number}")] = text.count("\n") + 1
        text += f"k{number} = {value} # comment 'with\" marks\n"
    tomllib.loads(text)
    assert locate(text) == wanted


@pytest.mark.parametrize(
    ("text", "line"),
    [("a = 1\nb = \n", 2), ("a = 1\na = 2\n", 2), ("a = 1\n\n[b", 3), ('a = "x\n', 1), ("a = [1,\n2\n", 2)],
)
def test_syntax_errors_have_a_line(text: str, line: int) -> None:
    with pytest.raises(ConfigError, match=f"^f:{line}: not valid TOML: [^(]*$"):
        parse("f", text)


def test_a_long_file_is_located_in_linear_time() -> None:
    """A quadratic scan of this would not end within the test's limit."""
    text = 'a = """' + "\\\"'[{#\n" * 100_000 + '"""\n' + "".join(f"k{number} = 1\n" for number in range(50_000))
    assert locate(text)[("k49999",)] == 100_000 + 1 + 50_000
